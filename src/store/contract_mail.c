/* contract_mail.c - deliver, list, read, expunge, and what must hold between them for ever. */
#include "mail/pack.h"
#include "store/contract.h"

static uint32_t uid_of(const struct answer_drop_list *list, uint32_t index)
{
    assert_true(index < list->rows.count);
    return row_of(struct drop_row, list->rows, index)->uid;
}

static uint32_t one_account(struct contract *c)
{
    contract_begin(c);
    uint32_t id = contract_account(c, "a@b.example");
    contract_commit(c);
    return id;
}

static void deliver_one(struct contract *c, uint32_t account, unsigned seed, size_t size)
{
    contract_begin(c);
    assert_ok(contract_deliver(c, seed, size, &account, 1));
    contract_commit(c);
}

static uint32_t expunge(struct contract *c, uint32_t account, uint32_t first, uint32_t last)
{
    uint32_t removed = 99;
    contract_begin(c);
    assert_ok(c->v->expunge(c->store, account, &(struct uid_range){ first, last }, 1, &removed));
    contract_commit(c);
    return removed;
}

static void test_deliver(void **state)
{
    struct contract *c = *state;
    struct answer_drop_list list;
    uint32_t id = one_account(c), messages;
    uint64_t octets;
    contract_list(c, c->store, id, &list);
    assert_int_equal(0, list.rows.count);
    assert_true(list.uidvalidity > 0); /* RFC 9051 2.3.1.1: never zero */
    deliver_one(c, id, 1, 2000);
    deliver_one(c, id, 2, 0); /* an empty body is a body */
    contract_list(c, c->store, id, &list);
    assert_int_equal(2, list.rows.count);
    assert_int_equal(
        2003, row_of(struct drop_row, list.rows, 0)->size); /* C151: as POP3 sends it, not as it is stored */
    assert_true(uid_of(&list, 0) > 0 && uid_of(&list, 0) < uid_of(&list, 1));
    assert_int_equal(list.until, uid_of(&list, 1));
    uint32_t first = uid_of(&list, 0), second = uid_of(&list, 1);
    contract_read(c, c->store, id, first, 1, 2000, 65536);
    contract_read(c, c->store, id, second, 2, 0, 65536);
    assert_ok(c->v->usage(c->store, id, &messages, &octets));
    assert_int_equal(2, messages);
    assert_int_equal(2000, octets);
    struct store_counts counts;
    assert_ok(c->v->counts(c->store, &counts));
    assert_int_equal(2, counts.messages);
    assert_int_equal(2000, counts.octets);
    assert_true(counts.schema > 0);
    struct buf out = BUF(1000);
    uint64_t next;
    assert_status(
        STATUS_NOT_FOUND, c->v->message_read(c->store, &(struct store_page){ id, second + 1, 0 }, 10, &out, &next));
    assert_status(
        STATUS_NOT_FOUND, c->v->message_read(c->store, &(struct store_page){ id + 1, first, 0 }, 10, &out, &next));
    assert_status(STATUS_NOT_FOUND, c->v->usage(c->store, id + 1, &messages, &octets));
    struct ask_drop_list ask = { 0 };
    assert_status(STATUS_NOT_FOUND, c->v->drop_list(c->store, id + 1, &ask, &c->arena, &list));
    buf_done(&out);
}

/* A refused delivery leaves nothing behind, and the transaction goes on. */
static void test_deliver_refused(void **state)
{
    struct contract *c = *state;
    struct answer_drop_list list;
    uint32_t id = one_account(c), swept;
    contract_begin(c);
    assert_status(STATUS_NOT_FOUND, contract_deliver(c, 1, 100, (uint32_t[]){ id, 4711 }, 2));
    assert_ok(contract_deliver(c, 2, 100, &id, 1));
    contract_commit(c);
    contract_list(c, c->store, id, &list);
    assert_int_equal(1, list.rows.count);
    contract_read(c, c->store, id, uid_of(&list, 0), 2, 100, 65536);
    contract_begin(c);
    assert_ok(c->v->sweep(c->store, UINT64_MAX / 4, 100, &swept));
    contract_commit(c);
    assert_int_equal(0, swept);
}

static void test_same_account_twice(void **state)
{
    struct contract *c = *state;
    struct answer_drop_list list;
    uint32_t id = one_account(c);
    contract_begin(c);
    assert_ok(contract_deliver(c, 1, 100, (uint32_t[]){ id, id, id }, 3));
    assert_ok(contract_deliver(c, 1, 100, &id, 1)); /* the same text again is another delivery */
    contract_commit(c);
    contract_list(c, c->store, id, &list);
    assert_int_equal(2, list.rows.count);
}

