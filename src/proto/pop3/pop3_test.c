#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/random.h"
#include "mail/pack.h"
#include "proto/pop3/pop3.h"

/* ---- a session whose keeper is the test ---------------------------------------------------------------------------- */

static struct settings settings = { .auth_mechanisms = MECHANISMS_ALL };
static struct session *s;
static struct buf out = BUF(64u << 20), notes = BUF(1u << 20);
static struct ask asked;      /* kind ASK_NONE: nothing is asked */
static uint32_t told;         /* the keeper, of a refusal of ours: its number */
static bool closed, wants_tls;
static msec now;

static void put(struct buf *b, struct slice text) { assert_int_equal(buf_put(b, text), STATUS_OK); }

static void drain(void)
{
    struct wish wish;
    while (session_next(s, &wish)) {
        switch (wish.kind) {
        case WISH_SEND:
            assert_false(closed);
            put(&out, wish.bytes);
            break;
        case WISH_ASK:
            if (wish.ask->kind == ASK_REFUSED)
                told = wish.ask->refused.code;
            else if (wish.ask->kind != ASK_END_SESSION)
                asked = *wish.ask;
            break;
        case WISH_TLS:
            wants_tls = true;
            break;
        case WISH_CLOSE:
            closed = true;
            break;
        case WISH_NOTE:
            put(&notes, slice_of(wish.note->event));
            for (size_t i = 0; i < 6 && wish.note->fields[i].key; i++) {
                put(&notes, S(" "));
                put(&notes, slice_of(wish.note->fields[i].key));
                put(&notes, S("="));
                put(&notes, wish.note->fields[i].value);
            }
            put(&notes, S("\n"));
            break;
        case WISH_BODY:
            fail();
        }
    }
}

/* Feeds all of it, as a driver does: again and again until the session eats no more or waits. */
static void feed(struct slice wire)
{
    for (;;) {
        size_t eaten = session_feed(s, wire, now);
        struct buf before = out;
        wire = slice_from(wire, eaten);
        drain();
        if (closed || wants_tls || asked.kind != ASK_NONE || (eaten == 0 && out.len == before.len))
            break;
    }
}

static void say(const char *text) { feed(slice_of(text)); }

static void expect(const char *text)
{
    if (!slice_equal(buf_slice(&out), slice_of(text)))
        fail_msg("got \"%.*s\", not \"%s\"", (int)(out.len < 2000 ? out.len : 2000), out.ptr, text);
    buf_clear(&out);
}

static void expect_start(const char *text)
{
    if (!slice_starts(buf_slice(&out), slice_of(text)))
        fail_msg("got \"%.*s\", not \"%s...\"", (int)(out.len < 2000 ? out.len : 2000), out.ptr, text);
    buf_clear(&out);
}

static void expect_note(const char *text)
{
    if (!slice_has(buf_slice(&notes), slice_of(text)))
        fail_msg("notes \"%.*s\", without \"%s\"", (int)notes.len, notes.ptr, text);
    buf_clear(&notes);
}

static void reply(struct answer answer)
{
    assert_int_equal(answer.kind, asked.kind);
    asked.kind = ASK_NONE;
    answer.fd = -1;
    session_answer(s, &answer, now);
    drain();
    if (!closed)
        feed(NO_SLICE);
}

static void reply_status(enum status status) { reply((struct answer){ .kind = asked.kind, .status = status }); }

static void open_as(enum service service, const struct tls_facts *tls, const char *peer, bool crowded)
{
    struct session_env env = { .settings = &settings, .service = service, .id = 0x1a, .seed = { 7 }, .started = 1000, .crowded = crowded };
    assert_int_equal(ip_parse(slice_of(peer), &env.peer), STATUS_OK);
    buf_clear(&out);
    buf_clear(&notes);
    asked.kind = ASK_NONE;
    closed = wants_tls = false;
    now = 5000;
    s = session_open(&pop3_protocol, &env, tls, now);
    drain();
}

static const struct tls_facts facts = { .version = S("TLSv1.3"), .cipher = S("TLS_AES_128_GCM_SHA256") };

static void open_secured(void)
{
    open_as(SERVICE_POP3S, &facts, "192.0.2.1", false);
    expect_start("+OK ekirei POP3 server ready <u0-1a.");
}

static void close_session(void)
{
    session_close(s);
    s = NULL;
}

