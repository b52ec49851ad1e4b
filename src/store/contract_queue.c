/* contract_queue.c - the queue: claim, settle, hold and the rest. */
#include <stdio.h>

#include "base/alloc.h"
#include "store/contract.h"

#define OWNER 0 /* the first courier, whose number is no reason to forget its claims */

/* A message of 1000 octets to `count` remote recipients, "rNNN@far.example", arrived at `when`. */
static uint64_t enqueue(struct contract *c, size_t count, wall when, uint32_t local)
{
    struct store_remote *remotes = alloc(count * sizeof *remotes);
    char(*names)[48] = alloc(count * sizeof *names);
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "r%03zu@far.example", i);
        remotes[i] = (struct store_remote){ .address = slice_of(names[i]),
            .domain = S("far.example"),
            .orcpt = S("rfc822;r@far.example"),
            .notify = DSN_FAILURE };
    }
    struct store_target target = { local };
    struct store_message message = { .received = when,
        .pop3_size = 1000,
        .targets = &target,
        .target_count = local ? 1 : 0,
        .remotes = remotes,
        .remote_count = count,
        .sender = S("a@b.example"),
        .envid = S("env"),
        .session = S("u0-1"),
        .skip = 33,
        .body_type = BODY_8BIT,
        .utf8 = 1,
        .ret = RET_HDRS };
    uint64_t id = 0;
    contract_body(&c->octets, 5, 1000, &message.body);
    contract_begin(c);
    assert_ok(c->v->deliver(c->store, &message, &id));
    contract_commit(c);
    assert_true(id > 0);
    release(remotes);
    release(names);
    return id;
}

static enum status claim(struct contract *c, wall now, wall term, struct answer_claim *out)
{
    struct store_claim ask = { .now = now, .term = term, .owner = OWNER };
    arena_reset(&c->arena);
    contract_begin(c);
    enum status status = c->v->queue_claim(c->store, &ask, &c->arena, out);
    contract_commit(c);
    return status;
}

static bool settle_some(struct contract *c, uint64_t id, const struct settle_recipient *recipients, uint32_t count)
{
    struct ask_settle ask = { .id = id, .recipients = { recipients, count } };
    bool done = false;
    contract_begin(c);
    assert_ok(c->v->queue_settle(c->store, &ask, 100, &done));
    contract_commit(c);
    return done;
}

static bool settle(struct contract *c, uint64_t id, uint32_t recipient, enum settle_outcome outcome, wall next)
{
    struct settle_recipient row = {
        .id = recipient, .outcome = (uint8_t)outcome, .next = next, .reply = S("450 later")
    };
    return settle_some(c, id, &row, 1);
}

static uint32_t change(struct contract *c, uint64_t id, enum queue_change what, wall now, enum status expected)
{
    uint32_t count = 0;
    contract_begin(c);
    assert_status(expected, c->v->queue_change(c->store, &(struct ask_queue_change){ id, (uint8_t)what }, now, &count));
    contract_commit(c);
    return count;
}

static void test_claim(void **state)
{
    struct contract *c = *state;
    struct answer_claim answer;
    wall due;
    assert_status(STATUS_NOT_FOUND, claim(c, 100, 200, &answer));
    assert_status(STATUS_NOT_FOUND, c->v->queue_next_due(c->store, &due));
    uint64_t young = enqueue(c, 1, 60, 0), old = enqueue(c, 3, 50, 0);
    assert_ok(c->v->queue_next_due(c->store, &due));
    assert_int_equal(50, due);
    assert_status(STATUS_NOT_FOUND, claim(c, 49, 200, &answer)); /* nothing is due yet */

    assert_ok(claim(c, 100, 200, &answer)); /* the one that has waited longest */
    assert_int_equal(old, answer.id);
    assert_true(slice_equal(answer.sender, S("a@b.example")) && slice_equal(answer.envid, S("env")));
    assert_int_equal(1000 - 33, answer.size);
    assert_int_equal(50, answer.arrived);
    assert_int_equal(BODY_8BIT, answer.body_type);
    assert_int_equal(1, answer.utf8);
    assert_int_equal(RET_HDRS, answer.ret);
    assert_int_equal(3, answer.recipients.count);
    const struct claim_recipient *last = row_of(struct claim_recipient, answer.recipients, 2);
    assert_true(
        slice_equal(last->address, S("r002@far.example")) && slice_equal(last->orcpt, S("rfc822;r@far.example")));
    assert_int_equal(DSN_FAILURE, last->notify);
    assert_int_equal(0, last->attempts);

    assert_ok(claim(c, 100, 300, &answer));
    assert_int_equal(young, answer.id);
    assert_status(STATUS_NOT_FOUND, claim(c, 100, 200, &answer)); /* both are claimed */
    assert_ok(c->v->queue_next_due(c->store, &due));
    assert_int_equal(200, due);
    contract_reopen(c);
    assert_status(STATUS_NOT_FOUND, claim(c, 199, 400, &answer));
    assert_ok(claim(c, 200, 400, &answer)); /* the courier died: its claim ended by itself */
    assert_int_equal(old, answer.id);
    assert_status(STATUS_NOT_FOUND, claim(c, 200, 400, &answer));
    contract_begin(c);
    assert_ok(c->v->queue_release_claims(c->store));
    contract_commit(c);
    assert_ok(claim(c, 200, 400, &answer));
    assert_ok(claim(c, 200, 400, &answer));
}