/* C134: a UID never comes back, not even that of the last message, not even after a restart. */
static void test_c134_uids_only_grow(void **state)
{
    struct contract *c = *state;
    struct answer_drop_list list;
    uint32_t id = one_account(c), highest = 0, validity = 0;
    for (unsigned round = 0; round < 5; round++) {
        deliver_one(c, id, round, 100);
        deliver_one(c, id, round, 100);
        contract_list(c, c->store, id, &list);
        assert_true(uid_of(&list, 0) > highest && uid_of(&list, 1) > uid_of(&list, 0));
        assert_true(validity == 0 || validity == list.uidvalidity); /* C137 */
        validity = list.uidvalidity;
        highest = uid_of(&list, 1);
        assert_int_equal(2, expunge(c, id, 1, highest));
        if (round % 2)
            contract_reopen(c);
    }
    contract_begin(c);
    assert_ok(contract_deliver(c, 9, 100, &id, 1));
    c->v->rollback(c->store);
    deliver_one(c, id, 10, 100);
    contract_list(c, c->store, id, &list);
    assert_true(uid_of(&list, 0) > highest);
}

/* Whatever a transaction that was rolled back had set aside is not used after it. */
static void test_rolled_back_first_delivery(void **state)
{
    struct contract *c = *state;
    struct answer_drop_list list;
    uint32_t id = one_account(c);
    contract_begin(c);
    assert_ok(contract_deliver(c, 1, 100, &id, 1));
    c->v->rollback(c->store);
    deliver_one(c, id, 2, 200);
    contract_reopen(c);
    deliver_one(c, id, 3, 300);
    deliver_one(c, id, 4, 400);
    contract_list(c, c->store, id, &list);
    assert_int_equal(3, list.rows.count);
    contract_read(c, c->store, id, uid_of(&list, 0), 2, 200, 65536);
    contract_list(c, c->store, id, &list);
    contract_read(c, c->store, id, uid_of(&list, 1), 3, 300, 65536);
}

/* C136: an account made anew under the old name shows another, larger UIDVALIDITY. */
static void test_c136_uidvalidity_never_returns(void **state)
{
    struct contract *c = *state;
    uint32_t before = 0;
    for (int round = 0; round < 4; round++) {
        struct answer_drop_list list;
        uint32_t id = one_account(c);
        contract_list(c, c->store, id, &list);
        assert_true(list.uidvalidity > before);
        before = list.uidvalidity;
        deliver_one(c, id, 1, 100);
        contract_begin(c);
        assert_ok(c->v->account_remove(c->store, id));
        contract_commit(c);
        if (round == 1)
            contract_reopen(c);
    }
    struct store_counts counts;
    assert_ok(c->v->counts(c->store, &counts));
    assert_int_equal(0, counts.messages);
}

/* C152: what a UIDL is made of stays the same through other people's mail, expunges and restarts. */
static void test_c152_uidl_is_stable(void **state)
{
    struct contract *c = *state;
    struct answer_drop_list before, after;
    uint32_t id = one_account(c), uids[5];
    for (unsigned i = 0; i < 5; i++)
        deliver_one(c, id, i, 100 + i);
    contract_list(c, c->store, id, &before);
    for (uint32_t i = 0; i < 5; i++)
        uids[i] = uid_of(&before, i);
    assert_int_equal(1, expunge(c, id, uids[2], uids[2]));
    contract_reopen(c);
    contract_list(c, c->store, id, &after);
    assert_int_equal(before.uidvalidity, after.uidvalidity);
    assert_int_equal(4, after.rows.count);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t was = i < 2 ? i : i + 1;
        assert_int_equal(uids[was], uid_of(&after, i));
        contract_read(c, c->store, id, uids[was], was, 100 + was, 65536);
    }
}