static void login_verdict(enum login_verdict verdict)
{
    reply((struct answer){ .kind = ASK_LOGIN, .login = { .address = S("a@x.test"), .account = 1, .verdict = (uint8_t)verdict } });
}

/* ---- a maildrop ----------------------------------------------------------------------------------------------------- */

static struct drop_row drop[20000];
static uint32_t drop_count;

static void reply_page(uint32_t most)
{
    struct ask_drop_list ask = asked.drop_list;
    uint32_t at = 0;
    while (at < drop_count && drop[at].uid <= ask.after)
        at++;
    uint32_t count = drop_count - at < most ? drop_count - at : most;
    reply((struct answer){ .kind = ASK_DROP_LIST, .drop_list = { .rows = { drop + at, count }, .uidvalidity = 0xabc,
        .until = drop_count ? drop[drop_count - 1].uid : 0, .more = at + count < drop_count } });
}

static void log_in(void)
{
    open_secured();
    say("USER a\r\nPASS b\r\n");
    expect("+OK send PASS\r\n");
    login_verdict(LOGIN_OK);
    while (asked.kind == ASK_DROP_LIST)
        reply_page(LIMIT_ROWS);
    expect_start("+OK maildrop ready, ");
}

static void set_drop(uint32_t count)
{
    drop_count = count;
    for (uint32_t i = 0; i < count; i++)
        drop[i] = (struct drop_row){ .uid = 10 + i, .size = 100 + i };
}

/* One row: the packed body, split in pages of `frames` frames. */
static void reply_fetch(struct slice plain, uint32_t frames)
{
    struct buf packed = BUF(1u << 20);
    assert_int_equal(pack(&packed, plain), STATUS_OK);
    struct slice rest = slice_from(buf_slice(&packed), (size_t)asked.fetch.at);
    size_t len = 0, one;
    for (uint32_t i = 0; i < frames && len < rest.len; i++, len += one)
        assert_int_equal(pack_frame(slice_from(rest, len), &one), STATUS_OK);
    struct fetch_row row = { slice_upto(rest, len), len < rest.len ? asked.fetch.at + len : 0, asked.fetch.uid };
    reply((struct answer){ .kind = ASK_FETCH, .fetch = { .rows = { &row, 1 } } });
    buf_done(&packed);
}

/* ---- tests ---------------------------------------------------------------------------------------------------------- */

static void test_uidl_pages(void **state)
{
    (void)state;
    set_drop(2500);
    open_secured();
    say("USER a\r\nPASS b\r\n");
    login_verdict(LOGIN_OK);
    assert_int_equal(asked.drop_list.after, 0);
    reply_page(1000);
    assert_int_equal(asked.drop_list.after, 1009);
    assert_int_equal(asked.drop_list.until, 2509); /* the snapshot's end is fixed by the first page */
    reply_page(1000);
    reply_page(1000);
    expect("+OK send PASS\r\n+OK maildrop ready, 2500 messages\r\n");
    say("UIDL 2500\r\nUIDL 1\r\nLIST 3\r\nSTAT\r\n");
    expect("+OK 2500 00000abc.000009cd\r\n+OK 1 00000abc.0000000a\r\n+OK 3 102\r\n+OK 2500 3373750\r\n");
    close_session();
    /* a mailbox made anew between two pages is no maildrop */
    open_secured();
    say("USER a\r\nPASS b\r\n");
    login_verdict(LOGIN_OK);
    reply_page(1000);
    reply((struct answer){ .kind = ASK_DROP_LIST, .drop_list = { .rows = { drop + 1000, 5 }, .uidvalidity = 0xabd, .until = 2509 } });
    expect("+OK send PASS\r\n-ERR [SYS/TEMP] temporary failure, try again later [EK-56]\r\n");
    assert_true(closed);
    close_session();
}

/* A long listing goes out in pieces, never more than the send buffer holds, and pipelined commands wait behind it. */
static void test_long_listing(void **state)
{
    (void)state;
    set_drop(20000);
    log_in();
    struct wish wish;
    size_t pieces = 0, eaten = session_feed(s, S("UIDL\r\nSTAT\r\n"), now);
    assert_int_equal(eaten, 6);
    for (; session_next(s, &wish); session_feed(s, NO_SLICE, now)) {
        assert_int_equal(wish.kind, WISH_SEND);
        assert_true(wish.bytes.len < LIMIT_SEND_BUFFER);
        put(&out, wish.bytes);
        pieces++;
    }
    assert_true(pieces > 3);
    size_t lines = 0;
    for (size_t i = 0; i < out.len; i++)
        lines += out.ptr[i] == '\n';
    assert_int_equal(lines, 20002);
    assert_true(slice_ends_nocase(buf_slice(&out), S("\r\n20000 00000abc.00004e29\r\n.\r\n")));
    buf_clear(&out);
    say("STAT\r\n");
    expect("+OK 20000 201990000\r\n");
    close_session();
}

