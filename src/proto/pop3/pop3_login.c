#include "base/must.h"
#include "mail/coding.h"
#include "proto/pop3/pop3.h"

/* ---- what every login needs --------------------------------------------------------------------------------------- */

/* RFC 1939 7: the timestamp has the form of a msg-id and is never given twice: the session's number is unique while the server runs, the
 * time tells runs apart, and 128 random bits make it a challenge that nobody foresees (C085). */
void pop3_make_stamp(struct session *s)
{
    struct buf stamp = BUF(400);
    uint64_t high = random_next(&s->random), low = random_next(&s->random);
    enum status status = buf_print(&stamp, "<%s.%016llx%016llx.%llu@%.*s>", s->name, (unsigned long long)high,
        (unsigned long long)low, (unsigned long long)session_wall(s), (int)s->env.settings->hostname.len,
        s->env.settings->hostname.ptr);
    must(status == STATUS_OK);
    status = arena_copy(&s->of_session, buf_slice(&stamp), &pop3_of(s)->stamp);
    must(status == STATUS_OK);
    buf_done(&stamp);
}

enum password_lane pop3_lane(const struct session *s)
{
    return password_lane(s->env.settings, s->env.peer, s->is_secured);
}

/* The password, if there is one, is not looked at: a right guess and a wrong one are refused alike (C058, C059). */
void pop3_refuse_cleartext(struct session *s)
{
    pop3_note(s, "pop3.cleartext", true, "reason", S("a password login without TLS"));
    pop3_forget_login(pop3_of(s));
    pop3_error(s, POP3_NEEDS_TLS);
}

void pop3_forget_login(struct pop3 *p)
{
    sasl_done(&p->sasl);
    wipe(p->digest, sizeof p->digest);
    p->name_len = 0;
}

static bool is_name(struct slice name)
{
    return name.len > 0 && name.len <= LIMIT_LOGIN_NAME && slice_is_utf8(name) && !slice_has_control(name);
}

static bool set_name(struct pop3 *p, struct slice name)
{
    if (!is_name(name))
        return false;
    struct slice from = name;
    for (size_t i = 0; i < from.len; i++)
        p->name[i] = from.ptr[i];
    p->name_len = from.len;
    return true;
}

static struct slice name_of(const struct pop3 *p) { return (struct slice){ p->name, p->name_len }; }

/* One text for all reasons (C073). */
static void refuse_login(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    session_note(s, &(struct note){ .event = "pop3.refused", .fields = {
        { "reason", S("login") },
        { "name", p->sasl.name.len > 0 ? p->sasl.name : name_of(p) },
        { "mechanism", slice_of(mechanism_name(p->mechanism)) } } });
    pop3_forget_login(p);
    pop3_reply(s, POP3_LOGIN_WRONG);
    if (++p->failures >= LIMIT_LOGIN_FAILURES)
        session_want_close(s);
}

static struct login_from whence(const struct session *s, enum mechanism mechanism)
{
    return (struct login_from){
        .session = session_name(s),
        .peer = s->env.peer,
        .local = s->env.local,
        .protocol = PROTOCOL_POP3,
        .mechanism = (uint8_t)mechanism,
        .encrypted = s->is_secured,
        .device_only = pop3_lane(s) == LANE_DEVICES_ONLY,
    };
}

static void ask_login(struct session *s, enum mechanism mechanism, struct slice name, struct slice authzid)
{
    struct pop3 *p = pop3_of(s);
    struct ask *ask = session_ask(s, ASK_LOGIN);
    ask->login = (struct ask_login){
        .name = name,
        .secret = secret_slice(&p->sasl.secret),
        .authzid = authzid,
        .from = whence(s, mechanism),
    };
    p->mechanism = mechanism;
    p->work = POP3_LOGIN;
}

/* ---- USER and PASS: RFC 1939 7 ------------------------------------------------------------------------------------ */

void pop3_announce_user(struct session *s, const char *name)
{
    if (pop3_lane(s) != LANE_CLOSED)
        session_print(s, "%s\r\n", name);
}

/* +OK for every name, known or not (C073). */
void pop3_cmd_user(struct session *s, const struct pop3_args *args)
{
    struct pop3 *p = pop3_of(s);
    p->name_len = 0;
    if (set_name(p, args->at[0]))
        pop3_reply(s, POP3_SEND_PASS);
    else
        pop3_error(s, POP3_BAD_ARGUMENTS);
}

void pop3_cmd_pass(struct session *s, const struct pop3_args *args)
{
    struct pop3 *p = pop3_of(s);
    struct slice secret = args->at[0];
    if (p->name_len == 0) {
        pop3_error(s, POP3_USER_FIRST);
    } else if (!slice_is_utf8(secret) || secret_set(&p->sasl.secret, secret) != STATUS_OK) {
        p->mechanism = MECHANISM_PASSWORD; /* passwords are UTF-8 (RFC 6856 2.2): this one is nobody's */
        refuse_login(s);
    } else {
        ask_login(s, MECHANISM_PASSWORD, name_of(p), NO_SLICE);
    }
    line_drop(&p->line); /* wipes */
}

/* ---- APOP: RFC 1939 7 --------------------------------------------------------------------------------------------- */

static bool may_use_apop(const struct session *s)
{
    return s->is_secured || s->env.settings->auth_apop_without_tls || networks_have(s->env.settings->legacy_networks, s->env.peer);
}

static bool read_digest(struct pop3 *p, struct slice hex)
{
    struct buf digest = BUF(sizeof p->digest);
    bool fine = hex.len == 2 * sizeof p->digest && hex_decode(&digest, hex) == STATUS_OK && digest.len == sizeof p->digest;
    for (size_t i = 0; fine && i < digest.len; i++)
        p->digest[i] = digest.ptr[i];
    buf_wipe(&digest);
    buf_done(&digest);
    return fine;
}

