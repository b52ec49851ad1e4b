#include "proto/smtp/smtp.h"

#include "base/must.h"

enum password_lane smtp_lane(const struct session *s)
{
    return password_lane(s->env.settings, s->env.peer, s->is_secured);
}

/* Port 25 takes no logins but from the listed device networks: strangers' servers have none. */
bool smtp_has_login(const struct session *s) { return ((const struct smtp *)s->state)->submission; }

void smtp_login_drop(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    if (smtp->sasl)
        sasl_done(smtp->sasl);
    smtp->sasl = NULL;
    if (smtp->reading == READ_LOGIN)
        smtp->reading = READ_COMMAND;
}

static void ask_login(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    struct ask *ask = session_ask(s, ASK_LOGIN);
    ask->login = (struct ask_login){ .name = smtp->sasl->name, .secret = secret_slice(&smtp->sasl->secret),
        .authzid = smtp->sasl->authzid,
        .from = { .session = session_name(s), .peer = s->env.peer, .local = s->env.local, .protocol = PROTOCOL_SMTP,
            .mechanism = (uint8_t)smtp->sasl->mechanism->kind, .encrypted = s->is_secured,
            .device_only = smtp_lane(s) == LANE_DEVICES_ONLY } };
}

static void refuse_login(struct session *s, enum smtp_reply reply)
{
    smtp_login_drop(s);
    smtp_refuse(s, reply, NO_SLICE);
}

static void go_on(struct session *s, enum sasl_outcome outcome)
{
    struct smtp *smtp = smtp_of(s);
    switch (outcome) {
    case SASL_CHALLENGE:
        smtp->reading = READ_LOGIN;
        smtp_say(s, REPLY_CHALLENGE, smtp->sasl->challenge);
        break;
    case SASL_READY:
        smtp->reading = READ_COMMAND;
        ask_login(s);
        break;
    case SASL_MALFORMED:
        refuse_login(s, REPLY_BAD_LOGIN);
        break;
    case SASL_CANCELLED: /* RFC 4954 4: "*" is answered with 501 */
        refuse_login(s, REPLY_CANCELLED);
        break;
    }
}

/* AUTH mechanism [initial-response] (RFC 4954 4).  The states and needs were checked by the table. */
void smtp_cmd_auth(struct session *s, struct slice argument)
{
    struct smtp *smtp = smtp_of(s);
    struct slice name = NO_SLICE, initial = NO_SLICE, more = NO_SLICE;
    bool has_name = slice_word(&argument, &name);
    must(has_name);
    if (!slice_word(&argument, &initial))
        initial = NO_SLICE;
    if (slice_word(&argument, &more)) {
        smtp_refuse(s, REPLY_BAD_LOGIN, NO_SLICE);
        return;
    }
    const struct sasl_mechanism *mechanism = sasl_find(name);
    if (!mechanism) {
        smtp_refuse(s, REPLY_UNKNOWN_MECHANISM, NO_SLICE);
        return;
    }
    smtp->sasl = arena_take(&s->of_command, sizeof *smtp->sasl); /* C080: a new exchange is a new object */
    must(smtp->sasl);
    go_on(s, sasl_start(smtp->sasl, mechanism, initial, &s->of_command));
}

void smtp_login_line(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    if (smtp->line.flaw == LINE_TOO_LONG)
        refuse_login(s, REPLY_LONG_LOGIN);
    else if (smtp->line.flaw != LINE_FINE)
        refuse_login(s, REPLY_BAD_LOGIN);
    else
        go_on(s, sasl_step(smtp->sasl, smtp->line.text));
}

static void note_login(struct session *s, struct slice account, const char *result)
{
    const struct smtp *smtp = smtp_of(s);
    session_note(s, &(struct note){ .event = "smtp.login",
        .fields = { { "account", account }, { "mechanism", slice_of(smtp->sasl->mechanism->name) },
            { "result", slice_of(result) }, { "tls", s->is_secured ? S("yes") : S("no") } } });
}

static void logged_in(struct session *s, const struct answer_login *answer)
{
    struct smtp *smtp = smtp_of(s);
    if (answer->address.len == 0 || arena_copy(&s->of_session, answer->address, &smtp->account) != STATUS_OK) {
        refuse_login(s, REPLY_LOGIN_LATER);
        return;
    }
    note_login(s, smtp->account, "ok");
    smtp_login_drop(s);
    smtp_say(s, REPLY_LOGGED_IN, NO_SLICE);
}

/* DESIGN section 9: ten failures, then 421.  One text for every cause (C073). */
static void wrong_login(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    note_login(s, smtp->sasl->name, "wrong");
    refuse_login(s, REPLY_WRONG_LOGIN);
    if (++smtp->login_failures >= LIMIT_LOGIN_FAILURES && !session_wants_close(s))
        smtp_refuse(s, REPLY_TOO_MANY_LOGINS, NO_SLICE);
}

void smtp_login_answer(struct session *s, const struct answer *answer)
{
    if (answer->status == STATUS_REVOKED)
        refuse_login(s, REPLY_REVOKED);
    else if (answer->status != STATUS_OK)
        refuse_login(s, REPLY_LOGIN_LATER);
    else if (answer->login.verdict == LOGIN_OK)
        logged_in(s, &answer->login);
    else if (answer->login.verdict == LOGIN_WRONG)
        wrong_login(s);
    else
        refuse_login(s, REPLY_LOGIN_LATER);
}