static void test_retr_reads_ahead(void **state)
{
    (void)state;
    set_drop(5);
    log_in();
    say("RETR 1\r\n");
    assert_int_equal(asked.fetch.uid, 10);
    assert_int_equal(asked.fetch.until, 0);
    reply_fetch(S("A: 1\r\n\r\n.x\r\n"), 1);
    expect("+OK 100 octets\r\nA: 1\r\n\r\n..x\r\n.\r\n");
    say("RETR 2\r\n");
    assert_int_equal(asked.fetch.uid, 11);
    assert_int_equal(asked.fetch.until, 14);
    struct buf packed[3] = { BUF(4096), BUF(4096), BUF(4096) };
    struct fetch_row rows[3];
    for (uint32_t i = 0; i < 3; i++) {
        char text[] = "B: ?\r\n\r\n";
        text[3] = (char)('0' + i);
        assert_int_equal(pack(&packed[i], slice_of(text)), STATUS_OK);
        rows[i] = (struct fetch_row){ buf_slice(&packed[i]), 0, 11 + i };
    }
    reply((struct answer){ .kind = ASK_FETCH, .fetch = { .rows = { rows, 3 } } });
    expect("+OK 101 octets\r\nB: 0\r\n\r\n.\r\n");
    for (int i = 0; i < 3; i++)
        buf_done(&packed[i]);
    say("RETR 3\r\nRETR 4\r\n"); /* both from memory */
    expect("+OK 102 octets\r\nB: 1\r\n\r\n.\r\n+OK 103 octets\r\nB: 2\r\n\r\n.\r\n");
    say("RETR 5\r\n");
    assert_int_equal(asked.fetch.uid, 14);
    assert_int_equal(asked.fetch.until, 0); /* nothing stands behind it */
    reply_fetch(S(""), 1);
    expect("+OK 104 octets\r\n.\r\n");
    /* an idle session gives its pages back, and asks again */
    say("RETR 1\r\n");
    reply_fetch(S("x"), 1);
    assert_true(pop3_fetch_holds(s->state));
    now += SECONDS(6);
    session_tick(s, now);
    assert_false(pop3_fetch_holds(s->state));
    assert_false(closed);
    expect("+OK 100 octets\r\nx\r\n.\r\n");
    say("RETR 1\r\n");
    assert_int_equal(asked.kind, ASK_FETCH);
    close_session();
}

/* Many pages; the octets are exact, and a slow reader stops the production. */
static void test_large_message(void **state)
{
    (void)state;
    static char plain[900000];
    struct random_stream stream = { 3 };
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : (char)(' ' + random_next(&stream) % 90);
    set_drop(1);
    log_in();
    say("RETR 1\r\nNOOP\r\n");
    int pages = 0;
    while (asked.kind == ASK_FETCH) {
        assert_true(pages == 0 || asked.fetch.at > 0);
        reply_fetch((struct slice){ plain, sizeof plain }, 2);
        pages++;
    }
    assert_int_equal(pages, 7);
    struct buf wanted = BUF(2u << 20);
    struct dot_encode encode = { .state = 0 };
    put(&wanted, S("+OK 100 octets\r\n"));
    assert_int_equal(dot_encode(&encode, (struct slice){ plain, sizeof plain }, &wanted), STATUS_OK);
    assert_int_equal(dot_encode_end(&encode, &wanted), STATUS_OK);
    assert_true(slice_equal(buf_slice(&out), buf_slice(&wanted)));
    buf_clear(&out);
    /* the same message again: the last page is in memory, but it is not the message's start */
    say("RETR 1\r\n");
    assert_int_equal(asked.kind, ASK_FETCH);
    assert_int_equal(asked.fetch.at, 0);
    buf_done(&wanted);
    close_session();
}