/* One body for many accounts is stored once, and goes with the last of them. */
static void test_shared_body(void **state)
{
    struct contract *c = *state;
    uint32_t ids[3], swept;
    contract_begin(c);
    ids[0] = contract_account(c, "a@b.example");
    ids[1] = contract_account(c, "b@b.example");
    ids[2] = contract_account(c, "c@b.example");
    assert_ok(contract_deliver(c, 1, 5000, ids, 3));
    contract_commit(c);
    for (int i = 0; i < 3; i++) {
        for (int j = i; j < 3; j++)
            contract_read(c, c->store, ids[j], 1, 1, 5000, 65536);
        contract_begin(c);
        uint32_t removed = 1;
        if (i == 1)
            assert_ok(c->v->account_remove(c->store, ids[i]));
        else
            assert_ok(c->v->expunge(c->store, ids[i], &(struct uid_range){ 1, 1 }, 1, &removed));
        assert_int_equal(1, removed);
        assert_ok(c->v->sweep(c->store, UINT64_MAX / 4, 100, &swept));
        assert_int_equal(i == 2 ? 1 : 0, swept);
        contract_commit(c);
    }
}

static void test_expunge(void **state)
{
    struct contract *c = *state;
    struct answer_drop_list list;
    uint32_t id = one_account(c), removed, messages;
    uint64_t octets;
    contract_begin(c);
    for (unsigned i = 1; i <= 20; i++)
        assert_ok(contract_deliver(c, i, 100, &id, 1));
    contract_commit(c);
    const struct uid_range ranges[] = { { 3, 5 }, { 4, 7 }, { 20, UINT32_MAX }, { 9, 8 } };
    contract_begin(c);
    assert_ok(c->v->expunge(c->store, id, ranges, 4, &removed));
    assert_int_equal(6, removed);
    assert_status(STATUS_NOT_FOUND, c->v->expunge(c->store, 4711, ranges, 4, &removed));
    contract_commit(c);
    assert_int_equal(0, expunge(c, id, 3, 7)); /* gone already: no error */
    contract_list(c, c->store, id, &list);
    assert_int_equal(14, list.rows.count);
    assert_int_equal(8, uid_of(&list, 2));
    assert_int_equal(19, list.until);
    assert_ok(c->v->usage(c->store, id, &messages, &octets));
    assert_int_equal(14, messages);
    assert_int_equal(1400, octets);
    contract_begin(c);
    assert_ok(c->v->expunge(c->store, id, ranges, 0, &removed));
    assert_int_equal(0, removed);
    contract_commit(c);
}

/* C149: an expunge is whole or not at all. */
static void test_c149_expunge_is_atomic(void **state)
{
    struct contract *c = *state;
    struct answer_drop_list list;
    uint32_t id = one_account(c), removed;
    deliver_one(c, id, 1, 100);
    deliver_one(c, id, 2, 100);
    contract_begin(c);
    assert_ok(c->v->expunge(c->store, id, &(struct uid_range){ 1, 2 }, 1, &removed));
    c->v->rollback(c->store);
    contract_list(c, c->store, id, &list);
    assert_int_equal(2, list.rows.count);
    contract_read(c, c->store, id, 1, 1, 100, 65536);
}

/* C150: pages of a long maildrop are one snapshot. */
static void test_c150_pages(void **state)
{
    struct contract *c = *state;
    struct answer_drop_list first, second;
    uint32_t id = one_account(c);
    contract_begin(c);
    for (unsigned i = 1; i <= LIMIT_ROWS + 10; i++)
        assert_ok(contract_deliver(c, 1, 1, &id, 1));
    contract_commit(c);
    arena_reset(&c->arena);
    assert_ok(c->v->drop_list(c->store, id, &(struct ask_drop_list){ 0 }, &c->arena, &first));
    assert_int_equal(LIMIT_ROWS, first.rows.count);
    assert_true(first.more);
    assert_int_equal(LIMIT_ROWS + 10, first.until);
    deliver_one(c, id, 2, 1);
    assert_int_equal(1, expunge(c, id, LIMIT_ROWS + 2, LIMIT_ROWS + 2));
    struct ask_drop_list ask = { .after = uid_of(&first, LIMIT_ROWS - 1), .until = first.until };
    assert_ok(c->v->drop_list(c->store, id, &ask, &c->arena, &second));
    assert_int_equal(9, second.rows.count);
    assert_false(second.more);
    assert_int_equal(first.until, second.until);
    assert_int_equal(first.uidvalidity, second.uidvalidity);
    assert_int_equal(LIMIT_ROWS + 1, uid_of(&second, 0));
    assert_int_equal(LIMIT_ROWS + 10, uid_of(&second, 8));
    assert_int_equal(LIMIT_ROWS, expunge(c, id, 1, LIMIT_ROWS));
}

