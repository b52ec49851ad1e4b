#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/must.h"
#include "faults/powercut.h"
#include "mail/pack.h"

#define TEXTS 4096

/* Mostly small; some of several frames, which is what large ones consist of. */
static size_t size_of(uint64_t number)
{
    uint64_t state = number, drawn = disk_random(&state);
    if (drawn % 61 == 0)
        return 270000;
    if (drawn % 11 == 0)
        return 66000 + drawn % 3000;
    return 100 + drawn % 4000;
}

const struct text *text_of(uint64_t number)
{
    static struct text texts[TEXTS];
    must(number < TEXTS);
    struct text *text = &texts[number];
    if (text->plain.len > 0)
        return text;
    char *room;
    uint64_t state = number + 77;
    size_t size = size_of(number);
    text->plain.max = text->packed.max = 1u << 20;
    enum status status = buf_reserve(&text->plain, size, &room);
    must(status == STATUS_OK);
    for (size_t i = 0; i < size; i++)
        room[i] = i % 64 == 63 ? '\n' : (char)(' ' + disk_random(&state) % 90);
    buf_grown(&text->plain, size);
    status = pack(&text->packed, buf_slice(&text->plain));
    must(status == STATUS_OK);
    return text;
}

struct store_body text_body(uint64_t number)
{
    const struct text *text = text_of(number);
    struct store_body body = {
        .packed = buf_slice(&text->packed), .size = text->plain.len, .stored = text->packed.len
    };
    memcpy(body.digest, &number, sizeof number); /* tells the number to who checks the row */
    return body;
}

static uint64_t mix(uint64_t hash, const void *octets, size_t len)
{
    const uint8_t *at = octets;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return (hash ^ len) * UINT64_C(0x100000001b3);
}

static uint64_t hash_row(sqlite3_stmt *statement, uint64_t hash)
{
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
        int type = sqlite3_column_type(statement, i);
        hash = mix(hash, &type, sizeof type);
        if (type == SQLITE_INTEGER) {
            int64_t number = sqlite3_column_int64(statement, i);
            hash = mix(hash, &number, sizeof number);
        } else if (type != SQLITE_NULL) {
            const void *octets = sqlite3_column_blob(statement, i);
            size_t len = (size_t)sqlite3_column_bytes(statement, i);
            /* Bodies are looked at one by one elsewhere. */
            hash = mix(hash, octets, len < 1000 ? len : 1000);
        }
    }
    return hash;
}

static bool dump_table(sqlite3 *db, const char *sql, const char *name, struct dump *out)
{
    sqlite3_stmt *statement;
    must(out->count < TABLES);
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        return false;
    uint64_t rows = 0, hash = 0;
    int code;
    for (; (code = sqlite3_step(statement)) == SQLITE_ROW; rows++)
        hash = hash_row(statement, hash);
    sqlite3_finalize(statement);
    snprintf(out->tables[out->count].name, sizeof out->tables->name, "%s", name);
    out->tables[out->count].rows = rows;
    out->tables[out->count++].hash = hash;
    return code == SQLITE_DONE;
}

bool dump_take(sqlite3 *db, struct dump *out)
{
    sqlite3_stmt *tables;
    memset(out, 0, sizeof *out);
    if (!dump_table(db, "SELECT type, name, sql FROM sqlite_schema ORDER BY name", "sqlite_schema", out) ||
        !dump_table(db, "PRAGMA user_version", "user_version", out))
        return false;
    if (sqlite3_prepare_v2(
            db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", -1, &tables, NULL) != SQLITE_OK)
        return false;
    bool good = true;
    int code = SQLITE_DONE;
    while (good && (code = sqlite3_step(tables)) == SQLITE_ROW) {
        char sql[128];
        const char *name = (const char *)sqlite3_column_text(tables, 0);
        snprintf(sql, sizeof sql, "SELECT * FROM \"%s\"", name);
        good = dump_table(db, sql, name, out);
    }
    sqlite3_finalize(tables);
    return good && code == SQLITE_DONE;
}

const char *dump_differs(const struct dump *a, const struct dump *b)
{
    if (a->count != b->count)
        return "the number of tables";
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->tables[i].name, b->tables[i].name) != 0 || a->tables[i].rows != b->tables[i].rows ||
            a->tables[i].hash != b->tables[i].hash)
            return a->tables[i].name;
    return NULL;
}

uint64_t query(sqlite3 *db, const char *sql, uint64_t a, uint64_t b)
{
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code != SQLITE_OK)
        return UINT64_MAX;
    int count = sqlite3_bind_parameter_count(statement);
    if (count > 0)
        sqlite3_bind_int64(statement, 1, (int64_t)a);
    if (count > 1)
        sqlite3_bind_int64(statement, 2, (int64_t)b);
    code = sqlite3_step(statement);
    uint64_t number = code == SQLITE_ROW    ? (uint64_t)sqlite3_column_int64(statement, 0)
                      : code == SQLITE_DONE ? 0
                                            : UINT64_MAX;
    sqlite3_finalize(statement);
    return number;
}
