#include <errno.h>

#include "base/alloc.h"
#include "base/must.h"
#include "store/sqlite/sqlite.h"

#define FIRST_CAP 128u /* a power of two; the store has about 70 statements */

/* Any failure of SQLite inside a transaction spoils the whole of it: SQLite may have rolled back by itself, and what
 * followed would then be committed statement by statement. */
static enum status spoil(struct sqlite *s, enum status status)
{
    if (s->in_transaction && s->broken == STATUS_OK)
        s->broken = status;
    return status;
}

/* SQLite says FULL only for a write that meets ENOSPC.  A quota, a size limit, or a sync that finds no room are IOERR
 * to it, and sqlite3_system_errno() knows nothing of a failed COMMIT; so errno is cleared before each step and read
 * after it. */
static enum status status_of_io(void)
{
    return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? STATUS_FULL : STATUS_IO;
}

static int step(sqlite3_stmt *statement)
{
    errno = 0;
    return sqlite3_step(statement);
}

enum status sqlite_status(struct sqlite *s, int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return STATUS_OK;
    case SQLITE_CONSTRAINT:
        return spoil(s, STATUS_CORRUPT); /* where one may be met, sqlite_insert_new() is used */
    case SQLITE_FULL:
        return spoil(s, STATUS_FULL);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return spoil(s, STATUS_BUSY);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* our statements are constants: what they miss was taken out of the file */
        return spoil(s, STATUS_CORRUPT);
    default:
        must((code & 0xff) != SQLITE_NOMEM && code != SQLITE_IOERR_NOMEM && (code & 0xff) != SQLITE_MISUSE);
        return spoil(s, status_of_io());
    }
}

static size_t place_of(const struct sqlite *s, const char *sql)
{
    size_t mask = s->prepared_cap - 1;
    size_t at = (size_t)(((uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & mask;
    while (s->prepared[at].sql && s->prepared[at].sql != sql)
        at = (at + 1) & mask;
    return at;
}

static void make_room(struct sqlite *s)
{
    if (s->prepared_count * 2 < s->prepared_cap)
        return;
    struct sqlite bigger = { .prepared_cap = s->prepared_cap ? s->prepared_cap * 2 : FIRST_CAP };
    bigger.prepared = alloc(bigger.prepared_cap * sizeof *bigger.prepared);
    for (size_t i = 0; i < s->prepared_cap; i++)
        if (s->prepared[i].sql)
            bigger.prepared[place_of(&bigger, s->prepared[i].sql)] = s->prepared[i];
    release(s->prepared);
    s->prepared = bigger.prepared;
    s->prepared_cap = bigger.prepared_cap;
}

enum status sqlite_query(struct sqlite *s, const char *sql, sqlite3_stmt **out_statement)
{
    make_room(s);
    struct prepared *prepared = &s->prepared[place_of(s, sql)];
    if (!prepared->sql) {
        sqlite3_stmt *statement;
        int code = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
        if (code != SQLITE_OK)
            return sqlite_status(s, code);
        *prepared = (struct prepared){ sql, statement };
        s->prepared_count++;
    }
    must(!sqlite3_stmt_busy(prepared->statement)); /* two users of one text would mix their rows */
    *out_statement = prepared->statement;
    return STATUS_OK;
}

void sqlite_forget_statements(struct sqlite *s)
{
    for (size_t i = 0; i < s->prepared_cap; i++)
        sqlite3_finalize(s->prepared[i].statement);
    release(s->prepared);
    s->prepared = NULL;
    s->prepared_cap = s->prepared_count = 0;
}

void sqlite_bind(sqlite3_stmt *statement, int at, uint64_t number)
{
    must(number <= INT64_MAX);
    int code = sqlite3_bind_int64(statement, at, (int64_t)number);
    must(code == SQLITE_OK);
}

void sqlite_bind_text(sqlite3_stmt *statement, int at, struct slice text)
{
    int code = sqlite3_bind_text64(statement, at, text.len ? text.ptr : "", text.len, SQLITE_STATIC, SQLITE_UTF8);
    must(code == SQLITE_OK);
}

void sqlite_bind_octets(sqlite3_stmt *statement, int at, struct slice octets)
{
    int code = sqlite3_bind_blob64(statement, at, octets.len ? octets.ptr : "", octets.len, SQLITE_STATIC);
    must(code == SQLITE_OK);
}

enum status sqlite_step(struct sqlite *s, sqlite3_stmt *statement, bool *out_row)
{
    int code = step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return sqlite_status(s, code);
    *out_row = code == SQLITE_ROW;
    return STATUS_OK;
}

enum status sqlite_run(struct sqlite *s, sqlite3_stmt *statement)
{
    int code;
    do
        code = step(statement);
    while (code == SQLITE_ROW);
    return sqlite_status(s, code);
}

enum status sqlite_insert_new(struct sqlite *s, sqlite3_stmt *statement)
{
    int code = step(statement);
    switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
        return STATUS_EXISTS;
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return STATUS_NOT_FOUND;
    default:
        return sqlite_status(s, code);
    }
}

enum status sqlite_run_sql(struct sqlite *s, const char *sql)
{
    scoped_statement *statement = NULL;
    TRY(sqlite_query(s, sql, &statement));
    return sqlite_run(s, statement);
}

uint64_t sqlite_number(sqlite3_stmt *statement, int column)
{
    /* We store none below zero, and none that counting could bring near the end: a spoiled file must not become a huge number here, nor
     * one that cannot be written back when one is added. */
    int64_t number = sqlite3_column_int64(statement, column), most = INT64_MAX / 2;
    return number < 0 ? 0 : (uint64_t)(number > most ? most : number);
}

uint32_t sqlite_number32(sqlite3_stmt *statement, int column)
{
    uint64_t number = sqlite_number(statement, column);
    return number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

struct slice sqlite_text(sqlite3_stmt *statement, int column)
{
    const char *ptr = sqlite3_column_blob(statement, column);
    int len = sqlite3_column_bytes(statement, column);
    return ptr && len > 0 ? (struct slice){ ptr, (size_t)len } : NO_SLICE;
}
