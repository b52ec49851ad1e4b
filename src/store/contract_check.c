/* contract_check.c - looking whether all is as it must be, carrying it away, and what a restore makes of it. */
#include <stdio.h>
#include <sys/stat.h>

#include "store/contract.h"

/* How many findings all parts have together, on any connection. */
static uint32_t findings(struct contract *c, struct store *store)
{
    uint32_t count = 0;
    for (uint8_t part = CHECK_PAGES; part < CHECK_PARTS; part++) {
        struct ask_check ask = { .part = part };
        struct answer_check answer;
        do {
            arena_reset(&c->arena);
            assert_ok(store->verbs->check(store, &ask, &c->arena, &answer));
            count += answer.rows.count;
            assert_true(!answer.more || answer.at > ask.at || (answer.at == ask.at && answer.and_at > ask.and_at));
            ask.at = answer.at;
            ask.and_at = answer.and_at;
        } while (answer.more);
    }
    return count;
}

/* A message of 1000 octets to an account and elsewhere: the body has two references. */
static uint64_t deliver_and_queue(struct contract *c, uint32_t account)
{
    struct store_target target = { account };
    struct store_remote remote = { .address = S("r@far.example"), .domain = S("far.example") };
    struct store_message message = { .received = 50, .pop3_size = 1000, .targets = &target, .target_count = 1, .remotes = &remote,
        .remote_count = 1, .sender = S("a@b.example") };
    uint64_t id;
    contract_body(&c->octets, 9, 1000, &message.body);
    contract_begin(c);
    assert_ok(c->v->deliver(c->store, &message, &id));
    contract_commit(c);
    return id;
}

static void deliver(struct contract *c, unsigned seed, size_t size, const uint32_t *accounts, size_t count)
{
    contract_begin(c);
    assert_ok(contract_deliver(c, seed, size, accounts, count));
    contract_commit(c);
}

/* A body in a file of its own; its name is left in `file`. */
static void deliver_file(struct contract *c, unsigned seed, size_t size, uint32_t account, struct body_file *file)
{
    struct body_store bodies;
    struct store_target target = { account };
    struct store_message message = { .received = 1, .pop3_size = size, .targets = &target, .target_count = 1 };
    uint64_t queue_id;
    contract_body(&c->octets, seed, size, &message.body);
    assert_ok(body_store_open(&bodies, c->dir));
    assert_ok(body_file_open(&bodies, file));
    assert_ok(body_file_put(file, message.body.packed));
    assert_ok(body_file_finish(&bodies, file));
    body_store_close(&bodies);
    message.body.packed = NO_SLICE;
    message.body.file = slice_of(file->name);
    contract_begin(c);
    assert_ok(c->v->deliver(c->store, &message, &queue_id));
    contract_commit(c);
}

static void two_accounts(struct contract *c, uint32_t out[2])
{
    contract_begin(c);
    assert_ok(c->v->domain_add(c->store, S("b.example")));
    out[0] = contract_account(c, "a@b.example");
    out[1] = contract_account(c, "b@b.example");
    contract_commit(c);
}

static void test_nothing_is_found(void **state)
{
    struct contract *c = *state;
    struct answer_repair repaired;
    struct body_file file;
    struct store *reader;
    uint32_t ids[2], removed;
    two_accounts(c, ids);
    assert_int_equal(0, findings(c, c->store));
    for (unsigned seed = 0; seed < 150; seed++)
        deliver(c, seed, 500, ids, 1 + seed % 2);
    deliver_and_queue(c, ids[0]);
    deliver_file(c, 7, 300000, ids[1], &file);
    struct uid_range range = { 3, 40 };
    contract_begin(c);
    assert_ok(c->v->expunge(c->store, ids[0], &range, 1, &removed));
    contract_commit(c);
    assert_int_equal(0, findings(c, c->store));
    assert_ok(contract_open(c, STORE_READER, false, 0, &reader));
    assert_ok(reader->verbs->begin(reader));
    assert_int_equal(0, findings(c, reader));
    reader->verbs->rollback(reader);
    store_close(reader);
    contract_begin(c);
    assert_ok(c->v->repair(c->store, 1, &c->arena, &repaired));
    contract_commit(c);
    assert_int_equal(0, repaired.rows.count);
    struct answer_check answer;
    assert_status(STATUS_MALFORMED, c->v->check(c->store, &(struct ask_check){ .part = CHECK_USES + 1 }, &c->arena, &answer));
    assert_status(STATUS_MALFORMED, c->v->check(c->store, &(struct ask_check){ .part = 0 }, &c->arena, &answer));
}

