#include "proto/smtp/smtp.h"

#include <string.h>

#include "base/must.h"

/* ---- the command table ---------------------------------------------------------------------------------------------- */

#define ANY_STATE (SMTP_START | SMTP_READY | SMTP_MAIL | SMTP_RCPT | SMTP_CHUNKS)
#define IDLE      (SMTP_START | SMTP_READY)

/* Needs: a set. */
enum need {
    NOTHING = 0,
    EHLO = 1,      /* the client speaks ESMTP */
    PLAINTEXT = 2, /* TLS is not up yet */
    LOGIN = 4,     /* AUTH is offered here */
    LANE = 8,      /* a secret may be shown on this connection */
    NOBODY = 16,   /* nobody is logged in */
    LAST = 32,     /* nothing stands behind it: what comes next depends on its reply (RFC 2920 3.1, C015) */
    LAST_OF_OTHERS = 64, /* the same, but devices and old scripts do it (D58) */
};

enum argument { ARGUMENT_NONE, ARGUMENT_ANY, ARGUMENT_SOME };

/* Talk without mail: counted as junk (C229). */
enum worth { WORK, JUNK };

struct command {
    const char *verb;
    uint8_t states, needs;
    enum argument argument;
    enum worth worth;
    void (*handler)(struct session *s, struct slice argument);
    enum smtp_reply wrong_state; /* what is said outside `states` */
    const char *keyword;         /* in the EHLO reply, where `needs` are met */
    enum status (*details)(struct session *s, struct buf *out); /* behind the keyword */
};

static void cmd_helo(struct session *s, struct slice argument);
static void cmd_ehlo(struct session *s, struct slice argument);
static void cmd_starttls(struct session *s, struct slice argument);
static void cmd_rset(struct session *s, struct slice argument);
static void cmd_noop(struct session *s, struct slice argument);
static void cmd_help(struct session *s, struct slice argument);
static void cmd_vrfy(struct session *s, struct slice argument);
static void cmd_expn(struct session *s, struct slice argument);
static void cmd_quit(struct session *s, struct slice argument);
static void cmd_http(struct session *s, struct slice argument);
static enum status put_mechanisms(struct session *s, struct buf *out);

/* RFC 5321 4.5.1 and 4.1.4; STARTTLS RFC 3207; AUTH RFC 4954; BDAT RFC 3030. */
/* clang-format off */
static const struct command commands[] = {
    /* verb       legal in               needs                          argument       worth handler        elsewhere           keyword */
    { "EHLO",     ANY_STATE,             LAST_OF_OTHERS,                ARGUMENT_SOME, JUNK, cmd_ehlo,      REPLY_NONE,          NULL },
    { "HELO",     ANY_STATE,             LAST_OF_OTHERS,                ARGUMENT_SOME, JUNK, cmd_helo,      REPLY_NONE,          NULL },
    { "STARTTLS", IDLE,                  PLAINTEXT | NOBODY | LAST,     ARGUMENT_NONE, JUNK, cmd_starttls,  REPLY_TLS_TOO_LATE,  "STARTTLS" },
    { "AUTH",     SMTP_READY,            LOGIN | EHLO | NOBODY | LANE,  ARGUMENT_SOME, WORK, smtp_cmd_auth, REPLY_LOGIN_IN_MAIL, "AUTH", put_mechanisms },
    { "MAIL",     SMTP_READY,            NOTHING,                       ARGUMENT_SOME, WORK, smtp_cmd_mail, REPLY_NESTED_MAIL,   NULL },
    { "RCPT",     SMTP_MAIL | SMTP_RCPT, NOTHING,                       ARGUMENT_SOME, WORK, smtp_cmd_rcpt, REPLY_SEQUENCE,      NULL },
    { "DATA",     SMTP_RCPT | SMTP_CHUNKS, LAST,                        ARGUMENT_NONE, WORK, smtp_cmd_data, REPLY_NEEDS_RCPT,    NULL },
    { "BDAT",     ANY_STATE,             NOTHING,                       ARGUMENT_ANY,  WORK, smtp_cmd_bdat, REPLY_NONE,          "CHUNKING" },
    { "RSET",     ANY_STATE,             NOTHING,                       ARGUMENT_NONE, JUNK, cmd_rset,      REPLY_NONE,          NULL },
    { "NOOP",     ANY_STATE,             NOTHING,                       ARGUMENT_ANY,  JUNK, cmd_noop,      REPLY_NONE,          NULL },
    { "VRFY",     ANY_STATE,             NOTHING,                       ARGUMENT_SOME, JUNK, cmd_vrfy,      REPLY_NONE,          NULL },
    { "EXPN",     ANY_STATE,             NOTHING,                       ARGUMENT_ANY,  JUNK, cmd_expn,      REPLY_NONE,          NULL },
    { "HELP",     ANY_STATE,             NOTHING,                       ARGUMENT_ANY,  JUNK, cmd_help,      REPLY_NONE,          "HELP" },
    { "QUIT",     ANY_STATE,             NOTHING,                       ARGUMENT_ANY,  WORK, cmd_quit,      REPLY_NONE,          NULL },
};

