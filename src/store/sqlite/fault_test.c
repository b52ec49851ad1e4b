/* fault_test.c - the embedded store on a failing disk, and what can only be seen with SQL in hand. */
#include <stdio.h>
#include <sys/stat.h>

#include "store/contract.h"
#include "store/sqlite/fault_vfs.h"
#include "store/sqlite/sqlite.h"

/* As contract_setup(), but over the disk that fails. */
static int setup(void **state)
{
    fault_install();
    return contract_setup(state);
}

/* SQL on the closed store. */
static uint64_t query(struct contract *c, const char *sql)
{
    char path[128];
    sqlite3 *db;
    sqlite3_stmt *statement;
    snprintf(path, sizeof path, "%s/ekirei.db", c->dir);
    assert_int_equal(SQLITE_OK, sqlite3_open(path, &db));
    assert_int_equal(SQLITE_OK, sqlite3_prepare_v2(db, sql, -1, &statement, NULL));
    uint64_t number = sqlite3_step(statement) == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
    assert_int_equal(SQLITE_OK, sqlite3_finalize(statement));
    assert_int_equal(SQLITE_OK, sqlite3_close(db));
    return number;
}

/* What one run told its peers. */
struct run {
    unsigned acknowledged[16];
    size_t count;
    bool refused;
    enum status status;
};

/* Six transactions of different kinds; what commit() said OK to is noted. */
static void work(struct contract *c, uint32_t account, unsigned seed, struct run *run)
{
    for (unsigned i = 0; i < 6; i++) {
        enum status status = c->v->begin(c->store);
        if (status == STATUS_OK) {
            status = contract_deliver(c, seed + i, i == 3 ? 120000 : 700, &account, 1);
            if (status == STATUS_OK)
                status = c->v->commit(c->store);
            c->v->rollback(c->store);
        }
        if (status == STATUS_OK) {
            run->acknowledged[run->count++] = seed + i;
        } else {
            run->refused = true;
            run->status = status;
        }
        if (i == 4)
            c->v->rest(c->store);
    }
}

/* Every acknowledged message once; nothing else unless `more` is allowed. */
static void check(struct contract *c, uint32_t account, const struct run *run, bool more)
{
    struct answer_drop_list list;
    struct buf out = BUF(1u << 20);
    size_t found = 0;
    contract_list(c, c->store, account, &list);
    for (uint32_t i = 0; i < list.rows.count; i++) {
        struct store_page page = { account, row_of(struct drop_row, list.rows, i)->uid, 0 };
        bool known = false;
        buf_clear(&out);
        do
            assert_ok(c->v->message_read(c->store, &page, 65536, &out, &page.at));
        while (page.at != 0);
        for (size_t j = 0; j < run->count && !known; j++)
            known = contract_same(buf_slice(&out), run->acknowledged[j], run->acknowledged[j] % 10 == 3 ? 120000 : 700);
        assert_true(known || more);
        found += known;
    }
    assert_int_equal(run->count, found);
    uint32_t messages;
    uint64_t octets;
    assert_ok(c->v->usage(c->store, account, &messages, &octets));
    assert_int_equal(list.rows.count, messages);
    buf_done(&out);
}

