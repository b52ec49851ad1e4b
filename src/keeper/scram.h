/* scram.h - SCRAM's keys (RFC 5802 3): what is stored instead of a password, and the check of a proof.
 *
 * One salt for each account, so that a proof can be tried against the password's and every device's keys. */
#pragma once

#include "base/slice.h"

enum scram_hash { SCRAM_SHA_1, SCRAM_SHA_256, SCRAM_HASHES };

#define SCRAM_SALT  16
#define SCRAM_KEY   32  /* octets of the longest key */
#define SCRAM_NONCE 24  /* base64 of 144 random bits: RFC 5802 asks for enough that none comes twice */
#define SCRAM_BLOB  160 /* octets of a packed verifier, at most */
#define SCRAM_COSTS 10

struct scram_keys {
    uint32_t rounds; /* 0: none for this hash */
    uint8_t stored[SCRAM_KEY], server[SCRAM_KEY];
};
struct scram_verifier {
    uint8_t salt[SCRAM_SALT];
    struct scram_keys keys[SCRAM_HASHES];
};

void scram_init(void); /* once, before the jail */
size_t scram_key_size(enum scram_hash hash);
/* The account's, or that of a name which nobody has: nothing in it tells which (C075).  out_draw, or NULL: a number that is
 * the name's, too. */
void scram_salt(const char key[32], struct slice name, uint8_t out_salt[SCRAM_SALT], uint64_t *out_draw);
/* auth.hash_cost 1 to 10.  SHA-1 is cheaper where only devices use it: their secrets are random. */
uint32_t scram_rounds(enum scram_hash hash, uint32_t cost, bool sha1_for_people);
/* auth.hash_cost was changed: some accounts have the rounds of before until their next login, and among the names that
 * nobody has as many.  `counts`: how many of the `total` accounts have the rounds of each cost. */
uint32_t scram_rounds_of_nobody(const uint32_t counts[SCRAM_COSTS], uint32_t total, uint32_t rounds, uint64_t draw);
/* The cost, from 0, whose rounds these are; SCRAM_COSTS: none. */
uint32_t scram_cost_of(uint32_t rounds);
/* Takes its time: on a pool thread only. */
void scram_make(enum scram_hash hash, struct slice secret, const uint8_t salt[SCRAM_SALT], uint32_t rounds,
    struct scram_keys *out_keys);
/* Is `proof` that of who knows the secret?  The same work for any keys; out_signature (of the hash's size) is written in
 * any case. */
bool scram_try(enum scram_hash hash, const struct scram_keys *keys, struct slice message, struct slice proof,
    uint8_t out_signature[SCRAM_KEY]);
/* As it is stored; returns its length. */
size_t scram_pack(const struct scram_verifier *verifier, char out_blob[SCRAM_BLOB]);
MUST_USE enum status scram_unpack(struct slice blob, struct scram_verifier *out_verifier); /* CORRUPT */