void pop3_cmd_apop(struct session *s, const struct pop3_args *args)
{
    struct pop3 *p = pop3_of(s);
    if (!may_use_apop(s)) {
        pop3_error(s, POP3_NEEDS_TLS);
        return;
    }
    if (p->stamp_used) {
        pop3_error(s, POP3_STAMP_USED);
        return;
    }
    if (!read_digest(p, args->at[1]) || !set_name(p, args->at[0])) {
        pop3_forget_login(p);
        pop3_error(s, POP3_BAD_ARGUMENTS);
        return;
    }
    p->stamp_used = true; /* one answer to one challenge (C085) */
    struct ask *ask = session_ask(s, ASK_LOGIN_DIGEST);
    ask->login_digest = (struct ask_login_digest){
        .name = name_of(p),
        .challenge = p->stamp,
        .digest = { p->digest, sizeof p->digest },
        .from = whence(s, MECHANISM_APOP),
    };
    p->mechanism = MECHANISM_APOP;
    p->work = POP3_LOGIN;
}

/* ---- AUTH: RFC 5034 ----------------------------------------------------------------------------------------------- */

/* The index of the next mechanism that may be used on this connection, from `index` on. */
static const struct sasl_mechanism *next_mechanism(const struct session *s, size_t *index)
{
    const struct sasl_mechanism *mechanism;
    while ((mechanism = sasl_each((*index)++)) != NULL)
        if (!mechanism->shows_secret || pop3_lane(s) != LANE_CLOSED)
            break;
    return mechanism;
}

void pop3_announce_sasl(struct session *s, const char *name)
{
    size_t index = 0;
    const struct sasl_mechanism *mechanism = next_mechanism(s, &index);
    if (!mechanism)
        return;
    session_print(s, "%s", name);
    for (; mechanism; mechanism = next_mechanism(s, &index))
        session_print(s, " %s", mechanism->name);
    session_send(s, S("\r\n"));
}

static void list_mechanisms(struct session *s)
{
    pop3_reply(s, POP3_MECHANISMS);
    size_t index = 0;
    const struct sasl_mechanism *mechanism;
    while ((mechanism = next_mechanism(s, &index)) != NULL)
        session_print(s, "%s\r\n", mechanism->name);
    session_send(s, S(".\r\n"));
}

static void go_on(struct session *s, enum sasl_outcome outcome)
{
    struct pop3 *p = pop3_of(s);
    switch (outcome) {
    case SASL_CHALLENGE:
        session_print(s, "+ %.*s\r\n", (int)p->sasl.challenge.len, p->sasl.challenge.len > 0 ? p->sasl.challenge.ptr : "");
        p->work = POP3_SASL;
        p->line.limit = LIMIT_AUTH_LINE;
        break;
    case SASL_READY:
        ask_login(s, p->sasl.mechanism->kind, p->sasl.name, p->sasl.authzid);
        break;
    case SASL_MALFORMED:
        pop3_forget_login(p);
        pop3_error(s, POP3_AUTH_MALFORMED);
        break;
    case SASL_CANCELLED:
        pop3_forget_login(p);
        pop3_reply(s, POP3_AUTH_CANCELLED);
        break;
    }
}

void pop3_cmd_auth(struct session *s, const struct pop3_args *args)
{
    struct pop3 *p = pop3_of(s);
    pop3_forget_login(p);
    if (args->count == 0) {
        list_mechanisms(s); /* older than RFC 5034, and what Outlook asks for (D06) */
        return;
    }
    const struct sasl_mechanism *mechanism = sasl_find(args->at[0]);
    if (!mechanism) {
        pop3_error(s, POP3_NO_MECHANISM);
        return;
    }
    if (mechanism->shows_secret && pop3_lane(s) == LANE_CLOSED) {
        pop3_refuse_cleartext(s);
        return;
    }
    go_on(s, sasl_start(&p->sasl, mechanism, args->count == 2 ? args->at[1] : NO_SLICE, &s->of_command));
    line_drop(&p->line);
}

void pop3_sasl_line(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    go_on(s, sasl_step(&p->sasl, p->line.text));
    line_drop(&p->line);
}

/* ---- the keeper's word -------------------------------------------------------------------------------------------- */

static void log_in(struct session *s, const struct answer_login *login)
{
    struct pop3 *p = pop3_of(s);
    pop3_forget_login(p);
    if (arena_copy(&s->of_session, login->address, &p->account) != STATUS_OK)
        p->account = NO_SLICE;
    p->lease = login->lease;
    pop3_load(s); /* the lease holds already, before +OK is said (ARCHITECTURE.md) */
}

void pop3_login_answer(struct session *s, const struct answer *answer)
{
    struct pop3 *p = pop3_of(s);
    p->work = POP3_READY;
    uint8_t verdict = answer->status == STATUS_OK ? answer->login.verdict : (uint8_t)LOGIN_BUSY;
    switch (verdict) {
    case LOGIN_OK:
        log_in(s, &answer->login);
        return;
    case LOGIN_WRONG:
        refuse_login(s);
        return;
    case LOGIN_TOO_SOON: /* RFC 2449 8.1.1 */
        pop3_reply(s, POP3_LOGIN_TOO_SOON);
        break;
    default:
        p->stamp_used = false; /* nobody looked at the digest */
        pop3_reply(s, POP3_LOGIN_BUSY);
        break;
    }
    pop3_forget_login(p);
}
