#include "mail/token.h"

#include "base/limits.h"
#include "mail/json.h"

#define LATEST 253402300799.0 /* seconds: the end of the year 9999 */

const char *token_fault_name(enum token_fault fault)
{
    static const char *const names[TOKEN_FAULTS] = {
        [TOKEN_GOOD] = "good",
        [TOKEN_MALFORMED] = "malformed",
        [TOKEN_ALGORITHM] = "algorithm",
        [TOKEN_CRITICAL] = "critical-extension",
        [TOKEN_TYPE] = "type",
        [TOKEN_UNKNOWN_KEY] = "unknown-key",
        [TOKEN_SIGNATURE] = "signature",
        [TOKEN_ISSUER] = "issuer",
        [TOKEN_AUDIENCE] = "audience",
        [TOKEN_EXPIRED] = "expired",
        [TOKEN_NOT_YET] = "not-yet",
        [TOKEN_SCOPE] = "scope",
        [TOKEN_CLAIM] = "claim",
        [TOKEN_INACTIVE] = "inactive",
    };
    return (size_t)fault < TOKEN_FAULTS ? names[fault] : "unknown";
}

/* A NumericDate (RFC 7519 2); false: there is one, and it is no date.  *out_when is 0 where there is none. */
static bool get_date(const json_t *claims, const char *name, wall *out_when)
{
    const json_t *value = json_object_get(claims, name);
    *out_when = 0;
    if (!value)
        return true;
    if (!json_is_number(value))
        return false;
    double seconds = json_number_value(value);
    if (!(seconds >= 1 && seconds <= LATEST))
        return false;
    *out_when = (wall)(seconds * 1000);
    return true;
}

static enum token_fault check_dates(const json_t *claims, wall now, bool must_end, wall *out_until)
{
    wall until, from, issued;
    if (!get_date(claims, "exp", &until) || !get_date(claims, "nbf", &from) || !get_date(claims, "iat", &issued))
        return TOKEN_MALFORMED;
    if (until ? until <= now : must_end)
        return TOKEN_EXPIRED;
    if (from > now + LIMIT_TOKEN_LEEWAY || issued > now + LIMIT_TOKEN_LEEWAY)
        return TOKEN_NOT_YET;
    *out_until = until;
    return TOKEN_GOOD;
}

/* Words with a space between (RFC 8693 4.2), or, as some issuers write, an array. */
static bool has_scope(const json_t *claims, struct slice wanted)
{
    struct slice rest = json_text(claims, "scope"), word;
    while (slice_word(&rest, &word))
        if (slice_equal(word, wanted))
            return true;
    const json_t *value = json_object_get(claims, "scope");
    return json_is_array(value) && json_names(value, wanted);
}

/* Who has an account at the issuer may write any address into it: only a verified one names somebody. */
static bool is_unverified(const json_t *claims, struct slice claim)
{
    const json_t *verified = json_object_get(claims, "email_verified");
    return slice_equal(claim, S("email")) && verified && !json_is_true(verified) &&
           !json_names(verified, S("true"));
}

static enum token_fault find_owner(
    const json_t *claims, const struct token_rules *rules, struct arena *arena, struct token_owner *out_owner)
{
    struct slice claim, name;
    if (arena_copy(arena, rules->claim, &claim) != STATUS_OK)
        return TOKEN_MALFORMED;
    name = json_text(claims, claim.ptr);
    if (name.len == 0 || name.len > LIMIT_LOGIN_NAME || slice_has_control(name) || is_unverified(claims, claim))
        return TOKEN_CLAIM;
    return arena_copy(arena, name, &out_owner->name) == STATUS_OK ? TOKEN_GOOD : TOKEN_MALFORMED;
}

static enum token_fault judge(
    const json_t *claims, bool whole, const struct token_rules *rules, struct arena *arena, struct token_owner *owner)
{
    const json_t *issuer = json_object_get(claims, "iss"), *audience = json_object_get(claims, "aud");
    if (issuer || whole)
        if (!json_is_string(issuer) || rules->issuer.len == 0 || !json_names(issuer, rules->issuer))
            return TOKEN_ISSUER;
    if (audience || whole)
        if (rules->audience.len == 0 || !json_names(audience, rules->audience))
            return TOKEN_AUDIENCE;
    enum token_fault fault = check_dates(claims, rules->now, whole, &owner->until);
    if (fault != TOKEN_GOOD)
        return fault;
    if (rules->scope.len > 0 && !has_scope(claims, rules->scope))
        return TOKEN_SCOPE;
    return find_owner(claims, rules, arena, owner);
}

enum token_fault token_claims(
    struct slice text, const struct token_rules *rules, struct arena *arena, struct token_owner *out_owner)
{
    struct token_owner owner = { 0 };
    json_t *claims = json_read(text);
    enum token_fault fault = claims ? judge(claims, true, rules, arena, &owner) : TOKEN_MALFORMED;
    json_decref(claims);
    if (fault == TOKEN_GOOD)
        *out_owner = owner;
    return fault;
}

enum token_fault token_introspected(
    struct slice text, const struct token_rules *rules, struct arena *arena, struct token_owner *out_owner)
{
    struct token_owner owner = { 0 };
    json_t *answer = json_read(text);
    enum token_fault fault = !answer                                              ? TOKEN_MALFORMED
                             : !json_is_true(json_object_get(answer, "active")) ? TOKEN_INACTIVE
                                                                                : judge(answer, false, rules, arena, &owner);
    json_decref(answer);
    if (fault == TOKEN_GOOD)
        *out_owner = owner;
    return fault;
}