static void test_settle(void **state)
{
    struct contract *c = *state;
    struct answer_claim answer;
    struct answer_queue_show show;
    uint64_t id = enqueue(c, 3, 50, 0);
    assert_ok(claim(c, 50, 1000, &answer));
    const struct claim_recipient *rows = answer.recipients.at;
    const struct settle_recipient outcome[] = {
        { .id = rows[0].id, .outcome = SETTLE_DELIVERED, .reply = S("250 ok") },
        { .id = rows[1].id, .outcome = SETTLE_FAILED, .reply = S("550 no") },
        { .id = rows[2].id, .outcome = SETTLE_DEFERRED, .reply = S("450 later"), .next = 500 },
    };
    assert_false(settle_some(c, id, outcome, 3));
    contract_reopen(c);
    arena_reset(&c->arena);
    assert_ok(c->v->queue_show(c->store, id, &c->arena, &show));
    assert_int_equal(1, show.rows.count);
    const struct queue_row *row = show.rows.at;
    assert_true(slice_equal(row->recipient, S("r002@far.example")) && slice_equal(row->last_reply, S("450 later")));
    assert_int_equal(1, row->attempts);
    assert_int_equal(500, row->next);
    assert_int_equal(50, row->arrived);
    assert_int_equal(QUEUE_WAITING, row->state);
    assert_status(STATUS_NOT_FOUND, claim(c, 499, 1000, &answer));
    assert_ok(claim(c, 500, 1000, &answer)); /* the claim ended with the settling */
    assert_int_equal(1, answer.recipients.count);
    rows = answer.recipients.at;
    assert_int_equal(1, rows->attempts);
    assert_true(slice_equal(rows->last_reply, S("450 later")));
    assert_true(settle(c, id, rows->id, SETTLE_DELIVERED, 0));
    struct store_counts counts;
    assert_ok(c->v->counts(c->store, &counts));
    assert_int_equal(0, counts.queued);
    assert_status(STATUS_NOT_FOUND, c->v->queue_show(c->store, id, &c->arena, &show));
    uint32_t swept;
    contract_begin(c);
    assert_ok(c->v->sweep(c->store, UINT64_MAX / 4, 100, &swept));
    contract_commit(c);
    assert_int_equal(1, swept); /* its body went, too */
}

/* C217: settling again changes nothing, whatever has come into the queue since. */
static void test_c217_settle_twice(void **state)
{
    struct contract *c = *state;
    struct answer_claim answer;
    uint64_t id = enqueue(c, 2, 50, 0);
    assert_false(settle(c, id, 1, SETTLE_DELIVERED, 0));
    assert_false(settle(c, id, 1, SETTLE_DELIVERED, 0));
    assert_false(settle(c, id, 1, SETTLE_DEFERRED, 900)); /* the one that is gone does not come back */
    assert_true(settle(c, id, 2, SETTLE_FAILED, 0));
    contract_reopen(c);
    uint64_t other = enqueue(c, 2, 60, 0);
    assert_true(other != id);
    assert_true(settle(c, id, 1, SETTLE_DELIVERED, 0));
    assert_true(settle(c, id, 2, SETTLE_DELIVERED, 0));
    assert_true(settle(c, UINT64_MAX, 2, SETTLE_DELIVERED, 0));
    assert_ok(claim(c, 60, 1000, &answer));
    assert_int_equal(other, answer.id);
    assert_int_equal(2, answer.recipients.count);
}

