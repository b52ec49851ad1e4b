#include "proto/pop3/pop3.h"

#include "base/must.h"

#define IDLE_LEAST   MINUTES(10) /* RFC 1939 3: an autologout timer is at least ten minutes */
#define AHEAD_KEPT   SECONDS(5)  /* a client that reads on asks sooner; an idle one shall not hold pages */

/* ---- state -------------------------------------------------------------------------------------------------------- */

/* RFC 1939 3: AUTHORIZATION, TRANSACTION, UPDATE, and no way back. */
void pop3_enter(struct pop3 *p, enum pop3_state state)
{
    must(state == POP3_TRANSACTION ? p->state == POP3_AUTHORIZATION : state == POP3_UPDATE && p->state == POP3_TRANSACTION);
    p->state = state;
    p->work = POP3_READY;
    p->line.limit = LIMIT_POP3_LINE;
}

static void note_refusal(struct session *s, enum refusal refusal, bool warning, struct slice reason)
{
    char ek[REFUSAL_DIGITS];
    session_note(s, &(struct note){ .event = "pop3.refused", .warning = warning,
        .fields = { { "reason", reason }, { "ek", refusal_digits(refusal, ek) } } });
}

static void count_error(struct session *s)
{
    if (++pop3_of(s)->errors < LIMIT_SESSION_ERRORS || session_wants_close(s))
        return;
    note_refusal(s, REFUSAL_MANY_ERRORS, true, S("too many errors"));
    pop3_reply(s, POP3_TOO_MANY_ERRORS);
    session_want_close(s);
}

void pop3_error(struct session *s, enum pop3_reply reply)
{
    pop3_reply(s, reply);
    count_error(s);
}

void pop3_fail(struct session *s, enum status status)
{
    if (status == STATUS_REVOKED) {
        pop3_note(s, "pop3.revoked", false, "account", pop3_of(s)->account);
        pop3_reply(s, POP3_REVOKED);
        session_want_close(s);
        return;
    }
    pop3_reply(s, POP3_TEMPORARY);
}

void pop3_note(struct session *s, const char *event, bool warning, const char *key, struct slice value)
{
    session_note(s, &(struct note){ .event = event, .warning = warning, .fields = { { key, value } } });
}

/* ---- commands of any state ---------------------------------------------------------------------------------------- */

static void announce(struct session *s, const char *name) { session_print(s, "%s\r\n", name); }

static void announce_stls(struct session *s, const char *name)
{
    if (!s->is_secured && pop3_of(s)->state == POP3_AUTHORIZATION) /* RFC 2595 4: present and permitted now */
        announce(s, name);
}

static void announce_delay(struct session *s, const char *name)
{
    session_print(s, "%s %llu\r\n", name, (unsigned long long)(s->env.settings->pop3_login_delay / 1000));
}

static void cmd_capa(struct session *s, const struct pop3_args *args);

static void cmd_noop(struct session *s, const struct pop3_args *args)
{
    (void)args;
    pop3_reply(s, POP3_NOTHING);
}

static void cmd_stls(struct session *s, const struct pop3_args *args)
{
    (void)args;
    struct pop3 *p = pop3_of(s);
    if (!p->line_is_last) {
        /* Octets that came in plain text with STLS would be taken for protected ones, if anyone read them (C054). */
        note_refusal(s, REFUSAL_EARLY_TALK, true, S("octets behind STLS"));
        pop3_reply(s, POP3_TLS_INJECTION);
        session_want_close(s);
        return;
    }
    pop3_reply(s, POP3_BEGIN_TLS);
    session_want_tls(s);
}

static void cmd_utf8(struct session *s, const struct pop3_args *args)
{
    (void)args;
    pop3_of(s)->utf8 = true;
    pop3_reply(s, POP3_UTF8_ON);
}

/* RFC 4647 3.4, lookup: "ja-JP" finds "ja". */
static bool find_language(struct slice range, enum language *out_language)
{
    for (; range.len > 0; range = slice_upto(range, slice_find_last(range, '-') % range.len))
        for (unsigned i = 0; i < LANGUAGES; i++)
            if (slice_equal_nocase(range, slice_of(language_rows[i].tag))) {
                *out_language = (enum language)i;
                return true;
            }
    return false;
}