static void test_uses(void **state)
{
    struct contract *c = *state;
    struct answer_check answer;
    uint32_t ids[2];
    two_accounts(c, ids);
    uint64_t queued = deliver_and_queue(c, ids[0]);
    assert_ok(c->v->check(c->store, &(struct ask_check){ .part = CHECK_USES, .at = 1 }, &c->arena, &answer));
    assert_int_equal(2, answer.rows.count);
    const struct check_row *mail = row_of(struct check_row, answer.rows, 0), *queue = row_of(struct check_row, answer.rows, 1);
    assert_true(slice_equal(mail->address, S("a@b.example")) && slice_equal(mail->mailbox, S("INBOX")));
    assert_int_equal(1, mail->uid);
    assert_int_equal(queued, queue->have);
}

/* All stored octets come once, whole and in order, whatever is removed meanwhile. */
static void test_bodies(void **state)
{
    struct contract *c = *state;
    struct body_file file;
    struct buf octets = BUF(STORE_BODIES_ROOM), whole = BUF(4u << 20);
    struct ask_bodies ask = { 0 };
    struct answer_bodies answer;
    uint32_t ids[2];
    unsigned bodies = 0;
    two_accounts(c, ids);
    deliver(c, 1, 100, ids, 2);
    deliver(c, 2, 200000, ids, 1); /* inline, and more than there is room for */
    deliver_file(c, 3, 400000, ids[1], &file);
    deliver(c, 4, 0, ids, 1);
    static const size_t sizes[] = { 0, 100, 200000, 400000, 0 };
    do {
        buf_clear(&octets);
        assert_ok(c->v->bodies(c->store, &ask, &c->arena, &octets, &answer));
        assert_true(answer.rows.count > 0);
        for (uint32_t i = 0; i < answer.rows.count; i++) {
            const struct body_row *row = row_of(struct body_row, answer.rows, i);
            assert_int_equal(0, row->found);
            assert_int_equal(row->at, whole.len);
            assert_ok(buf_put(&whole, row->octets));
            if (whole.len < row->stored)
                continue;
            bodies++;
            assert_int_equal((uint8_t)row->digest.ptr[0], bodies);
            assert_true(contract_same(buf_slice(&whole), bodies, sizes[bodies]));
            buf_clear(&whole);
        }
        ask = (struct ask_bodies){ .id = answer.id, .at = answer.at };
    } while (ask.id != 0);
    assert_int_equal(4, bodies);
    buf_clear(&octets);
    assert_status(STATUS_NOT_FOUND, c->v->bodies(c->store, &(struct ask_bodies){ .id = 4711, .only = 1 }, &c->arena, &octets, &answer));
    assert_ok(c->v->bodies(c->store, &(struct ask_bodies){ .id = 4711 }, &c->arena, &octets, &answer));
    assert_int_equal(0, answer.rows.count);
    buf_done(&octets);
    buf_done(&whole);
}