static void test_many_recipients(void **state)
{
    struct contract *c = *state;
    struct answer_claim answer;
    uint64_t id = enqueue(c, 250, 50, 0);
    uint32_t left = 250;
    for (wall now = 50; left > 0; now++) {
        assert_ok(claim(c, now, 1000, &answer));
        assert_int_equal(left < 100 ? left : 100, answer.recipients.count);
        uint32_t count = answer.recipients.count;
        struct settle_recipient *outcome = alloc(count * sizeof *outcome);
        for (uint32_t i = 0; i < count; i++)
            outcome[i] = (struct settle_recipient){ .id = row_of(struct claim_recipient, answer.recipients, i)->id,
                .outcome = SETTLE_DELIVERED };
        left -= count;
        assert_true(settle_some(c, id, outcome, count) == (left == 0));
        release(outcome);
    }
    assert_status(STATUS_NOT_FOUND, claim(c, 1000, 2000, &answer));
}

static void test_change(void **state)
{
    struct contract *c = *state;
    struct answer_claim answer;
    wall due;
    uint64_t first = enqueue(c, 2, 50, 0), second = enqueue(c, 1, 50, 0);
    assert_int_equal(2, change(c, first, QUEUE_HOLD, 60, STATUS_OK));
    assert_ok(claim(c, 60, 100, &answer));
    assert_int_equal(second, answer.id);
    assert_false(settle(c, second, 1, SETTLE_DEFERRED, 900));
    assert_status(STATUS_NOT_FOUND, claim(c, 800, 900, &answer));      /* one is held, one is not due */
    assert_int_equal(0, change(c, first, QUEUE_RETRY, 60, STATUS_OK)); /* held is held */
    assert_int_equal(1, change(c, 0, QUEUE_RETRY, 70, STATUS_OK));
    assert_ok(c->v->queue_next_due(c->store, &due));
    assert_int_equal(70, due);
    assert_int_equal(1, change(c, 0, QUEUE_HOLD, 70, STATUS_OK));
    assert_status(STATUS_NOT_FOUND, c->v->queue_next_due(c->store, &due));
    assert_int_equal(2, change(c, first, QUEUE_RELEASE, 80, STATUS_OK));
    assert_ok(claim(c, 80, 100, &answer));
    assert_int_equal(first, answer.id);
    assert_int_equal(2, change(c, first, QUEUE_RETRY, 90, STATUS_OK));
    assert_status(STATUS_NOT_FOUND, claim(c, 99, 200, &answer)); /* asking for a retry does not break a claim */
    assert_int_equal(2, change(c, first, QUEUE_REMOVE, 90, STATUS_OK));
    change(c, first, QUEUE_REMOVE, 90, STATUS_NOT_FOUND);
    change(c, 4711, QUEUE_HOLD, 90, STATUS_NOT_FOUND);
    change(c, UINT64_MAX, QUEUE_HOLD, 90, STATUS_NOT_FOUND);
    change(c, first, 0, 90, STATUS_MALFORMED);
    change(c, first, 77, 90, STATUS_MALFORMED);
    enqueue(c, 3, 50, 0);
    assert_int_equal(4, change(c, 0, QUEUE_REMOVE, 90, STATUS_OK));
    assert_int_equal(0, change(c, 0, QUEUE_REMOVE, 90, STATUS_OK));
    struct store_counts counts;
    assert_ok(c->v->counts(c->store, &counts));
    assert_int_equal(0, counts.queued);
}

static void test_list(void **state)
{
    struct contract *c = *state;
    uint64_t ids[3] = { enqueue(c, 900, 50, 0), enqueue(c, 1, 51, 0), enqueue(c, 1000, 52, 0) };
    struct ask_queue_list ask = { 0 };
    struct answer_queue_list answer = { .more = 1 };
    uint32_t rows = 0, pages = 0;
    char last[40] = "";
    while (answer.more) {
        arena_reset(&c->arena);
        ask.after_recipient = slice_of(last);
        assert_ok(c->v->queue_list(c->store, &ask, &c->arena, &answer));
        for (uint32_t i = 0; i < answer.rows.count; i++, rows++) {
            const struct queue_row *row = row_of(struct queue_row, answer.rows, i);
            assert_int_equal(ids[rows < 900 ? 0 : rows == 900 ? 1 : 2], row->id);
            assert_true(row->id > ask.after_id || slice_compare(row->recipient, slice_of(last)) > 0);
            ask.after_id = row->id;
            snprintf(last, sizeof last, "%.*s", (int)row->recipient.len, row->recipient.ptr);
        }
        pages++;
    }
    assert_int_equal(1901, rows);
    assert_true(pages > 1);
    arena_reset(&c->arena);
    struct answer_queue_show show;
    assert_ok(c->v->queue_show(c->store, ids[1], &c->arena, &show));
    assert_int_equal(1, show.rows.count);
    assert_status(STATUS_NOT_FOUND, c->v->queue_show(c->store, ids[2] + 1, &c->arena, &show));
    assert_status(STATUS_NOT_FOUND, c->v->queue_show(c->store, UINT64_MAX, &c->arena, &show));
}