static void test_pages_of_a_body(void **state)
{
    struct contract *c = *state;
    uint32_t id = one_account(c);
    static const size_t sizes[] = { 1, LIMIT_BODY_FRAME - 1, LIMIT_BODY_FRAME, LIMIT_BODY_FRAME + 1,
        3 * LIMIT_BODY_FRAME + 77 };
    for (unsigned i = 0; i < 5; i++) {
        deliver_one(c, id, i, sizes[i]);
        contract_read(c, c->store, id, i + 1, i, sizes[i], 1);
        contract_read(c, c->store, id, i + 1, i, sizes[i], 65536);
        contract_read(c, c->store, id, i + 1, i, sizes[i], 100000);
        contract_read(c, c->store, id, i + 1, i, sizes[i], 1u << 20);
    }
    /* An offset that is no start of a frame, or lies beyond the end, gives a failure and no octet. */
    struct buf out = BUF(1u << 20);
    uint64_t next;
    struct store_page page = { id, 5, 3 };
    assert_status(STATUS_CORRUPT, c->v->message_read(c->store, &page, 65536, &out, &next));
    page.at = 1u << 30;
    assert_status(STATUS_MALFORMED, c->v->message_read(c->store, &page, 65536, &out, &next));
    assert_int_equal(0, out.len);
    buf_done(&out);
}

/* A body in a file of its own reads like any other, and its file goes only when nothing refers to it any more. */
static void test_large_body(void **state)
{
    struct contract *c = *state;
    struct body_store bodies;
    struct body_file file;
    const size_t size = 9 * LIMIT_BODY_FRAME + 5;
    uint32_t id = one_account(c), swept;
    uint64_t queue_id;
    struct store_target target = { id };
    struct store_message message = { .received = 1, .pop3_size = size, .targets = &target, .target_count = 1 };
    contract_body(&c->octets, 7, size, &message.body);
    assert_ok(body_store_open(&bodies, c->dir));
    assert_ok(body_file_open(&bodies, &file));
    assert_ok(body_file_put(&file, message.body.packed));
    assert_ok(body_file_finish(&bodies, &file));
    message.body.packed = NO_SLICE;
    message.body.file = slice_of(file.name);
    contract_begin(c);
    assert_ok(c->v->deliver(c->store, &message, &queue_id));
    contract_commit(c);
    contract_reopen(c);
    contract_read(c, c->store, id, 1, 7, size, 65536);
    contract_read(c, c->store, id, 1, 7, size, 200000);
    assert_int_equal(1, expunge(c, id, 1, 1));
    buf_clear(&c->octets);
    contract_begin(c);
    assert_ok(c->v->sweep(c->store, UINT64_MAX / 4, 100, &swept));
    assert_int_equal(1, swept);
    c->v->rollback(c->store); /* no file may go before its row */
    assert_ok(body_file_read(&bodies, slice_of(file.name), 0, 10, &c->octets));
    contract_begin(c);
    assert_ok(c->v->sweep(c->store, UINT64_MAX / 4, 100, &swept));
    assert_int_equal(1, swept);
    contract_commit(c);
    assert_status(STATUS_NOT_FOUND, body_file_read(&bodies, slice_of(file.name), 0, 10, &c->octets));
    body_store_close(&bodies);
}

/* C156: a session that reads a message while another one removes it gets the rest, until the sweep; it cannot begin
 * anew. */
static void test_c156_expunge_under_reader(void **state)
{
    struct contract *c = *state;
    struct store *reader;
    const size_t size = 3 * LIMIT_BODY_FRAME;
    uint32_t id = one_account(c), swept;
    deliver_one(c, id, 3, size);
    assert_ok(contract_open(c, STORE_READER, false, 0, &reader));
    struct store_page page = { id, 1, 0 };
    struct buf out = BUF(1u << 20);
    wall before = clock_wall();
    assert_ok(reader->verbs->message_read(reader, &page, LIMIT_BODY_FRAME, &out, &page.at));
    assert_true(page.at > 0);
    assert_int_equal(1, expunge(c, id, 1, 1));
    contract_begin(c);
    assert_ok(c->v->sweep(c->store, before, 100, &swept)); /* let go after `before` */
    contract_commit(c);
    assert_int_equal(0, swept);
    struct buf other = BUF(1u << 20);
    uint64_t next = page.at;
    while (next != 0) {
        page.at = next;
        assert_ok(reader->verbs->message_read(reader, &page, LIMIT_BODY_FRAME, &out, &next));
    }
    assert_true(contract_same(buf_slice(&out), 3, size));
    struct store_page anew = { id, 1, 0 };
    assert_status(STATUS_NOT_FOUND, reader->verbs->message_read(reader, &anew, 65536, &other, &next));
    contract_begin(c);
    assert_ok(c->v->sweep(c->store, UINT64_MAX / 4, 100, &swept));
    contract_commit(c);
    assert_int_equal(1, swept);
    assert_status(STATUS_NOT_FOUND, reader->verbs->message_read(reader, &page, 65536, &other, &next));
    buf_done(&out);
    buf_done(&other);
    store_close(reader);
}

