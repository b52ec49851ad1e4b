#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "proto/smtp/smtp_client.h"

/* A conversation: what the other server says, and what the client must do then. */
enum step_kind { SERVER, CLIENT, TLS, BODY, LAST_BODY, READ, LOST, DONE };
struct step {
    enum step_kind kind;
    const char *text;
};

static struct arena arena = ARENA(4u << 20);
static struct client_rcpt rcpts[600];

static struct client_job job_to(size_t count)
{
    static char addresses[600][40];
    arena_reset(&arena);
    for (size_t i = 0; i < count; i++) {
        snprintf(addresses[i], sizeof addresses[i], "r%zu@x.test", i + 1);
        rcpts[i] = (struct client_rcpt){ .address = slice_of(addresses[i]) };
    }
    return (struct client_job){ .helo = S("us.test"), .sender = S("a@us.test"), .rcpts = rcpts, .rcpt_count = count, .size = 10,
        .tls = TLS_WISH_MAY };
}

/* All octets that the client wants to send before its next other wish. */
static enum client_wish drain(struct client *c, struct buf *out)
{
    struct slice octets;
    enum client_wish wish;
    buf_clear(out);
    while ((wish = client_next(c, &octets)) == CLIENT_SEND)
        assert_int_equal(buf_put(out, octets), STATUS_OK);
    return wish;
}

static void expect_said(const struct buf *said, const char *text)
{
    if (!slice_equal(buf_slice(said), slice_of(text)))
        fail_msg("said \"%.*s\", not \"%s\"", (int)said->len, said->ptr, text);
}

static void take_step(struct client *c, const struct step *step, size_t cut, struct buf *said)
{
    struct slice text = slice_of(step->text), octets;
    switch (step->kind) {
    case SERVER:
        assert_int_equal(said->len, 0); /* whatever the client said stands in the conversation */
        for (; text.len > 0; text = slice_from(text, cut))
            client_feed(c, slice_upto(text, cut), 1000);
        drain(c, said);
        break;
    case CLIENT:
        expect_said(said, step->text);
        buf_clear(said);
        break;
    case TLS:
        assert_int_equal(client_next(c, &octets), CLIENT_TLS);
        client_secured(c, 2000);
        drain(c, said);
        break;
    case BODY:
    case LAST_BODY:
        assert_int_equal(client_next(c, &octets), CLIENT_BODY);
        client_body(c, text, step->kind == LAST_BODY, 3000);
        drain(c, said);
        break;
    case READ:
        assert_int_equal(client_next(c, &octets), CLIENT_READ);
        break;
    case LOST:
        client_lost(c, text, 4000);
        break;
    case DONE:
        assert_int_equal(client_next(c, &octets), CLIENT_DONE);
        break;
    }
}

static void play_cut(const struct client_job *job, const struct step *steps, size_t cut)
{
    struct buf said = BUF(1u << 20);
    for (size_t i = 0; i < job->rcpt_count; i++)
        rcpts[i].outcome = 0;
    struct client *c = client_open(job, &arena, 0);
    drain(c, &said);
    for (const struct step *step = steps;; step++) {
        take_step(c, step, cut, &said);
        if (step->kind == DONE)
            break;
    }
    assert_int_equal(said.len, 0);
    client_close(c);
    buf_done(&said);
}

/* The same conversation, however it is cut on the wire. */
#define PLAY(job, ...) \
    do { \
        const struct step steps[] = { __VA_ARGS__, { DONE, NULL } }; \
        play_cut((job), steps, 1); \
        play_cut((job), steps, 7); \
        play_cut((job), steps, SIZE_MAX); \
    } while (0)

static void expect(size_t index, enum settle_outcome outcome, const char *reply)
{
    assert_int_equal(rcpts[index].outcome, outcome);
    if (!slice_starts(rcpts[index].reply, slice_of(reply)))
        fail_msg("reply \"%.*s\", not \"%s\"", (int)rcpts[index].reply.len, rcpts[index].reply.ptr, reply);
}

