/* jwt.h - is this token signed by one of these keys, and whom does it name?
 *
 * Compact JWS only (RFC 7515 3.1), algorithms of one fixed list, never `none` and never one with a shared secret
 * (RFC 8725 3.1, 3.2).  What the header says chooses among the keys of the set and nothing else. */
#pragma once

#include "mail/jwk.h"
#include "mail/token.h"

/* Has it the form of a signed token: three parts in base64url, the first a header with an algorithm? */
bool jwt_is(struct slice token);
/* Takes some 100 us: on a pool thread.  The contents are read once the signature is right. */
enum token_fault jwt_verify(const struct jwk_set *set, struct slice token, const struct token_rules *rules,
    struct arena *arena, struct token_owner *out_owner);
