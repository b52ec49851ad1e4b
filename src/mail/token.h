/* token.h - what a token must say before it opens anything: claims of a JSON Web Token (RFC 7519 4) or of an introspection answer (RFC 7662 2.2).
 *
 * Pure functions of octets.  Whose signature a token bears is mail/jwt.h's business; this is about its contents. */
#pragma once

#include "base/arena.h"
#include "base/clock.h"

/* Why a token opens nothing: words for the log, never for a peer. */
enum token_fault {
    TOKEN_GOOD = 0,
    TOKEN_MALFORMED,
    TOKEN_ALGORITHM,   /* not of the list, or not of the key's kind */
    TOKEN_CRITICAL,    /* `crit`: extensions that we do not know */
    TOKEN_TYPE,        /* `typ`: made for something else */
    TOKEN_UNKNOWN_KEY, /* none of the set has its `kid`, or fits its algorithm */
    TOKEN_SIGNATURE,
    TOKEN_ISSUER,
    TOKEN_AUDIENCE,
    TOKEN_EXPIRED,
    TOKEN_NOT_YET,
    TOKEN_SCOPE,
    TOKEN_CLAIM,       /* nothing in it names anybody, or an address that its issuer has not verified */
    TOKEN_INACTIVE,    /* RFC 7662: "active": false */
    TOKEN_FAULTS
};
const char *token_fault_name(enum token_fault fault); /* "expired", ... */

struct token_rules {
    struct slice issuer, audience, scope; /* scope empty: any */
    struct slice claim;                   /* the one that holds a login name */
    wall now;
};

struct token_owner {
    struct slice name; /* in the arena */
    wall until;        /* its `exp`; 0: none was said (introspection only) */
};

/* The contents of a token whose signature was right; issuer, audience and expiry are required. */
enum token_fault token_claims(
    struct slice json, const struct token_rules *rules, struct arena *arena, struct token_owner *out_owner);
/* The answer of an introspection endpoint: what it says of issuer, audience and expiry must fit, what it leaves out it
 * has checked itself. */
enum token_fault token_introspected(
    struct slice json, const struct token_rules *rules, struct arena *arena, struct token_owner *out_owner);
