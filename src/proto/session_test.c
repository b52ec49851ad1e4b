#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "proto/line.h"
#include "proto/session_impl.h"

/* A protocol of this file: each line is echoed; the words below do what they say. */
struct echo {
    struct line line;
    char secret[8];
};

static void echo_open(struct session *s)
{
    struct echo *e = s->state;
    line_init(&e->line, 16);
    s->deadline = s->now + 1000;
    session_send(s, S("hello\r\n"));
}

static void echo_login(struct session *s, struct echo *e)
{
    memcpy(e->secret, "pass", 4);
    struct ask *ask = session_ask(s, ASK_LOGIN);
    ask->login.name = S("joe");
    ask->login.secret = (struct slice){ e->secret, 4 };
}

static void echo_line(struct session *s, struct echo *e)
{
    struct slice text = e->line.text;
    if (e->line.flaw != LINE_FINE)
        session_print(s, "flaw %d\r\n", e->line.flaw);
    else if (slice_equal(text, S("ask")))
        session_ask(s, ASK_RCPT);
    else if (slice_equal(text, S("login")))
        echo_login(s, e);
    else if (slice_equal(text, S("reset")))
        session_ask(s, ASK_RESET);
    else if (slice_equal(text, S("tls")))
        session_want_tls(s);
    else if (slice_equal(text, S("quit")))
        session_want_close(s);
    else if (slice_equal(text, S("note")))
        session_note(s, &(struct note){ .event = "echo.note", .fields = { { "text", text } } });
    else if (slice_equal(text, S("body")))
        assert_int_equal(buf_put(session_body(s), S("piece")), STATUS_OK);
    else
        session_print(s, "%.*s\r\n", (int)text.len, text.ptr);
}

static size_t echo_feed(struct session *s, struct slice wire)
{
    struct echo *e = s->state;
    struct slice rest = wire;
    while (!session_is_stopped(s) && line_take(&e->line, &rest))
        echo_line(s, e);
    return wire.len - rest.len;
}

static void echo_answer(struct session *s, const struct answer *answer)
{
    session_print(s, "answer %s\r\n", status_name(answer->status));
}

static void echo_secured(struct session *s)
{
    struct echo *e = s->state;
    line_drop(&e->line);
    session_print(s, "tls %.*s\r\n", (int)s->tls.version.len, s->tls.version.ptr);
}

static void echo_expired(struct session *s)
{
    session_send(s, S("slow\r\n"));
    session_want_close(s);
}

static void echo_hangup(struct session *s) { session_ask(s, ASK_RESET); }
static void echo_stop(struct session *s) { session_want_close(s); }
static void echo_close(struct session *s) { line_done(&((struct echo *)s->state)->line); }

static const struct protocol echo_protocol = { "echo", sizeof(struct echo), echo_open, echo_feed, echo_answer, echo_secured,
    echo_expired, echo_hangup, echo_stop, echo_close };

static struct session *open_echo(void)
{
    struct settings *settings = alloc(sizeof *settings);
    settings->holders = 1;
    struct session_env env = { .settings = settings, .service = SERVICE_SUBMISSION, .id = (1ull << 48) | 0x1a, .started = 5000 };
    struct session *s = session_open(&echo_protocol, &env, NULL, 100);
    settings_release(settings);
    return s;
}

/* Carries all wishes out, as text. */
static void drain(struct session *s, struct buf *log)
{
    struct wish wish;
    while (session_next(s, &wish)) {
        enum status status = STATUS_OK;
        switch (wish.kind) {
        case WISH_SEND:
            status = buf_put(log, wish.bytes);
            break;
        case WISH_ASK:
            status = buf_print(log, "<ask %s>", ask_defs[wish.ask->kind].name);
            break;
        case WISH_BODY:
            status = buf_print(log, "<body %.*s>", (int)wish.bytes.len, wish.bytes.ptr);
            break;
        case WISH_TLS:
            status = buf_put(log, S("<tls>"));
            break;
        case WISH_CLOSE:
            status = buf_put(log, S("<close>"));
            break;
        case WISH_NOTE:
            status = buf_print(log, "<%s>", wish.note->event);
            break;
        }
        assert_int_equal(status, STATUS_OK);
    }
}

