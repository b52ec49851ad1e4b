#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_step_by_step),
        TEST(test_newer_is_refused),
        TEST(test_failing_step),
        TEST(test_strange_database),
        TEST(test_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
