/* damage_test.c - each kind of damage that check() knows, done by hand: it is found as what it is, found again while readers read, and after
 * repair() nothing is left of what can be put right; and no body, UID or UIDVALIDITY is lost by it. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "store/contract.h"

static void run_sql(const struct contract *c, const char *sql)
{
    char path[200];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/ekirei.db", c->dir);
    assert_int_equal(SQLITE_OK, sqlite3_open(path, &db));
    assert_int_equal(SQLITE_OK, sqlite3_exec(db, sql, NULL, NULL, NULL));
    assert_int_equal(SQLITE_OK, sqlite3_close(db));
}

static void open_as_is(struct contract *c)
{
    struct store_plan plan = { .dir = c->dir, .mode = STORE_WRITER, .as_is = true };
    assert_ok(store_open(&plan, &c->store, &c->why));
}

/* A set of 1 << enum found. */
static uint64_t look(struct contract *c, struct store *store)
{
    uint64_t found = 0;
    for (uint8_t part = CHECK_PAGES; part < CHECK_PARTS; part++) {
        struct ask_check ask = { .part = part };
        struct answer_check answer;
        do {
            arena_reset(&c->arena);
            assert_ok(store->verbs->begin(store));
            assert_ok(store->verbs->check(store, &ask, &c->arena, &answer));
            store->verbs->rollback(store);
            for (uint32_t i = 0; i < answer.rows.count; i++)
                found |= UINT64_C(1) << row_of(struct check_row, answer.rows, i)->found;
            ask.at = answer.at;
            ask.and_at = answer.and_at;
        } while (answer.more);
    }
    return found;
}

#define BIT(found) (UINT64_C(1) << (found))
#define COUNTED    (BIT(FOUND_COUNT) | BIT(FOUND_OCTETS))

static const struct damage {
    const char *sql;
    uint64_t found;
    uint64_t lasting; /* what repair() leaves */
} damages[] = {
    { "UPDATE mailbox SET messages = 77 WHERE id = 1", BIT(FOUND_COUNT), 0 },
    { "UPDATE mailbox SET octets = 1 WHERE id = 1", BIT(FOUND_OCTETS), 0 },
    { "UPDATE mailbox SET uidnext = 2 WHERE id = 1", BIT(FOUND_UIDNEXT), 0 },
    { "UPDATE mailbox SET uidnext = 3 WHERE id = 6", BIT(FOUND_UIDNEXT), 0 }, /* 3 was expunged */
    { "UPDATE mailbox SET highestmodseq = 1 WHERE id = 1", BIT(FOUND_MODSEQ), 0 },
    { "UPDATE meta SET value = 5 WHERE key = 'uidvalidity'", BIT(FOUND_COUNTER), 0 },
    { "UPDATE meta SET value = 2 WHERE key = 'next_id'", BIT(FOUND_COUNTER), 0 },
    { "DELETE FROM meta", BIT(FOUND_COUNTER), 0 },
    { "INSERT INTO message VALUES (1, 900, 90, 0, '', 0, 10, 10, 4711)",
        BIT(FOUND_NO_BODY) | COUNTED | BIT(FOUND_UIDNEXT) | BIT(FOUND_MODSEQ), 0 },
    { "DELETE FROM blob WHERE id = 1", BIT(FOUND_NO_BODY) | BIT(FOUND_NO_SUCH_BODY), 0 },
    { "INSERT INTO message VALUES (99, 1, 1, 0, '', 0, 500, 500, 2)", BIT(FOUND_NO_MAILBOX) | BIT(FOUND_REFERENCES), BIT(FOUND_NO_MAILBOX) },
    { "UPDATE message SET size = 7 WHERE uid = 1", BIT(FOUND_SIZE) | BIT(FOUND_OCTETS), 0 },
    { "UPDATE message SET pop3_size = 7 WHERE uid = 1", BIT(FOUND_SIZE), 0 },
    { "UPDATE share SET refs = 7", BIT(FOUND_REFERENCES), 0 },
    { "DELETE FROM share", BIT(FOUND_REFERENCES), 0 },
    { "INSERT INTO share VALUES (2, 1)", 0, 0 }, /* one that shrank to one is no fault */
    { "UPDATE share SET refs = 1 WHERE blob = 1", BIT(FOUND_REFERENCES), 0 },
    { "INSERT INTO orphan VALUES (1, 1)", BIT(FOUND_DOOMED), 0 },
    { "DELETE FROM orphan", BIT(FOUND_UNUSED), 0 },
    { "INSERT INTO share VALUES (4711, 2)", BIT(FOUND_NO_SUCH_BODY), 0 },
    { "INSERT INTO orphan VALUES (4711, 2)", BIT(FOUND_NO_SUCH_BODY), 0 },
    { "UPDATE queue_message SET blob = 4711", BIT(FOUND_QUEUED_NO_BODY) | BIT(FOUND_REFERENCES), 0 },
    { "DELETE FROM queue_recipient", BIT(FOUND_QUEUED_EMPTY), 0 },
    { "INSERT INTO queue_recipient VALUES (4711, 1, 'x@y.example', 'y.example', '', 0, 0, 0, 0, 0, '')", BIT(FOUND_QUEUED_LOST), 0 },
    { "UPDATE queue_message SET due = NULL", BIT(FOUND_QUEUED_DUE), 0 },
    { "UPDATE credential SET account = 4711", BIT(FOUND_LOST_DEVICE), 0 },
    { "INSERT INTO place VALUES (4711, x'00', 1, 1)", BIT(FOUND_LOST_PLACE), 0 },
    { "DELETE FROM domain", BIT(FOUND_LOST_DOMAIN), BIT(FOUND_LOST_DOMAIN) },
    { "INSERT INTO alias VALUES ('info@b.example', 'nobody@b.example')", BIT(FOUND_LOST_ALIAS), BIT(FOUND_LOST_ALIAS) },
    { "UPDATE mailbox SET account = 4711 WHERE id = 2", BIT(FOUND_NO_ACCOUNT), BIT(FOUND_NO_ACCOUNT) },
};

