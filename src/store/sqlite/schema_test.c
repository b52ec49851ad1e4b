#include <stdio.h>
#include <stdlib.h>

#include "store/contract.h"
#include "store/sqlite/schema.h"

static const struct schema_step three[] = {
    { 0, "CREATE TABLE a (x); INSERT INTO a VALUES (1); PRAGMA application_id = 1701538162;" },
    { 1, "ALTER TABLE a ADD COLUMN y; UPDATE a SET y = x + 1;" },
    { 2, "CREATE TABLE b AS SELECT y + 1 AS z FROM a;" },
};
static const struct schema_steps version_1 = { three, 1 }, version_2 = { three, 2 }, version_3 = { three, 3 };

static int setup(void **state)
{
    return sqlite3_open(":memory:", (sqlite3 **)state) == SQLITE_OK ? 0 : -1;
}
static int teardown(void **state)
{
    return sqlite3_close(*state) == SQLITE_OK ? 0 : -1;
}

static int number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        return -1;
    int value = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int(statement, 0) : -1;
    sqlite3_finalize(statement);
    return value;
}

static void test_step_by_step(void **state)
{
    sqlite3 *db = *state;
    struct buf why = BUF(1000);
    assert_int_equal(STATUS_DENIED, schema_check(db, &version_1, &why));
    assert_int_equal(STATUS_OK, schema_migrate(db, &version_1, &why));
    assert_int_equal(1, number(db, "PRAGMA user_version"));
    assert_int_equal(STATUS_OK, schema_check(db, &version_1, &why));
    buf_clear(&why);
    assert_int_equal(
        STATUS_DENIED, schema_check(db, &version_3, &why)); /* a reader waits until the writer has done it */
    assert_true(why.len > 0);
    assert_int_equal(STATUS_OK, schema_migrate(db, &version_3, &why)); /* two steps at once, from a filled store */
    assert_int_equal(3, number(db, "PRAGMA user_version"));
    assert_int_equal(3, number(db, "SELECT z FROM b"));
    assert_int_equal(STATUS_OK, schema_migrate(db, &version_3, &why));
    assert_int_equal(1, number(db, "SELECT count(*) FROM a"));
    buf_done(&why);
}

static void test_newer_is_refused(void **state)
{
    sqlite3 *db = *state;
    struct buf why = BUF(1000);
    assert_int_equal(STATUS_OK, schema_migrate(db, &version_3, &why));
    assert_int_equal(STATUS_DENIED, schema_migrate(db, &version_2, &why));
    assert_true(slice_has(buf_slice(&why), S("version 3")));
    assert_true(slice_has(buf_slice(&why), S("newer ekirei")));
    assert_int_equal(STATUS_DENIED, schema_check(db, &version_2, &why));
    assert_int_equal(3, number(db, "PRAGMA user_version"));
    buf_done(&why);
}

