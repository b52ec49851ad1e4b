/* signer_key.h - the private keys of the signer, and what is done with them; for signer.c alone. */
#pragma once

#include <openssl/evp.h>

#include "base/list.h"
#include "net/boot.h"
#include "net/sign.h"

enum purpose { PURPOSE_TLS }; /* what a key is for: a key for one purpose is never used for another */

struct key {
    struct list node;
    EVP_PKEY *key;
    enum purpose purpose;
    char name[SIGN_KEY_NAME];
    unsigned missed; /* sets without it */
    unsigned holders;
    /* The thread's: made ready for the scheme that was asked for last, since making ready costs a tenth of signing. */
    const struct sign_scheme *scheme;
    EVP_PKEY_CTX *context;
    EVP_MD *digest;
};

/* Appends one key for each public key that the pairs have; where it fails, the caller drops what is there.  `pairs`: rows of struct boot_pair. */
MUST_USE enum status signer_keys_open(const struct rows *pairs, struct list *keys, struct buf *why);
void signer_keys_drop(struct list *keys);
struct key *signer_key_find(const struct list *keys, struct slice name);
void signer_key_drop(struct key *key);   /* off its list */
void signer_key_let_go(struct key *key); /* one holder less; the last one wipes it */

/* False: OpenSSL could not.  `out` has room for LIMIT_SIGNED. */
bool signer_key_sign(struct key *key, const struct sign_scheme *scheme, struct slice octets, unsigned char *out, size_t *out_len);
#define SIGNER_REJECT 32u
/* SIGN_SECRET octets to `out`; `reject` makes what takes a wrong secret's place. */
bool signer_key_open(EVP_PKEY *key, const char reject[SIGNER_REJECT], const struct sign_ask *ask, unsigned char *out);
