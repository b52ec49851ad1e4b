#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/must.h"
#include "net/conn_impl.h" /* the tests turn a connection's deadlines back instead of waiting for them */
#include "net/test_pair.h"
#include "proto/line.h"
#include "proto/session_impl.h"

/* ---- a protocol of this file: a line is a command ---------------------------------------------------------------- */

struct toy {
    struct line line;
    uint64_t body_left, body_size, listed, list_end;
    bool staged, asked_stage;
};

static void toy_open(struct session *s)
{
    struct toy *toy = s->state;
    line_init(&toy->line, 128);
    s->deadline = s->now + MINUTES(10);
    session_print(s, "hello %.*s\r\n", (int)s->tls.version.len, s->tls.version.ptr);
}

static uint64_t number_in(struct slice text)
{
    uint64_t number = 0;
    assert_int_equal(slice_number(slice_from(text, slice_find(text, ' ') + 1), UINT32_MAX, &number), STATUS_OK);
    return number;
}

static void toy_line(struct session *s, struct toy *toy)
{
    struct slice text = toy->line.text;
    if (slice_starts(text, S("echo ")))
        session_print(s, "%.*s\r\n", (int)text.len - 5, text.ptr + 5);
    else if (slice_equal(text, S("ask")))
        session_ask(s, ASK_RCPT)->rcpt.recipient = S("a@b.example");
    else if (slice_starts(text, S("body ")))
        toy->body_left = toy->body_size = number_in(text);
    else if (slice_starts(text, S("list ")))
        toy->list_end = toy->listed + number_in(text);
    else if (slice_equal(text, S("note")))
        session_note(s, &(struct note){ .event = "toy.note", .fields = { { "text", text } } });
    else if (slice_equal(text, S("tls"))) {
        session_send(s, S("go\r\n"));
        session_want_tls(s);
    } else if (slice_equal(text, S("quit"))) {
        session_send(s, S("bye\r\n"));
        session_want_close(s);
    }
}

static void toy_body(struct session *s, struct toy *toy, struct slice *rest)
{
    struct slice piece = slice_upto(*rest, toy->body_left);
    assert_int_equal(buf_put(session_body(s), piece), STATUS_OK);
    *rest = slice_from(*rest, piece.len);
    toy->body_left -= piece.len;
    if (toy->body_size > LIMIT_INLINE_BODY && !toy->asked_stage) {
        /* Like SMTP, which knows the size from MAIL or from what came so far. */
        toy->asked_stage = true;
        session_ask(s, ASK_STAGE)->stage.announced = toy->body_size;
    } else if (toy->body_left == 0) {
        session_ask(s, ASK_DELIVER)->deliver.staged = toy->staged ? toy->body_size : 0;
    }
}

static size_t toy_feed(struct session *s, struct slice wire)
{
    struct toy *toy = s->state;
    struct slice rest = wire;
    while (!session_is_stopped(s)) {
        if (toy->listed < toy->list_end)
            session_print(s, "row %llu\r\n", (unsigned long long)toy->listed++);
        else if (toy->body_left > 0 && (rest.len > 0 || (toy->body_size > LIMIT_INLINE_BODY && !toy->asked_stage)))
            toy_body(s, toy, &rest);
        else if (toy->body_left == 0 && line_take(&toy->line, &rest))
            toy_line(s, toy);
        else
            break;
    }
    return wire.len - rest.len;
}

static void toy_answer(struct session *s, const struct answer *answer)
{
    struct toy *toy = s->state;
    if (answer->kind == ASK_STAGE) {
        toy->staged = answer->status == STATUS_OK;
        if (toy->body_left == 0)
            session_ask(s, ASK_DELIVER)->deliver.staged = toy->staged ? toy->body_size : 0;
    } else {
        session_print(s, "answer %s %s\r\n", ask_defs[answer->kind].name, status_name(answer->status));
        toy->staged = toy->asked_stage = false;
    }
}

static void toy_secured(struct session *s)
{
    line_drop(&((struct toy *)s->state)->line);
    session_print(
        s, "tls %.*s %.*s\r\n", (int)s->tls.version.len, s->tls.version.ptr, (int)s->tls.sni.len, s->tls.sni.ptr);
}

static void toy_expired(struct session *s)
{
    session_send(s, S("too slow\r\n"));
    session_want_close(s);
}