/* A step that fails leaves the store as it was. */
static void test_failing_step(void **state)
{
    sqlite3 *db = *state;
    struct buf why = BUF(1000);
    const struct schema_step broken[] = { three[0], three[1],
        { 2, "CREATE TABLE b (z); INSERT INTO nowhere VALUES (1);" } };
    assert_int_equal(STATUS_OK, schema_migrate(db, &version_1, &why));
    assert_int_not_equal(STATUS_OK, schema_migrate(db, &(struct schema_steps){ broken, 3 }, &why));
    assert_true(slice_has(buf_slice(&why), S("nowhere")));
    assert_int_equal(1, number(db, "PRAGMA user_version"));
    assert_int_equal(1, number(db, "SELECT count(*) FROM pragma_table_info('a')"));
    assert_int_equal(0, number(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'b'"));
    assert_int_equal(STATUS_OK, schema_migrate(db, &version_3, &why));
    buf_done(&why);
}

static void test_strange_database(void **state)
{
    sqlite3 *db = *state;
    struct buf why = BUF(1000);
    assert_int_equal(SQLITE_OK, sqlite3_exec(db, "CREATE TABLE theirs (x)", NULL, NULL, NULL));
    assert_int_equal(STATUS_DENIED, schema_migrate(db, &schema_steps, &why));
    assert_true(slice_has(buf_slice(&why), S("not made by ekirei")));
    assert_int_equal(1, number(db, "SELECT count(*) FROM sqlite_schema"));
    buf_done(&why);
}

static void test_ours(void **state)
{
    sqlite3 *db = *state;
    struct buf why = BUF(1000);
    for (int i = 0; i < schema_steps.count; i++)
        assert_int_equal(i, schema_steps.rows[i].from);
    assert_int_equal(STATUS_OK, schema_migrate(db, &schema_steps, &why));
    assert_int_equal(schema_steps.count, number(db, "PRAGMA user_version"));
    assert_true(number(db, "SELECT value FROM meta WHERE key = 'uidvalidity'") > 0);
    buf_done(&why);
}

/* ---- a store of version 1, as it was left by its last program, opened by today's --------------------------------- */

static const char filled_1[] =
    "INSERT INTO domain VALUES ('a.example'), ('b.example'), ('z.example');"
    "INSERT INTO account VALUES (4, 'ann@z.example', 'Ann', 'z.example', '$argon2id$ann', 10, 11, 1, 1),"
    " (7, 'bob@b.example', NULL, 'b.example', '$argon2id$bob', 12, 0, 0, 0);"
    "INSERT INTO credential VALUES (3, 4, 'scanner', x'00ff', '192.0.2.0/24', 13, 0, 14, 6, 15),"
    " (5, 4, 'phone', x'01', '', 15, 16, 0, 0, 1);"
    "INSERT INTO alias VALUES ('sales@z.example', 'ann@z.example');"
    "INSERT INTO mailbox SELECT NULL, id, 'INBOX', id + 1000, 2, 1, 1, 20, '', 1 FROM account;"
    "INSERT INTO blob VALUES (1, 20, 3, x'00', NULL, x'616263');"
    "INSERT INTO share VALUES (1, 2);"
    "INSERT INTO message SELECT id, 1, 1, 0, '', 17, 20, 22, 1 FROM mailbox;";

struct left {
    unsigned accounts, devices, domains;
    char first_domain[32];
};

static enum status see_account(void *context, const struct store_account *account)
{
    struct left *left = context;
    left->accounts++;
    assert_int_equal(account->scram.len, 0);
    if (account->id != 4)
        return STATUS_OK;
    assert_true(slice_equal(account->address, S("ann@z.example")) && slice_equal(account->login, S("Ann")));
    assert_true(slice_equal(account->password, S("$argon2id$ann")) && account->enabled && account->pop_before_smtp);
    assert_int_equal(account->last_login, 11);
    return STATUS_OK;
}

static enum status see_device(void *context, const struct store_device *device)
{
    struct left *left = context;
    left->devices++;
    assert_int_equal(device->scram.len + device->key.len, 0);
    if (device->id != 3)
        return STATUS_OK;
    assert_true(slice_equal(device->sealed, S("\0\xff")) && slice_equal(device->from, S("192.0.2.0/24")));
    assert_int_equal(device->mechanisms, 6);
    assert_int_equal(device->rights, 15);
    return STATUS_OK;
}

static enum status see_domain(void *context, const struct store_domain *domain)
{
    struct left *left = context;
    if (left->domains++ == 0)
        snprintf(left->first_domain, sizeof left->first_domain, "%.*s", (int)domain->name.len, domain->name.ptr);
    return STATUS_OK;
}

static enum status see_no_place(void *context, const struct store_place *place)
{
    (void)context;
    (void)place;
    return STATUS_CORRUPT;
}

static void fill_version_1(const char *dir)
{
    char path[64];
    sqlite3 *db;
    struct buf why = BUF(1000);
    snprintf(path, sizeof path, "%s/ekirei.db", dir);
    assert_int_equal(SQLITE_OK, sqlite3_open(path, &db));
    assert_int_equal(STATUS_OK, schema_migrate(db, &(struct schema_steps){ schema_steps.rows, 1 }, &why));
    assert_int_equal(SQLITE_OK, sqlite3_exec(db, filled_1, NULL, NULL, NULL));
    assert_int_equal(1, number(db, "PRAGMA user_version"));
    assert_int_equal(SQLITE_OK, sqlite3_close(db));
    buf_done(&why);
}

/* It is today's store, whatever was in it: new columns can be written, and messages are read. */
static void use(struct store *store)
{
    const struct store_verbs *v = store->verbs;
    struct arena arena = ARENA(65536);
    struct answer_drop_list list;
    struct store_device device = { .account = 7, .name = S("key"), .key = S("digest") };
    struct store_place place = { .account = 7, .first = 1, .last = 2 };
    uint32_t id;
    assert_int_equal(v->drop_list(store, 4, &(struct ask_drop_list){ 0 }, &arena, &list), STATUS_OK);
    assert_int_equal(list.rows.count, 1);
    assert_int_equal(list.uidvalidity, 1004);
    assert_int_equal(v->begin(store), STATUS_OK);
    assert_int_equal(v->domain_add(store, S("aa.example")), STATUS_OK);
    assert_int_equal(v->device_add(store, &device, &id), STATUS_OK);
    assert_int_equal(id, 6); /* ids go on */
    assert_int_equal(v->place_seen(store, &place, 2), STATUS_OK);
    assert_int_equal(v->account_password(store, 7, S("$new"), S("verifiers")), STATUS_OK);
    assert_int_equal(v->account_remove(store, 7), STATUS_OK);
    assert_int_equal(v->commit(store), STATUS_OK);
    assert_int_equal(v->each_place(store, see_no_place, NULL), STATUS_OK); /* gone with its account */
    arena_done(&arena);
}

static void test_version_1_with_rows(void **state)
{
    char dir[] = "/tmp/ekirei-schema-XXXXXX";
    struct store *store;
    struct left left = { 0 };
    struct buf why = BUF(1000);
    (void)state;
    assert_non_null(mkdtemp(dir));
    fill_version_1(dir);
    struct store_plan plan = { .dir = dir, .mode = STORE_READER };
    assert_int_equal(store_open(&plan, &store, &why), STATUS_DENIED); /* a reader changes nothing */
    plan.mode = STORE_WRITER;
    for (int round = 0; round < 2; round++) {
        left = (struct left){ 0 };
        assert_int_equal(store_open(&plan, &store, &why), STATUS_OK);
        assert_int_equal(store->verbs->each_account(store, 0, see_account, &left), STATUS_OK);
        assert_int_equal(store->verbs->each_device(store, 0, see_device, &left), STATUS_OK);
        assert_int_equal(store->verbs->each_domain(store, see_domain, &left), STATUS_OK);
        assert_int_equal(left.accounts, 2 - round);
        assert_int_equal(left.devices, 2);
        assert_int_equal(left.domains, 3 + round);
        assert_string_equal(left.first_domain, "z.example"); /* of the oldest account: the default domain */
        if (round == 0)
            use(store);
        store_close(store);
    }
    contract_remove(dir);
    buf_done(&why);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_step_by_step),
        TEST(test_newer_is_refused),
        TEST(test_failing_step),
        TEST(test_strange_database),
        TEST(test_ours),
        cmocka_unit_test(test_version_1_with_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
