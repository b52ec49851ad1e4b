#include "base/must.h"
#include "proto/pop3/pop3.h"

/* ---- what every login needs --------------------------------------------------------------------------------------- */

/* C085: one stamp a connection, and one answer to it. */
void pop3_make_stamp(struct session *s)
{
    struct sasl_scene scene = sasl_scene(s, PROTOCOL_POP3);
    enum status status = sasl_stamp(&scene, &s->of_session, &pop3_of(s)->stamp);
    must(status == STATUS_OK);
}

enum password_lane pop3_lane(const struct session *s)
{
    return password_lane(s->env.settings, s->env.service, s->env.peer, s->is_secured ? &s->tls : NULL);
}

static bool set_name(struct pop3 *p, struct slice name)
{
    if (!sasl_is_name(name))
        return false;
    for (size_t i = 0; i < name.len; i++)
        p->name[i] = name.ptr[i];
    p->name_len = name.len;
    return true;
}

static struct slice name_of(const struct pop3 *p) { return (struct slice){ p->name, p->name_len }; }

/* The password, if there is one, is not looked at: a right guess and a wrong one are refused alike (C058, C059).  The name that was
 * typed goes along, so that its owner can be told. */
void pop3_refuse_cleartext(struct session *s)
{
    char ek[REFUSAL_DIGITS];
    session_note(s, &(struct note){ .event = "pop3.cleartext", .warning = true,
        .fields = { { "reason", S("a password login without TLS") }, { "ek", refusal_digits(REFUSAL_NEEDS_TLS, ek) } } });
    pop3_error(s, POP3_NEEDS_TLS);
    pop3_forget_login(s);
}

/* USER alone is no password yet: only PASS behind it is one that came in clear. */
void pop3_refuse_cleartext_user(struct session *s, struct slice name)
{
    pop3_of(s)->name_len = 0;
    pop3_refuse_cleartext(s);
    set_name(pop3_of(s), slice_trim(name));
}

static void end_exchange(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    if (p->sasl)
        sasl_done(p->sasl);
    p->sasl = NULL;
}

void pop3_forget_login(struct session *s)
{
    end_exchange(s);
    pop3_of(s)->name_len = 0;
}

/* ---- an exchange: the same for commands and mechanisms ------------------------------------------------------------------ */

/* C080: a new exchange is a new object, in the memory of the command. */
static struct sasl *new_exchange(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    end_exchange(s);
    p->sasl = arena_take(&s->of_command, sizeof *p->sasl);
    must(p->sasl);
    return p->sasl;
}

/* Nothing but the end of the session undoes a login that the keeper took for good. */
static void refuse(struct session *s, enum pop3_reply reply)
{
    struct pop3 *p = pop3_of(s);
    char ek[REFUSAL_DIGITS];
    bool is_bound = p->sasl->is_bound, is_wrong = p->sasl->verdict == LOGIN_WRONG;
    if (is_wrong)
        session_note(s, &(struct note){ .event = "pop3.refused", .fields = { { "reason", S("login") }, { "name", p->sasl->name },
            { "mechanism", slice_of(mechanism_name(sasl_kind(p->sasl->mechanism))) },
            { "ek", refusal_digits(REFUSAL_LOGIN, ek) }, { p->sasl->why ? "why" : NULL, slice_of(p->sasl->why) } } });
    pop3_forget_login(s);
    if (reply == POP3_AUTH_MALFORMED || reply == POP3_BAD_ARGUMENTS)
        pop3_error(s, reply);
    else
        pop3_reply(s, reply);
    if (is_bound || (is_wrong && ++p->failures >= LIMIT_LOGIN_FAILURES))
        session_want_close(s);
}

static void log_in(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    if (arena_copy(&s->of_session, p->sasl->address, &p->account) != STATUS_OK)
        p->account = NO_SLICE;
    p->lease = p->sasl->lease;
    p->mechanism = sasl_kind(p->sasl->mechanism);
    pop3_forget_login(s);
    pop3_load(s); /* the lease holds already, before +OK is said (ARCHITECTURE.md) */
}

static void end_login(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    switch (p->sasl->verdict) {
    case LOGIN_OK:
        log_in(s);
        break;
    case LOGIN_WRONG: /* one text for all reasons (C073) */
        refuse(s, POP3_LOGIN_WRONG);
        break;
    case LOGIN_TOO_SOON: /* RFC 2449 8.1.1 */
        refuse(s, POP3_LOGIN_TOO_SOON);
        break;
    case LOGIN_BUSY:
        if (sasl_kind(p->sasl->mechanism) == MECHANISM_APOP)
            p->stamp_used = false; /* nobody looked at the digest */
        refuse(s, POP3_LOGIN_BUSY);
        break;
    }
}

static void go_on(struct session *s, enum sasl_outcome outcome)
{
    struct pop3 *p = pop3_of(s);
    switch (outcome) {
    case SASL_CHALLENGE:
        session_send(s, S("+ "));
        session_send(s, p->sasl->challenge);
        session_send(s, S("\r\n"));
        p->work = POP3_SASL;
        break;
    case SASL_ASK:
        sasl_fill(p->sasl, session_ask(s, p->sasl->asks));
        p->work = POP3_LOGIN;
        break;
    case SASL_DONE:
        end_login(s);
        break;
    case SASL_TOO_EARLY: /* RFC 5034 4 */
    case SASL_MALFORMED:
        refuse(s, POP3_AUTH_MALFORMED);
        break;
    case SASL_CANCELLED:
        refuse(s, POP3_AUTH_CANCELLED);
        break;
    }
}