static void toy_hangup(struct session *s)
{
    session_ask(s, ASK_RESET);
}

static void toy_stop(struct session *s)
{
    if (((struct toy *)s->state)->body_left > 0)
        return; /* in the middle of a message there is no place for a reply */
    session_send(s, S("stopping\r\n"));
    session_want_close(s);
}

static void toy_close(struct session *s)
{
    line_done(&((struct toy *)s->state)->line);
}

static const struct protocol toy_protocol = { "toy", sizeof(struct toy), toy_open, toy_feed, toy_answer, toy_secured,
    toy_expired, toy_hangup, toy_stop, toy_close };

/* ---- the host, and a client -------------------------------------------------------------------------------------- */

static struct {
    struct loop loop;
    struct settings *settings;
    struct tls_context *context;
    struct test_pair pair;
    struct signer *signer;
    struct conn *conn;
    enum status refuse;  /* what the host says to asks */
    enum ask_kind asked; /* the last one that wants an answer */
    int asks, resets, ends, gone;
    struct buf body; /* of the last DELIVER that came inline */
    uint64_t staged;
    int file, client; /* file: came with DELIVER, or -1 */
    SSL_CTX *ctx;
    SSL *ssl;
    struct buf got;
} t;

static enum status host_ask(void *context, struct conn *conn, const struct ask *ask)
{
    assert_ptr_equal(context, &t);
    (void)conn;
    t.resets += ask->kind == ASK_RESET;
    t.ends += ask->kind == ASK_END_SESSION;
    if (t.refuse != STATUS_OK) {
        if (ask->fd >= 0)
            close(ask->fd);
        return t.refuse;
    }
    if (!ask_defs[ask->kind].silent) {
        t.asked = ask->kind;
        t.asks++;
    }
    if (ask->kind == ASK_DELIVER) {
        buf_clear(&t.body);
        assert_int_equal(buf_put(&t.body, ask->deliver.body), STATUS_OK);
        t.staged = ask->deliver.staged;
        t.file = ask->fd;
    }
    return STATUS_OK;
}

static void host_gone(void *context, struct conn *conn)
{
    assert_ptr_equal(context, &t);
    assert_ptr_equal(conn, t.conn);
    t.conn = NULL;
    t.gone++;
}

static void open_conn(bool with_tls, bool implicit)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    must(setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0); /* as the supervisor's */
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof address;
    must(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 1) == 0);
    must(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    t.client = socket(AF_INET, SOCK_STREAM, 0);
    must(connect(t.client, (struct sockaddr *)&address, len) == 0);
    must(fcntl(t.client, F_SETFL, O_NONBLOCK) == 0);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    close(listener);
    struct conn_host host = { .loop = &t.loop, .ask = host_ask, .gone = host_gone, .context = &t };
    struct conn_plan plan = { .protocol = &toy_protocol,
        .tls = with_tls ? t.context : NULL,
        .implicit_tls = implicit,
        .env = { .settings = t.settings, .service = SERVICE_SUBMISSION, .id = 7, .started = 1000 } };
    t.conn = conn_open(&host, &plan, fd);
}

static int begin(void **state)
{
    static const char key[80] = "key";
    (void)state;
    memset(&t, 0, sizeof t);
    loop_init(&t.loop);
    t.settings = alloc(sizeof *t.settings);
    t.settings->holders = 1;
    t.file = t.client = -1;
    t.got = BUF(64u << 20);
    t.body = BUF(1u << 20);
    t.pair = test_pair_make("toy", "DNS:mail.example", false);
    t.signer = test_signer((const struct test_pair *[]){ &t.pair }, 1);
    struct tls_pair view = test_pair_view(&t.pair);
    struct buf why = BUF(256);
    struct tls_plan plan = { .pairs = &view,
        .pair_count = 1,
        .min_version = TLS1_2_VERSION,
        .ticket_key = { key, 80 },
        .ticket_scope = S("toy") };
    assert_int_equal(tls_context_open(&plan, &t.context, &why), STATUS_OK);
    return 0;
}

static void turn(void)
{
    for (int i = 0; i < 3; i++)
        uv_run(&t.loop.uv, UV_RUN_NOWAIT);
}

