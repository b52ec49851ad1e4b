/* A password that is shown as it is: PLAIN, LOGIN, and the commands USER and PASS. */
#include "mail/coding.h"
#include "proto/sasl_impl.h"

/* RFC 4616 2: a password is UTF-8 without NUL; the length is checked before anything is hashed (C088). */
static bool keep_secret(struct sasl *sasl, struct slice secret)
{
    return secret.len > 0 && slice_is_utf8(secret) && slice_find(secret, '\0') == secret.len &&
        secret_set(&sasl->secret, secret) == STATUS_OK;
}

/* ---- PLAIN: RFC 4616 ------------------------------------------------------------------------------------------------ */

/* [authzid] NUL authcid NUL passwd: exactly two NULs (C086), of which the second is looked for by whoever wants the rest. */
static bool cut_plain(struct slice message, struct slice *out_authzid, struct slice *out_rest)
{
    size_t first = slice_find(message, '\0');
    *out_authzid = slice_upto(message, first);
    *out_rest = slice_from(message, first + 1);
    return first < message.len;
}

enum sasl_outcome sasl_step_plain(struct sasl *sasl, struct slice message)
{
    struct slice authzid, rest;
    if (!cut_plain(message, &authzid, &rest))
        return SASL_MALFORMED;
    size_t second = slice_find(rest, '\0');
    if (second == rest.len || !sasl_keep_authzid(sasl, authzid) || !sasl_keep_name(sasl, slice_upto(rest, second)) ||
        !keep_secret(sasl, slice_from(rest, second + 1)))
        return SASL_MALFORMED;
    return sasl_ask(sasl, ASK_LOGIN);
}

/* ---- LOGIN: draft-murchison-sasl-login; the prompts are part of the protocol by now (D04) ------------------------------- */

enum { WAITS_FOR_NAME, WAITS_FOR_PASSWORD };

enum sasl_outcome sasl_greet_login(struct sasl *sasl) { return sasl_challenge(sasl, S("Username:")); }

enum sasl_outcome sasl_step_login(struct sasl *sasl, struct slice message)
{
    if (sasl->stage == WAITS_FOR_PASSWORD)
        return keep_secret(sasl, message) ? sasl_ask(sasl, ASK_LOGIN) : SASL_MALFORMED;
    if (!sasl_keep_name(sasl, message))
        return SASL_MALFORMED;
    sasl->stage = WAITS_FOR_PASSWORD;
    return sasl_challenge(sasl, S("Password:"));
}

/* ---- USER and PASS: RFC 1939 7 ---------------------------------------------------------------------------------------- */

enum sasl_outcome sasl_password(struct sasl *sasl, const struct sasl_scene *scene, struct slice name, struct slice secret,
    struct arena *arena)
{
    *sasl = (struct sasl){ .mechanism = sasl_row(MECHANISM_PASSWORD), .scene = *scene, .arena = arena };
    if (!sasl_keep_name(sasl, name))
        return SASL_MALFORMED;
    /* Passwords are UTF-8 (RFC 6856 2.2): another one is nobody's. */
    return keep_secret(sasl, secret) ? sasl_ask(sasl, ASK_LOGIN) : sasl_fail(sasl, NULL);
}

/* ---- a password that must not be looked at -------------------------------------------------------------------------------- */

struct slice sasl_typed_name(struct slice mechanism, struct slice initial, struct arena *arena)
{
    bool is_plain = slice_equal_nocase(mechanism, S("PLAIN"));
    struct buf message = BUF(LIMIT_AUTH_LINE);
    struct slice authzid, name = NO_SLICE, copy = NO_SLICE;
    if ((is_plain || slice_equal_nocase(mechanism, S("LOGIN"))) && base64_decode(&message, initial) == STATUS_OK) {
        name = buf_slice(&message);
        if (is_plain)
            name = cut_plain(name, &authzid, &name) ? slice_upto(name, slice_find(name, '\0')) : NO_SLICE;
    }
    if (!sasl_is_name(name) || arena_copy(arena, name, &copy) != STATUS_OK)
        copy = NO_SLICE;
    buf_wipe(&message);
    buf_done(&message);
    return copy;
}
