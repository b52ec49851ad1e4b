#include "proto/sasl_impl.h"

#include "base/must.h"
#include "mail/coding.h"
#include "proto/session_impl.h"

/* ---- the table ------------------------------------------------------------------------------------------------------ */

enum { OF_POP3 = 1 << PROTOCOL_POP3, OF_POP3_IMAP = OF_POP3 | 1 << PROTOCOL_IMAP, OF_ALL = OF_POP3_IMAP | 1 << PROTOCOL_SMTP };
enum { FOR_ALL = 0, FOR_CRAM = 1 << MECHANISM_CRAM_MD5, FOR_SHA_1 = 1 << MECHANISM_SCRAM_SHA_1 | 1 << MECHANISM_SCRAM_SHA_1_PLUS };
enum { SHA_1 = 20, SHA_256 = 32 };

#define SCRAM .step = sasl_step_scram, .settle = sasl_settle_scram
#define TOKEN .settle = sasl_settle_token

/* In the order in which they are announced: the strongest first, since many clients take the first that they know. */
/* clang-format off */
static const struct sasl_mechanism mechanisms[] = {
    { MECHANISM_EXTERNAL,           NEEDS_KEY,     OF_ALL,       FOR_ALL,   .step = sasl_step_external },
    { MECHANISM_SCRAM_SHA_256_PLUS, NEEDS_BINDING, OF_ALL,       FOR_ALL,   SCRAM, .hash = SHA_256, .binds = true },
    { MECHANISM_SCRAM_SHA_256,      NEEDS_SECRECY, OF_ALL,       FOR_ALL,   SCRAM, .hash = SHA_256, .plus = MECHANISM_SCRAM_SHA_256_PLUS },
    { MECHANISM_SCRAM_SHA_1_PLUS,   NEEDS_BINDING, OF_ALL,       FOR_SHA_1, SCRAM, .hash = SHA_1, .binds = true },
    { MECHANISM_SCRAM_SHA_1,        NEEDS_SECRECY, OF_ALL,       FOR_SHA_1, SCRAM, .hash = SHA_1, .plus = MECHANISM_SCRAM_SHA_1_PLUS },
    { MECHANISM_PLAIN,              NEEDS_SECRECY, OF_ALL,       FOR_ALL,   .step = sasl_step_plain },
    { MECHANISM_LOGIN,              NEEDS_SECRECY, OF_ALL,       FOR_ALL,   .step = sasl_step_login, .greet = sasl_greet_login, .takes_initial = true },
    { MECHANISM_CRAM_MD5,           NEEDS_SECRECY, OF_ALL,       FOR_CRAM,  .step = sasl_step_cram, .greet = sasl_greet_cram },
    { MECHANISM_OAUTHBEARER,        NEEDS_OAUTH,   OF_ALL,       FOR_ALL,   TOKEN, .step = sasl_step_oauthbearer },
    { MECHANISM_XOAUTH2,            NEEDS_OAUTH,   OF_ALL,       FOR_ALL,   TOKEN, .step = sasl_step_xoauth2 },
    /* commands of their own */
    { MECHANISM_PASSWORD,           NEEDS_SECRECY, OF_POP3_IMAP, FOR_ALL,   .step = NULL },
    { MECHANISM_APOP,               NEEDS_STAMP,   OF_POP3,      FOR_ALL,   .step = NULL },
};
/* clang-format on */
enum { ROWS = sizeof mechanisms / sizeof *mechanisms };

enum mechanism sasl_kind(const struct sasl_mechanism *mechanism) { return mechanism->kind; }

const struct sasl_mechanism *sasl_find(struct slice name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (mechanisms[i].step && slice_equal_nocase(slice_of(mechanism_name(mechanisms[i].kind)), name))
            return &mechanisms[i];
    return NULL;
}

const struct sasl_mechanism *sasl_row(enum mechanism kind)
{
    size_t i = 0;
    while (i < ROWS && mechanisms[i].kind != kind)
        i++;
    must(i < ROWS);
    return &mechanisms[i];
}

