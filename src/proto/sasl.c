#include "proto/sasl.h"

#include <string.h>

#include "mail/coding.h"

/* ---- fields ------------------------------------------------------------------------------------------------------- */

/* A name that may be put into an ask: valid UTF-8 (C087), no control octets, not empty, not long. */
static bool is_name(struct slice s)
{
    return s.len > 0 && s.len <= LIMIT_LOGIN_NAME && slice_is_utf8(s) && !slice_has_control(s);
}

/* RFC 4616 2: a password is UTF-8 without NUL; the length is checked before anything is hashed (C088). */
static bool is_password(struct slice s)
{
    return s.len > 0 && s.len <= LIMIT_SECRET && slice_is_utf8(s) && slice_find(s, '\0') == s.len;
}

static bool keep_name(struct sasl *sasl, struct slice name)
{
    return is_name(name) && arena_copy(sasl->arena, name, &sasl->name) == STATUS_OK;
}

static bool keep_secret(struct sasl *sasl, struct slice secret)
{
    return is_password(secret) && secret_set(&sasl->secret, secret) == STATUS_OK;
}

/* ---- PLAIN: RFC 4616 ------------------------------------------------------------------------------------------------ */

/* [authzid] NUL authcid NUL passwd: exactly two NULs (C086). */
static bool read_plain(struct sasl *sasl, struct slice message)
{
    size_t first = slice_find(message, '\0');
    if (first == message.len)
        return false;
    struct slice authzid = slice_upto(message, first), rest = slice_from(message, first + 1);
    size_t second = slice_find(rest, '\0');
    if (second == rest.len)
        return false;
    if (authzid.len > 0 && (!is_name(authzid) || arena_copy(sasl->arena, authzid, &sasl->authzid) != STATUS_OK))
        return false;
    return keep_name(sasl, slice_upto(rest, second)) && keep_secret(sasl, slice_from(rest, second + 1));
}

static enum sasl_outcome step_plain(struct sasl *sasl, struct slice message)
{
    return read_plain(sasl, message) ? SASL_READY : SASL_MALFORMED;
}

/* ---- LOGIN: draft-murchison-sasl-login; the prompts are part of the protocol by now (D04) ------------------------------- */

enum { LOGIN_WAITS_FOR_NAME, LOGIN_WAITS_FOR_PASSWORD };
#define LOGIN_USERNAME S("VXNlcm5hbWU6") /* "Username:" */
#define LOGIN_PASSWORD S("UGFzc3dvcmQ6") /* "Password:" */

static enum sasl_outcome step_login(struct sasl *sasl, struct slice message)
{
    if (sasl->stage == LOGIN_WAITS_FOR_PASSWORD)
        return keep_secret(sasl, message) ? SASL_READY : SASL_MALFORMED;
    if (!keep_name(sasl, message))
        return SASL_MALFORMED;
    sasl->stage = LOGIN_WAITS_FOR_PASSWORD;
    sasl->challenge = LOGIN_PASSWORD;
    return SASL_CHALLENGE;
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

static const struct sasl_mechanism mechanisms[] = {
    { "PLAIN", MECHANISM_PLAIN, true, step_plain },
    { "LOGIN", MECHANISM_LOGIN, true, step_login },
};

const struct sasl_mechanism *sasl_each(size_t index)
{
    return index < sizeof mechanisms / sizeof *mechanisms ? &mechanisms[index] : NULL;
}

const struct sasl_mechanism *sasl_find(struct slice name)
{
    for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++)
        if (slice_equal_nocase(slice_of(mechanisms[i].name), name))
            return &mechanisms[i];
    return NULL;
}

/* Base64 off, step on, and no copy of a secret left behind. */
static enum sasl_outcome decode_and_step(struct sasl *sasl, struct slice base64)
{
    struct buf message = BUF(LIMIT_AUTH_LINE);
    enum sasl_outcome outcome = SASL_MALFORMED;
    if (base64_decode(&message, base64) == STATUS_OK)
        outcome = sasl->mechanism->step(sasl, buf_slice(&message));
    buf_wipe(&message);
    buf_done(&message);
    return outcome;
}

enum sasl_outcome sasl_start(struct sasl *sasl, const struct sasl_mechanism *mechanism, struct slice initial,
    struct arena *arena)
{
    *sasl = (struct sasl){ .mechanism = mechanism, .arena = arena };
    if (initial.ptr) /* RFC 4954 4: "=" is an empty initial response; Outlook sends one with LOGIN (D03) */
        return decode_and_step(sasl, slice_equal(initial, S("=")) ? NO_SLICE : initial);
    if (mechanism->kind == MECHANISM_LOGIN)
        sasl->challenge = LOGIN_USERNAME;
    return SASL_CHALLENGE;
}

enum sasl_outcome sasl_step(struct sasl *sasl, struct slice line)
{
    if (slice_equal(line, S("*")))
        return SASL_CANCELLED;
    return decode_and_step(sasl, line);
}

void sasl_done(struct sasl *sasl)
{
    secret_wipe(&sasl->secret);
    sasl->name = sasl->authzid = sasl->challenge = NO_SLICE;
}

enum password_lane password_lane(const struct settings *settings, struct ip peer, bool encrypted)
{
    if (encrypted || networks_have(settings->auth_plaintext_networks, peer))
        return LANE_OPEN;
    return networks_have(settings->legacy_networks, peer) ? LANE_DEVICES_ONLY : LANE_CLOSED;
}