/* A reader that takes nothing: what waits for him stays within the buffer. */
static void test_slow_reader(void **state)
{
    (void)state;
    static char dots[60000];
    for (size_t i = 0; i < sizeof dots; i++)
        dots[i] = i % 2 ? '\n' : '.';
    set_drop(1);
    log_in();
    for (int i = 0; i < 5; i++) {
        say("RETR 1\r\n");
        if (asked.kind == ASK_FETCH)
            reply_fetch((struct slice){ dots, sizeof dots }, 9);
        assert_int_equal(out.len, 16 + 60000 * 2 + 3);
        buf_clear(&out);
    }
    close_session();
}

static void test_fetch_failures(void **state)
{
    (void)state;
    static char plain[200000];
    memset(plain, 'x', sizeof plain);
    set_drop(3);
    log_in();
    say("RETR 1\r\n");
    reply_status(STATUS_NOT_FOUND); /* C150: another session removed it */
    expect("-ERR message is gone [EK-71]\r\n");
    say("TOP 1 1\r\n");
    reply_status(STATUS_AWAY);
    expect("-ERR [SYS/TEMP] temporary failure, try again later [EK-56]\r\n");
    say("RETR 2\r\n");
    struct fetch_row bad = { S("\x28\xb5\x2f\xfd rubbish"), 0, 11 };
    reply((struct answer){ .kind = ASK_FETCH, .fetch = { .rows = { &bad, 1 } } });
    expect("-ERR [SYS/PERM] message is damaged, tell your administrator [EK-72]\r\n");
    struct fetch_row other = { S(""), 0, 12 };
    say("RETR 2\r\n");
    reply((struct answer){ .kind = ASK_FETCH, .fetch = { .rows = { &other, 1 } } }); /* not what was asked for */
    expect("-ERR [SYS/TEMP] temporary failure, try again later [EK-56]\r\n");
    struct fetch_row endless = { S(""), 5, 11 };
    say("RETR 2\r\n");
    reply((struct answer){ .kind = ASK_FETCH, .fetch = { .rows = { &endless, 1 } } });
    expect("-ERR [SYS/TEMP] temporary failure, try again later [EK-56]\r\n");
    /* once octets are out, only the missing end mark tells */
    say("RETR 3\r\n");
    reply_fetch((struct slice){ plain, sizeof plain }, 1);
    assert_int_equal(asked.kind, ASK_FETCH);
    buf_clear(&out);
    reply_status(STATUS_IO);
    assert_true(closed);
    assert_int_equal(out.len, 0);
    expect_note("pop3.broken reason=io");
    close_session();
    log_in();
    say("RETR 1\r\n");
    reply_status(STATUS_REVOKED);
    expect("-ERR your account or password changed, log in again [EK-10]\r\n");
    assert_true(closed);
    close_session();
}

static void top(const char *command, const char *plain, const char *wanted)
{
    say(command);
    if (asked.kind == ASK_FETCH)
        reply_fetch(slice_of(plain), 1);
    expect(wanted);
    now += SECONDS(6); /* forgets the page */
    session_tick(s, now);
}

/* C151 */
static void test_top(void **state)
{
    (void)state;
    set_drop(1);
    log_in();
    const char *plain = "A: 1\r\nB: 2\r\n\r\n.one\r\ntwo\r\n\r\nfour";
#define HEAD "+OK top of message follows\r\nA: 1\r\nB: 2\r\n\r\n"
    top("TOP 1 0\r\n", plain, HEAD ".\r\n");
    top("TOP 1 1\r\n", plain, HEAD "..one\r\n.\r\n");
    top("TOP 1 3\r\n", plain, HEAD "..one\r\ntwo\r\n\r\n.\r\n");
    top("TOP 1 4\r\n", plain, HEAD "..one\r\ntwo\r\n\r\nfour\r\n.\r\n");
    top("TOP 1 1000000000\r\n", plain, HEAD "..one\r\ntwo\r\n\r\nfour\r\n.\r\n");
    top("TOP 1 99999999999999999999999\r\n", plain, HEAD "..one\r\ntwo\r\n\r\nfour\r\n.\r\n");
    top("TOP 1 -1\r\n", plain, "-ERR wrong arguments [EK-62]\r\n");
    top("TOP 1\r\n", plain, "-ERR wrong arguments [EK-62]\r\n");
    top("TOP 2 1\r\n", plain, "-ERR no such message [EK-70]\r\n");
    top("TOP 1 1\r\n", "A: 1\nB: 2\n\nx\ry\r\n", HEAD "x\r\n.\r\n"); /* stray line ends, as RETR sends them */
    top("TOP 1 1\r\n", "A: 1\r\n", "+OK top of message follows\r\nA: 1\r\n\r\n.\r\n"); /* D15: no empty line */
    top("TOP 1 1\r\n", "A: 1", "+OK top of message follows\r\nA: 1\r\n\r\n.\r\n");
    top("TOP 1 1\r\n", "", "+OK top of message follows\r\n\r\n.\r\n");
    top("TOP 1 0\r\n", "\r\nx\r\n", "+OK top of message follows\r\n\r\n.\r\n");
    close_session();
}