/* C016: what browsers say. */
static const char *const http_verbs[] = { "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE", "HOST:",
    "USER-AGENT:", "CONTENT-TYPE:", "CONTENT-LENGTH:", "REFERER:", "COOKIE:" };
/* clang-format on */

static const struct command http_command = { "HTTP", ANY_STATE, NOTHING, ARGUMENT_ANY, WORK, cmd_http, REPLY_NONE, NULL, NULL };

/* Extensions that are neither a command nor a parameter. */
struct extension {
    const char *keyword;
    enum status (*details)(struct session *s, struct buf *out);
};
static enum status put_limits(struct session *s, struct buf *out);
static const struct extension extensions[] = {
    { "PIPELINING", NULL },          /* RFC 2920 */
    { "ENHANCEDSTATUSCODES", NULL }, /* RFC 2034 */
    { "LIMITS", put_limits },        /* RFC 9422 */
};

/* ---- refusals and ends ---------------------------------------------------------------------------------------------- */

static void tell(struct session *s, enum smtp_reply reply)
{
    const struct smtp *smtp = smtp_of(s);
    if (smtp_replies[reply].told)
        session_tell(s, smtp_replies[reply].refusal, smtp->account.len > 0 ? smtp->account : smtp->typed.len > 0 ? smtp->typed : smtp->mail.sender);
}

void smtp_close_with(struct session *s, enum smtp_reply reply)
{
    tell(s, reply);
    smtp_say(s, reply, NO_SLICE);
    smtp_reset(s);
    session_want_close(s);
}

static void note_refusal(struct session *s, enum smtp_reply reply, struct slice argument)
{
    const struct smtp *smtp = smtp_of(s);
    char code[3] = { (char)('0' + smtp_replies[reply].code / 100), (char)('0' + smtp_replies[reply].code / 10 % 10),
        (char)('0' + smtp_replies[reply].code % 10) };
    char ek[REFUSAL_DIGITS];
    session_note(s, &(struct note){ .event = "smtp.refused",
        .fields = { { "verb", slice_of(smtp->verb ? smtp->verb : "-") }, { "code", { code, sizeof code } },
            { "reason", smtp_reply_text(s, reply, argument) }, { "sender", smtp->mail.sender },
            { "recipient", smtp->mail.asked.address }, { "ek", refusal_digits(smtp_replies[reply].refusal, ek) } } });
}

void smtp_refuse(struct session *s, enum smtp_reply reply, struct slice argument)
{
    struct smtp *smtp = smtp_of(s);
    note_refusal(s, reply, argument);
    tell(s, reply);
    smtp_say(s, reply, argument);
    if (smtp_replies[reply].code >= 500)
        smtp->errors++;
    if (smtp_replies[reply].closes) {
        smtp_reset(s);
        session_want_close(s);
    } else if (smtp->errors >= LIMIT_SESSION_ERRORS) { /* C050 */
        smtp_close_with(s, REPLY_TOO_MANY_ERRORS);
    }
}

void smtp_reset(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    if (smtp->mail.has_asked)
        session_ask(s, ASK_RESET);
    if (smtp->mail.has_content)
        header_scan_done(&smtp->mail.scan);
    smtp->mail = (struct smtp_transaction){ 0 };
    smtp->reading = READ_COMMAND;
    if (smtp->state != SMTP_START)
        smtp->state = SMTP_READY;
    arena_reset(&s->of_transaction);
    session_body_over(s);
}

/* C228: a line of a command has this long from its first octet to its last, since only a whole line renews it. */
void smtp_renew_deadline(struct session *s)
{
    msec pause = s->now + s->env.settings->timeout_command, pace = smtp_content_deadline(s);
    s->deadline = pause < pace ? pause : pace;
}

void smtp_command_over(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    smtp_renew_deadline(s);
    if (smtp->stopping && smtp->reading != READ_DATA && smtp->reading != READ_CHUNK && !session_is_waiting(s) &&
        !session_wants_close(s))
        smtp_close_with(s, REPLY_STOPPING);
}

/* ---- the loop that reads the table ------------------------------------------------------------------------------------ */

static const struct command *find_command(struct slice verb)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (slice_equal_nocase(verb, slice_of(commands[i].verb)))
            return &commands[i];
    for (size_t i = 0; i < sizeof http_verbs / sizeof *http_verbs; i++)
        if (slice_equal_nocase(verb, slice_of(http_verbs[i])))
            return &http_command;
    return NULL;
}