#define HELLO { SERVER, "220 x.test ESMTP\r\n" }, { CLIENT, "EHLO us.test\r\n" }
#define MAIL  { CLIENT, "MAIL FROM:<a@us.test>\r\n" }
#define QUIT  { CLIENT, "QUIT\r\n" }

static void test_plain(void **state)
{
    (void)state;
    struct client_job job = job_to(2);
    PLAY(&job, HELLO, { SERVER, "250 x.test\r\n" }, MAIL, { SERVER, "250 ok\r\n" }, { CLIENT, "RCPT TO:<r1@x.test>\r\n" },
        { SERVER, "250 ok\r\n" }, { CLIENT, "RCPT TO:<r2@x.test>\r\n" }, { SERVER, "251 will forward\r\n" }, { CLIENT, "DATA\r\n" },
        { SERVER, "354 go\r\n" }, { BODY, "Subject: x\r\n\r\n.dot\r\n" }, { CLIENT, "Subject: x\r\n\r\n..dot\r\n" },
        { LAST_BODY, "end" }, { CLIENT, "end\r\n.\r\n" }, { READ, NULL }, { SERVER, "250 2.0.0 queued as 7\r\n" }, QUIT);
    expect(0, SETTLE_DELIVERED, "250 2.0.0 queued as 7");
    expect(1, SETTLE_DELIVERED, "250 2.0.0 queued as 7");
}

static void test_pipelining(void **state)
{
    (void)state;
    struct client_job job = job_to(4);
    job.ret = RET_HDRS;
    job.envid = S("id+1");
    job.body_type = BODY_8BIT;
    rcpts[0].notify = DSN_SUCCESS | DSN_DELAY;
    rcpts[1].notify = DSN_NEVER;
    rcpts[1].orcpt = S("rfc822;o+x@y.test");
    PLAY(&job, HELLO, { SERVER, "250-x.test\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-DSN\r\n250-8bitmime\r\n250 HELP\r\n" },
        { CLIENT, "MAIL FROM:<a@us.test> SIZE=10 BODY=8BITMIME RET=HDRS ENVID=id+2B1\r\nRCPT TO:<r1@x.test> NOTIFY=SUCCESS,DELAY\r\n"
                  "RCPT TO:<r2@x.test> NOTIFY=NEVER ORCPT=rfc822;o+2Bx@y.test\r\nRCPT TO:<r3@x.test>\r\nRCPT TO:<r4@x.test>\r\n" },
        { SERVER, "250 ok\r\n250 ok\r\n550 5.1.1 nobody\r\n" }, { SERVER, "450-4.2.0 busy\r\n450 4.2.0 later\r\n552 5.2.2 too many\r\n" },
        { CLIENT, "DATA\r\n" }, { SERVER, "354 go\r\n" }, { LAST_BODY, "x\r\n" }, { CLIENT, "x\r\n.\r\n" }, { SERVER, "250 fine\r\n" }, QUIT);
    expect(0, SETTLE_DELIVERED, "250 fine");
    expect(1, SETTLE_FAILED, "550 5.1.1 nobody");
    expect(2, SETTLE_DEFERRED, "450 4.2.0 busy 4.2.0 later");
    expect(3, SETTLE_DEFERRED, "552 5.2.2 too many"); /* RFC 5321 4.5.3.1.10 */
}