static int end(void **state)
{
    (void)state;
    if (t.ssl)
        SSL_free(t.ssl);
    SSL_CTX_free(t.ctx);
    if (t.client >= 0)
        close(t.client);
    for (int i = 0; i < 1000 && t.conn; i++)
        turn();
    assert_null(t.conn);
    assert_int_equal(t.gone, 1);
    if (t.file >= 0)
        close(t.file);
    loop_done(&t.loop);
    tls_context_release(t.context);
    assert_int_equal(t.settings->holders, 1);
    settings_release(t.settings);
    test_signer_done(t.signer);
    test_pair_done(&t.pair);
    buf_done(&t.got);
    buf_done(&t.body);
    return 0;
}

static void say(const char *text)
{
    size_t len = strlen(text);
    if (t.ssl)
        assert_int_equal(SSL_write(t.ssl, text, (int)len), len);
    else
        assert_int_equal(write(t.client, text, len), len);
}

/* Takes what came; false at the end of the stream. */
static bool hear(void)
{
    char octets[65536];
    ssize_t got = t.ssl ? SSL_read(t.ssl, octets, sizeof octets) : read(t.client, octets, sizeof octets);
    if (t.ssl && got <= 0) {
        bool more = SSL_get_error(t.ssl, (int)got) == SSL_ERROR_WANT_READ;
        ERR_clear_error();
        return more;
    }
    if (got < 0)
        return errno == EAGAIN;
    assert_int_equal(buf_put(&t.got, (struct slice){ octets, (size_t)got }), STATUS_OK);
    return got > 0;
}

/* Waits for exactly this text, and forgets it. */
static void expect(const char *text)
{
    for (int i = 0; i < 5000 && t.got.len < strlen(text); i++) {
        turn();
        hear();
    }
    assert_true(slice_starts(buf_slice(&t.got), slice_of(text)));
    buf_drop(&t.got, strlen(text));
}

static void expect_nothing_but_the_end(void)
{
    bool open = true;
    for (int i = 0; i < 5000 && open; i++) {
        turn();
        open = hear();
    }
    assert_false(open);
    assert_int_equal(t.got.len, 0);
}

static void wait_for_ask(enum ask_kind kind)
{
    for (int i = 0; i < 5000 && t.asked != kind; i++)
        turn();
    assert_int_equal(t.asked, kind);
    t.asked = ASK_NONE;
}

static void answer(enum ask_kind kind, enum status status, int fd)
{
    struct answer reply = { .kind = kind, .status = status, .fd = fd };
    if (kind == ASK_STAGE)
        reply.stage.verdict = MAIL_OK;
    conn_answer(t.conn, &reply);
}

static void shake_hands(void)
{
    t.ctx = SSL_CTX_new(TLS_client_method());
    t.ssl = SSL_new(t.ctx);
    SSL_set_fd(t.ssl, t.client);
    SSL_set_tlsext_host_name(t.ssl, "mail.example");
    int result = 0;
    for (int i = 0; i < 1000 && result != 1; i++) {
        result = SSL_connect(t.ssl);
        turn();
    }
    assert_int_equal(result, 1);
}

/* ---- the tests --------------------------------------------------------------------------------------------------- */

static void commands_are_answered_in_one_write_a_pass(void **state)
{
    char octets[256] = { 0 };
    (void)state;
    open_conn(false, false);
    expect("hello \r\n");
    say("echo a\r\necho b\r\nnote\r\necho c");
    say("\r\n");
    turn();
    assert_int_equal(read(t.client, octets, sizeof octets), 9); /* not three of three octets */
    assert_string_equal(octets, "a\r\nb\r\nc\r\n");
    assert_int_equal(t.conn->in.cap + t.conn->out.cap, 0); /* an idle connection holds no buffer */
    say("quit\r\n");
    expect("bye\r\n");
    expect_nothing_but_the_end();
    assert_int_equal(t.gone, 1);
}