/* Feeds in pieces of `step` octets and answers each ask at once. */
static void play(struct slice wire, size_t step, struct buf *log)
{
    struct session *s = open_echo();
    size_t at = 0, end = 0;
    drain(s, log);
    while (at < wire.len && !session_is_closed(s)) {
        end = end + step < wire.len ? end + step : wire.len;
        size_t before;
        do {
            before = at;
            at += session_feed(s, slice_upto(slice_from(wire, at), end - at), 100);
            drain(s, log);
            if (session_is_waiting(s)) {
                struct wish none;
                assert_int_equal(session_feed(s, slice_from(wire, at), 100), 0); /* back-pressure */
                assert_false(session_next(s, &none));
                if (s->awaits_tls)
                    session_secured(s, &(struct tls_facts){ .version = S("TLSv1.3") }, 100);
                else
                    session_answer(s, &(struct answer){ .kind = s->waiting_for, .status = STATUS_BUSY, .fd = -1 }, 100);
                drain(s, log);
            }
        } while (at > before && at < end);
    }
    session_close(s);
}

#define ALL_WORDS \
    S("one\r\ntwo\r\nask\r\nthree\r\nreset\r\nfour\r\nbody\r\nnote\r\nmuch too long a line\r\na\nb\r\nc\rd\r\ntls\r\nfive\r\n" \
      "login\r\nquit\r\nlost\r\n")

static void the_cut_of_the_wire_changes_nothing(void **state)
{
    (void)state;
    struct buf whole = BUF(4096), cut = BUF(4096);
    play(ALL_WORDS, 1000, &whole);
    struct slice wanted = S("hello\r\none\r\ntwo\r\n<ask rcpt>answer busy\r\nthree\r\n<ask reset>four\r\n<body piece>"
                            "<echo.note>flaw 1\r\nflaw 2\r\nflaw 3\r\n<tls>tls TLSv1.3\r\nfive\r\n<ask login>answer busy\r\n"
                            "<ask end-session><close>");
    assert_int_equal(whole.len, wanted.len);
    assert_memory_equal(whole.ptr, wanted.ptr, wanted.len);
    for (size_t step = 1; step < 40; step++) {
        buf_clear(&cut);
        play(ALL_WORDS, step, &cut);
        assert_true(slice_equal(buf_slice(&cut), buf_slice(&whole)));
    }
    buf_done(&whole);
    buf_done(&cut);
}

static void hangup_leaves_only_silent_asks(void **state)
{
    (void)state;
    struct session *s = open_echo();
    struct buf log = BUF(1000);
    struct slice wire = S("ask\r\n");
    drain(s, &log);
    assert_int_equal(session_feed(s, wire, 100), wire.len);
    buf_clear(&log);
    session_hangup(s, 200); /* the ask was not drawn yet */
    drain(s, &log);
    assert_true(slice_equal(buf_slice(&log), S("<ask reset><ask end-session>")));
    assert_true(session_is_closed(s));
    session_answer(s, &(struct answer){ .kind = ASK_RCPT }, 300); /* comes late: no harm */
    session_tick(s, 99999);
    session_hangup(s, 300);
    assert_int_equal(session_feed(s, wire, 400), 0);
    struct wish none;
    assert_false(session_next(s, &none));
    session_close(s);
    buf_done(&log);
}

static void a_session_that_asked_nothing_ends_without_a_word_to_the_keeper(void **state)
{
    (void)state;
    struct session *s = open_echo();
    struct buf log = BUF(1000);
    assert_int_equal(session_deadline(s), 1100);
    session_tick(s, 1099);
    session_tick(s, 1100);
    drain(s, &log);
    assert_true(slice_equal(buf_slice(&log), S("hello\r\nslow\r\n<close>")));
    session_close(s);
    buf_done(&log);
}

static void no_deadline_while_the_keeper_thinks(void **state)
{
    (void)state;
    struct session *s = open_echo();
    struct buf log = BUF(1000);
    drain(s, &log);
    session_feed(s, S("ask\r\n"), 100);
    drain(s, &log);
    assert_int_equal(session_deadline(s), SESSION_NEVER);
    session_tick(s, 1000000);
    assert_false(session_is_closed(s));
    session_answer(s, &(struct answer){ .kind = ASK_LOGIN }, 100); /* not what was asked */
    buf_clear(&log);
    drain(s, &log);
    assert_true(slice_equal(buf_slice(&log), S("answer io\r\n")));
    session_close(s);
    buf_done(&log);
}