/* The queue and a mailbox share one body; each can lose it without the other. */
static void test_body_is_shared_with_mailbox(void **state)
{
    struct contract *c = *state;
    uint32_t removed, skip, swept;
    uint64_t next = 9;
    contract_begin(c);
    uint32_t account = contract_account(c, "a@b.example");
    contract_commit(c);
    uint64_t id = enqueue(c, 1, 50, account);
    contract_read(c, c->store, account, 1, 5, 1000, 65536);
    contract_begin(c);
    assert_ok(c->v->expunge(c->store, account, &(struct uid_range){ 1, 1 }, 1, &removed));
    assert_int_equal(1, removed);
    assert_ok(c->v->sweep(c->store, UINT64_MAX / 4, 100, &swept));
    assert_int_equal(0, swept);
    contract_commit(c);
    buf_clear(&c->octets);
    assert_ok(c->v->queue_read(c->store, id, 0, 65536, &c->octets, &next, &skip));
    assert_true(contract_same(buf_slice(&c->octets), 5, 1000));
    assert_int_equal(0, next);
    assert_int_equal(33, skip);
    assert_true(settle(c, id, 1, SETTLE_DELIVERED, 0));
    contract_begin(c);
    assert_ok(c->v->sweep(c->store, UINT64_MAX / 4, 100, &swept));
    contract_commit(c);
    assert_int_equal(1, swept);
    assert_status(STATUS_NOT_FOUND, c->v->queue_read(c->store, id, 0, 65536, &c->octets, &next, &skip));
}

/* What was delivered here waits in the queue only to be told of: in a claim of its own, before anything is attempted. */
static void test_notices(void **state)
{
    struct contract *c = *state;
    struct answer_claim answer;
    struct answer_queue_list list;
    uint64_t id = 0;
    const struct store_remote remotes[] = {
        { .address = S("far@far.example"), .domain = S("far.example"), .notify = DSN_SUCCESS },
        { .address = S("bob@b.example"), .domain = S("b.example"), .notify = DSN_SUCCESS, .delivered = DELIVERED_HERE },
        { .address = S("team@b.example"), .domain = S("b.example"), .notify = DSN_SUCCESS, .delivered = DELIVERED_EXPANDED },
    };
    struct store_message message = { .received = 50, .pop3_size = 1000, .remotes = remotes, .remote_count = 3, .sender = S("a@b.example") };
    contract_body(&c->octets, 5, 1000, &message.body);
    contract_begin(c);
    assert_ok(c->v->deliver(c->store, &message, &id));
    contract_commit(c);
    contract_reopen(c);

    assert_ok(claim(c, 50, 1000, &answer));
    assert_int_equal(2, answer.recipients.count);
    const struct claim_recipient *rows = answer.recipients.at;
    assert_true(slice_equal(rows[0].address, S("bob@b.example")) && slice_equal(rows[1].address, S("team@b.example")));
    assert_int_equal(DELIVERED_HERE, rows[0].delivered);
    assert_int_equal(DELIVERED_EXPANDED, rows[1].delivered);
    const struct settle_recipient outcome[] = {
        { .id = rows[0].id, .outcome = SETTLE_DELIVERED },
        { .id = rows[1].id, .outcome = SETTLE_DELIVERED },
    };
    assert_ok(c->v->queue_list(c->store, &(struct ask_queue_list){ 0 }, &c->arena, &list));
    assert_int_equal(3, list.rows.count);
    assert_int_equal(DELIVERED_HERE, row_of(struct queue_row, list.rows, 0)->delivered);
    assert_int_equal(DELIVERED_NO, row_of(struct queue_row, list.rows, 1)->delivered);
    assert_false(settle_some(c, id, outcome, 2));
    assert_ok(claim(c, 50, 1000, &answer));
    assert_int_equal(1, answer.recipients.count);
    rows = answer.recipients.at;
    assert_true(slice_equal(rows[0].address, S("far@far.example")));
    assert_int_equal(DELIVERED_NO, rows[0].delivered);
    assert_true(settle(c, id, rows[0].id, SETTLE_DELIVERED, 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

const struct CMUnitTest contract_queue[] = {
    TEST(test_claim),
    TEST(test_settle),
    TEST(test_c217_settle_twice),
    TEST(test_many_recipients),
    TEST(test_change),
    TEST(test_list),
    TEST(test_notices),
    TEST(test_body_is_shared_with_mailbox),
};
const size_t contract_queue_count = sizeof contract_queue / sizeof *contract_queue;