static void what_stands_behind_an_ask_waits_for_its_answer(void **state)
{
    (void)state;
    open_conn(false, false);
    expect("hello \r\n");
    say("echo a\r\nask\r\necho b\r\n");
    wait_for_ask(ASK_RCPT);
    say("echo c\r\n");
    turn();
    say("echo d\r\n"); /* beyond what is kept: it stays in the socket */
    turn();
    assert_true(t.conn->paused);
    assert_int_equal(t.got.len, 0);
    answer(ASK_RCPT, STATUS_OK, -1);
    expect("a\r\nanswer rcpt ok\r\nb\r\nc\r\nd\r\n");
    assert_false(t.conn->paused);
    /* An answer that nobody waits for changes nothing; its descriptor is closed. */
    answer(ASK_RCPT, STATUS_OK, dup(t.client));
    say("quit\r\n");
    expect("bye\r\n");
    expect_nothing_but_the_end();
    assert_int_equal(t.ends, 1);
}

/* RFC 2920 3.2: replies to a group go as a unit.  What fills a packet does not wait. */
static void replies_go_with_the_answer_that_is_due(void **state)
{
    (void)state;
    const size_t rows = 10 * 7 + 90 * 8 + 100 * 9; /* octets of "row 0" to "row 199" */
    must(rows > CONN_SMALL);
    open_conn(false, false);
    expect("hello \r\n");
    say("echo a\r\nask\r\n");
    wait_for_ask(ASK_RCPT);
    for (int i = 0; i < 5; i++) {
        turn();
        hear();
    }
    assert_int_equal(t.got.len, 0);
    answer(ASK_RCPT, STATUS_OK, -1);
    expect("a\r\nanswer rcpt ok\r\n");
    say("list 200\r\nask\r\n");
    wait_for_ask(ASK_RCPT);
    for (int i = 0; i < 500 && t.got.len < rows; i++) {
        turn();
        hear();
    }
    assert_int_equal(t.got.len, rows);
    buf_drop(&t.got, rows);
    answer(ASK_RCPT, STATUS_OK, -1);
    expect("answer rcpt ok\r\n");
}

static void an_ask_that_the_host_refuses_is_answered_by_the_driver(void **state)
{
    (void)state;
    open_conn(false, false);
    t.refuse = STATUS_BUSY;
    say("ask\r\nask\r\n");
    expect("hello \r\nanswer rcpt busy\r\nanswer rcpt busy\r\n");
    t.refuse = STATUS_AWAY;
    say("ask\r\necho on\r\n");
    expect("answer rcpt away\r\non\r\n");
}

static void c052_what_was_sent_behind_starttls_is_dropped(void **state)
{
    (void)state;
    open_conn(true, false);
    expect("hello \r\n");
    say("tls\r\necho injected\r\necho half");
    expect("go\r\n");
    shake_hands();
    say("echo mine\r\n");
    expect("tls TLSv1.3 mail.example\r\nmine\r\n");
    say("quit\r\n");
    expect("bye\r\n");
    expect_nothing_but_the_end();
}

static void c052_also_what_waited_behind_an_ask(void **state)
{
    (void)state;
    open_conn(true, false);
    expect("hello \r\n");
    say("ask\r\ntls\r\necho injected\r\n");
    wait_for_ask(ASK_RCPT);
    assert_true(t.conn->in.len > 0);
    answer(ASK_RCPT, STATUS_OK, -1);
    expect("answer rcpt ok\r\ngo\r\n");
    assert_int_equal(t.conn->in.len, 0);
    shake_hands();
    say("echo mine\r\n");
    expect("tls TLSv1.3 mail.example\r\nmine\r\n");
}

static void c052_plain_text_that_comes_later_breaks_the_handshake(void **state)
{
    (void)state;
    open_conn(true, false);
    expect("hello \r\n");
    say("tls\r\n");
    expect("go\r\n");
    say("echo injected\r\n");
    for (int i = 0; i < 100 && t.conn; i++)
        turn();
    assert_null(t.conn);
    hear();
    assert_false(slice_has(buf_slice(&t.got), S("injected")));
}