/* Two accounts (mailboxes 1 and 6) with a shared body (1), one of one (2), one expunged of bob's (3), and a queued one. */
static void fill(struct contract *c)
{
    uint32_t ids[2], removed, device_id;
    uint64_t queue_id;
    struct uid_range third = { 3, 3 };
    contract_begin(c);
    assert_ok(c->v->domain_add(c->store, S("b.example")));
    ids[0] = contract_account(c, "a@b.example");
    ids[1] = contract_account(c, "b@b.example");
    struct store_device device = { .account = ids[0], .name = S("copier"), .sealed = S("sealed") };
    assert_ok(c->v->device_add(c->store, &device, &device_id));
    assert_ok(contract_deliver(c, 1, 500, ids, 2));
    assert_ok(contract_deliver(c, 2, 500, ids, 1));
    assert_ok(contract_deliver(c, 3, 500, ids + 1, 1));
    assert_ok(contract_deliver(c, 4, 500, ids + 1, 1));
    struct store_target target = { ids[0] };
    struct store_remote remote = { .address = S("r@far.example"), .domain = S("far.example") };
    struct store_message message = { .received = 50, .pop3_size = 1000, .targets = &target, .target_count = 1, .remotes = &remote, .remote_count = 1 };
    contract_body(&c->octets, 9, 1000, &message.body);
    assert_ok(c->v->deliver(c->store, &message, &queue_id));
    contract_commit(c);
    contract_begin(c);
    assert_ok(c->v->expunge(c->store, ids[1], &third, 1, &removed));
    contract_commit(c);
    assert_int_equal(1, removed);
}

static uint32_t uidvalidity_of(struct contract *c, uint32_t account)
{
    struct answer_drop_list list;
    contract_list(c, c->store, account, &list);
    return list.uidvalidity;
}