static void cmd_lang(struct session *s, const struct pop3_args *args)
{
    struct pop3 *p = pop3_of(s);
    if (args->count == 0) {
        pop3_reply(s, POP3_LANGUAGES);
        for (unsigned i = 0; i < LANGUAGES; i++)
            session_print(s, "%s %s\r\n", language_rows[i].tag, language_rows[i].name);
        session_send(s, S(".\r\n"));
        return;
    }
    enum language language = LANGUAGE_EN; /* for "*": the one that we greet with, for everyone alike (RFC 6856 7) */
    if (!slice_equal(args->at[0], S("*")) && !find_language(args->at[0], &language)) {
        pop3_reply(s, POP3_LANGUAGE_UNKNOWN);
        return;
    }
    p->language = language;
    pop3_reply(s, POP3_LANGUAGE_SET);
}

/* A browser, or someone who makes a browser speak to us: not one more word of it is read. */
static void cmd_http(struct session *s, const struct pop3_args *args)
{
    (void)args;
    note_refusal(s, REFUSAL_HTTP, true, S("HTTP"));
    session_want_close(s);
}

static void cmd_unknown(struct session *s, const struct pop3_args *args)
{
    (void)args;
    pop3_error(s, POP3_UNKNOWN);
}

/* ---- the table ---------------------------------------------------------------------------------------------------- */

enum needs {
    NOTHING,
    PLAINTEXT, /* only before TLS */
    LANE,      /* a way on which a password may be shown (proto/sasl.h) */
};

enum { BOTH = POP3_AUTHORIZATION | POP3_TRANSACTION, AUTHORIZATION = POP3_AUTHORIZATION, TRANSACTION = POP3_TRANSACTION };
enum { REST = 255 }; /* one argument: all that follows the space, spaces included */

struct command {
    const char *verb;
    uint8_t states;
    enum needs needs;
    uint8_t least, most;                                          /* arguments */
    void (*run)(struct session *s, const struct pop3_args *args);
    const char *capability;                                       /* RFC 2449 tag, or NULL */
    void (*announce)(struct session *s, const char *name);
};

/* RFC 1939 5 to 7; CAPA RFC 2449; STLS RFC 2595 4; AUTH RFC 5034; UTF8 and LANG RFC 6856. */
/* clang-format off */
static const struct command commands[] = {
    /* verb     legal in       needs     args      handler         capability */
    { "CAPA",   BOTH,          NOTHING,   0, 0,    cmd_capa,       NULL, NULL },
    { "STLS",   AUTHORIZATION, PLAINTEXT, 0, 0,    cmd_stls,       "STLS", announce_stls },
    { "USER",   AUTHORIZATION, LANE,      1, 1,    pop3_cmd_user,  "USER", pop3_announce_user },
    { "PASS",   AUTHORIZATION, LANE,      1, REST, pop3_cmd_pass,  NULL, NULL },
    { "APOP",   AUTHORIZATION, NOTHING,   2, 2,    pop3_cmd_apop,  NULL, NULL },
    { "AUTH",   AUTHORIZATION, NOTHING,   0, 2,    pop3_cmd_auth,  "SASL", pop3_announce_sasl },
    { "STAT",   TRANSACTION,   NOTHING,   0, 0,    pop3_cmd_stat,  NULL, NULL },
    { "LIST",   TRANSACTION,   NOTHING,   0, 1,    pop3_cmd_list,  NULL, NULL },
    { "RETR",   TRANSACTION,   NOTHING,   1, 1,    pop3_cmd_retr,  NULL, NULL },
    { "DELE",   TRANSACTION,   NOTHING,   1, 1,    pop3_cmd_dele,  NULL, NULL },
    { "NOOP",   TRANSACTION,   NOTHING,   0, 0,    cmd_noop,       NULL, NULL },
    { "RSET",   TRANSACTION,   NOTHING,   0, 0,    pop3_cmd_rset,  NULL, NULL },
    { "TOP",    TRANSACTION,   NOTHING,   2, 2,    pop3_cmd_top,   "TOP", announce },
    { "UIDL",   TRANSACTION,   NOTHING,   0, 1,    pop3_cmd_uidl,  "UIDL", announce },
    { "UTF8",   AUTHORIZATION, NOTHING,   0, 0,    cmd_utf8,       "UTF8", announce },
    { "LANG",   BOTH,          NOTHING,   0, 1,    cmd_lang,       "LANG", announce },
    { "QUIT",   BOTH,          NOTHING,   0, 0,    pop3_cmd_quit,  NULL, NULL },
    { "GET",    BOTH,          NOTHING,   0, REST, cmd_http,       NULL, NULL },
    { "HEAD",   BOTH,          NOTHING,   0, REST, cmd_http,       NULL, NULL },
    { "POST",   BOTH,          NOTHING,   0, REST, cmd_http,       NULL, NULL },
    { "PUT",    BOTH,          NOTHING,   0, REST, cmd_http,       NULL, NULL },
    { "OPTIONS", BOTH,         NOTHING,   0, REST, cmd_http,       NULL, NULL },
    { "CONNECT", BOTH,         NOTHING,   0, REST, cmd_http,       NULL, NULL },
    { "",       BOTH,          NOTHING,   0, REST, cmd_unknown,    NULL, NULL }, /* the last row takes all the rest */
};