/* TOP stops at its last line: the pages behind it are not asked for. */
static void test_top_stops_early(void **state)
{
    (void)state;
    static char plain[200000];
    memset(plain, 'x', sizeof plain);
    memcpy(plain, "A: 1\r\n\r\nfirst\r\n", 15);
    set_drop(1);
    log_in();
    say("TOP 1 1\r\n");
    reply_fetch((struct slice){ plain, sizeof plain }, 1);
    assert_int_equal(asked.kind, ASK_NONE);
    expect("+OK top of message follows\r\nA: 1\r\n\r\nfirst\r\n.\r\n");
    close_session();
}

static void test_expunge_ranges(void **state)
{
    (void)state;
    set_drop(5);
    drop[3].uid = 20;
    drop[4].uid = 21;
    log_in();
    say("DELE 1\r\nDELE 2\r\nDELE 4\r\nDELE 5\r\nDELE 5\r\nLIST\r\nRETR 1\r\n");
    expect("+OK message deleted\r\n+OK message deleted\r\n+OK message deleted\r\n+OK message deleted\r\n-ERR message is deleted already [EK-70]\r\n"
           "+OK 1 messages\r\n3 102\r\n.\r\n-ERR message is deleted already [EK-70]\r\n");
    say("QUIT\r\n");
    assert_int_equal(asked.kind, ASK_EXPUNGE);
    assert_int_equal(asked.expunge.ranges.count, 2);
    assert_int_equal(row_of(struct uid_range, asked.expunge.ranges, 0)->first, 10);
    assert_int_equal(row_of(struct uid_range, asked.expunge.ranges, 0)->last, 11);
    assert_int_equal(row_of(struct uid_range, asked.expunge.ranges, 1)->first, 20);
    assert_int_equal(row_of(struct uid_range, asked.expunge.ranges, 1)->last, 21);
    assert_int_equal(out.len, 0); /* C149: +OK only once it is on disk */
    reply((struct answer){ .kind = ASK_EXPUNGE, .expunge = { .removed = 4 } });
    expect("+OK bye\r\n");
    assert_true(closed);
    expect_note("pop3.quit account=a@x.test retrieved=0 deleted=4 octets=0");
    close_session();
    log_in();
    say("DELE 1\r\nRSET\r\nSTAT\r\nQUIT\r\n"); /* RSET: nothing to remove, nothing is asked */
    expect("+OK message deleted\r\n+OK no message is deleted\r\n+OK 5 510\r\n+OK bye\r\n");
    close_session();
    log_in();
    say("DELE 1\r\nQUIT\r\n");
    reply_status(STATUS_IO);
    expect("+OK message deleted\r\n-ERR [SYS/TEMP] some deleted messages not removed [EK-73]\r\n");
    assert_true(closed);
    close_session();
    log_in();
    say("DELE 1\r\n");
    session_hangup(s, now); /* C149 */
    drain();
    assert_int_equal(asked.kind, ASK_NONE);
    close_session();
}

/* More ranges than fit into one ask. */
static void test_expunge_many(void **state)
{
    (void)state;
    set_drop(20000);
    for (uint32_t i = 0; i < drop_count; i++)
        drop[i].uid = 10 + 2 * i;
    open_secured();
    say("USER a\r\nPASS b\r\n");
    login_verdict(LOGIN_OK);
    while (asked.kind == ASK_DROP_LIST)
        reply_page(LIMIT_ROWS);
    char command[32];
    for (uint32_t i = 1; i <= drop_count; i++) {
        snprintf(command, sizeof command, "DELE %u\r\n", i);
        say(command);
        buf_clear(&out);
    }
    say("QUIT\r\n");
    uint32_t asks = 0, ranges = 0;
    while (asked.kind == ASK_EXPUNGE) {
        assert_true(asked.expunge.ranges.count <= LIMIT_ROWS);
        assert_int_equal(row_of(struct uid_range, asked.expunge.ranges, 0)->first, 10 + 2 * ranges);
        ranges += asked.expunge.ranges.count;
        asks++;
        reply((struct answer){ .kind = ASK_EXPUNGE, .expunge = { .removed = asked.expunge.ranges.count } });
    }
    assert_int_equal(asks, 3);
    assert_int_equal(ranges, 20000);
    expect("+OK bye\r\n");
    close_session();
}

