#include "proto/smtp/smtp.h"

#include "base/must.h"

struct sasl_scene smtp_scene(struct session *s) { return sasl_scene(s, PROTOCOL_SMTP); }

enum password_lane smtp_lane(const struct session *s)
{
    return password_lane(s->env.settings, s->env.service, s->env.peer, s->is_secured ? &s->tls : NULL);
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

/* ---- the end of an exchange ------------------------------------------------------------------------------------------- */

static void note_login(struct session *s, struct slice account, const char *result)
{
    const struct sasl *sasl = smtp_of(s)->sasl;
    session_note(s, &(struct note){ .event = "smtp.login",
        .fields = { { "account", account }, { "mechanism", slice_of(mechanism_name(sasl_kind(sasl->mechanism))) },
            { "result", slice_of(result) }, { "tls", s->is_secured ? S("yes") : S("no") },
            { sasl->why ? "why" : NULL, slice_of(sasl->why) } } });
}

/* DESIGN section 9: ten failures, then 421.  One text for every cause (C073). */
static void refuse_login(struct session *s, enum smtp_reply reply)
{
    struct smtp *smtp = smtp_of(s);
    bool is_wrong = smtp->sasl->verdict == LOGIN_WRONG, is_bound = smtp->sasl->is_bound;
    if (is_wrong)
        note_login(s, smtp->sasl->name, "wrong");
    smtp_login_drop(s);
    smtp_refuse(s, reply, NO_SLICE);
    if (is_wrong && ++smtp->login_failures >= LIMIT_LOGIN_FAILURES && !session_wants_close(s))
        smtp_refuse(s, REPLY_TOO_MANY_LOGINS, NO_SLICE);
    if (++smtp->junk > LIMIT_SESSION_JUNK && !session_wants_close(s)) /* C229: also where nobody had time to look */
        smtp_close_with(s, REPLY_TOO_MUCH_TALK);
    if (is_bound && !session_wants_close(s)) { /* the keeper has logged us in: nothing else can end that */
        smtp_reset(s);
        session_want_close(s);
    }
}

static void logged_in(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    if (arena_copy(&s->of_session, smtp->sasl->address, &smtp->account) != STATUS_OK) {
        refuse_login(s, REPLY_LOGIN_LATER);
        return;
    }
    note_login(s, smtp->account, "ok");
    smtp_login_drop(s);
    smtp_say(s, REPLY_LOGGED_IN, NO_SLICE);
}

static void end_login(struct session *s)
{
    const struct sasl *sasl = smtp_of(s)->sasl;
    if (sasl->status == STATUS_REVOKED)
        refuse_login(s, REPLY_REVOKED);
    else if (sasl->verdict == LOGIN_OK)
        logged_in(s);
    else
        refuse_login(s, sasl->verdict == LOGIN_WRONG ? REPLY_WRONG_LOGIN : REPLY_LOGIN_LATER);
}

static void go_on(struct session *s, enum sasl_outcome outcome)
{
    struct smtp *smtp = smtp_of(s);
    smtp->reading = outcome == SASL_CHALLENGE ? READ_LOGIN : READ_COMMAND;
    switch (outcome) {
    case SASL_CHALLENGE:
        smtp_say(s, REPLY_CHALLENGE, smtp->sasl->challenge);
        break;
    case SASL_ASK:
        sasl_fill(smtp->sasl, session_ask(s, smtp->sasl->asks));
        break;
    case SASL_DONE:
        end_login(s);
        break;
    case SASL_TOO_EARLY:
        refuse_login(s, REPLY_NO_INITIAL);
        break;
    case SASL_MALFORMED:
        refuse_login(s, REPLY_BAD_LOGIN);
        break;
    case SASL_CANCELLED: /* RFC 4954 4: "*" is answered with 501 */
        refuse_login(s, REPLY_CANCELLED);
        break;
    }
}

/* ---- AUTH mechanism [initial-response]: RFC 4954 4 ---------------------------------------------------------------------- */

/* C058, C059: refused without a look at the password; but the owner of the name is told that it went over the wire. */
void smtp_refuse_cleartext(struct session *s, struct slice argument)
{
    struct slice name = NO_SLICE, initial = NO_SLICE;
    if (slice_word(&argument, &name) && slice_word(&argument, &initial))
        smtp_of(s)->typed = sasl_typed_name(name, initial, &s->of_command);
    smtp_refuse(s, REPLY_NEEDS_TLS, NO_SLICE);
    smtp_of(s)->typed = NO_SLICE;
}

static enum smtp_reply find_mechanism(const struct sasl_scene *scene, struct slice name, const struct sasl_mechanism **out_mechanism)
{
    *out_mechanism = sasl_find(name);
    enum sasl_standing standing = *out_mechanism ? sasl_stand(*out_mechanism, scene) : SASL_REFUSED;
    if (standing == SASL_NEEDS_TLS)
        return REPLY_NEEDS_TLS;
    return standing == SASL_REFUSED ? REPLY_UNKNOWN_MECHANISM : REPLY_NONE;
}

/* The states and needs were checked by the table. */
void smtp_cmd_auth(struct session *s, struct slice argument)
{
    struct smtp *smtp = smtp_of(s);
    struct sasl_scene scene = smtp_scene(s);
    struct slice name = NO_SLICE, initial = NO_SLICE, more = NO_SLICE;
    bool has_name = slice_word(&argument, &name);
    must(has_name);
    if (!slice_word(&argument, &initial))
        initial = NO_SLICE;
    if (slice_word(&argument, &more)) {
        smtp_refuse(s, REPLY_BAD_LOGIN, NO_SLICE);
        return;
    }
    const struct sasl_mechanism *mechanism;
    enum smtp_reply refusal = find_mechanism(&scene, name, &mechanism);
    if (refusal != REPLY_NONE) {
        smtp_refuse(s, refusal, NO_SLICE);
        return;
    }
    smtp->sasl = arena_take(&s->of_command, sizeof *smtp->sasl); /* C080: a new exchange is a new object */
    must(smtp->sasl);
    go_on(s, sasl_start(smtp->sasl, mechanism, &scene, initial, &s->of_command));
    line_drop(&smtp->line); /* wipes */
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
    line_drop(&smtp->line);
}

void smtp_login_answer(struct session *s, const struct answer *answer) { go_on(s, sasl_answer(smtp_of(s)->sasl, answer)); }