static void test_mails(void **state)
{
    struct contract *c = *state;
    struct ask_export ask = { 0 };
    struct answer_export answer;
    uint32_t ids[2], count = 0;
    two_accounts(c, ids);
    contract_begin(c);
    for (unsigned seed = 0; seed < 1203; seed++)
        assert_ok(contract_deliver(c, seed, 40, ids, 1));
    contract_commit(c);
    do {
        arena_reset(&c->arena);
        assert_ok(c->v->mails(c->store, ids[0], &ask, &c->arena, &answer));
        for (uint32_t i = 0; i < answer.rows.count; i++) {
            const struct export_row *row = row_of(struct export_row, answer.rows, i);
            assert_int_equal(++count, row->uid);
            assert_int_equal(1000 + count - 1, row->received);
            assert_true(slice_equal(row->mailbox, S("INBOX")));
            ask = (struct ask_export){ .mailbox = row->mailbox_id, .uid = row->uid };
        }
    } while (answer.more);
    assert_int_equal(1203, count);
    assert_ok(c->v->mails(c->store, ids[1], &(struct ask_export){ 0 }, &c->arena, &answer));
    assert_int_equal(0, answer.rows.count);
}

/* ---- snapshots --------------------------------------------------------------------------------------------------- */

static enum status step(struct contract *c, enum snapshot_step which, struct answer_snapshot *out)
{
    return c->v->snapshot(c->store, &(struct ask_snapshot){ .step = (uint8_t)which }, 0, out);
}

static bool exists(struct contract *c, const char *name)
{
    char path[300];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", c->dir, name);
    return stat(path, &about) == 0;
}

static void all_steps(struct contract *c, enum snapshot_step which)
{
    struct answer_snapshot answer;
    do
        assert_ok(step(c, which, &answer));
    while (answer.more);
    assert_int_equal(0, answer.missing);
}

/* A body that is removed and swept while the snapshot is made is in it; what is delivered before the last page is, too. */
static void test_snapshot(void **state)
{
    struct contract *c = *state;
    struct contract copy = { .arena = ARENA(1u << 20), .why = BUF(4096), .octets = BUF(4u << 20) };
    struct answer_snapshot answer;
    struct answer_drop_list list;
    struct body_file file;
    struct uid_range first = { 1, 1 };
    char linked[200];
    uint32_t ids[2], removed, swept;
    two_accounts(c, ids);
    deliver_file(c, 7, 300000, ids[0], &file);
    for (unsigned seed = 0; seed < 60; seed++)
        deliver(c, seed, 200000, ids, 1); /* some 12 MB: more than one step */
    assert_status(STATUS_MALFORMED, step(c, SNAPSHOT_COPY, &answer));
    assert_status(STATUS_FULL, c->v->snapshot(c->store, &(struct ask_snapshot){ .step = SNAPSHOT_BEGIN }, UINT64_MAX / 2, &answer));
    assert_ok(step(c, SNAPSHOT_BEGIN, &answer));
    assert_status(STATUS_BUSY, step(c, SNAPSHOT_BEGIN, &answer));
    assert_ok(step(c, SNAPSHOT_COPY, &answer));
    assert_true(answer.more && answer.done < answer.total);
    assert_status(STATUS_MALFORMED, step(c, SNAPSHOT_LINK, &answer));
    deliver(c, 100, 1000, ids, 2);
    contract_begin(c);
    assert_ok(contract_deliver(c, 101, 1000, ids, 2));
    c->v->rollback(c->store);
    all_steps(c, SNAPSHOT_COPY);
    deliver(c, 102, 1000, ids, 2); /* too late */
    contract_begin(c);
    assert_ok(c->v->expunge(c->store, ids[0], &first, 1, &removed));
    assert_ok(c->v->sweep(c->store, UINT64_MAX / 4, 100, &swept));
    contract_commit(c);
    assert_int_equal(1, removed);
    assert_int_equal(0, swept);
    all_steps(c, SNAPSHOT_LINK);
    snprintf(linked, sizeof linked, STORE_SNAPSHOT "/%s", file.name);
    assert_true(exists(c, linked));

    snprintf(copy.dir, sizeof copy.dir, "%.50s/" STORE_SNAPSHOT, c->dir);
    assert_ok(contract_open(&copy, STORE_COPY, false, 0, &copy.store));
    assert_int_equal(0, findings(&copy, copy.store));
    contract_list(&copy, copy.store, ids[0], &list);
    assert_int_equal(62, list.rows.count);
    contract_read(&copy, copy.store, ids[0], 1, 7, 300000, 65536);
    contract_read(&copy, copy.store, ids[1], 1, 100, 1000, 65536);
    store_close(copy.store);
    assert_ok(step(c, SNAPSHOT_END, &answer));
    assert_false(exists(c, STORE_SNAPSHOT));
    contract_begin(c);
    assert_ok(c->v->sweep(c->store, UINT64_MAX / 4, 100, &swept));
    contract_commit(c);
    assert_int_equal(1, swept);
    assert_false(exists(c, file.name));
    arena_done(&copy.arena);
    buf_done(&copy.why);
    buf_done(&copy.octets);
}