const struct sasl_mechanism *sasl_next(const struct sasl_scene *scene, size_t *index)
{
    while (*index < ROWS) {
        const struct sasl_mechanism *row = &mechanisms[(*index)++];
        if (row->step && sasl_stand(row, scene) == SASL_OFFERED)
            return row;
    }
    return NULL;
}

/* ---- the offer rule --------------------------------------------------------------------------------------------------- */

static bool is_modern(const struct tls_facts *tls) { return tls && !tls->outdated; }

enum password_lane password_lane(const struct settings *settings, enum service service, struct ip peer, const struct tls_facts *tls)
{
    if (service_is_legacy(service))
        return networks_have(settings->legacy_networks, peer) ? LANE_DEVICES_ONLY : LANE_CLOSED;
    if (is_modern(tls) || networks_have(settings->auth_plaintext_networks, peer))
        return LANE_OPEN;
    return networks_have(settings->legacy_networks, peer) ? LANE_DEVICES_ONLY : LANE_CLOSED;
}

static bool is_configured(const struct sasl_mechanism *row, const struct settings *settings)
{
    if (row->needs == NEEDS_KEY)
        return settings->auth_client_certificates;
    return row->needs != NEEDS_OAUTH || settings->oauth_jwks.len > 0 || settings->oauth_introspection.len > 0;
}

static bool has_facts(const struct sasl_mechanism *row, const struct tls_facts *tls)
{
    if (row->needs == NEEDS_KEY)
        return tls->peer_key.len > 0;
    return row->needs != NEEDS_BINDING || tls->exporter.len > 0 || tls->export || tls->unique.len > 0 || tls->end_point.len > 0;
}

/* Clients take CRAM-MD5 and SCRAM-SHA-1 wherever they are announced, and neither works with a person's password: they are announced
 * where no person comes, or where the administrator made a secret for them. */
static bool is_listed(const struct sasl_mechanism *row, const struct sasl_scene *scene, enum password_lane lane)
{
    return row->listed_for == FOR_ALL || lane == LANE_DEVICES_ONLY || (row->listed_for & scene->offers) ||
        (row->hash == SHA_1 && scene->settings->auth_scram_sha1);
}

enum sasl_standing sasl_stand(const struct sasl_mechanism *row, const struct sasl_scene *scene)
{
    enum password_lane lane = password_lane(scene->settings, scene->service, scene->peer, scene->tls);
    bool is_there = (row->protocols & 1u << scene->protocol) && (scene->settings->auth_mechanisms & 1u << row->kind);
    if (!is_there || !is_configured(row, scene->settings))
        return SASL_REFUSED;
    if (row->needs == NEEDS_STAMP && scene->settings->auth_apop_without_tls)
        return SASL_OFFERED;
    if (row->needs == NEEDS_BINDING || row->needs == NEEDS_KEY || row->needs == NEEDS_OAUTH) {
        if (!is_modern(scene->tls))
            return SASL_NEEDS_TLS;
        if (!has_facts(row, scene->tls) || (row->needs != NEEDS_BINDING && lane == LANE_DEVICES_ONLY))
            return SASL_REFUSED; /* people's: there is no token of a device, and no key on its ports */
    }
    if (lane == LANE_CLOSED)
        return SASL_NEEDS_TLS;
    return is_listed(row, scene, lane) ? SASL_OFFERED : SASL_ACCEPTED;
}

struct sasl_scene sasl_scene(struct session *s, enum protocol_kind protocol)
{
    return (struct sasl_scene){ .settings = s->env.settings, .service = s->env.service, .peer = s->env.peer, .local = s->env.local,
        .session = session_name(s), .protocol = protocol, .tls = s->is_secured ? &s->tls : NULL, .offers = s->env.offers,
        .random = &s->random, .now = session_wall(s) };
}

/* ---- what the steps share --------------------------------------------------------------------------------------------- */

bool sasl_is_name(struct slice s)
{
    return s.len > 0 && s.len <= LIMIT_LOGIN_NAME && slice_is_utf8(s) && !slice_has_control(s);
}

bool sasl_keep(struct sasl *sasl, struct slice from, struct slice *out_copy)
{
    return arena_copy(sasl->arena, from, out_copy) == STATUS_OK;
}