static void test_login_asks(void **state)
{
    (void)state;
    set_drop(0);
    open_secured();
    say("USER a@x.test\r\nPASS  two words \r\n");
    assert_int_equal(asked.kind, ASK_LOGIN);
    assert_int_equal(asked.login.from.protocol, PROTOCOL_POP3);
    assert_int_equal(asked.login.from.mechanism, MECHANISM_PASSWORD);
    assert_int_equal(asked.login.from.encrypted, 1);
    assert_int_equal(asked.login.from.device_only, 0);
    assert_true(slice_equal(asked.login.name, S("a@x.test")));
    login_verdict(LOGIN_BUSY);
    expect("+OK send PASS\r\n-ERR [SYS/TEMP] busy, try again later [EK-3]\r\n");
    say("PASS x\r\n");
    expect("-ERR USER first [EK-63]\r\n");
    say("USER a\r\nPASS b\r\n");
    login_verdict(LOGIN_TOO_SOON);
    expect("+OK send PASS\r\n-ERR [LOGIN-DELAY] too soon after your last login [EK-5]\r\n");
    say("USER a\r\nPASS b\r\n");
    reply_status(STATUS_AWAY);
    expect("+OK send PASS\r\n-ERR [SYS/TEMP] busy, try again later [EK-3]\r\n");
    say("USER a\r\nPASS \xff\xfe\r\n"); /* C087 */
    assert_int_equal(asked.kind, ASK_NONE);
    expect("+OK send PASS\r\n-ERR [AUTH] wrong name or password [EK-1]\r\n");
    close_session();
}

static void test_ten_failures(void **state)
{
    (void)state;
    open_secured();
    for (int i = 0; i < LIMIT_LOGIN_FAILURES; i++) {
        assert_false(closed);
        say("USER a\r\nPASS b\r\n");
        login_verdict(LOGIN_WRONG);
        expect("+OK send PASS\r\n-ERR [AUTH] wrong name or password [EK-1]\r\n");
    }
    assert_true(closed);
    close_session();
}

/* The password as it left the engine is overwritten there once the driver had it. */
static void test_secret_is_wiped(void **state)
{
    (void)state;
    open_secured();
    struct pop3 *p = s->state;
    session_feed(s, S("USER a\r\nPASS geheim\r\n"), now);
    struct sasl *sasl = p->sasl;
    assert_int_equal(sasl->secret.len, 6);
    drain();
    for (size_t i = 0; i < sizeof sasl->secret.bytes; i++)
        assert_int_equal(sasl->secret.bytes[i], 0);
    login_verdict(LOGIN_WRONG);
    assert_null(p->sasl);
    close_session();
}

