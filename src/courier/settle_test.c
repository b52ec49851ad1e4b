#include "courier/settle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct settings settings = { .queue_first_retry = 60000, .queue_max_retry = 600000, .queue_lifetime = 3600000 };

static struct claim_recipient claimed[] = {
    { .address = { "a@far.example", 13 }, .id = 7, .attempts = 0 },
    { .address = { "b@far.example", 13 }, .id = 9, .attempts = 2 },
};

static struct answer_claim claim_of(const char *sender)
{
    return (struct answer_claim){ .sender = slice_of(sender), .recipients = { claimed, 2 }, .id = 3, .arrived = 1000 };
}

static void C225_pauses_double_with_jitter(void **state)
{
    (void)state;
    for (uint64_t random = 0; random < 100000; random += 997) {
        msec first = settle_pause(&settings, 0, random), third = settle_pause(&settings, 2, random), late = settle_pause(&settings, 40, random);
        assert_in_range(first, 60000, 72000);
        assert_in_range(third, 240000, 288000);
        assert_in_range(late, 600000, 720000);
    }
}

static void deferred_mail_ends_after_its_lifetime(void **state)
{
    (void)state;
    struct arena arena = ARENA(100000);
    struct answer_claim claim = claim_of("me@here.example");
    struct client_rcpt rcpts[2] = { { .outcome = SETTLE_DEFERRED, .reply = S("451 later") }, { .outcome = SETTLE_DELIVERED } };
    settle_expire(&settings, &claim, rcpts, &arena, 1000 + 3599999);
    assert_int_equal(rcpts[0].outcome, SETTLE_DEFERRED);
    settle_expire(&settings, &claim, rcpts, &arena, 1000 + 3600000);
    assert_int_equal(rcpts[0].outcome, SETTLE_FAILED);
    assert_true(slice_has(rcpts[0].reply, S("451 later")));
    assert_int_equal(rcpts[1].outcome, SETTLE_DELIVERED);
    arena_done(&arena);
}

static void C211_nobody_is_told_of_a_bounce(void **state)
{
    (void)state;
    struct answer_claim claim = claim_of("");
    struct client_rcpt rcpts[2] = { { .outcome = SETTLE_FAILED }, { .outcome = SETTLE_FAILED } };
    assert_false(settle_wants_bounce(&claim, rcpts, false));
    claim = claim_of("me@here.example");
    assert_true(settle_wants_bounce(&claim, rcpts, false));
    rcpts[0].notify = rcpts[1].notify = DSN_NEVER;
    assert_false(settle_wants_bounce(&claim, rcpts, false));
    rcpts[1] = (struct client_rcpt){ .outcome = SETTLE_DELIVERED, .notify = DSN_SUCCESS };
    assert_true(settle_wants_bounce(&claim, rcpts, false));
    assert_false(settle_wants_bounce(&claim, rcpts, true));
}

static void the_bounce_names_the_failed_recipient_only(void **state)
{
    (void)state;
    struct arena arena = ARENA(100000);
    struct buf out = BUF(100000);
    struct answer_claim claim = claim_of("me@here.example");
    settings.hostname = S("mail.here.example");
    struct client_rcpt rcpts[2] = { { .address = claimed[0].address, .outcome = SETTLE_FAILED, .reply = S("550 5.1.1 unknown") },
        { .address = claimed[1].address, .outcome = SETTLE_DEFERRED, .reply = S("451 4.2.1 later") } };
    assert_int_equal(settle_bounce(&settings, &claim, rcpts, false, S("hub.example"), S("Subject: hello\r\n\r\nbody\r\n"), 5000, &arena, &out), STATUS_OK);
    assert_true(slice_has(buf_slice(&out), S("a@far.example")));
    assert_false(slice_has(buf_slice(&out), S("b@far.example")));
    assert_true(slice_has(buf_slice(&out), S("Status: 5.1.1")));
    assert_true(slice_has(buf_slice(&out), S("Subject: hello")));
    buf_done(&out);
    arena_done(&arena);
}