static void damage_and_repair(struct contract *c, const struct damage *damage)
{
    struct answer_repair repaired;
    struct store *reader;
    fill(c);
    uint32_t before = uidvalidity_of(c, 1);
    contract_close(c);
    run_sql(c, damage->sql);
    open_as_is(c);
    assert_ok(contract_open(c, STORE_READER, false, 0, &reader));
    uint64_t found = look(c, c->store), by_reader = look(c, reader);
    store_close(reader);
    if (found != damage->found || by_reader != damage->found)
        fail_msg("%s: found %llx and %llx, not %llx", damage->sql, (unsigned long long)found, (unsigned long long)by_reader,
            (unsigned long long)damage->found);
    contract_begin(c);
    assert_ok(c->v->repair(c->store, 1, &c->arena, &repaired));
    contract_commit(c);
    assert_true((repaired.rows.count > 0) == (damage->found != damage->lasting));
    uint64_t left = look(c, c->store);
    if (left != damage->lasting)
        fail_msg("%s: %llx is left, not %llx", damage->sql, (unsigned long long)left, (unsigned long long)damage->lasting);
    assert_int_equal(before, uidvalidity_of(c, 1));
    contract_read(c, c->store, 1, 2, 2, 500, 65536);
    /* And it goes on: a UID that was given out does not come again. */
    uint32_t bob = 2;
    struct answer_drop_list list;
    contract_begin(c);
    assert_ok(contract_deliver(c, 8, 500, &bob, 1));
    contract_commit(c);
    contract_list(c, c->store, bob, &list);
    assert_true(row_of(struct drop_row, list.rows, list.rows.count - 1)->uid >= 4);
}

static void test_each_damage(void **state)
{
    (void)state;
    for (size_t at = 0; at < sizeof damages / sizeof damages[0]; at++) {
        void *own;
        assert_int_equal(0, contract_setup(&own));
        damage_and_repair(own, &damages[at]);
        assert_int_equal(0, contract_teardown(&own));
    }
}

/* The writer of a server has numbers of mailboxes in memory: wrong ones do not come back behind a repair. */
static void test_what_the_writer_remembers(void **state)
{
    struct contract *c = *state;
    struct answer_repair repaired;
    uint32_t alice = 1;
    fill(c);
    contract_close(c);
    run_sql(c, "UPDATE mailbox SET messages = 77, octets = 5 WHERE id = 1; UPDATE meta SET value = 2000 WHERE key = 'next_id'");
    open_as_is(c);
    contract_begin(c);
    assert_ok(contract_deliver(c, 7, 500, &alice, 1));
    contract_commit(c);
    assert_int_equal(COUNTED, look(c, c->store));
    contract_begin(c);
    assert_ok(contract_deliver(c, 8, 500, &alice, 1)); /* in the same transaction */
    assert_ok(c->v->repair(c->store, 1, &c->arena, &repaired));
    contract_commit(c);
    assert_int_equal(2, repaired.rows.count);
    contract_begin(c);
    assert_ok(contract_deliver(c, 9, 500, &alice, 1));
    contract_commit(c);
    assert_int_equal(0, look(c, c->store));
}

