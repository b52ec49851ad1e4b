/* OAUTHBEARER (RFC 7628) and XOAUTH2: bearer tokens (RFC 6750); what a token is worth the keeper knows. */
#include "proto/sasl_impl.h"

#define CTRL_A '\x01'

/* ---- fields ------------------------------------------------------------------------------------------------------------ */

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* b64token: RFC 6750 2.1. */
static bool is_token(struct slice s)
{
    size_t i = 0;
    while (i < s.len && (is_letter(s.ptr[i]) || is_digit(s.ptr[i]) || slice_find(S("-._~+/"), s.ptr[i]) < 6))
        i++;
    bool some = i > 0;
    while (i < s.len && s.ptr[i] == '=')
        i++;
    return some && i == s.len;
}

/* "Bearer", in any case, spaces, the token.  Empty: nothing that we could ask about. */
static struct slice token_of(struct slice credentials)
{
    if (!slice_starts_nocase(credentials, S("Bearer ")))
        return NO_SLICE;
    struct slice token = slice_trim(slice_from(credentials, 7));
    return is_token(token) ? token : NO_SLICE;
}

static bool is_value(struct slice s) /* RFC 7628 3.1: VCHAR, SP, HTAB, CR, LF */
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= ' ' && s.ptr[i] <= '~') || s.ptr[i] == '\t' || s.ptr[i] == '\r' || s.ptr[i] == '\n'))
            return false;
    return true;
}

static bool is_key(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_letter(s.ptr[i]))
            return false;
    return s.len > 0;
}

static bool is_host(struct slice s) { return s.len <= LIMIT_DOMAIN && slice_find(s, ' ') == s.len; }

static bool is_port(struct slice s)
{
    uint64_t port;
    return slice_number(s, 65535, &port) == STATUS_OK && port > 0;
}

/* ---- the failure that tells where tokens come from: RFC 7628 3.2.2 ---------------------------------------------------------- */

static enum status put_json_text(struct buf *out, struct slice text)
{
    TRY(buf_put_byte(out, '"'));
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < ' ' || c == '"' || c == '\\')
            TRY(buf_print(out, "\\u%04x", c));
        else
            TRY(buf_put_byte(out, text.ptr[i]));
    }
    return buf_put_byte(out, '"');
}

static enum status put_json_member(struct buf *out, const char *key, struct slice value)
{
    if (value.len == 0)
        return STATUS_OK;
    TRY(buf_print(out, "%s\"%s\":", out->len > 1 ? "," : "", key));
    return put_json_text(out, value);
}

static enum status put_failure(struct buf *out, const struct sasl *sasl)
{
    const struct settings *settings = sasl->scene.settings;
    bool is_standard = sasl->mechanism->kind == MECHANISM_OAUTHBEARER;
    TRY(buf_put_byte(out, '{'));
    TRY(put_json_member(out, "status", is_standard ? S("invalid_token") : S("400")));
    if (!is_standard)
        TRY(put_json_member(out, "schemes", S("bearer")));
    TRY(put_json_member(out, "scope", settings->oauth_scope));
    if (is_standard)
        TRY(put_json_member(out, "openid-configuration", settings->oauth_configuration));
    return buf_put_byte(out, '}');
}

/* RFC 7628 3.2.3, C090: the failure is a challenge; one response comes, then the exchange fails. */
static enum sasl_outcome tell_failure(struct sasl *sasl)
{
    struct buf json = BUF(LIMIT_AUTH_LINE / 2);
    bool fine = put_failure(&json, sasl) == STATUS_OK && sasl_challenge(sasl, buf_slice(&json)) == SASL_CHALLENGE;
    buf_done(&json);
    sasl->verdict = LOGIN_WRONG;
    sasl->stage = STAGE_FAILED;
    return fine ? SASL_CHALLENGE : SASL_DONE;
}

enum sasl_outcome sasl_settle_token(struct sasl *sasl, const struct answer_login *answer)
{
    (void)answer;
    return sasl->verdict == LOGIN_WRONG ? tell_failure(sasl) : SASL_DONE;
}

static enum sasl_outcome ask_about(struct sasl *sasl, struct slice credentials)
{
    struct slice token = token_of(credentials);
    if (token.len == 0)
        return tell_failure(sasl); /* RFC 7628 4.3: so a client asks what it needs */
    return sasl_keep(sasl, token, &sasl->token) ? sasl_ask(sasl, ASK_LOGIN_TOKEN) : SASL_MALFORMED;
}

/* ---- OAUTHBEARER ------------------------------------------------------------------------------------------------------- */

/* host and port are what the client believes to talk to: many send the name of a proxy or an alias, so that only their form counts. */
static bool take_pair(struct slice pair, struct slice *credentials)
{
    size_t equals = slice_find(pair, '=');
    struct slice key = slice_upto(pair, equals), value = slice_from(pair, equals + 1);
    if (equals == pair.len || !is_key(key) || !is_value(value))
        return false;
    if (slice_equal(key, S("host")))
        return is_host(value);
    if (slice_equal(key, S("port")))
        return is_port(value);
    if (!slice_equal(key, S("auth")))
        return true; /* RFC 7628 3.1: others are ignored */
    bool is_first = !credentials->ptr;
    *credentials = value;
    return is_first;
}

enum sasl_outcome sasl_step_oauthbearer(struct sasl *sasl, struct slice message)
{
    struct gs2 gs2;
    struct slice rest = message, pair, credentials = NO_SLICE;
    if (!sasl_take_gs2(&rest, &gs2) || gs2.flag == 'p')
        return SASL_MALFORMED;
    /* ^A *(key=value ^A) ^A */
    if (rest.len < 2 || rest.ptr[0] != CTRL_A || rest.ptr[rest.len - 1] != CTRL_A)
        return SASL_MALFORMED;
    rest = slice_upto(slice_from(rest, 1), rest.len - 2);
    if (rest.len > 0 && rest.ptr[rest.len - 1] != CTRL_A)
        return SASL_MALFORMED;
    while (slice_cut(&rest, CTRL_A, &pair))
        if (!take_pair(pair, &credentials))
            return SASL_MALFORMED;
    if (!credentials.ptr || (gs2.authzid.len > 0 && !sasl_keep_saslname(sasl, gs2.authzid, &sasl->name)))
        return SASL_MALFORMED;
    return ask_about(sasl, credentials);
}

/* ---- XOAUTH2 ----------------------------------------------------------------------------------------------------------- */

/* "user=" name ^A "auth=Bearer " token ^A ^A */
enum sasl_outcome sasl_step_xoauth2(struct sasl *sasl, struct slice message)
{
    size_t end = slice_find(message, CTRL_A);
    struct slice name = slice_upto(message, end), rest = slice_from(message, end + 1);
    if (!slice_starts(name, S("user=")) || !slice_starts(rest, S("auth=")) || rest.len < 7)
        return SASL_MALFORMED;
    struct slice credentials = slice_upto(slice_from(rest, 5), rest.len - 7);
    if (rest.ptr[rest.len - 1] != CTRL_A || rest.ptr[rest.len - 2] != CTRL_A || !is_value(credentials) ||
        !sasl_keep_name(sasl, slice_from(name, 5)))
        return SASL_MALFORMED;
    return ask_about(sasl, credentials);
}