void pop3_login_answer(struct session *s, const struct answer *answer)
{
    struct pop3 *p = pop3_of(s);
    p->work = POP3_READY;
    go_on(s, sasl_answer(p->sasl, answer));
}

/* ---- USER and PASS: RFC 1939 7 ------------------------------------------------------------------------------------ */

void pop3_announce_user(struct session *s, const char *name)
{
    struct sasl_scene scene = sasl_scene(s, PROTOCOL_POP3);
    if (sasl_stand(sasl_row(MECHANISM_PASSWORD), &scene) == SASL_OFFERED)
        session_print(s, "%s\r\n", name);
}

/* +OK for every name, known or not (C073). */
void pop3_cmd_user(struct session *s, const struct pop3_args *args)
{
    struct pop3 *p = pop3_of(s);
    struct sasl_scene scene = sasl_scene(s, PROTOCOL_POP3);
    p->name_len = 0;
    if (sasl_stand(sasl_row(MECHANISM_PASSWORD), &scene) != SASL_OFFERED) /* without TLS the table has refused it already */
        pop3_error(s, POP3_NO_MECHANISM);
    else if (set_name(p, args->at[0]))
        pop3_reply(s, POP3_SEND_PASS);
    else
        pop3_error(s, POP3_BAD_ARGUMENTS);
}

void pop3_cmd_pass(struct session *s, const struct pop3_args *args)
{
    struct pop3 *p = pop3_of(s);
    struct sasl_scene scene = sasl_scene(s, PROTOCOL_POP3);
    if (p->name_len == 0)
        pop3_error(s, POP3_USER_FIRST);
    else
        go_on(s, sasl_password(new_exchange(s), &scene, name_of(p), args->at[0], &s->of_command));
    line_drop(&p->line); /* wipes */
}

/* ---- APOP: RFC 1939 7 --------------------------------------------------------------------------------------------- */

void pop3_cmd_apop(struct session *s, const struct pop3_args *args)
{
    struct pop3 *p = pop3_of(s);
    struct sasl_scene scene = sasl_scene(s, PROTOCOL_POP3);
    pop3_forget_login(s);
    enum sasl_standing standing = sasl_stand(sasl_row(MECHANISM_APOP), &scene);
    if (standing != SASL_OFFERED) {
        pop3_error(s, standing == SASL_NEEDS_TLS ? POP3_NEEDS_TLS : POP3_NO_MECHANISM);
        return;
    }
    if (p->stamp_used) {
        pop3_error(s, POP3_STAMP_USED);
        return;
    }
    enum sasl_outcome outcome = sasl_apop(new_exchange(s), &scene, args->at[0], p->stamp, args->at[1], &s->of_command);
    if (outcome != SASL_ASK) {
        refuse(s, POP3_BAD_ARGUMENTS);
        return;
    }
    p->stamp_used = true; /* one answer to one challenge (C085) */
    go_on(s, outcome);
}

/* ---- AUTH: RFC 5034 ----------------------------------------------------------------------------------------------- */

void pop3_announce_sasl(struct session *s, const char *name)
{
    struct sasl_scene scene = sasl_scene(s, PROTOCOL_POP3);
    size_t index = 0;
    const struct sasl_mechanism *mechanism = sasl_next(&scene, &index);
    if (!mechanism)
        return;
    session_print(s, "%s", name);
    for (; mechanism; mechanism = sasl_next(&scene, &index))
        session_print(s, " %s", mechanism_name(sasl_kind(mechanism)));
    session_send(s, S("\r\n"));
}

static void list_mechanisms(struct session *s)
{
    struct sasl_scene scene = sasl_scene(s, PROTOCOL_POP3);
    pop3_reply(s, POP3_MECHANISMS);
    size_t index = 0;
    const struct sasl_mechanism *mechanism;
    while ((mechanism = sasl_next(&scene, &index)) != NULL)
        session_print(s, "%s\r\n", mechanism_name(sasl_kind(mechanism)));
    session_send(s, S(".\r\n"));
}

void pop3_cmd_auth(struct session *s, const struct pop3_args *args)
{
    struct pop3 *p = pop3_of(s);
    struct sasl_scene scene = sasl_scene(s, PROTOCOL_POP3);
    struct slice initial = args->count == 2 ? args->at[1] : NO_SLICE;
    pop3_forget_login(s);
    if (args->count == 0) {
        list_mechanisms(s); /* older than RFC 5034, and what Outlook asks for (D06) */
        return;
    }
    const struct sasl_mechanism *mechanism = sasl_find(args->at[0]);
    enum sasl_standing standing = mechanism ? sasl_stand(mechanism, &scene) : SASL_REFUSED;
    if (standing == SASL_REFUSED) {
        pop3_error(s, POP3_NO_MECHANISM);
    } else if (standing == SASL_NEEDS_TLS) {
        set_name(p, sasl_typed_name(args->at[0], initial, &s->of_command));
        pop3_refuse_cleartext(s);
    } else {
        go_on(s, sasl_start(new_exchange(s), mechanism, &scene, initial, &s->of_command));
    }
    line_drop(&p->line);
}

void pop3_sasl_line(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    go_on(s, sasl_step(p->sasl, p->line.text));
    line_drop(&p->line);
}

/* RFC 4954 4 in POP3's words: a line that cannot be read ends the exchange. */
void pop3_sasl_bad_line(struct session *s, enum pop3_reply reply)
{
    bool is_bound = pop3_of(s)->sasl->is_bound;
    pop3_forget_login(s);
    pop3_error(s, reply);
    if (is_bound)
        session_want_close(s);
}
