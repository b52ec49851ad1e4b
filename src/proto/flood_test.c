/* Logins that lead nowhere, by the hundred thousand: given up, hung up, refused.  Nothing of them stays, and no connection goes on for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "mail/coding.h"
#include "proto/session.h"

#define SESSIONS 100000u
#define PASSWORD "AGpvZQBwdw==" /* joe, pw */

static struct settings *settings;

static int setup(void **state)
{
    (void)state;
    settings = alloc(sizeof *settings);
    *settings = (struct settings){ .holders = 1, .auth_mechanisms = MECHANISMS_ALL, .hostname = S("mail.example.test"), .oauth_jwks = S("keys.json"),
        .auth_client_certificates = true, .timeout_command = 300000, .message_recipients = 100, .message_size_limit = 1000000 };
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    settings_release(settings);
    return 0;
}

static struct session *open_session(const struct protocol *protocol, uint64_t number)
{
    static const struct tls_facts tls = { .version = S("TLSv1.3"), .exporter = S("0123456789abcdef0123456789abcdef"),
        .peer_key = S("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk") };
    struct session_env env = { .settings = settings, .id = number, .seed = { number, 7 }, .started = 1795428245000,
        .service = protocol == &smtp_protocol ? SERVICE_SUBMISSIONS : SERVICE_POP3S };
    assert_int_equal(ip_parse(S("198.51.100.7"), &env.peer), STATUS_OK);
    return session_open(protocol, &env, &tls, 1000);
}

/* Carries the wishes out; what the server said is counted, what it asks is answered with `verdict` where there is one. */
struct talk {
    struct session *session;
    uint8_t verdict; /* 0: nobody answers */
    size_t replies, asks;
};

static void answer_ask(struct talk *talk, enum ask_kind kind)
{
    struct answer answer = { .kind = kind, .fd = -1 };
    talk->asks++;
    if (kind == ASK_SCRAM)
        answer.scram = (struct answer_scram){ S("saltsaltsaltsalt"), S("nonceofthekeeper"), 4096 };
    else
        answer.login.verdict = talk->verdict;
    session_answer(talk->session, &answer, 1000);
}

static void drain(struct talk *talk)
{
    struct wish wish;
    while (session_next(talk->session, &wish)) {
        enum ask_kind kind = wish.kind == WISH_ASK ? wish.ask->kind : ASK_NONE;
        talk->replies += wish.kind == WISH_SEND;
        if (kind != ASK_NONE && !ask_defs[kind].silent && (talk->verdict || kind == ASK_SCRAM))
            answer_ask(talk, kind);
    }
}

static void say(struct talk *talk, struct slice wire)
{
    drain(talk);
    for (size_t eaten = 1; wire.len > 0 && eaten > 0 && !session_is_closed(talk->session);) {
        eaten = session_feed(talk->session, wire, 1000);
        wire = slice_from(wire, eaten);
        drain(talk);
    }
}

/* How exchanges go on; each is cut off behind each of its lines. */
static const struct slice smtp_lines[][4] = {
    { S("AUTH PLAIN\r\n"), S(PASSWORD "\r\n") },
    { S("AUTH LOGIN\r\n"), S("am9l\r\n"), S("cHc=\r\n") },
    { S("AUTH CRAM-MD5\r\n"), S("am9l\r\n") },
    { S("AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9eA==\r\n"), S("Yz1iaXdzLHI9eCxwPXg=\r\n"), S("*\r\n") },
    { S("AUTH OAUTHBEARER bixhPWpvZSwBYXV0aD1CZWFyZXIgAQE=\r\n"), S("AQ==\r\n") },
    { S("AUTH EXTERNAL\r\n"), S("=\r\n"), S("\r\n") },
};
enum { EXCHANGES = sizeof smtp_lines / sizeof *smtp_lines };

static void test_C079_hang_up_at_every_line(void **state)
{
    size_t replies = 0, asks = 0;
    (void)state;
    for (uint32_t i = 0; i < SESSIONS; i++) {
        bool smtp = i % 2 == 0;
        struct talk talk = { .session = open_session(smtp ? &smtp_protocol : &pop3_protocol, i) };
        const struct slice *lines = smtp_lines[i / 2 % EXCHANGES];
        if (smtp)
            say(&talk, S("EHLO c\r\n"));
        for (uint32_t k = 0; k <= i / (2 * EXCHANGES) % 3 && lines[k].ptr; k++)
            say(&talk, lines[k]);
        if (i % 7 < 2)
            say(&talk, S("*\r\n"));
        session_hangup(talk.session, 1000);
        drain(&talk);
        assert_true(session_is_closed(talk.session));
        session_close(talk.session);
        replies += talk.replies;
        asks += talk.asks;
    }
    assert_true(replies > 2 * SESSIONS && asks > SESSIONS / EXCHANGES / 2);
}

/* One connection, as many tries as it likes: wrong, cut off, or while nobody has time. */
static void test_C229_logins_without_end(void **state)
{
    static const struct slice tries[] = { S("AUTH PLAIN " PASSWORD "\r\n"), S("AUTH CRAM-MD5\r\n*\r\n"),
        S("AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9eA==\r\n*\r\n"), S("AUTH LOGIN\r\n=\r\n"), S("AUTH XOAUTH2 AQ==\r\n") };
    (void)state;
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++)
        for (uint8_t verdict = LOGIN_WRONG; verdict <= LOGIN_TOO_SOON; verdict++)
            for (int pop3 = 0; pop3 < 2; pop3++) {
                struct talk talk = { .session = open_session(pop3 ? &pop3_protocol : &smtp_protocol, i), .verdict = verdict };
                if (!pop3)
                    say(&talk, S("EHLO c\r\n"));
                for (int k = 0; k < 1000 && !session_is_closed(talk.session); k++)
                    say(&talk, tries[i]);
                assert_true(session_is_closed(talk.session));
                assert_true(talk.asks <= LIMIT_SESSION_JUNK + 1);
                session_close(talk.session);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_C079_hang_up_at_every_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_C229_logins_without_end, setup, teardown),
    };
    return cmocka_run_group_tests_name("flood", tests, NULL, NULL);
}
