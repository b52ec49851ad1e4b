#include "proto/policy/policy.h"

#include "base/testing.h"
#include "proto/policy/policy_reply.h"

#define QUESTION                                                                                                       \
    "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.7\ninstance=1.2.3\nsender=a=b@c.test\n"  \
    "recipient=far@d.test\nsasl_username=\npolicy_context=submission\nunknown_name=\n\n"

/* What came of the octets, each call of feed in one letter: more, asked, bad. */
static struct slice feed_all(struct slice octets, size_t piece, char out[64])
{
    struct policy policy;
    struct policy_query query;
    size_t len = 0;
    policy_init(&policy);
    while (octets.len > 0 && (len == 0 || out[len - 1] != 'b')) {
        char *copy = exactly(slice_upto(octets, piece));
        struct slice wire = slice_upto((struct slice){ copy, piece }, octets.len);
        octets = slice_from(octets, wire.len);
        while (wire.len > 0 && (len == 0 || out[len - 1] != 'b')) {
            enum policy_event event = policy_feed(&policy, &wire, &query);
            if (event != POLICY_MORE)
                out[len++] = event == POLICY_ASKED ? 'a' : 'b';
        }
        free(copy);
    }
    policy_done(&policy);
    return (struct slice){ out, len };
}

static void test_question(void **state)
{
    struct policy policy;
    struct policy_query query;
    struct slice wire = S(QUESTION QUESTION);
    (void)state;
    policy_init(&policy);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(policy_feed(&policy, &wire, &query), POLICY_ASKED);
        assert_int_equal(query.state, POLICY_RCPT);
        assert_true(query.has_client && ip_is_v4(query.client));
        assert_text(query.instance, "1.2.3");
        assert_text(query.sender, "a=b@c.test");
        assert_text(query.recipient, "far@d.test");
        assert_int_equal(query.login.len, 0);
        assert_true(query.submission);
        assert_false(policy_is_amid(&policy));
    }
    assert_int_equal(policy_feed(&policy, &wire, &query), POLICY_MORE);
    wire = S("request=");
    assert_int_equal(policy_feed(&policy, &wire, &query), POLICY_MORE);
    assert_true(policy_is_amid(&policy));
    policy_done(&policy);
}

/* However it is cut on the wire. */
static void test_cuts(void **state)
{
    char got[64];
    (void)state;
    for (size_t piece = 1; piece < sizeof QUESTION; piece++)
        assert_text(feed_all(S(QUESTION QUESTION QUESTION), piece, got), "aaa");
}

static void test_states(void **state)
{
    static const struct {
        const char *word;
        enum policy_state state;
    } rows[] = { { "RCPT", POLICY_RCPT }, { "DATA", POLICY_DATA }, { "END-OF-MESSAGE", POLICY_END_OF_MESSAGE },
        { "MAIL", POLICY_OTHER }, { "rcpt", POLICY_OTHER }, { "", POLICY_OTHER } };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct policy policy;
        struct policy_query query;
        struct buf text = BUF(256);
        assert_ok(buf_print(
            &text, "request=smtpd_access_policy\nprotocol_state=%s\nclient_address=unknown\n\n", rows[i].word));
        struct slice wire = buf_slice(&text);
        policy_init(&policy);
        assert_int_equal(policy_feed(&policy, &wire, &query), POLICY_ASKED);
        assert_int_equal(query.state, rows[i].state);
        assert_false(query.has_client || query.submission);
        policy_done(&policy);
        buf_done(&text);
    }
}

static void test_bad(void **state)
{
    static const struct slice bad[] = { { "\n", 1 }, { "x\n\n", 3 }, { "=x\n\n", 4 }, { "request=other\n\n", 15 },
        { "sender=x\n\n", 10 }, { "request=smtpd_access_policy\nsender=\0\n\n", 39 },
        { "request=smtpd_access_policy\nsender=a\nsender=b\n\n", 47 },
        { "request=smtpd_access_policy\nrequest=smtpd_access_policy\n\n", 57 },
        { "request=smtpd_access_policy\r\nsender=a\r\n\r\n\n", 42 } };
    char got[64];
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_text(feed_all(bad[i], bad[i].len, got), "b");
        assert_text(feed_all(bad[i], 1, got), "b");
    }
}

static void test_bounds(void **state)
{
    char got[64];
    struct buf text = BUF(1 << 20);
    (void)state;
    assert_ok(buf_put(&text, S("request=smtpd_access_policy\nx=")));
    while (text.len < LIMIT_POLICY_OCTETS - 2)
        assert_ok(buf_put_byte(&text, 'x'));
    assert_ok(buf_put(&text, S("\n\n")));
    assert_text(feed_all(buf_slice(&text), 4096, got), "a");
    text.len -= 2;
    assert_ok(buf_put(&text, S("x\n\n")));
    assert_text(feed_all(buf_slice(&text), 4096, got), "b");
    buf_clear(&text);
    assert_ok(buf_put(&text, S("request=smtpd_access_policy\n")));
    for (size_t lines = 1; lines <= LIMIT_POLICY_LINES; lines++)
        assert_ok(buf_put(&text, S("a=\n")));
    assert_ok(buf_put(&text, S("\n")));
    assert_text(feed_all(buf_slice(&text), 4096, got), "b");
    assert_text(feed_all(slice_from(buf_slice(&text), 0), 7, got), "b");
    buf_done(&text);
}

static void test_answers(void **state)
{
    struct buf out = BUF(4096);
    (void)state;
    assert_ok(policy_put(&out, POLICY_DUNNO));
    assert_ok(policy_put(&out, POLICY_OK));
    assert_buf(out, "action=DUNNO\n\naction=OK\n\n");
    for (enum policy_action action = POLICY_USED_UP; action < POLICY_ACTIONS; action++) {
        buf_clear(&out);
        assert_ok(policy_put(&out, action));
        assert_true(slice_starts(buf_slice(&out), S("action=")) && slice_has(buf_slice(&out), S(" [EK-")));
        assert_true(out.ptr[7] == (action == POLICY_USED_UP ? '4' : '5') && out.len < 160);
        assert_text(slice_from(buf_slice(&out), out.len - 2), "\n\n");
        assert_int_equal(slice_find(buf_slice(&out), '\n'), out.len - 2); /* one line */
        assert_true(strlen(policy_action_name(action)) > 0);
    }
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_question), cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_states), cmocka_unit_test(test_bad), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_answers) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