static void test_sweep_is_bounded(void **state)
{
    struct contract *c = *state;
    uint32_t id = one_account(c), swept;
    for (unsigned i = 0; i < 10; i++)
        deliver_one(c, id, i, 100);
    assert_int_equal(10, expunge(c, id, 1, 10));
    for (int left = 10; left > 0; left -= 4) {
        contract_begin(c);
        assert_ok(c->v->sweep(c->store, UINT64_MAX / 4, 4, &swept));
        contract_commit(c);
        assert_int_equal(left < 4 ? left : 4, swept);
    }
}

static void test_next(void **state)
{
    struct contract *c = *state;
    uint32_t id = one_account(c), uid;
    uint64_t stored;
    for (unsigned i = 0; i < 5; i++)
        deliver_one(c, id, i, 1000 * (i + 1));
    assert_int_equal(2, expunge(c, id, 2, 3));
    assert_ok(c->v->message_next(c->store, id, 0, UINT32_MAX, &uid, &stored));
    assert_int_equal(1, uid);
    assert_ok(c->v->message_next(c->store, id, 1, UINT32_MAX, &uid, &stored));
    assert_int_equal(4, uid);
    assert_in_range(stored, 4000, 4100); /* noise: it does not shrink */
    assert_status(STATUS_NOT_FOUND, c->v->message_next(c->store, id, 1, 3, &uid, &stored));
    assert_status(STATUS_NOT_FOUND, c->v->message_next(c->store, id, 5, UINT32_MAX, &uid, &stored));
}

/* A reader sees what is committed, at once, and keeps nobody from writing. */
static void test_reader(void **state)
{
    struct contract *c = *state;
    struct store *reader;
    struct answer_drop_list list;
    uint32_t id = one_account(c);
    assert_ok(contract_open(c, STORE_READER, false, 0, &reader));
    for (unsigned i = 0; i < 20; i++) {
        contract_begin(c);
        assert_ok(contract_deliver(c, i, 3000, &id, 1));
        contract_list(c, reader, id, &list);
        assert_int_equal(i, list.rows.count);
        contract_commit(c);
        c->v->rest(c->store);
        contract_list(c, reader, id, &list);
        assert_int_equal(i + 1, list.rows.count);
        contract_read(c, reader, id, i + 1, i, 3000, 65536);
    }
    /* Between begin() and rollback() it sees one moment, whatever is committed meanwhile. */
    assert_ok(reader->verbs->begin(reader));
    contract_list(c, reader, id, &list);
    contract_begin(c);
    assert_ok(contract_deliver(c, 20, 3000, &id, 1));
    contract_commit(c);
    contract_list(c, reader, id, &list);
    assert_int_equal(20, list.rows.count);
    reader->verbs->rollback(reader);
    contract_list(c, reader, id, &list);
    assert_int_equal(21, list.rows.count);
    uint64_t octets;
    assert_ok(reader->verbs->free_octets(reader, &octets));
    assert_true(octets > 0);
    store_close(reader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

const struct CMUnitTest contract_mail[] = {
    TEST(test_deliver),
    TEST(test_deliver_refused),
    TEST(test_same_account_twice),
    TEST(test_c134_uids_only_grow),
    TEST(test_rolled_back_first_delivery),
    TEST(test_c136_uidvalidity_never_returns),
    TEST(test_c152_uidl_is_stable),
    TEST(test_shared_body),
    TEST(test_expunge),
    TEST(test_c149_expunge_is_atomic),
    TEST(test_c150_pages),
    TEST(test_pages_of_a_body),
    TEST(test_large_body),
    TEST(test_c156_expunge_under_reader),
    TEST(test_sweep_is_bounded),
    TEST(test_next),
    TEST(test_reader),
};
const size_t contract_mail_count = sizeof contract_mail / sizeof *contract_mail;