/* Capabilities that come with no command. */
static const struct { const char *name; void (*announce)(struct session *s, const char *name); } features[] = {
    { "RESP-CODES", announce },
    { "AUTH-RESP-CODE", announce },
    { "PIPELINING", announce },
    { "EXPIRE NEVER", announce },
    { "LOGIN-DELAY", announce_delay },
    { "IMPLEMENTATION ekirei", announce }, /* without a version: who has to know asks `ekirei --version` */
};
/* clang-format on */

static void cmd_capa(struct session *s, const struct pop3_args *args)
{
    (void)args;
    pop3_reply(s, POP3_CAPABILITIES);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (commands[i].capability)
            commands[i].announce(s, commands[i].capability);
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        features[i].announce(s, features[i].name);
    session_send(s, S(".\r\n"));
}

static const struct command *find_command(struct slice verb)
{
    const struct command *row = commands;
    while (*row->verb && !slice_equal_nocase(slice_of(row->verb), verb))
        row++;
    return row;
}

static bool read_args(const struct command *row, struct slice text, struct pop3_args *out_args)
{
    *out_args = (struct pop3_args){ .count = 0 };
    if (row->most == REST) {
        out_args->at[0] = text;
        out_args->count = text.len > 0;
        return out_args->count >= row->least;
    }
    struct slice word;
    while (slice_word(&text, &word)) { /* also drops trailing spaces: Outlook says "AUTH " (D06) */
        if (out_args->count == row->most)
            return false;
        out_args->at[out_args->count++] = word;
    }
    return out_args->count >= row->least;
}

/* Every refusal for state, TLS and arguments happens here, once for all commands. */
static void run_line(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    struct slice text = p->line.text;
    size_t space = slice_find(text, ' ');
    const struct command *row = find_command(slice_upto(text, space));
    struct pop3_args args;
    /* RFC 5034 4 wants a long initial response to wait for the challenge; what mail programs send with a token is longer (D68). */
    if (text.len + 2 > LIMIT_POP3_LINE && row->run != pop3_cmd_auth)
        pop3_error(s, POP3_TOO_LONG);
    else if (!(row->states & p->state))
        pop3_error(s, POP3_WRONG_STATE);
    else if (row->needs == PLAINTEXT && s->is_secured)
        pop3_error(s, POP3_TLS_ALREADY);
    else if (row->run == pop3_cmd_user && pop3_lane(s) == LANE_CLOSED)
        pop3_refuse_cleartext_user(s, slice_from(text, space + 1));
    else if (row->needs == LANE && pop3_lane(s) == LANE_CLOSED)
        pop3_refuse_cleartext(s);
    else if (!read_args(row, slice_from(text, space + 1), &args))
        pop3_error(s, POP3_BAD_ARGUMENTS);
    else
        row->run(s, &args);
}

static void take_line(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    /* A stranger may not keep a session alive for ever with CAPA, LANG and USER (C229). */
    if (p->state == POP3_AUTHORIZATION && ++p->idle_commands > LIMIT_SESSION_JUNK) {
        pop3_reply(s, POP3_TOO_MANY_ERRORS);
        session_want_close(s);
        return;
    }
    bool in_sasl = p->work == POP3_SASL;
    p->work = POP3_READY; /* a line that cannot be read ends the exchange as well */
    if (!in_sasl && p->state == POP3_AUTHORIZATION)
        arena_reset(&s->of_command); /* what pipelined logins need is bounded by one of them */
    enum pop3_reply flaw = p->line.flaw == LINE_TOO_LONG ? POP3_TOO_LONG : POP3_BAD_LINE;
    if (p->line.flaw != LINE_FINE && in_sasl)
        pop3_sasl_bad_line(s, flaw);
    else if (p->line.flaw != LINE_FINE)
        pop3_error(s, flaw);
    else if (in_sasl)
        pop3_sasl_line(s);
    else
        run_line(s);
}

/* ---- the engine's entries ----------------------------------------------------------------------------------------- */

/* The autologout timer starts anew; pages that were read ahead get a shorter one. */
static void touch(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    msec wait = s->env.settings->timeout_command;
    p->idle_until = s->now + (wait > IDLE_LEAST ? wait : IDLE_LEAST);
    if (!session_wants_close(s))
        s->deadline = pop3_fetch_holds(p) ? s->now + AHEAD_KEPT : p->idle_until;
}

