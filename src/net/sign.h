/* sign.h - what a gate asks of the signer, and what the signer signs.
 *
 * The private keys are in the keeper's process, in a thread of its own (signer.h); a gate has certificates, and asks over a stream that carries nothing else (tls_key.h):
 * u32 length, then the fields below in the ask codec.  One ask at a time: the next may follow only when the answer has come.
 *
 * What is signed comes whole, not as a digest, and is signed only where it has the form of a TLS server's handshake: so whoever owns a gate gets handshakes signed while he
 * is there, and nothing else: no certificate, no message, no client's proof. */
#pragma once

#include <openssl/evp.h>

#include "ask/field.h"

enum sign_kind {
    SIGN_HANDSHAKE = 1, /* `detail` is a scheme */
    SIGN_OPEN,          /* an RSA-encrypted premaster secret (RFC 5246 7.4.7.1); `detail` is the version that the client offered */
};
struct sign_ask {
    uint32_t number;
    uint8_t kind;
    uint32_t detail;
    struct slice key;    /* its name */
    struct slice octets; /* to be signed or opened */
};
struct sign_answer {
    uint32_t number;
    uint8_t status;      /* enum status: OK, NOT_FOUND (no such key), IO (it failed) */
    struct slice octets; /* the signature or the secret */
};
#define SIGN_FRAME     (LIMIT_SIGNED + 64u) /* octets of either, with its length */
#define SIGN_SECRET    48u                  /* octets of a premaster secret */
#define SIGN_KEY_NAME  32u                  /* octets: SHA-256 of the certificate's SubjectPublicKeyInfo */

extern const struct field sign_ask_fields[], sign_answer_fields[];
/* Empties `out`, then length and fields. */
MUST_USE enum status sign_put(struct buf *out, const struct field *fields, const void *message);
/* A whole frame stands in front of `in`: its fields, and how long it is altogether.  BUSY: not whole yet.  MALFORMED: never will be. */
MUST_USE enum status sign_get(struct slice in, const struct field *fields, void *out_message, size_t *out_len);

/* How a handshake may be signed: the numbers of RFC 8446 4.2.3, and one of the private ones for TLS 1.0 and 1.1. */
enum sign_padding { SIGN_PADDING_NONE, SIGN_PADDING_PKCS1, SIGN_PADDING_PSS };
struct sign_scheme {
    uint16_t number;
    bool new_too;          /* good for TLS 1.3, as well as for what came before */
    const char *key;       /* as EVP_PKEY_is_a() knows it */
    enum sign_padding padding;
    const char *digest;    /* NULL: none apart */
};
const struct sign_scheme *sign_scheme(uint32_t number);                                            /* NULL: none */
const struct sign_scheme *sign_scheme_of(const char *key, enum sign_padding padding, const char *digest); /* any name of the digest */

/* To be signed by a server, under this scheme, in a handshake of ours; nothing else is. */
bool sign_is_handshake(struct slice octets, const struct sign_scheme *scheme);

/* The key types that the table knows; others have no name. */
bool sign_knows(const EVP_PKEY *key);
MUST_USE enum status sign_name(EVP_PKEY *key, char out_name[SIGN_KEY_NAME]);