/* What of the row's needs is missing, as the reply that says so. */
static enum smtp_reply missing_need(const struct session *s, const struct command *command)
{
    const struct smtp *smtp = s->state;
    if ((command->needs & LOGIN) && !smtp_has_login(s))
        return REPLY_NOT_HERE;
    if ((command->needs & EHLO) && !smtp->esmtp && !smtp->is_device) /* some devices say HELO, then AUTH */
        return REPLY_NEEDS_EHLO;
    if ((command->needs & PLAINTEXT) && s->is_secured)
        return REPLY_TLS_ALREADY; /* C060 */
    if ((command->needs & NOBODY) && smtp->account.len > 0)
        return command->needs & PLAINTEXT ? REPLY_TLS_TOO_LATE : REPLY_LOGGED_IN_ALREADY; /* C060, C091 */
    if ((command->needs & LANE) && smtp_lane(s) == LANE_CLOSED)
        return REPLY_NEEDS_TLS; /* C058, C059: refused without a look at the password */
    return REPLY_NONE;
}

static enum smtp_reply refusal(const struct session *s, const struct command *command, struct slice argument)
{
    const struct smtp *smtp = s->state;
    /* C015, C052: before all else, or what was meant as a message, or was said in clear, is read as commands behind a 503. */
    if (smtp->more_behind && ((command->needs & LAST) || ((command->needs & LAST_OF_OTHERS) && !smtp->is_device)))
        return REPLY_EARLY_TALK;
    enum smtp_reply missing = missing_need(s, command);
    if (missing != REPLY_NONE)
        return missing;
    if (!(command->states & smtp->state))
        return smtp->state == SMTP_START ? REPLY_NEEDS_EHLO : command->wrong_state;
    if (command->argument == ARGUMENT_NONE && argument.len > 0)
        return REPLY_NO_ARGUMENT;
    if (command->argument == ARGUMENT_SOME && argument.len == 0)
        return REPLY_NEEDS_ARGUMENT;
    return REPLY_NONE;
}

static bool is_junk(struct smtp *smtp, const struct command *command)
{
    return command->worth == JUNK && ++smtp->junk > LIMIT_SESSION_JUNK;
}