/* RFC 3461 5.2.3, 5.2.7.3: what was delivered here is told of whatever the next hop offers; and nothing is attempted for it. */
static void a_delivery_here_is_told_of(void **state)
{
    (void)state;
    struct arena arena = ARENA(100000);
    struct buf out = BUF(100000);
    struct claim_recipient here[] = {
        { .address = S("bob@here.example"), .id = 1, .notify = DSN_SUCCESS, .delivered = DELIVERED_HERE },
        { .address = S("team@here.example"), .orcpt = S("rfc822;Team@here.example"), .id = 2, .notify = DSN_SUCCESS, .delivered = DELIVERED_EXPANDED },
    };
    struct answer_claim claim = { .sender = S("me@far.example"), .recipients = { here, 2 }, .id = 3, .ret = RET_FULL };
    struct client_rcpt rcpts[2] = { { .address = here[0].address, .notify = DSN_SUCCESS },
        { .address = here[1].address, .orcpt = here[1].orcpt, .notify = DSN_SUCCESS } };
    settings.hostname = S("mail.here.example");
    assert_true(settle_is_notice(&claim, rcpts));
    assert_int_equal(rcpts[0].outcome, SETTLE_DELIVERED);
    assert_int_equal(rcpts[1].outcome, SETTLE_DELIVERED);
    assert_true(settle_wants_bounce(&claim, rcpts, true));
    assert_true(settle_wants_bounce(&claim, rcpts, false));
    assert_int_equal(settle_bounce(&settings, &claim, rcpts, false, S("hub.example"), S("Subject: hello\r\n\r\nsecret\r\n"), 5000, &arena, &out), STATUS_OK);
    static const char *const parts[] = { "To: <me@far.example>", "Subject: Delivered mail", "Final-Recipient: rfc822; bob@here.example\r\nAction: delivered\r\nStatus: 2.0.0\r\n",
        "Original-Recipient: rfc822;Team@here.example", "Final-Recipient: rfc822; team@here.example\r\nAction: expanded\r\nStatus: 2.0.0\r\n", "Subject: hello" };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_true(slice_has(buf_slice(&out), slice_of(parts[i])));
    assert_false(slice_has(buf_slice(&out), S("hub.example"))); /* no other host had to do with it */
    assert_false(slice_has(buf_slice(&out), S("secret")));      /* RFC 3461 4.3: RET is for failures */
    claim.sender = NO_SLICE;
    assert_false(settle_wants_bounce(&claim, rcpts, false));
    claim = claim_of("me@here.example");
    rcpts[0].outcome = rcpts[1].outcome = 0;
    assert_false(settle_is_notice(&claim, rcpts)); /* those two are to be sent */
    assert_int_equal(rcpts[0].outcome, 0);
    buf_done(&out);
    arena_done(&arena);
}

static void rows_carry_ids_and_the_next_time(void **state)
{
    (void)state;
    struct arena arena = ARENA(100000);
    struct random_stream random = { 4 };
    struct rows rows;
    struct answer_claim claim = claim_of("me@here.example");
    struct client_rcpt rcpts[2] = { { .outcome = SETTLE_DELIVERED }, { .outcome = SETTLE_DEFERRED, .reply = S("451 later") } };
    assert_int_equal(settle_rows(&settings, &claim, rcpts, 10000, &random, &arena, &rows), STATUS_OK);
    const struct settle_recipient *first = row_of(struct settle_recipient, rows, 0), *second = row_of(struct settle_recipient, rows, 1);
    assert_int_equal(first->id, 7);
    assert_int_equal(first->next, 0);
    assert_int_equal(second->id, 9);
    assert_in_range(second->next, 10000 + 240000, 10000 + 288000);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(C225_pauses_double_with_jitter),
        cmocka_unit_test(deferred_mail_ends_after_its_lifetime),
        cmocka_unit_test(C211_nobody_is_told_of_a_bounce),
        cmocka_unit_test(the_bounce_names_the_failed_recipient_only),
        cmocka_unit_test(a_delivery_here_is_told_of),
        cmocka_unit_test(rows_carry_ids_and_the_next_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