bool sasl_keep_name(struct sasl *sasl, struct slice name) { return sasl_is_name(name) && sasl_keep(sasl, name, &sasl->name); }

bool sasl_keep_authzid(struct sasl *sasl, struct slice authzid)
{
    return authzid.len == 0 || (sasl_is_name(authzid) && sasl_keep(sasl, authzid, &sasl->authzid));
}

bool sasl_keep_saslname(struct sasl *sasl, struct slice from, struct slice *out_name)
{
    struct buf name = BUF(LIMIT_LOGIN_NAME);
    bool fine = true;
    while (fine && from.len > 0) {
        bool comma = slice_starts(from, S("=2C")), equals = slice_starts(from, S("=3D"));
        fine = (comma || equals || from.ptr[0] != '=') && buf_put_byte(&name, comma ? ',' : from.ptr[0]) == STATUS_OK;
        from = slice_from(from, comma || equals ? 3 : 1);
    }
    fine = fine && sasl_is_name(buf_slice(&name)) && sasl_keep(sasl, buf_slice(&name), out_name);
    buf_done(&name);
    return fine;
}

static bool is_binding_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-'))
            return false;
    }
    return s.len > 0;
}

bool sasl_take_gs2(struct slice *rest, struct gs2 *out_gs2)
{
    size_t first = slice_find(*rest, ',');
    struct slice flag = slice_upto(*rest, first), behind = slice_from(*rest, first + 1);
    size_t second = slice_find(behind, ',');
    struct slice authzid = slice_upto(behind, second);
    if (first == rest->len || second == behind.len)
        return false;
    struct gs2 gs2 = { .whole = slice_upto(*rest, first + 1 + second + 1), .flag = flag.len > 0 ? flag.ptr[0] : 0 };
    if (slice_starts(flag, S("p="))) {
        gs2.binding = slice_from(flag, 2);
        if (!is_binding_name(gs2.binding))
            return false;
    } else if (!slice_equal(flag, S("n")) && !slice_equal(flag, S("y"))) {
        return false;
    }
    if (authzid.len > 0) {
        if (!slice_starts(authzid, S("a=")) || authzid.len == 2)
            return false;
        gs2.authzid = slice_from(authzid, 2);
    }
    *rest = slice_from(*rest, gs2.whole.len);
    *out_gs2 = gs2;
    return true;
}

enum sasl_outcome sasl_challenge(struct sasl *sasl, struct slice plain)
{
    struct buf base64 = BUF(LIMIT_AUTH_LINE);
    bool fine = base64_encode(&base64, plain) == STATUS_OK && sasl_keep(sasl, buf_slice(&base64), &sasl->challenge);
    buf_done(&base64);
    return fine ? SASL_CHALLENGE : SASL_MALFORMED;
}

enum sasl_outcome sasl_ask(struct sasl *sasl, enum ask_kind kind)
{
    sasl->asks = kind;
    return SASL_ASK;
}

enum sasl_outcome sasl_fail(struct sasl *sasl, const char *why)
{
    sasl->verdict = LOGIN_WRONG;
    sasl->why = why;
    return SASL_DONE;
}

enum sasl_outcome sasl_busy(struct sasl *sasl)
{
    sasl->verdict = LOGIN_BUSY;
    return SASL_DONE;
}

enum status sasl_stamp(const struct sasl_scene *scene, struct arena *arena, struct slice *out_stamp)
{
    struct buf stamp = BUF(400);
    unsigned long long high = random_next(scene->random), low = random_next(scene->random), now = scene->now;
    enum status status = buf_print(&stamp, "<%.*s.%016llx%016llx.%llu@%.*s>", (int)scene->session.len, scene->session.ptr, high,
        low, now, (int)scene->settings->hostname.len, scene->settings->hostname.ptr);
    if (status == STATUS_OK)
        status = arena_copy(arena, buf_slice(&stamp), out_stamp);
    buf_done(&stamp);
    return status;
}

/* ---- the driver ------------------------------------------------------------------------------------------------------- */

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