static void test_c085_apop(void **state)
{
    (void)state;
    open_as(SERVICE_POP3, NULL, "192.0.2.1", false);
    struct slice greeting = buf_slice(&out);
    size_t at = slice_find(greeting, '<');
    char stamp[200] = "";
    memcpy(stamp, greeting.ptr + at, greeting.len - at - 2);
    assert_true(slice_ends_nocase(slice_of(stamp), S("@pop.x.test>")));
    buf_clear(&out);
    say("APOP a 00112233445566778899aabbccddeeff\r\n");
    expect("-ERR [AUTH] you must use TLS first: STLS, or port 995 [EK-2]\r\n");
    assert_int_equal(asked.kind, ASK_NONE);
    assert_int_equal(told, REFUSAL_NEEDS_TLS);
    settings.auth_apop_without_tls = true;
    say("APOP a 00112233445566778899aabbccddee\r\nAPOP a 00112233445566778899aabbccddeegg\r\nAPOP a\r\n");
    expect("-ERR wrong arguments [EK-62]\r\n-ERR wrong arguments [EK-62]\r\n-ERR wrong arguments [EK-62]\r\n");
    say("APOP a 00112233445566778899aabbccddeeff\r\n");
    assert_int_equal(asked.kind, ASK_LOGIN_DIGEST);
    assert_true(slice_equal(asked.login_digest.challenge, slice_of(stamp)));
    assert_int_equal(asked.login_digest.digest.len, 16);
    reply((struct answer){ .kind = ASK_LOGIN_DIGEST, .login = { .verdict = LOGIN_BUSY } }); /* nobody looked at it */
    say("APOP a 00112233445566778899aabbccddeeff\r\n");
    assert_int_equal(asked.kind, ASK_LOGIN_DIGEST);
    reply((struct answer){ .kind = ASK_LOGIN_DIGEST, .login = { .verdict = LOGIN_WRONG } });
    buf_clear(&out);
    say("APOP a 00112233445566778899aabbccddeeff\r\n"); /* C085: one answer to one challenge */
    expect("-ERR the greeting's timestamp was used, connect again for APOP [EK-9]\r\n");
    close_session();
    settings.auth_apop_without_tls = false;
    /* another session, another stamp */
    struct session_env env = { .settings = &settings, .service = SERVICE_POP3, .id = 0x1b, .seed = { 8 }, .started = 1000 };
    s = session_open(&pop3_protocol, &env, NULL, now);
    drain();
    assert_false(slice_has(buf_slice(&out), slice_of(stamp)));
    close_session();
}

static void test_legacy_lane(void **state)
{
    (void)state;
    static struct network office;
    assert_int_equal(network_parse(S("192.0.2.0/24"), &office), STATUS_OK);
    settings.legacy_networks = (struct networks){ &office, 1 };
    open_as(SERVICE_POP3, NULL, "192.0.2.1", false);
    buf_clear(&out);
    say("USER scanner\r\nPASS x\r\n");
    assert_int_equal(asked.login.from.device_only, 1);
    assert_int_equal(asked.login.from.encrypted, 0);
    close_session();
    open_as(SERVICE_POP3, NULL, "198.51.100.1", false);
    buf_clear(&out);
    say("USER scanner\r\n");
    expect("-ERR [AUTH] you must use TLS first: STLS, or port 995 [EK-2]\r\n");
    expect_note("pop3.cleartext");
    close_session();
    settings.legacy_networks = (struct networks){ NULL, 0 };
}

/* C054: what stands behind STLS in the same piece is neither run nor read inside TLS. */
static void test_c054_stls(void **state)
{
    (void)state;
    open_as(SERVICE_POP3, NULL, "192.0.2.1", false);
    buf_clear(&out);
    say("STLS\r\nUSER att\r\nPASS pw\r\n");
    expect("-ERR nothing may follow STLS before TLS begins [EK-58]\r\n");
    assert_true(closed && !wants_tls && asked.kind == ASK_NONE);
    expect_note("pop3.refused reason=octets behind STLS ek=58");
    close_session();
    /* C056: what was said before TLS is forgotten */
    settings.auth_apop_without_tls = true;
    open_as(SERVICE_POP3, NULL, "192.0.2.1", false);
    say("LANG ja\r\nUTF8\r\nSTLS\r\n");
    assert_true(wants_tls);
    wants_tls = false;
    assert_int_equal(session_feed(s, S("PASS pw\r\n"), now), 0);
    session_secured(s, &facts, now);
    buf_clear(&out);
    say("PASS pw\r\nSTLS\r\n");
    expect("-ERR USER first [EK-63]\r\n-ERR TLS is active already [EK-63]\r\n");
    close_session();
    settings.auth_apop_without_tls = false;
}

static void test_timeouts(void **state)
{
    (void)state;
    settings.timeout_command = MINUTES(1);
    set_drop(1);
    log_in();
    assert_int_equal(session_deadline(s), now + MINUTES(10)); /* RFC 1939 3: at least ten */
    now += MINUTES(9);
    say("DELE 1\r\n");
    buf_clear(&out);
    assert_int_equal(session_deadline(s), now + MINUTES(10));
    now += MINUTES(10);
    session_tick(s, now);
    drain();
    assert_true(closed);
    expect(""); /* RFC 1939 3: nothing is said, nothing is removed */
    assert_int_equal(asked.kind, ASK_NONE);
    close_session();
    settings.timeout_command = MINUTES(30);
    open_secured();
    assert_int_equal(session_deadline(s), now + MINUTES(30));
    /* half a line is no command */
    now += MINUTES(1);
    say("NOO");
    assert_int_equal(session_deadline(s), now + MINUTES(29));
    close_session();
    settings.timeout_command = 0;
}

