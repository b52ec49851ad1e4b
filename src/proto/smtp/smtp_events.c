/* What happens to a receiving session: its beginning, answers, TLS, deadlines and its ends. */
#include "proto/smtp/smtp.h"

#include "base/must.h"

static void greet(struct session *s)
{
    smtp_of(s)->reading = READ_COMMAND;
    smtp_renew_deadline(s);
    smtp_say(s, REPLY_GREETING, s->env.settings->hostname);
}

/* C015: a mail server waits for the greeting (RFC 5321 3.1), a bot does not; what it sends without reading is not worth an answer. */
static void greet_stranger(struct session *s)
{
    msec delay = s->env.settings->mx_greeting_delay;
    if (s->env.early) {
        smtp_refuse(s, REPLY_EARLY_BIRD, NO_SLICE);
    } else if (delay > 0) {
        smtp_of(s)->reading = READ_NOTHING;
        s->deadline = s->now + delay;
    } else {
        greet(s);
    }
}

static void smtp_open(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    const struct session_env *env = &s->env;
    line_init(&smtp->line, LIMIT_AUTH_LINE);
    smtp->state = SMTP_START;
    smtp->is_device = smtp->line.lenient = session_is_device(s);
    smtp->submission = env->service != SERVICE_MX || smtp->is_device;
    smtp_renew_deadline(s);
    if (env->crowded)
        smtp_close_with(s, REPLY_CROWDED);
    else if (session_is_misplaced(s))
        smtp_refuse(s, REPLY_DEVICES_ONLY, NO_SLICE);
    else if (smtp->submission)
        greet(s);
    else
        greet_stranger(s);
}

static void smtp_answer(struct session *s, const struct answer *answer)
{
    smtp_renew_deadline(s);
    switch (answer->kind) {
    case ASK_LOGIN:
    case ASK_LOGIN_DIGEST:
    case ASK_SCRAM:
    case ASK_LOGIN_SCRAM:
    case ASK_LOGIN_TOKEN:
    case ASK_LOGIN_KEY:
        smtp_login_answer(s, answer);
        break;
    case ASK_MAIL:
        smtp_mail_answer(s, answer);
        break;
    case ASK_RCPT:
        smtp_rcpt_answer(s, answer);
        break;
    case ASK_STAGE:
        smtp_stage_answer(s, answer);
        break;
    default:
        must(answer->kind == ASK_DELIVER);
        smtp_deliver_answer(s, answer);
        break;
    }
    smtp_command_over(s);
}

/* RFC 3207 4.2: all that was said in clear is forgotten (C056). */
static void smtp_secured(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    line_drop(&smtp->line);
    smtp_reset(s);
    smtp->state = SMTP_START;
    smtp->helo_len = 0;
    smtp->esmtp = false;
    smtp_command_over(s);
}

static void smtp_expired(struct session *s)
{
    if (smtp_of(s)->reading == READ_NOTHING) {
        greet(s);
        return;
    }
    smtp_login_drop(s);
    smtp_close_with(s, REPLY_TOO_SLOW);
}

/* C023, C068: a message whose end did not come is none. */
static void smtp_hangup(struct session *s)
{
    smtp_login_drop(s);
    smtp_reset(s);
}

static void smtp_stop(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    smtp->stopping = true;
    if ((smtp->reading == READ_COMMAND || smtp->reading == READ_NOTHING) && !session_is_waiting(s))
        smtp_command_over(s);
}

static void smtp_close(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    smtp_login_drop(s);
    if (smtp->mail.has_content)
        header_scan_done(&smtp->mail.scan);
    line_done(&smtp->line);
}

static bool smtp_rests(const struct session *s)
{
    const struct smtp *smtp = s->state;
    return smtp->reading == READ_COMMAND;
}

const struct protocol smtp_protocol = { "smtp", sizeof(struct smtp), smtp_open, smtp_feed, smtp_answer, smtp_secured,
    smtp_expired, smtp_hangup, smtp_stop, smtp_close, smtp_rests };