enum sasl_outcome sasl_start(struct sasl *sasl, const struct sasl_mechanism *mechanism, const struct sasl_scene *scene,
    struct slice initial, struct arena *arena)
{
    must(mechanism->step);
    *sasl = (struct sasl){ .mechanism = mechanism, .scene = *scene, .arena = arena };
    if (initial.ptr) {
        if (mechanism->greet && !mechanism->takes_initial)
            return SASL_TOO_EARLY; /* RFC 4954 4 */
        return decode_and_step(sasl, slice_equal(initial, S("=")) ? NO_SLICE : initial); /* "=": an empty one */
    }
    return mechanism->greet ? mechanism->greet(sasl) : SASL_CHALLENGE;
}

enum sasl_outcome sasl_step(struct sasl *sasl, struct slice line)
{
    if (slice_equal(line, S("*")))
        return SASL_CANCELLED;
    if (sasl->stage == STAGE_FAILED) /* C090: whatever it is */
        return SASL_DONE;
    if (sasl->stage == STAGE_BOUND)
        return line.len == 0 || slice_equal(line, S("=")) ? SASL_DONE : SASL_MALFORMED;
    sasl->challenge = NO_SLICE;
    return decode_and_step(sasl, line);
}

static struct login_from whence(const struct sasl *sasl)
{
    const struct sasl_scene *scene = &sasl->scene;
    return (struct login_from){ .session = scene->session, .peer = scene->peer, .local = scene->local,
        .protocol = (uint8_t)scene->protocol, .mechanism = (uint8_t)sasl->mechanism->kind, .encrypted = is_modern(scene->tls),
        .device_only = password_lane(scene->settings, scene->service, scene->peer, scene->tls) == LANE_DEVICES_ONLY };
}

void sasl_fill(const struct sasl *sasl, struct ask *ask)
{
    struct login_from from = whence(sasl);
    struct slice secret = secret_slice(&sasl->secret);
    must(ask->kind == sasl->asks);
    switch (ask->kind) {
    case ASK_LOGIN:
        ask->login = (struct ask_login){ sasl->name, secret, sasl->authzid, from };
        break;
    case ASK_LOGIN_DIGEST:
        ask->login_digest = (struct ask_login_digest){ sasl->name, sasl->stamp, secret, from };
        break;
    case ASK_SCRAM:
        ask->scram = (struct ask_scram){ sasl->name, sasl->authzid, from };
        break;
    case ASK_LOGIN_SCRAM:
        ask->login_scram = (struct ask_login_scram){ sasl->name, sasl->authzid, sasl->scram.message, secret, from };
        break;
    case ASK_LOGIN_TOKEN:
        ask->login_token = (struct ask_login_token){ sasl->name, sasl->token, from };
        break;
    default:
        must(ask->kind == ASK_LOGIN_KEY && sasl->scene.tls);
        ask->login_key = (struct ask_login_key){ sasl->authzid, sasl->scene.tls->peer_key, from };
        break;
    }
}

enum sasl_outcome sasl_answer(struct sasl *sasl, const struct answer *answer)
{
    const struct answer_login *login = &answer->login;
    sasl->status = answer->status;
    if (answer->status != STATUS_OK)
        return sasl_busy(sasl);
    if (answer->kind == ASK_SCRAM)
        return sasl_answer_scram(sasl, &answer->scram);
    if (login->verdict < LOGIN_OK || login->verdict > LOGIN_TOO_SOON)
        return sasl_busy(sasl);
    sasl->verdict = (enum login_verdict)login->verdict;
    if (sasl->verdict == LOGIN_OK) {
        sasl->is_bound = true;
        sasl->lease = login->lease;
        if (login->address.len == 0 || !sasl_keep(sasl, login->address, &sasl->address))
            return sasl_busy(sasl);
    }
    return sasl->mechanism->settle ? sasl->mechanism->settle(sasl, login) : SASL_DONE;
}

void sasl_done(struct sasl *sasl)
{
    secret_wipe(&sasl->secret);
    if (sasl->token.len > 0)
        wipe((void *)(uintptr_t)sasl->token.ptr, sasl->token.len);
    sasl->token = sasl->name = sasl->authzid = sasl->challenge = NO_SLICE;
}