static void implicit_tls_comes_before_the_first_word(void **state)
{
    (void)state;
    open_conn(true, true);
    turn();
    assert_null(t.conn->session);
    shake_hands();
    expect("hello TLSv1.3\r\n");
    say("echo a\r\nquit\r\n");
    expect("a\r\nbye\r\n");
    expect_nothing_but_the_end();
    assert_int_equal(SSL_get_shutdown(t.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN); /* close_notify */
}

/* RFC 9266: what the client computes is what the session compares with; and it is the session's own. */
static void c065_a_session_knows_its_channel(void **state)
{
    (void)state;
    open_conn(true, true);
    shake_hands();
    unsigned char exporter[32];
    const struct tls_facts *facts = &t.conn->session->tls;
    assert_int_equal(
        SSL_export_keying_material(t.ssl, exporter, sizeof exporter, "EXPORTER-Channel-Binding", 24, NULL, 0, 0), 1);
    assert_non_null(facts->export);
    struct slice made = facts->export(facts->context);
    assert_int_equal(made.len, sizeof exporter);
    assert_memory_equal(made.ptr, exporter, sizeof exporter);
    assert_int_equal(facts->end_point.len, 32);
    assert_int_equal(facts->unique.len + facts->peer_key.len, 0);
    assert_false(facts->outdated);
    expect("hello TLSv1.3\r\n");
    say("quit\r\n");
    expect("bye\r\n");
}

static void c072_a_handshake_has_thirty_seconds(void **state)
{
    (void)state;
    open_conn(true, true);
    turn();
    assert_in_range(t.conn->deadline - clock_now(), SECONDS(29), SECONDS(30));
    assert_in_range(t.conn->timer_at, 1, t.conn->deadline);
    t.conn->deadline = 1;
    conn_timer_fired(t.conn);
    turn();
    assert_null(t.conn);
}

static void c068_the_end_of_the_stream_is_not_the_end_of_a_message(void **state)
{
    (void)state;
    open_conn(true, true);
    shake_hands();
    expect("hello TLSv1.3\r\n");
    say("body 10\r\n12345");
    turn();
    shutdown(t.client, SHUT_RDWR); /* without close_notify */
    for (int i = 0; i < 100 && t.conn; i++)
        turn();
    assert_null(t.conn);
    assert_int_equal(t.asks, 0);
    assert_int_equal(t.resets, 1);
    assert_int_equal(t.ends, 1);
}

static void a_peer_that_only_stops_talking_gets_its_answers(void **state)
{
    (void)state;
    open_conn(false, false);
    say("ask\r\necho last\r\n");
    shutdown(t.client, SHUT_WR);
    wait_for_ask(ASK_RCPT);
    turn();
    assert_non_null(t.conn);
    answer(ASK_RCPT, STATUS_OK, -1);
    expect("hello \r\nanswer rcpt ok\r\nlast\r\n");
    expect_nothing_but_the_end();
}

static void an_end_that_comes_during_an_ask_waits_for_the_answer(void **state)
{
    (void)state;
    open_conn(false, false);
    say("ask\r\n");
    shutdown(t.client, SHUT_WR);
    wait_for_ask(ASK_RCPT);
    turn();
    assert_true(t.conn && t.conn->ended);
    answer(ASK_RCPT, STATUS_OK, -1);
    expect("hello \r\nanswer rcpt ok\r\n");
    expect_nothing_but_the_end();
}

static void a_small_body_travels_with_its_ask(void **state)
{
    (void)state;
    open_conn(false, false);
    expect("hello \r\n");
    say("body 11\r\nhello ");
    turn();
    say("worldbody 2\r\nok");
    wait_for_ask(ASK_DELIVER);
    assert_true(slice_equal(buf_slice(&t.body), S("hello world")));
    assert_int_equal(t.file, -1);
    assert_int_equal(t.staged, 0);
    answer(ASK_DELIVER, STATUS_OK, -1);
    wait_for_ask(ASK_DELIVER);
    assert_true(slice_equal(buf_slice(&t.body), S("ok"))); /* nothing of the first */
    assert_int_equal(t.conn->body.held.cap, 0);
    answer(ASK_DELIVER, STATUS_OK, -1);
    expect("answer deliver ok\r\nanswer deliver ok\r\n");
}

#define LARGE 3000000

static char *large_text(void)
{
    char *text = alloc(LARGE + 1);
    for (size_t i = 0; i < LARGE; i++)
        text[i] = (char)('a' + i * 7 % 26);
    return text;
}

/* Sends it all, while the loop turns; answers STAGE with `fd`. */
static void send_large(const char *text, int fd)
{
    size_t at = 0;
    say("body 3000000\r\n");
    for (int i = 0; i < 100000 && (at < LARGE || t.asked != ASK_DELIVER) && t.got.len == 0; i++) {
        ssize_t sent = at < LARGE ? write(t.client, text + at, LARGE - at) : 0;
        if (sent > 0)
            at += (size_t)sent;
        turn();
        hear();
        if (t.asked == ASK_STAGE) {
            t.asked = ASK_NONE;
            turn(); /* while it waits, the peer may not fill our memory */
            assert_true(t.conn->in.len <= CONN_PLAIN_ROOM && t.conn->body.held.len <= 2 * LIMIT_INLINE_BODY);
            answer(ASK_STAGE, STATUS_OK, fd);
        }
    }
    assert_int_equal(at, LARGE);
}

static void a_large_body_goes_to_the_file_that_the_keeper_lent(void **state)
{
    (void)state;
    char *text = large_text();
    open_conn(false, false);
    expect("hello \r\n");
    send_large(text, memfd_create("stage", MFD_CLOEXEC));
    wait_for_ask(ASK_DELIVER);
    assert_int_equal(t.staged, LARGE);
    assert_int_equal(t.body.len, 0);
    char *got = mmap(NULL, LARGE, PROT_READ, MAP_PRIVATE, t.file, 0);
    must(got != MAP_FAILED);
    assert_memory_equal(got, text, LARGE);
    munmap(got, LARGE);
    answer(ASK_DELIVER, STATUS_OK, -1);
    expect("answer deliver ok\r\n");
    assert_int_equal(t.conn->body.fd, -1);
    release(text);
}

static void a_file_that_was_promised_and_did_not_come_is_a_failure(void **state)
{
    (void)state;
    open_conn(false, false);
    expect("hello \r\n");
    say("body 70000\r\n");
    wait_for_ask(ASK_STAGE);
    answer(ASK_STAGE, STATUS_OK, -1);
    assert_false(((struct toy *)t.conn->session->state)->staged);
    assert_int_equal(t.conn->body.fd, -1);
}

static void a_full_disk_is_said_at_the_end_of_the_message(void **state)
{
    (void)state;
    char *text = large_text();
    open_conn(false, false);
    expect("hello \r\n");
    send_large(text, open("/dev/full", O_WRONLY | O_CLOEXEC));
    expect("answer deliver full\r\n");
    assert_int_equal(t.asks, 1); /* STAGE; the keeper is not asked to take what is not whole */
    say("body 2\r\nok");         /* and the next message is not concerned */
    wait_for_ask(ASK_DELIVER);
    assert_true(slice_equal(buf_slice(&t.body), S("ok")));
    answer(ASK_DELIVER, STATUS_OK, -1);
    expect("answer deliver ok\r\n");
    release(text);
}

static void a_slow_reader_is_not_fed(void **state)
{
    (void)state;
    open_conn(false, false);
    expect("hello \r\n");
    say("list 900000\r\n");
    for (int i = 0; i < 200; i++)
        turn();
    assert_true(t.conn->stalled);
    assert_true(t.conn->blocked_since != 0);
    assert_in_range(t.conn->out.len, 0, 2 * LIMIT_SEND_BUFFER);
    say("echo on\r\n");
    for (int i = 0; i < 100000 && !slice_ends_nocase(buf_slice(&t.got), S("\r\non\r\n")); i++) {
        turn();
        hear();
    }
    struct slice rest = buf_slice(&t.got), line;
    char row[32];
    for (unsigned i = 0; i < 900000; i++) {
        snprintf(row, sizeof row, "row %u\r", i);
        assert_true(slice_cut(&rest, '\n', &line));
        assert_true(slice_equal(line, slice_of(row)));
    }
    assert_true(slice_equal(rest, S("on\r\n")));
    assert_false(t.conn->stalled);
}

static void c228_a_peer_that_never_reads_is_closed(void **state)
{
    (void)state;
    open_conn(false, false);
    say("list 900000\r\n");
    for (int i = 0; i < 200; i++)
        turn();
    assert_true(t.conn->timer_at <= t.conn->blocked_since + LIMIT_WRITE);
    t.conn->blocked_since = 1;
    conn_timer_fired(t.conn);
    turn();
    assert_null(t.conn);
    assert_int_equal(t.resets, 1);
}

static void a_sessions_deadline_is_told(void **state)
{
    (void)state;
    open_conn(false, false);
    expect("hello \r\n");
    conn_timer_fired(t.conn); /* too early: nothing happens */
    turn();
    assert_non_null(t.conn);
    t.conn->session->deadline = 1;
    conn_timer_fired(t.conn);
    expect("too slow\r\n");
    expect_nothing_but_the_end();
}

static void the_last_reply_survives_a_peer_that_goes_on_sending(void **state)
{
    static const char junk[100000];
    char octets[16];
    ssize_t got = -1;
    (void)state;
    open_conn(false, false);
    expect("hello \r\n");
    say("quit\r\n");
    uv_run(&t.loop.uv, UV_RUN_NOWAIT);
    for (int i = 0; i < 3; i++) {
        assert_true(write(t.client, junk, sizeof junk) > 0); /* a reset would end this */
        turn();
    }
    expect("bye\r\n");
    shutdown(t.client, SHUT_WR);
    for (int i = 0; i < 100 && got < 0; i++) {
        turn();
        got = read(t.client, octets, sizeof octets);
        assert_true(got >= 0 || errno == EAGAIN);
    }
    assert_int_equal(got, 0);
    turn();
    assert_null(t.conn);
}

static void stopping_says_so_and_ends(void **state)
{
    (void)state;
    open_conn(false, false);
    expect("hello \r\n");
    conn_stop(t.conn);
    assert_non_null(t.conn); /* gone comes at the end of the pass */
    expect("stopping\r\n");
    expect_nothing_but_the_end();
}

static void without_the_keeper_a_message_under_way_ends_the_connection(void **state)
{
    (void)state;
    open_conn(false, false);
    say("ask\r\nbody 10\r\n123");
    wait_for_ask(ASK_RCPT);
    t.refuse = STATUS_AWAY;
    conn_abort(t.conn);
    expect("hello \r\nanswer rcpt away\r\n");
    expect_nothing_but_the_end();
}

/* It may have been stored: whoever reads "451" would take it for refused, and send it again as another message. */
static void without_the_keeper_nobody_says_what_became_of_a_message(void **state)
{
    (void)state;
    open_conn(false, false);
    say("body 3\r\n123");
    wait_for_ask(ASK_DELIVER);
    t.refuse = STATUS_AWAY;
    conn_abort(t.conn);
    expect("hello \r\n");
    expect_nothing_but_the_end();
}

static void a_reset_ends_the_session_and_gives_back(void **state)
{
    (void)state;
    open_conn(false, false);
    expect("hello \r\n");
    say("ask\r\n");
    wait_for_ask(ASK_RCPT);
    setsockopt(t.client, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
    close(t.client);
    t.client = -1;
    for (int i = 0; i < 100 && t.conn; i++)
        turn();
    assert_null(t.conn);
    assert_int_equal(t.resets, 1);
    assert_int_equal(t.ends, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(commands_are_answered_in_one_write_a_pass),
        CASE(what_stands_behind_an_ask_waits_for_its_answer),
        CASE(replies_go_with_the_answer_that_is_due),
        CASE(an_ask_that_the_host_refuses_is_answered_by_the_driver),
        CASE(c052_what_was_sent_behind_starttls_is_dropped),
        CASE(c052_also_what_waited_behind_an_ask),
        CASE(c052_plain_text_that_comes_later_breaks_the_handshake),
        CASE(implicit_tls_comes_before_the_first_word),
        CASE(c065_a_session_knows_its_channel),
        CASE(c072_a_handshake_has_thirty_seconds),
        CASE(c068_the_end_of_the_stream_is_not_the_end_of_a_message),
        CASE(a_peer_that_only_stops_talking_gets_its_answers),
        CASE(an_end_that_comes_during_an_ask_waits_for_the_answer),
        CASE(a_small_body_travels_with_its_ask),
        CASE(a_large_body_goes_to_the_file_that_the_keeper_lent),
        CASE(a_file_that_was_promised_and_did_not_come_is_a_failure),
        CASE(a_full_disk_is_said_at_the_end_of_the_message),
        CASE(a_slow_reader_is_not_fed),
        CASE(c228_a_peer_that_never_reads_is_closed),
        CASE(a_sessions_deadline_is_told),
        CASE(the_last_reply_survives_a_peer_that_goes_on_sending),
        CASE(stopping_says_so_and_ends),
        CASE(without_the_keeper_a_message_under_way_ends_the_connection),
        CASE(without_the_keeper_nobody_says_what_became_of_a_message),
        CASE(a_reset_ends_the_session_and_gives_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