/* What is left behind by a process that died is gone with the next start, and with the next snapshot. */
static void test_snapshot_left_behind(void **state)
{
    struct contract *c = *state;
    struct answer_snapshot answer;
    char path[200];
    snprintf(path, sizeof path, "%s/" STORE_SNAPSHOT, c->dir);
    assert_int_equal(0, mkdir(path, 0700));
    snprintf(path, sizeof path, "%s/" STORE_SNAPSHOT "/ekirei.db", c->dir);
    FILE *half = fopen(path, "w");
    assert_non_null(half);
    fclose(half);
    assert_ok(step(c, SNAPSHOT_BEGIN, &answer));
    contract_reopen(c);
    assert_false(exists(c, STORE_SNAPSHOT));
}

/* ---- after a restore --------------------------------------------------------------------------------------------- */

static void test_renew(void **state)
{
    struct contract *c = *state;
    struct answer_drop_list before, after, again;
    struct answer_queue_list queue;
    uint32_t ids[2], held;
    wall due;
    two_accounts(c, ids);
    deliver(c, 1, 100, ids, 2);
    deliver_and_queue(c, ids[0]);
    contract_list(c, c->store, ids[0], &before);
    contract_begin(c);
    assert_ok(c->v->renew(c->store, 1000, &held));
    contract_commit(c);
    assert_int_equal(1, held);
    contract_list(c, c->store, ids[0], &after);
    assert_int_equal(2, after.rows.count); /* UIDs and mail are the same */
    assert_true(after.uidvalidity > before.uidvalidity + 10);
    uint32_t mine = after.uidvalidity;
    contract_list(c, c->store, ids[1], &after);
    assert_true(after.uidvalidity != mine && after.uidvalidity > before.uidvalidity + 10);
    assert_status(STATUS_NOT_FOUND, c->v->queue_next_due(c->store, &due));
    assert_ok(c->v->queue_list(c->store, &(struct ask_queue_list){ 0 }, &c->arena, &queue));
    assert_int_equal(QUEUE_HELD, row_of(struct queue_row, queue.rows, 0)->state);
    /* What comes later comes after all of that. */
    contract_begin(c);
    uint32_t third = contract_account(c, "c@b.example");
    contract_commit(c);
    contract_list(c, c->store, third, &again);
    assert_true(again.uidvalidity > mine && again.uidvalidity > after.uidvalidity);
    deliver(c, 2, 100, ids, 2);
    assert_int_equal(0, findings(c, c->store));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

const struct CMUnitTest contract_check[] = {
    TEST(test_nothing_is_found),
    TEST(test_uses),
    TEST(test_bodies),
    TEST(test_mails),
    TEST(test_snapshot),
    TEST(test_snapshot_left_behind),
    TEST(test_renew),
};
const size_t contract_check_count = sizeof contract_check / sizeof *contract_check;