static bool is_idle(const struct pop3 *p) { return p->work == POP3_READY || p->work == POP3_SASL; }

static void settle(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    if (p->stopping && is_idle(p) && !session_is_waiting(s) && !session_wants_close(s)) {
        pop3_reply(s, POP3_STOPPING);
        session_want_close(s);
    }
}

static void pop3_open(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    p->state = POP3_AUTHORIZATION;
    line_init(&p->line, LIMIT_AUTH_LINE); /* AUTH may come first */
    p->rows = BUF(LIMIT_MAILDROP * sizeof(struct drop_row));
    p->marks = BUF(LIMIT_MAILDROP / 8);
    p->fetch.packed = BUF(LIMIT_FRAME);
    p->fetch.pieces = BUF(LIMIT_ROWS * sizeof(struct pop3_piece));
    p->fetch.plain = BUF(LIMIT_BODY_FRAME);
    if (s->env.crowded) {
        pop3_reply(s, POP3_CROWDED);
        session_want_close(s);
        return;
    }
    if (session_is_misplaced(s)) {
        note_refusal(s, REFUSAL_DEVICES_ONLY, false, S("not in legacy.networks"));
        pop3_reply(s, POP3_DEVICES_ONLY);
        session_want_close(s);
        return;
    }
    p->line.lenient = session_is_device(s); /* D57 */
    pop3_make_stamp(s);
    pop3_reply_about(s, POP3_GREETING, p->stamp);
    touch(s);
}

static size_t pop3_feed(struct session *s, struct slice wire)
{
    struct pop3 *p = pop3_of(s);
    struct slice rest = wire;
    if (p->work == POP3_READY)
        arena_reset(&s->of_command); /* all that the commands before this call wished for was carried out */
    bool moved = false; /* RFC 1939 3: only a whole command starts the timer anew, or a reader who takes what he asked for */
    for (;;) {
        if (p->work == POP3_WRITING || p->work == POP3_SENDING) {
            moved = true;
            if (p->work == POP3_WRITING)
                pop3_write_on(s);
            else
                pop3_send_on(s);
        }
        if (!is_idle(p) || session_is_stopped(s) || p->stopping || !line_take(&p->line, &rest))
            break;
        moved = true;
        p->line_is_last = rest.len == 0;
        take_line(s);
    }
    if (moved)
        touch(s);
    settle(s);
    return wire.len - rest.len;
}

static void pop3_answer(struct session *s, const struct answer *answer)
{
    switch (pop3_of(s)->work) {
    case POP3_LOGIN:
        pop3_login_answer(s, answer);
        break;
    case POP3_LOADING:
        pop3_load_answer(s, answer);
        break;
    case POP3_FETCHING:
        pop3_fetch_answer(s, answer);
        break;
    default:
        must(pop3_of(s)->work == POP3_EXPUNGING);
        pop3_expunge_answer(s, answer);
        break;
    }
    touch(s);
    settle(s);
}

/* RFC 2595 4, C056: what was said before TLS was said by anyone. */
static void pop3_secured(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    line_drop(&p->line);
    pop3_forget_login(s);
    p->utf8 = false;
    p->language = LANGUAGE_EN;
    touch(s);
    settle(s);
}

static void pop3_expired(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    if (s->now < p->idle_until) {
        if (is_idle(p))
            pop3_fetch_release(p);
        s->deadline = p->idle_until;
        return;
    }
    pop3_note(s, "pop3.timeout", false, "account", p->account);
    session_want_close(s); /* RFC 1939 3: nothing is removed, nothing is said */
}

static void pop3_hangup(struct session *s)
{
    (void)s; /* nothing is removed without QUIT (C149), and the binding ends by itself */
}

static void pop3_stop(struct session *s)
{
    pop3_of(s)->stopping = true;
    settle(s);
}

static void pop3_close(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    pop3_forget_login(s);
    pop3_fetch_release(p);
    line_done(&p->line);
    buf_done(&p->rows);
    buf_done(&p->marks);
}

static bool pop3_rests(const struct session *s)
{
    const struct pop3 *p = s->state;
    return p->work == POP3_READY;
}

const struct protocol pop3_protocol = {
    .name = "pop3",
    .state_size = sizeof(struct pop3),
    .open = pop3_open,
    .feed = pop3_feed,
    .answer = pop3_answer,
    .secured = pop3_secured,
    .expired = pop3_expired,
    .hangup = pop3_hangup,
    .stop = pop3_stop,
    .close = pop3_close,
    .rests = pop3_rests,
};