static void a_secret_is_gone_once_the_driver_had_it(void **state)
{
    (void)state;
    struct session *s = open_echo();
    struct echo *e = s->state;
    struct wish wish;
    while (session_next(s, &wish)) {
    }
    session_feed(s, S("login\r\n"), 100);
    assert_true(session_next(s, &wish));
    assert_int_equal(wish.kind, WISH_ASK);
    assert_true(slice_equal(wish.ask->login.secret, S("pass")));
    assert_false(session_next(s, &wish));
    assert_memory_equal(e->secret, "\0\0\0\0", 4);
    session_close(s);
}

static void names_and_times(void **state)
{
    (void)state;
    struct session *s = open_echo();
    assert_true(slice_equal(session_name(s), S("u1-1a")));
    s->now = 350;
    assert_int_equal(session_wall(s), 5250);
    session_close(s);
}

/* C014: a line without end costs no memory. */
static void C014_an_endless_line_is_drained(void **state)
{
    (void)state;
    struct line line;
    line_init(&line, 100);
    char many[1000];
    memset(many, 'x', sizeof many);
    for (int i = 0; i < 1000; i++) {
        struct slice wire = { many, sizeof many };
        assert_false(line_take(&line, &wire));
        assert_true(line.held.cap < 2048);
    }
    struct slice wire = S("x\r\nnext\r\n");
    assert_true(line_take(&line, &wire));
    assert_int_equal(line.flaw, LINE_TOO_LONG);
    assert_int_equal(line.text.len, 0);
    assert_true(line_take(&line, &wire));
    assert_int_equal(line.flaw, LINE_FINE);
    assert_true(slice_equal(line.text, S("next")));
    line_done(&line);
}

/* C012, C013 */
static void C012_C013_flaws_are_named_and_never_end_a_line(void **state)
{
    (void)state;
    static const struct {
        struct slice wire;
        enum line_flaw flaw;
    } rows[] = {
        { S("a\nb\r\n"), LINE_BARE_LF }, { S("\n\r\n"), LINE_BARE_LF }, { S("a\rb\r\n"), LINE_BARE_CR },
        { S("a\r\r\n"), LINE_BARE_CR }, { S("a\0b\r\n"), LINE_NUL }, { S("\r\n"), LINE_FINE }, { S("\x80\xff\r\n"), LINE_FINE },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t cut = 0; cut <= rows[i].wire.len; cut++) {
            struct line line;
            line_init(&line, 100);
            struct slice first = slice_upto(rows[i].wire, cut), second = slice_from(rows[i].wire, cut);
            bool whole = line_take(&line, &first);
            assert_true(whole == (cut == rows[i].wire.len));
            if (!whole)
                assert_true(line_take(&line, &second));
            assert_int_equal(line.flaw, rows[i].flaw);
            assert_true(slice_equal(line.text, slice_upto(rows[i].wire, rows[i].wire.len - 2)));
            line_done(&line);
        }
    }
}

static void the_limit_counts_crlf(void **state)
{
    (void)state;
    struct line line;
    line_init(&line, 5);
    struct slice wire = S("abc\r\nabcd\r\nabcd\r\n");
    assert_true(line_take(&line, &wire));
    assert_int_equal(line.flaw, LINE_FINE);
    assert_true(line_take(&line, &wire));
    assert_int_equal(line.flaw, LINE_TOO_LONG);
    line.limit = 6;
    assert_true(line_take(&line, &wire));
    assert_int_equal(line.flaw, LINE_FINE);
    line_done(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cut_of_the_wire_changes_nothing),
        cmocka_unit_test(hangup_leaves_only_silent_asks),
        cmocka_unit_test(a_session_that_asked_nothing_ends_without_a_word_to_the_keeper),
        cmocka_unit_test(no_deadline_while_the_keeper_thinks),
        cmocka_unit_test(a_secret_is_gone_once_the_driver_had_it),
        cmocka_unit_test(names_and_times),
        cmocka_unit_test(C014_an_endless_line_is_drained),
        cmocka_unit_test(C012_C013_flaws_are_named_and_never_end_a_line),
        cmocka_unit_test(the_limit_counts_crlf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