/* RFC 6533 3: an ORCPT of type utf-8 is not xtext: as it is for hosts with SMTPUTF8, quoted for others. */
static void test_original_in_utf8(void **state)
{
    (void)state;
    static const struct { const char *offer, *said; } rows[] = {
        { "250-x.test\r\n250-DSN\r\n250 SMTPUTF8\r\n", "RCPT TO:<r1@x.test> ORCPT=utf-8;\xce\xb1\\x{2B}b@y.test\r\n" },
        { "250-x.test\r\n250 DSN\r\n", "RCPT TO:<r1@x.test> ORCPT=utf-8;\\x{3B1}\\x{2B}b@y.test\r\n" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct client_job job = job_to(1);
        rcpts[0].orcpt = S("utf-8;\xce\xb1\\x{2B}b@y.test");
        PLAY(&job, HELLO, { SERVER, rows[i].offer }, { CLIENT, "MAIL FROM:<a@us.test>\r\n" }, { SERVER, "250 ok\r\n" },
            { CLIENT, rows[i].said }, { SERVER, "550 no\r\n" }, QUIT);
        expect(0, SETTLE_FAILED, "550 no");
    }
}

/* More RCPTs than one group: the next one waits for the replies to the last. */
static void test_groups(void **state)
{
    (void)state;
    static char long_name[600][80];
    struct client_job job = job_to(600);
    struct buf said = BUF(1u << 20);
    for (size_t i = 0; i < 600; i++) {
        memset(long_name[i], 'a', 79);
        memcpy(long_name[i] + 64, "@example.test", 14);
        rcpts[i].address = slice_of(long_name[i]);
    }
    struct client *c = client_open(&job, &arena, 0);
    client_feed(c, S("220 x\r\n"), 0);
    drain(c, &said);
    client_feed(c, S("250-x\r\n250 PIPELINING\r\n"), 0);
    size_t told = 0, groups = 0;
    client_feed(c, S(""), 0);
    for (drain(c, &said); told < 600; drain(c, &said)) {
        assert_true(said.len > 0 && said.len < 33000);
        groups++;
        size_t here = 0;
        for (size_t i = 0; i < said.len; i++)
            here += said.ptr[i] == '\n';
        told += here - (groups == 1);
        for (size_t i = 0; i < here; i++)
            client_feed(c, i % 3 == 2 ? S("550 no\r\n") : S("250 ok\r\n"), 0);
    }
    assert_true(groups > 1);
    expect_said(&said, "DATA\r\n");
    client_lost(c, S("4.4.2 gone"), 0);
    size_t failed = 0;
    for (size_t i = 0; i < 600; i++)
        failed += rcpts[i].outcome == SETTLE_FAILED;
    assert_in_range(failed, 195, 205);
    client_close(c);
    buf_done(&said);
}

static void test_all_refused(void **state)
{
    (void)state;
    struct client_job job = job_to(1);
    job.sender = S("");
    PLAY(&job, HELLO, { SERVER, "250 x.test\r\n" }, { CLIENT, "MAIL FROM:<>\r\n" }, { SERVER, "250 ok\r\n" },
        { CLIENT, "RCPT TO:<r1@x.test>\r\n" }, { SERVER, "550 5.1.1 no\r\n" }, QUIT);
    expect(0, SETTLE_FAILED, "550 5.1.1 no");
}

/* Where a refusal comes, and what it means. */
static void test_refusals(void **state)
{
    (void)state;
    struct client_job job = job_to(1);
    PLAY(&job, { SERVER, "554 no SMTP here\r\n" }, QUIT);
    expect(0, SETTLE_DEFERRED, "554 no SMTP here"); /* the host, not the message */
    PLAY(&job, HELLO, { SERVER, "421 4.3.2 closing\r\n" });
    expect(0, SETTLE_DEFERRED, "421 4.3.2 closing");
    PLAY(&job, HELLO, { SERVER, "250 x\r\n" }, MAIL, { SERVER, "550 5.7.1 go away\r\n" }, QUIT);
    expect(0, SETTLE_FAILED, "550 5.7.1 go away");
    PLAY(&job, HELLO, { SERVER, "250 x\r\n" }, MAIL, { SERVER, "451 4.7.1 greylisted\r\n" }, QUIT);
    expect(0, SETTLE_DEFERRED, "451 4.7.1 greylisted");
#define TO_DATA HELLO, { SERVER, "250 x\r\n" }, MAIL, { SERVER, "250 ok\r\n" }, { CLIENT, "RCPT TO:<r1@x.test>\r\n" }, { SERVER, "250 ok\r\n" }, \
        { CLIENT, "DATA\r\n" }
    PLAY(&job, TO_DATA, { SERVER, "554 5.5.1 no valid recipients\r\n" }, QUIT);
    expect(0, SETTLE_FAILED, "554 5.5.1 no valid recipients");
    PLAY(&job, TO_DATA, { SERVER, "250 what?\r\n" }, QUIT);
    expect(0, SETTLE_DEFERRED, "250 what?");
    PLAY(&job, TO_DATA, { SERVER, "354 go\r\n" }, { BODY, "x\r\n" }, { CLIENT, "x\r\n" }, { SERVER, "421 4.3.2 bye\r\n" });
    expect(0, SETTLE_DEFERRED, "421 4.3.2 bye");
    PLAY(&job, TO_DATA, { SERVER, "354 go\r\n" }, { BODY, "x\r\n" }, { CLIENT, "x\r\n" }, { SERVER, "552 5.3.4 too much\r\n" });
    expect(0, SETTLE_FAILED, "552 5.3.4 too much");
#define TO_END TO_DATA, { SERVER, "354 go\r\n" }, { LAST_BODY, "x\r\n" }, { CLIENT, "x\r\n.\r\n" }
    PLAY(&job, TO_END, { SERVER, "554 5.6.0 spam\r\n" }, QUIT);
    expect(0, SETTLE_FAILED, "554 5.6.0 spam");
    PLAY(&job, TO_END, { SERVER, "452 4.3.1 full\r\n" }, QUIT);
    expect(0, SETTLE_DEFERRED, "452 4.3.1 full");
    PLAY(&job, TO_END, { LOST, "4.4.2 timeout" });
    expect(0, SETTLE_DEFERRED, "4.4.2 timeout");
}

static void test_helo(void **state)
{
    (void)state;
    struct client_job job = job_to(1);
    PLAY(&job, HELLO, { SERVER, "502 what?\r\n" }, { CLIENT, "HELO us.test\r\n" }, { SERVER, "250 x\r\n" }, MAIL, { LOST, "4.4.2 gone" });
    expect(0, SETTLE_DEFERRED, "4.4.2 gone");
    job.tls = TLS_WISH_MUST;
    PLAY(&job, HELLO, { SERVER, "502 what?\r\n" }, { CLIENT, "HELO us.test\r\n" }, { SERVER, "250 x\r\n" }, QUIT);
    expect(0, SETTLE_DEFERRED, "4.7.10 TLS is required");
}

static void test_tls(void **state)
{
    (void)state;
    struct client_job job = job_to(1);
#define TO_TLS HELLO, { SERVER, "250-x\r\n250-PIPELINING\r\n250 STARTTLS\r\n" }, { CLIENT, "STARTTLS\r\n" }
    /* What was offered before TLS counts no more (RFC 3207 4.2). */
    PLAY(&job, TO_TLS, { SERVER, "220 go\r\n" }, { TLS, NULL }, { CLIENT, "EHLO us.test\r\n" }, { SERVER, "250 x\r\n" }, MAIL, { LOST, "x" });
    PLAY(&job, TO_TLS, { SERVER, "454 4.7.0 not now\r\n" }, { CLIENT, "MAIL FROM:<a@us.test>\r\nRCPT TO:<r1@x.test>\r\n" }, { LOST, "x" });
    job.tls = TLS_WISH_MUST;
    PLAY(&job, TO_TLS, { SERVER, "454 4.7.0 not now\r\n" }, QUIT);
    expect(0, SETTLE_DEFERRED, "4.7.10 ");
    PLAY(&job, HELLO, { SERVER, "250 x\r\n" }, QUIT);
    expect(0, SETTLE_DEFERRED, "4.7.10 TLS is required but");
    job.tls = TLS_WISH_NONE;
    PLAY(&job, HELLO, { SERVER, "250-x\r\n250 STARTTLS\r\n" }, MAIL, { LOST, "x" });
    job.tls = TLS_WISH_MUST;
    job.implicit_tls = true;
    PLAY(&job, { TLS, NULL }, HELLO, { SERVER, "250-x\r\n250 STARTTLS\r\n" }, MAIL, { LOST, "x" });
}

static void test_c055_injection(void **state)
{
    (void)state;
    struct client_job job = job_to(1);
    const struct step steps[] = { TO_TLS, { SERVER, "220 go\r\n250-x\r\n250 AUTH PLAIN\r\n" }, { DONE, NULL } };
    play_cut(&job, steps, SIZE_MAX);
    expect(0, SETTLE_DEFERRED, "4.7.0 Octets in plain text");
}

static void test_c047_hostile_replies(void **state)
{
    (void)state;
    struct client_job job = job_to(1);
    char *many = test_malloc(200000);
    PLAY(&job, { SERVER, "hello\r\n" });
    expect(0, SETTLE_DEFERRED, "4.5.0 ");
    PLAY(&job, HELLO, { SERVER, "250-x\r\n550 y\r\n" });
    expect(0, SETTLE_DEFERRED, "4.5.0 ");
    PLAY(&job, HELLO, { SERVER, "250_x\r\n" });
    expect(0, SETTLE_DEFERRED, "4.5.0 ");
    PLAY(&job, HELLO, { SERVER, "250 x\r\n" }, MAIL, { SERVER, "999 x\r\n" }, QUIT); /* an unknown class is 4xx */
    expect(0, SETTLE_DEFERRED, "999 x");
    PLAY(&job, HELLO, { SERVER, "250 x\r\n" }, MAIL, { SERVER, "550 a\tb\x1b[2J\xff\r\n" }, QUIT);
    expect(0, SETTLE_FAILED, "550 a b [2J?");
    memcpy(many, "220-", 4);
    memset(many + 4, 'x', 3000);
    memcpy(many + 3004, "\r\n220 y\r\n", 10);
    PLAY(&job, { SERVER, many });
    expect(0, SETTLE_DEFERRED, "4.5.0 ");
    for (size_t i = 0, at = 0; i < 200; i++, at += 10)
        memcpy(many + at, "220-more\r\n", 11);
    PLAY(&job, { SERVER, many });
    expect(0, SETTLE_DEFERRED, "4.5.0 ");
    test_free(many);
    struct client *c = client_open(&job, &arena, 0);
    rcpts[0].outcome = 0;
    client_feed(c, S("220 a\0b\r\n"), 0); /* C040 */
    expect(0, SETTLE_DEFERRED, "4.5.0 ");
    client_close(c);
}

static void test_not_tried(void **state)
{
    (void)state;
    struct client_job job = job_to(2);
    job.size = 101;
    PLAY(&job, HELLO, { SERVER, "250-x\r\n250 SIZE 100\r\n" }, QUIT);
    expect(0, SETTLE_FAILED, "5.3.4 ");
    PLAY(&job, HELLO, { SERVER, "250-x\r\n250 SIZE 0\r\n" }, { CLIENT, "MAIL FROM:<a@us.test> SIZE=101\r\n" }, { LOST, "x" });
    job.utf8 = 1;
    PLAY(&job, HELLO, { SERVER, "250 x\r\n" }, QUIT);
    expect(1, SETTLE_FAILED, "5.6.7 ");
    PLAY(&job, HELLO, { SERVER, "250-x\r\n250 SMTPUTF8\r\n" }, { CLIENT, "MAIL FROM:<a@us.test> SMTPUTF8\r\n" }, { LOST, "x" });
    job.utf8 = 0;
    job.body_type = BODY_BINARY;
    PLAY(&job, HELLO, { SERVER, "250-x\r\n250-CHUNKING\r\n250 8BITMIME\r\n" }, QUIT);
    expect(0, SETTLE_FAILED, "5.6.3 ");
    job.body_type = BODY_7BIT;
    rcpts[0].address = S("a>\r\nRCPT TO:<b@x.test");
    PLAY(&job, HELLO, { SERVER, "250-x\r\n250 PIPELINING\r\n" }, { CLIENT, "MAIL FROM:<a@us.test>\r\nRCPT TO:<r2@x.test>\r\n" },
        { SERVER, "250 ok\r\n250 ok\r\n" }, { CLIENT, "DATA\r\n" }, { LOST, "4.4.2 x" });
    expect(0, SETTLE_FAILED, "5.1.3 ");
    expect(1, SETTLE_DEFERRED, "4.4.2 x");
    job.sender = S("a@b\r\nDATA");
    PLAY(&job, HELLO, { SERVER, "250 x\r\n" }, QUIT);
    expect(1, SETTLE_FAILED, "5.1.3 ");
}

static void test_chunks(void **state)
{
    (void)state;
    struct client_job job = job_to(1);
    job.body_type = BODY_BINARY;
#define TO_CHUNKS HELLO, { SERVER, "250-x\r\n250-CHUNKING\r\n250 BINARYMIME\r\n" }, { CLIENT, "MAIL FROM:<a@us.test> BODY=BINARYMIME\r\n" }, \
        { SERVER, "250 ok\r\n" }, { CLIENT, "RCPT TO:<r1@x.test>\r\n" }, { SERVER, "250 ok\r\n" }
    PLAY(&job, TO_CHUNKS, { BODY, ".a\nb" }, { CLIENT, "BDAT 4\r\n.a\nb" }, { SERVER, "250 4 octets\r\n" }, { LAST_BODY, "c" },
        { CLIENT, "BDAT 1 LAST\r\nc" }, { SERVER, "250 ok\r\n" }, QUIT);
    expect(0, SETTLE_DELIVERED, "250 ok");
    PLAY(&job, TO_CHUNKS, { BODY, "x" }, { CLIENT, "BDAT 1\r\nx" }, { SERVER, "552 5.3.4 no\r\n" }, QUIT);
    expect(0, SETTLE_FAILED, "552 5.3.4 no");
    PLAY(&job, TO_CHUNKS, { BODY, "x" }, { CLIENT, "BDAT 1\r\nx" }, { SERVER, "250 ok\r\n" }, { LAST_BODY, "" }, { CLIENT, "BDAT 0 LAST\r\n" },
        { SERVER, "250 ok\r\n" }, QUIT);
    expect(0, SETTLE_DELIVERED, "250 ok");
}

/* RFC 5321 4.5.3.2 */
static void test_deadlines(void **state)
{
    (void)state;
    struct client_job job = job_to(1);
    struct buf said = BUF(4096);
    struct client *c = client_open(&job, &arena, 10);
    assert_int_equal(client_deadline(c), 10 + MINUTES(5));
    client_feed(c, S("220 x\r\n"), 20);
    client_feed(c, S("250 x\r\n"), 30);
    client_feed(c, S("250 x\r\n"), 40);
    assert_int_equal(client_deadline(c), 40 + MINUTES(5));
    client_feed(c, S("250 x\r\n"), 50);
    assert_int_equal(client_deadline(c), 50 + MINUTES(2));
    client_feed(c, S("354 x\r\n"), 60);
    assert_int_equal(drain(c, &said), CLIENT_BODY);
    client_body(c, S("a"), false, 70);
    assert_int_equal(client_deadline(c), 70 + MINUTES(3));
    client_body(c, S("b"), true, 80);
    assert_int_equal(client_deadline(c), 80 + MINUTES(10));
    assert_false(client_has_dsn(c));
    client_close(c);
    buf_done(&said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain), cmocka_unit_test(test_pipelining), cmocka_unit_test(test_original_in_utf8), cmocka_unit_test(test_groups),
        cmocka_unit_test(test_all_refused), cmocka_unit_test(test_refusals), cmocka_unit_test(test_helo),
        cmocka_unit_test(test_tls), cmocka_unit_test(test_c055_injection), cmocka_unit_test(test_c047_hostile_replies),
        cmocka_unit_test(test_not_tried), cmocka_unit_test(test_chunks), cmocka_unit_test(test_deadlines),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&arena);
    return failed;
}