/* RFC 5321 4.1.1: it "SHOULD" be tolerated, tabs as well. */
static struct slice without_trailing_space(struct slice text)
{
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static void run_command(struct session *s, struct slice text)
{
    struct smtp *smtp = smtp_of(s);
    struct slice said = without_trailing_space(text);
    size_t space = slice_find(said, ' ');
    struct slice argument = slice_trim(slice_from(said, space));
    const struct command *command = find_command(slice_upto(said, space));
    smtp->verb = command ? command->verb : NULL;
    if (!command) {
        smtp_refuse(s, REPLY_UNKNOWN, NO_SLICE);
    } else if (text.len + 2 > LIMIT_SMTP_LINE && command->handler != smtp_cmd_auth) {
        smtp_refuse(s, REPLY_LONG_LINE, NO_SLICE);
    } else if (is_junk(smtp, command)) {
        smtp_close_with(s, REPLY_TOO_MUCH_TALK);
    } else {
        enum smtp_reply reply = refusal(s, command, argument);
        if (reply == REPLY_NONE)
            command->handler(s, argument);
        else if (reply == REPLY_NEEDS_TLS)
            smtp_refuse_cleartext(s, argument);
        else
            smtp_refuse(s, reply, NO_SLICE);
    }
}

static void read_line(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    if (smtp->reading == READ_LOGIN) {
        smtp_login_line(s);
        return;
    }
    arena_reset(&s->of_command);
    smtp->verb = NULL;
    if (smtp->line.flaw == LINE_FINE)
        run_command(s, smtp->line.text);
    else
        smtp_refuse(s, smtp->line.flaw == LINE_TOO_LONG ? REPLY_LONG_LINE : REPLY_BAD_LINE, NO_SLICE);
}

size_t smtp_feed(struct session *s, struct slice wire)
{
    struct smtp *smtp = smtp_of(s);
    struct slice rest = wire;
    while (rest.len > 0 && !session_is_stopped(s)) {
        if (smtp->reading == READ_NOTHING) {
            smtp_refuse(s, REPLY_EARLY_BIRD, NO_SLICE);
        } else if (smtp->reading == READ_DATA) {
            rest = slice_from(rest, smtp_feed_data(s, rest));
            smtp_command_over(s);
        } else if (smtp->reading == READ_CHUNK) {
            rest = slice_from(rest, smtp_feed_chunk(s, rest));
            smtp_command_over(s);
        } else if (line_take(&smtp->line, &rest)) {
            smtp->more_behind = rest.len > 0;
            read_line(s);
            smtp_command_over(s);
        }
    }
    return wire.len - rest.len;
}

/* ---- EHLO ------------------------------------------------------------------------------------------------------------- */

static enum status put_mechanisms(struct session *s, struct buf *out)
{
    struct sasl_scene scene = smtp_scene(s);
    size_t index = 0;
    const struct sasl_mechanism *mechanism;
    while ((mechanism = sasl_next(&scene, &index)) != NULL)
        TRY(buf_print(out, " %s", mechanism_name(sasl_kind(mechanism))));
    return STATUS_OK;
}

static enum status put_limits(struct session *s, struct buf *out)
{
    return buf_print(out, " RCPTMAX=%u MAILMAX=%u", (unsigned)s->env.settings->message_recipients, LIMIT_TRANSACTIONS);
}

static enum status put_keyword(struct session *s, struct buf *out, const char *keyword,
    enum status (*details)(struct session *, struct buf *))
{
    TRY(buf_put_byte(out, '\n'));
    TRY(buf_put(out, slice_of(keyword)));
    return details ? details(s, out) : STATUS_OK;
}

static enum status put_hello(struct session *s, struct buf *out)
{
    TRY(buf_put(out, s->env.settings->hostname));
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
        TRY(put_keyword(s, out, extensions[i].keyword, extensions[i].details));
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (commands[i].keyword && missing_need(s, &commands[i]) == REPLY_NONE)
            TRY(put_keyword(s, out, commands[i].keyword, commands[i].details));
    return smtp_parameter_keywords(s, out);
}

/* True if the name can be kept.  Any name is taken, however odd (D19, D59): it is made safe where it is written (C046). */
static bool take_helo(struct session *s, struct slice name, bool esmtp)
{
    struct smtp *smtp = smtp_of(s);
    if (name.len > sizeof smtp->helo) { /* C026 */
        smtp_refuse(s, REPLY_BAD_HELO, NO_SLICE);
        return false;
    }
    smtp_reset(s); /* RFC 5321 4.1.4: as RSET */
    memcpy(smtp->helo, name.ptr, name.len);
    smtp->helo_len = (uint16_t)name.len;
    smtp->esmtp = esmtp;
    smtp->state = SMTP_READY;
    return true;
}

static void cmd_helo(struct session *s, struct slice argument)
{
    if (take_helo(s, argument, false))
        smtp_say(s, REPLY_HELLO, s->env.settings->hostname);
}

static void cmd_ehlo(struct session *s, struct slice argument)
{
    struct buf lines = BUF(4096);
    if (take_helo(s, argument, true)) {
        enum status status = put_hello(s, &lines);
        must(status == STATUS_OK);
        smtp_say_lines(s, REPLY_HELLO, buf_slice(&lines));
    }
    buf_done(&lines);
}

/* ---- the small commands ------------------------------------------------------------------------------------------------- */

static void cmd_starttls(struct session *s, struct slice argument)
{
    (void)argument;
    smtp_say(s, REPLY_GO_TLS, NO_SLICE);
    session_want_tls(s);
}

static void cmd_rset(struct session *s, struct slice argument)
{
    (void)argument;
    smtp_reset(s);
    smtp_say(s, REPLY_OK, NO_SLICE);
}

static void cmd_noop(struct session *s, struct slice argument)
{
    (void)argument; /* RFC 5321 4.1.1.9: a string may stand there (D71) */
    smtp_say(s, REPLY_OK, NO_SLICE);
}

/* C020, C050: one reply for all, and the transaction is not touched. */
static void cmd_vrfy(struct session *s, struct slice argument)
{
    (void)argument;
    smtp_say(s, REPLY_NO_VRFY, NO_SLICE);
}

static void cmd_expn(struct session *s, struct slice argument)
{
    (void)argument;
    smtp_refuse(s, REPLY_NOT_HERE, NO_SLICE);
}

static void cmd_help(struct session *s, struct slice argument)
{
    struct buf lines = BUF(1024);
    enum status status = buf_put(&lines, S("Commands:"));
    (void)argument;
    for (size_t i = 0; status == STATUS_OK && i < sizeof commands / sizeof *commands; i++)
        if (!(commands[i].needs & LOGIN) || smtp_has_login(s))
            status = buf_print(&lines, " %s", commands[i].verb);
    must(status == STATUS_OK);
    smtp_say_lines(s, REPLY_HELP, buf_slice(&lines));
    buf_done(&lines);
}

static void cmd_quit(struct session *s, struct slice argument)
{
    (void)argument;
    smtp_close_with(s, REPLY_BYE);
}

static void cmd_http(struct session *s, struct slice argument)
{
    (void)argument;
    smtp_refuse(s, REPLY_NOT_HTTP, NO_SLICE);
}