static void test_budgets(void **state)
{
    (void)state;
    open_secured();
    for (int i = 0; !closed && i < 100; i++)
        say("FOO\r\n");
    assert_true(closed);
    size_t lines = 0;
    for (size_t i = 0; i < out.len; i++)
        lines += out.ptr[i] == '\n';
    assert_int_equal(lines, LIMIT_SESSION_ERRORS + 1);
    close_session();
    open_secured();
    for (int i = 0; !closed && i < 1000; i++)
        say("CAPA\r\n"); /* C229: a stranger keeps no session alive for ever */
    assert_true(closed);
    close_session();
    set_drop(1);
    log_in();
    for (int i = 0; i < 5000; i++) { /* C153 */
        say("NOOP\r\n");
        buf_clear(&out);
    }
    assert_false(closed);
    assert_true(s->of_command.used + s->of_session.used < 4096);
    close_session();
}

static void test_long_lines(void **state)
{
    (void)state;
    static char line[6000];
    memset(line, 'x', sizeof line);
    memcpy(line, "USER ", 5);
    memcpy(line + 5000, "\r\nLANG\r\n", 8);
    open_secured();
    for (size_t i = 0; i < 5008; i += 501) /* C153: in pieces */
        feed((struct slice){ line + i, 5008 - i < 501 ? 5008 - i : 501 });
    expect("-ERR line too long [EK-61]\r\n+OK language listing follows:\r\nen English\r\nja 日本語\r\n.\r\n");
    say("USER a\nUSER b\r\n"); /* a bare LF ends nothing */
    expect("-ERR lines end with CRLF and hold no NUL [EK-41]\r\n");
    close_session();
}

static void test_stop_and_crowd(void **state)
{
    (void)state;
    open_as(SERVICE_POP3, NULL, "192.0.2.1", true);
    expect("-ERR [SYS/TEMP] too many connections, try again later [EK-50]\r\n");
    assert_true(closed);
    close_session();
    set_drop(1);
    log_in();
    say("DELE 1\r\nQUIT\r\n"); /* a command under way is finished */
    buf_clear(&out);
    session_stop(s, now);
    drain();
    assert_false(closed);
    reply((struct answer){ .kind = ASK_EXPUNGE, .expunge = { .removed = 1 } });
    expect("+OK bye\r\n");
    assert_true(closed);
    close_session();
    log_in();
    session_stop(s, now);
    drain();
    expect("-ERR [SYS/TEMP] server is stopping [EK-51]\r\n");
    assert_true(closed);
    close_session();
    log_in();
    say("RETR 1\r\n");
    session_stop(s, now);
    drain();
    reply_fetch(S("x\r\n"), 1);
    expect("+OK 100 octets\r\nx\r\n.\r\n-ERR [SYS/TEMP] server is stopping [EK-51]\r\n");
    close_session();
    open_secured();
    say("GET / HTTP/1.1\r\nUSER a\r\n");
    assert_true(closed);
    expect("");
    close_session();
}

int main(void)
{
    settings.hostname = S("pop.x.test");
    settings.holders = 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uidl_pages), cmocka_unit_test(test_long_listing), cmocka_unit_test(test_retr_reads_ahead),
        cmocka_unit_test(test_large_message), cmocka_unit_test(test_slow_reader), cmocka_unit_test(test_fetch_failures),
        cmocka_unit_test(test_top), cmocka_unit_test(test_top_stops_early), cmocka_unit_test(test_expunge_ranges),
        cmocka_unit_test(test_expunge_many), cmocka_unit_test(test_login_asks), cmocka_unit_test(test_ten_failures),
        cmocka_unit_test(test_secret_is_wiped), cmocka_unit_test(test_c085_apop), cmocka_unit_test(test_legacy_lane),
        cmocka_unit_test(test_c054_stls), cmocka_unit_test(test_timeouts), cmocka_unit_test(test_budgets),
        cmocka_unit_test(test_long_lines), cmocka_unit_test(test_stop_and_crowd),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_done(&out);
    buf_done(&notes);
    return failed;
}