static void fault_rounds(struct contract *c, enum fault fault, bool once)
{
    bool happened = true;
    unsigned refusals = 0;
    for (unsigned n = 1; happened; n++) {
        struct run run = { 0 };
        char address[32];
        snprintf(address, sizeof address, "a%u@b.example", n);
        contract_begin(c);
        uint32_t account = contract_account(c, address);
        contract_commit(c);
        fault_arm(fault, (int)n, once);
        work(c, account, n * 10, &run);
        happened = fault_disarm();
        if (run.refused) {
            refusals++;
            assert_status(fault == FAULT_FULL ? STATUS_FULL : STATUS_IO, run.status);
        }
        check(c, account, &run, false); /* in this process: nothing refused may be seen */
        contract_reopen(c);
        check(c, account, &run, !once);
        /* and the store lives on */
        struct run again = { .count = run.count };
        memcpy(again.acknowledged, run.acknowledged, sizeof run.acknowledged);
        contract_begin(c);
        assert_ok(contract_deliver(c, n * 10 + 7, 700, &account, 1));
        contract_commit(c);
        again.acknowledged[again.count++] = n * 10 + 7;
        check(c, account, &again, !once);
        assert_in_range(n, 1, 400);
    }
    assert_true(refusals > 20); /* the faults did reach commits */
    contract_close(c);
    assert_int_equal(0, query(c, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"));
    contract_reopen(c);
}

/* C219: a write or sync that fails is a transaction that did not happen. */
static void test_c219_io_once(void **state)
{
    fault_rounds(*state, FAULT_IO, true);
}
static void test_c219_io_for_ever(void **state)
{
    fault_rounds(*state, FAULT_IO, false);
}
/* C220: no room. */
static void test_c220_full_once(void **state)
{
    fault_rounds(*state, FAULT_FULL, true);
}
static void test_c220_full_for_ever(void **state)
{
    fault_rounds(*state, FAULT_FULL, false);
}

/* After a failure no later verb of the same transaction may slip through and be committed by itself. */
static void test_broken_transaction(void **state)
{
    struct contract *c = *state;
    struct answer_drop_list list;
    uint64_t queue_id;
    contract_begin(c);
    uint32_t id = contract_account(c, "a@b.example");
    contract_commit(c);
    struct sqlite *s = sqlite_of(c->store);
    /* A cache of ten pages spills the transaction into the log before its commit, so that a verb meets the fault. */
    assert_int_equal(SQLITE_OK, sqlite3_exec(s->db, "PRAGMA cache_size = 10", NULL, NULL, NULL));
    contract_begin(c);
    fault_arm(FAULT_IO, 1, true);
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < 100 && status == STATUS_OK; i++)
        status = contract_deliver(c, i, 50000, &id, 1);
    assert_true(fault_disarm());
    assert_status(STATUS_IO, status);
    assert_status(STATUS_IO, contract_deliver(c, 1, 100, &id, 1));
    assert_status(STATUS_IO, c->v->mark(c->store));
    assert_status(STATUS_IO, c->v->undo(c->store));
    assert_status(STATUS_IO, c->v->queue_release_claims(c->store));
    assert_status(STATUS_IO, c->v->commit(c->store));
    contract_list(c, c->store, id, &list);
    assert_int_equal(0, list.rows.count);
    contract_begin(c);
    assert_ok(contract_deliver(c, 1, 100, &id, 1));
    contract_commit(c);
    struct store_target target = { id };
    struct store_message message = { .targets = &target, .target_count = 1, .received = 1 };
    contract_begin(c);
    assert_ok(c->v->deliver(c->store, &message, &queue_id));
    contract_commit(c);
    contract_list(c, c->store, id, &list);
    assert_int_equal(2, list.rows.count);
}

struct hashes {
    char password[32];
    unsigned places;
};

static enum status see_hash(void *context, const struct store_account *account)
{
    struct hashes *hashes = context;
    snprintf(hashes->password, sizeof hashes->password, "%.*s", (int)account->password.len, account->password.ptr);
    return STATUS_OK;
}

static enum status count_place(void *context, const struct store_place *place)
{
    struct hashes *hashes = context;
    assert_true(place->last > 0);
    hashes->places++;
    return STATUS_OK;
}

/* New verifiers and a place in one transaction: both, or neither. */
static enum status refresh(struct contract *c, uint32_t account, const char *from, const char *to)
{
    struct store_rehash rehash = { .account = account, .expected = slice_of(from), .password = slice_of(to), .scram = S("v") };
    struct store_place place = { .account = account, .address = { { (uint8_t)to[0] } }, .first = 1, .last = 2 };
    enum status status = c->v->begin(c->store);
    if (status == STATUS_OK)
        status = c->v->account_rehash(c->store, &rehash);
    if (status == STATUS_OK)
        status = c->v->place_seen(c->store, &place, 64);
    if (status == STATUS_OK)
        status = c->v->commit(c->store);
    c->v->rollback(c->store);
    return status;
}

/* C219: a password is never left without the hash that fits it. */
static void test_c219_rehash_and_places(void **state)
{
    struct contract *c = *state;
    struct hashes hashes = { "$verifier", 0 };
    unsigned places = 0, failures = 0;
    contract_begin(c);
    uint32_t id = contract_account(c, "a@b.example");
    contract_commit(c);
    bool happened = true;
    for (int n = 1; happened; n++) {
        char next[32], before[32];
        snprintf(next, sizeof next, "%c$hash-%d", n + 1, n);
        memcpy(before, hashes.password, sizeof before);
        fault_arm(n % 2 ? FAULT_IO : FAULT_FULL, (n + 1) / 2, true);
        enum status status = refresh(c, id, before, next);
        happened = fault_disarm();
        for (unsigned round = 0; round < 2; round++) {
            hashes = (struct hashes){ 0 };
            assert_ok(c->v->each_account(c->store, id, see_hash, &hashes));
            assert_ok(c->v->each_place(c->store, count_place, &hashes));
            assert_string_equal(status == STATUS_OK ? next : before, hashes.password);
            assert_int_equal(places + (status == STATUS_OK), hashes.places);
            contract_reopen(c);
        }
        places = hashes.places;
        failures += status != STATUS_OK;
        assert_in_range(n, 1, 100);
    }
    assert_true(failures > 1 && places > 0);
}

/* C216: one commit, one sync, and it is done before commit() returns. */
static void test_c216_sync_before_answer(void **state)
{
    struct contract *c = *state;
    contract_begin(c);
    uint32_t id = contract_account(c, "a@b.example");
    contract_commit(c);
    for (unsigned i = 0; i < 5; i++) {
        long before = fault_syncs();
        contract_begin(c);
        for (unsigned j = 0; j < 10; j++)
            assert_ok(contract_deliver(c, j, 500, &id, 1));
        assert_int_equal(before, fault_syncs());
        contract_commit(c);
        assert_int_equal(before + 1, fault_syncs());
    }
}

/* C135: at the end of the UIDs a delivery is refused, before anything of it is written. */
static void test_c135_last_uid(void **state)
{
    struct contract *c = *state;
    struct answer_drop_list list;
    contract_begin(c);
    uint32_t id = contract_account(c, "a@b.example"), other = contract_account(c, "b@b.example");
    contract_commit(c);
    contract_close(c);
    query(
        c, "UPDATE mailbox SET uidnext = 4294967294 WHERE account = (SELECT min(id) FROM account) AND name = 'INBOX'");
    contract_reopen(c);
    contract_begin(c);
    assert_ok(contract_deliver(c, 1, 100, &id, 1));
    assert_status(STATUS_TOO_BIG, contract_deliver(c, 2, 100, (uint32_t[]){ other, id }, 2));
    assert_ok(contract_deliver(c, 3, 100, &other, 1));
    contract_commit(c);
    contract_list(c, c->store, id, &list);
    assert_int_equal(1, list.rows.count);
    assert_int_equal(UINT32_MAX - 1, list.until);
    contract_list(c, c->store, other, &list);
    assert_int_equal(1, list.rows.count);
    contract_close(c);
    assert_int_equal(2, query(c, "SELECT count(*) FROM blob"));
    contract_reopen(c);
}

static void test_rows(void **state)
{
    struct contract *c = *state;
    uint32_t ids[3], removed;
    contract_begin(c);
    ids[0] = contract_account(c, "a@b.example");
    ids[1] = contract_account(c, "b@b.example");
    ids[2] = contract_account(c, "c@b.example");
    assert_ok(contract_deliver(c, 1, 100, ids, 3));
    assert_ok(contract_deliver(c, 2, 100, ids, 1));
    contract_commit(c);
    contract_close(c);
    assert_int_equal(2, query(c, "SELECT count(*) FROM blob")); /* one body for three accounts */
    assert_int_equal(3, query(c, "SELECT sum(refs) FROM share"));
    assert_int_equal(15, query(c, "SELECT count(DISTINCT uidvalidity) FROM mailbox"));
    assert_int_equal(12, query(c, "SELECT count(*) FROM mailbox WHERE special_use <> ''"));
    assert_int_equal(3, query(c, "SELECT highestmodseq FROM mailbox ORDER BY id LIMIT 1"));
    contract_reopen(c);
    contract_begin(c);
    assert_ok(c->v->expunge(c->store, ids[0], &(struct uid_range){ 1, 9 }, 1, &removed));
    assert_int_equal(2, removed);
    contract_commit(c);
    contract_close(c);
    assert_int_equal(
        4, query(c, "SELECT highestmodseq FROM mailbox ORDER BY id LIMIT 1")); /* mod-sequences grow, too */
    assert_int_equal(2, query(c, "SELECT count(*) FROM expunged WHERE modseq = 4"));
    assert_int_equal(2, query(c, "SELECT sum(refs) FROM share"));
    assert_int_equal(1, query(c, "SELECT count(*) FROM orphan"));
    contract_reopen(c);
    contract_begin(c);
    assert_ok(c->v->account_remove(c->store, ids[0]));
    assert_ok(c->v->account_remove(c->store, ids[1]));
    assert_ok(c->v->account_remove(c->store, ids[2]));
    assert_ok(c->v->sweep(c->store, UINT64_MAX / 4, 10, &removed));
    assert_int_equal(2, removed);
    contract_commit(c);
    contract_close(c);
    assert_int_equal(
        0, query(c,
               "SELECT (SELECT count(*) FROM blob) + (SELECT count(*) FROM share) + (SELECT count(*) FROM orphan)"
               " + (SELECT count(*) FROM message) + (SELECT count(*) FROM expunged) + (SELECT count(*) FROM mailbox)"));
    contract_reopen(c);
}

static uint64_t log_size(struct contract *c)
{
    char path[128];
    struct stat status;
    snprintf(path, sizeof path, "%s/ekirei.db-wal", c->dir);
    return stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static void fill(struct contract *c, uint32_t id, unsigned commits, bool rest)
{
    for (unsigned i = 0; i < commits; i++) {
        contract_begin(c);
        for (unsigned j = 0; j < 4; j++)
            assert_ok(contract_deliver(c, 1, 200000, &id, 1));
        contract_commit(c);
        if (rest)
            c->v->rest(c->store);
    }
}

/* The log is copied in moments of rest, and stays small although a reader stands by; without rest, a commit sees to it.
 */
static void test_log_stays_small(void **state)
{
    struct contract *c = *state;
    struct store *reader;
    struct answer_drop_list list;
    contract_begin(c);
    uint32_t id = contract_account(c, "a@b.example");
    contract_commit(c);
    assert_ok(contract_open(c, STORE_READER, false, 0, &reader));
    contract_list(c, reader, id, &list);
    fill(c, id, 40, true); /* 32 MB */
    assert_in_range(log_size(c), 1, 12u << 20);
    contract_list(c, reader, id, &list);
    assert_int_equal(160, list.rows.count);
    fill(c, id, 120, false); /* 96 MB */
    assert_in_range(log_size(c), 1, 80u << 20);
    contract_list(c, reader, id, &list);
    assert_int_equal(640, list.rows.count);
    store_close(reader);
    assert_true(log_size(c) > 0); /* a reader's end copies nothing */
}

static void test_reader_may_not_write(void **state)
{
    struct contract *c = *state;
    struct store *reader;
    assert_ok(contract_open(c, STORE_READER, false, 0, &reader));
    assert_int_equal(
        SQLITE_READONLY, sqlite3_exec(sqlite_of(reader)->db, "DELETE FROM account", NULL, NULL, NULL) & 0xff);
    store_close(reader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, contract_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_c219_io_once),
        TEST(test_c219_io_for_ever),
        TEST(test_c220_full_once),
        TEST(test_c220_full_for_ever),
        TEST(test_broken_transaction),
        TEST(test_c219_rehash_and_places),
        TEST(test_c216_sync_before_answer),
        TEST(test_c135_last_uid),
        TEST(test_rows),
        TEST(test_log_stays_small),
        TEST(test_reader_may_not_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
