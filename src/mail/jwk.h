/* jwk.h - the keys that sign tokens: a JSON Web Key Set (RFC 7517), read into public keys.
 *
 * Nothing in a token ever adds to a set, names a file or a place to fetch from: `kid` is only compared (C089). */
#pragma once

#include "base/limits.h"
#include "base/slice.h"

struct evp_pkey_st;

enum jwk_kind { JWK_RSA = 1, JWK_P256, JWK_P384, JWK_ED25519 };

struct jwk {
    struct evp_pkey_st *key;
    struct slice id;  /* kid; empty: none */
    struct slice alg; /* the one that it may be used with; empty: any of its kind */
    enum jwk_kind kind;
};

/* Shared: threads read it, the owner counts its holders on one thread. */
struct jwk_set;

/* Keys that are not for signatures, of other kinds, or broken are left out; of more than LIMIT_TOKEN_KEYS the first.
 * MALFORMED: this is no key set; NOT_FOUND: none in it is of use. */
MUST_USE enum status jwk_set_open(struct slice json, struct jwk_set **out_set);
struct jwk_set *jwk_set_hold(struct jwk_set *set);
void jwk_set_release(struct jwk_set *set); /* NULL is fine */
size_t jwk_set_count(const struct jwk_set *set);
const struct jwk *jwk_set_at(const struct jwk_set *set, size_t index);