/* Numbers at their end: one more must not be more than a column holds. */
static void test_numbers_at_their_end(void **state)
{
    static const char *const sql[] = { "UPDATE mailbox SET highestmodseq = 9223372036854775807 WHERE id = 1",
        "UPDATE mailbox SET messages = 9223372036854775807, octets = 9223372036854775807 WHERE id = 1",
        "UPDATE mailbox SET uidnext = 9223372036854775807 WHERE id = 1", "UPDATE meta SET value = 9223372036854775807" };
    struct contract *c = *state;
    uint32_t id = 1;
    fill(c);
    contract_close(c);
    for (size_t i = 0; i < sizeof sql / sizeof *sql; i++) {
        run_sql(c, sql[i]);
        open_as_is(c);
        contract_begin(c);
        enum status status = contract_deliver(c, 7, 500, &id, 1);
        if (status == STATUS_OK)
            status = c->v->commit(c->store);
        else
            c->v->rollback(c->store);
        assert_true(status == STATUS_OK || status == STATUS_TOO_BIG || status == STATUS_CORRUPT);
        contract_close(c);
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void put_file(const struct contract *c, const char *name, bool is_old)
{
    char path[300];
    snprintf(path, sizeof path, "%s/bodies/ab", c->dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/bodies/ab/%s", c->dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    struct timeval then[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
    if (is_old)
        assert_int_equal(0, utimes(path, then));
}

/* A young file may be a delivery under way: only who has the store alone knows that it is none. */
static void test_files(void **state)
{
    struct contract *c = *state;
    struct answer_repair repaired;
    struct store *reader;
    fill(c);
    put_file(c, "ab000000000000000000000000000000", false);
    assert_ok(contract_open(c, STORE_READER, false, 0, &reader));
    assert_int_equal(0, look(c, reader));
    contract_begin(c);
    assert_ok(c->v->repair(c->store, 1, &c->arena, &repaired));
    contract_commit(c);
    assert_int_equal(0, repaired.rows.count);
    put_file(c, "ab000000000000000000000000000000", true);
    put_file(c, "letter.txt", true);
    assert_int_equal(BIT(FOUND_ORPHAN_FILE) | BIT(FOUND_FOREIGN_FILE), look(c, reader));
    store_close(reader);
    contract_begin(c);
    assert_ok(c->v->repair(c->store, 1, &c->arena, &repaired));
    contract_commit(c);
    assert_int_equal(1, repaired.rows.count);
    assert_int_equal(BIT(FOUND_FOREIGN_FILE), look(c, c->store));
    contract_close(c);
    put_file(c, "ab000000000000000000000000000000", false);
    open_as_is(c);
    assert_int_equal(BIT(FOUND_ORPHAN_FILE) | BIT(FOUND_FOREIGN_FILE), look(c, c->store));
}

/* ---- octets ------------------------------------------------------------------------------------------------------ */

static uint8_t fault_of(struct contract *c, uint64_t id)
{
    struct buf octets = BUF(STORE_BODIES_ROOM);
    struct answer_bodies answer;
    assert_ok(c->v->bodies(c->store, &(struct ask_bodies){ .id = id, .only = 1 }, &c->arena, &octets, &answer));
    assert_int_equal(1, answer.rows.count);
    buf_done(&octets);
    return row_of(struct body_row, answer.rows, 0)->found;
}

static void test_bodies_that_are_not_there(void **state)
{
    struct contract *c = *state;
    fill(c);
    contract_close(c);
    put_file(c, "ab000000000000000000000000000000", true);
    run_sql(c, "UPDATE blob SET data = substr(data, 2) WHERE id = 1;"
               "UPDATE blob SET data = NULL, file = 'bodies/ab/ab000000000000000000000000000000' WHERE id = 2;"
               "UPDATE blob SET data = NULL, file = 'bodies/ab/ab999999999999999999999999999999' WHERE id = 3;"
               "UPDATE blob SET data = NULL, file = '../../etc/passwd' WHERE id = 4;");
    open_as_is(c);
    assert_int_equal(FOUND_LENGTH, fault_of(c, 1));
    assert_int_equal(FOUND_LENGTH, fault_of(c, 2));
    assert_int_equal(FOUND_MISSING_FILE, fault_of(c, 3));
    assert_int_equal(FOUND_UNREADABLE, fault_of(c, 4)); /* C221: no such path is followed */
}

/* A page of noise: the check says so, and goes on with the next part. */
static void test_spoilt_pages(void **state)
{
    struct contract *c = *state;
    char path[200];
    uint32_t ids[1];
    contract_begin(c);
    ids[0] = contract_account(c, "a@b.example");
    for (unsigned seed = 0; seed < 2000; seed++)
        assert_ok(contract_deliver(c, seed, 400, ids, 1));
    contract_commit(c);
    contract_close(c);
    snprintf(path, sizeof path, "%s/ekirei.db", c->dir);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    char noise[8192];
    memset(noise, 0xa5, sizeof noise);
    assert_int_equal(0, fseek(file, 0, SEEK_END));
    assert_int_equal(0, fseek(file, ftell(file) / 8192 / 2 * 8192, SEEK_SET));
    assert_int_equal(sizeof noise, fwrite(noise, 1, sizeof noise, file));
    fclose(file);
    open_as_is(c);
    assert_true(look(c, c->store) & BIT(FOUND_PAGE));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_damage),
        TEST(test_what_the_writer_remembers),
        TEST(test_numbers_at_their_end),
        TEST(test_files),
        TEST(test_bodies_that_are_not_there),
        TEST(test_spoilt_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
