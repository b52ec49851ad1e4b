#include "image.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mail/pack.h"
#include "store/body.h"
#include "store/store.h"

#define IMAGE_MOST (8u << 20)
#define COLUMNS    200u

static char dir[256], database[400], body_name[80];
static struct buf strict = { .max = IMAGE_MOST }, loose = { .max = IMAGE_MOST }, body = { .max = IMAGE_MOST };
static struct column {
    char table[40], name[40];
} columns[COLUMNS];
static size_t column_count;

const char *image_dir(void) { return dir; }

static void path_of(char out[400], const char *name) { must(snprintf(out, 400, "%s/%s", dir, name) < 400); }

static void read_whole(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY);
    struct stat about;
    char *room;
    must(fd >= 0 && fstat(fd, &about) == 0);
    is_fine(buf_reserve(out, (size_t)about.st_size, &room));
    must(read(fd, room, (size_t)about.st_size) == about.st_size);
    buf_grown(out, (size_t)about.st_size);
    close(fd);
}

static void write_whole(const char *path, struct slice octets)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must(fd >= 0 && write(fd, octets.ptr, octets.len) == (ssize_t)octets.len);
    close(fd);
}

/* ---- the store as it should be ---------------------------------------------------------------------------------------- */

static void make_noise(struct buf *out, size_t size)
{
    struct random_stream stream = { size, 7, 0 };
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        uint64_t noise = random_next(&stream);
        is_fine(buf_put(out, (struct slice){ (const char *)&noise, sizeof noise }));
    }
}

static void put_message(struct store *store, struct slice plain, bool in_file, const struct store_target *targets, size_t count, bool remote)
{
    const struct store_remote remotes[] = {
        { .address = S("one@there.example"), .domain = S("there.example"), .orcpt = S("rfc822;one@there.example"), .notify = DSN_FAILURE },
        { .address = S("two@there.example"), .domain = S("there.example"), .notify = DSN_SUCCESS | DSN_DELAY },
    };
    struct buf packed = BUF(IMAGE_MOST);
    struct body_store bodies;
    struct body_file file;
    uint64_t queue;
    is_fine(pack(&packed, plain));
    struct store_message message = { .body = { .packed = buf_slice(&packed), .size = plain.len, .stored = packed.len, .digest = { 1, 2, (uint8_t)plain.len } },
        .received = 1795428245000, .pop3_size = plain.len + 2, .targets = targets, .target_count = count, .remotes = remotes, .remote_count = remote ? 2 : 0,
        .sender = S("alice@our.test"), .envid = S("e"), .session = S("u0-1"), .skip = 5, .body_type = 1, .ret = 1 };
    if (in_file) {
        is_fine(body_store_open(&bodies, dir));
        is_fine(body_file_open(&bodies, &file));
        is_fine(body_file_put(&file, buf_slice(&packed)));
        is_fine(body_file_finish(&bodies, &file));
        body_store_close(&bodies);
        memcpy(body_name, file.name, sizeof body_name);
        message.body.packed = NO_SLICE;
        message.body.file = slice_of(file.name);
    }
    is_fine(store->verbs->deliver(store, &message, &queue));
    buf_done(&packed);
}

static void put_people(struct store *store, struct store_target targets[2])
{
    const struct store_verbs *v = store->verbs;
    struct store_account alice = { .address = S("alice@our.test"), .login = S("alice"), .password = S("$6$salt$hash"), .scram = S("scram"), .created = 5, .enabled = true };
    struct store_account bob = { .address = S("bob@our.test"), .password = S("$argon2id$x"), .created = 6, .enabled = true, .pop_before_smtp = true };
    struct store_device scanner = { .name = S("scanner"), .sealed = S("sealed"), .from = S("192.0.2.0/24"), .created = 7, .mechanisms = 3, .rights = 7 };
    struct store_alias all = { S("all@our.test"), S("bob@our.test") };
    struct store_place place = { .first = 8, .last = 9 };
    uint32_t device;
    is_fine(v->domain_add(store, S("our.test")));
    is_fine(v->account_add(store, &alice, &targets[0].account));
    is_fine(v->account_add(store, &bob, &targets[1].account));
    scanner.account = place.account = targets[0].account;
    is_fine(v->device_add(store, &scanner, &device));
    is_fine(v->alias_add(store, &all));
    is_fine(ip_parse(S("192.0.2.7"), &place.address));
    is_fine(v->place_seen(store, &place, 4));
}

static void put_mail(struct store *store, const struct store_target targets[2])
{
    struct buf large = BUF(IMAGE_MOST);
    uint32_t removed;
    make_noise(&large, LIMIT_INLINE_STORED + 4096);
    put_message(store, S("From: a@b.example\r\n\r\nto both\r\n"), false, targets, 2, false);
    put_message(store, S("From: a@b.example\r\n\r\nto go\r\n"), false, targets, 1, false);
    put_message(store, buf_slice(&large), true, targets, 1, false);
    put_message(store, slice_upto(buf_slice(&large), 20000), false, targets, 1, true);
    is_fine(store->verbs->expunge(store, targets[0].account, &(struct uid_range){ 2, 2 }, 1, &removed));
    buf_done(&large);
}

/* ---- the same without its constraints ----------------------------------------------------------------------------------- */

static sqlite3 *open_raw(void)
{
    sqlite3 *db;
    must(sqlite3_open(database, &db) == SQLITE_OK);
    return db;
}

static void run(sqlite3 *db, const char *sql) { (void)sqlite3_exec(db, sql, NULL, NULL, NULL); }

static void find_columns(sqlite3 *db)
{
    sqlite3_stmt *rows;
    must(sqlite3_prepare_v2(db, "SELECT s.name, t.name FROM sqlite_schema s JOIN pragma_table_info(s.name) t WHERE s.type = 'table' ORDER BY 1, 2", -1, &rows, NULL) == SQLITE_OK);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        must(column_count < COLUMNS);
        struct column *column = &columns[column_count++];
        snprintf(column->table, sizeof column->table, "%s", (const char *)sqlite3_column_text(rows, 0));
        snprintf(column->name, sizeof column->name, "%s", (const char *)sqlite3_column_text(rows, 1));
    }
    sqlite3_finalize(rows);
}

static void loosen(void)
{
    sqlite3 *db = open_raw();
    find_columns(db);
    run(db, "PRAGMA journal_mode = DELETE; PRAGMA writable_schema = ON;"
            "UPDATE sqlite_schema SET sql = replace(replace(replace(replace(sql, ' STRICT, WITHOUT', ' WITHOUT'), ' STRICT', ''), ' NOT NULL', ''), ' UNIQUE', '')"
            " WHERE type = 'table' AND sql NOT LIKE '%UNIQUE%';"
            "UPDATE sqlite_schema SET sql = replace(replace(replace(sql, ' STRICT, WITHOUT', ' WITHOUT'), ' STRICT', ''), ' NOT NULL', '') WHERE type = 'table';");
    must(sqlite3_close(db) == SQLITE_OK);
    read_whole(database, &loose);
}

void image_make(void)
{
    const char *top = getenv("TMPDIR");
    struct store_target targets[2];
    struct store *store;
    struct buf why = BUF(4096);
    snprintf(dir, sizeof dir, "%s/ekirei-fuzz-XXXXXX", top && strlen(top) < 200 ? top : "/tmp");
    must(mkdtemp(dir));
    path_of(database, "ekirei.db");
    struct store_plan plan = { .dir = dir, .mode = STORE_WRITER, .create = true };
    is_fine(store_open(&plan, &store, &why));
    is_fine(store->verbs->begin(store));
    put_people(store, targets);
    put_mail(store, targets);
    is_fine(store->verbs->commit(store));
    store_close(store);
    char path[400];
    read_whole(database, &strict);
    path_of(path, body_name);
    read_whole(path, &body);
    loosen();
    buf_done(&why);
}

/* ---- damage ------------------------------------------------------------------------------------------------------------- */

static void patch(struct input *in, struct buf *octets)
{
    uint8_t way = take_octet(in);
    size_t at = (size_t)take_number(in, 3);
    if (way & 1) /* the head of a page: where its cells are */
        at = at % (octets->len / 8192 + 1) * 8192 + (at >> 12) % 120;
    struct slice with = take_octets(in, 1 + way / 2 % 16);
    for (size_t i = 0; i < with.len && octets->len > 0; i++)
        octets->ptr[(at + i) % octets->len] = with.ptr[i];
}

static void swap_pages(struct input *in, struct buf *octets)
{
    size_t pages = octets->len / 8192, a = take_octet(in), b = take_octet(in);
    char held[8192];
    if (pages == 0)
        return;
    a = a % pages * 8192, b = b % pages * 8192;
    memcpy(held, octets->ptr + a, sizeof held);
    memmove(octets->ptr + a, octets->ptr + b, sizeof held);
    memcpy(octets->ptr + b, held, sizeof held);
}

static void bind(struct input *in, sqlite3_stmt *statement)
{
    static const int64_t numbers[] = { 0, 1, -1, 2, 255, 65536, INT32_MAX, (int64_t)INT32_MAX + 1, UINT32_MAX, (int64_t)UINT32_MAX + 1, INT64_MAX, INT64_MIN };
    uint8_t way = take_octet(in);
    struct slice octets;
    switch (way % 8) {
    case 0:
        sqlite3_bind_null(statement, 1);
        break;
    case 1:
        sqlite3_bind_double(statement, 1, (double)take_octet(in) * 1e300);
        break;
    case 2:
    case 3:
        octets = take_octets(in, take_octet(in));
        sqlite3_bind_text(statement, 1, octets.ptr, (int)octets.len, SQLITE_TRANSIENT);
        break;
    case 4:
        octets = take_octets(in, take_octet(in));
        sqlite3_bind_blob(statement, 1, octets.ptr, (int)octets.len, SQLITE_TRANSIENT);
        break;
    case 5:
        sqlite3_bind_zeroblob(statement, 1, (int)take_number(in, 2) * 8);
        break;
    default:
        sqlite3_bind_int64(statement, 1, way < 128 ? numbers[way / 8 % 12] : (int64_t)take_number(in, 8));
    }
}

/* One cell, or a row that goes, or a whole table, index or number in the file's head. */
static void change_cell(struct input *in, sqlite3 *db)
{
    const struct column *column = &columns[take_octet(in) % column_count];
    uint8_t what = take_octet(in);
    char sql[300];
    sqlite3_stmt *statement;
    if (what < 216)
        snprintf(sql, sizeof sql, "UPDATE \"%s\" SET \"%s\" = ?1 WHERE \"%s\" IN (SELECT \"%s\" FROM \"%s\" LIMIT 1 OFFSET %d)", column->table, column->name,
            column->name, column->name, column->table, what % 6);
    else if (what < 246)
        snprintf(sql, sizeof sql, "DELETE FROM \"%s\" WHERE \"%s\" IN (SELECT \"%s\" FROM \"%s\" LIMIT 1 OFFSET %d)", column->table, column->name, column->name,
            column->table, what % 6);
    else if (what < 250)
        snprintf(sql, sizeof sql, "PRAGMA user_version = %d", take_octet(in));
    else if (what < 252)
        snprintf(sql, sizeof sql, "PRAGMA application_id = %d", take_octet(in));
    else
        snprintf(sql, sizeof sql, "DROP TABLE \"%s\"", column->table);
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        return;
    if (what < 216)
        bind(in, statement);
    (void)sqlite3_step(statement);
    sqlite3_finalize(statement);
}

static void change_cells(struct input *in)
{
    sqlite3 *db = open_raw();
    uint8_t count = 1 + take_octet(in) % 4;
    run(db, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON");
    while (count-- > 0)
        change_cell(in, db);
    must(sqlite3_close(db) == SQLITE_OK);
}

static void put_body(struct input *in, uint8_t way)
{
    char path[400];
    struct buf damaged = BUF(IMAGE_MOST);
    path_of(path, body_name);
    is_fine(buf_put(&damaged, buf_slice(&body)));
    if (way & 1)
        patch(in, &damaged);
    if (way & 2)
        damaged.len = (size_t)take_number(in, 3) % (damaged.len + 1);
    write_whole(path, buf_slice(&damaged));
    if (way & 4)
        unlink(path);
    buf_done(&damaged);
}

static void put_logs(struct input *in, uint8_t way)
{
    char path[400];
    path_of(path, "ekirei.db-shm");
    unlink(path);
    path_of(path, "ekirei.db-journal");
    unlink(path);
    path_of(path, "ekirei.db-wal");
    unlink(path);
    if (way & 1)
        write_whole(path, take_octets(in, take_octet(in)));
}

void image_put(struct input *in)
{
    uint8_t way = take_octet(in);
    struct buf octets = BUF(IMAGE_MOST);
    is_fine(buf_put(&octets, way & 1 ? buf_slice(&loose) : buf_slice(&strict)));
    uint8_t patches = way & 2 ? 1 + take_octet(in) % 4 : 0;
    while (patches-- > 0)
        patch(in, &octets);
    if (way & 4)
        swap_pages(in, &octets);
    if (way & 8)
        octets.len = (size_t)take_number(in, 3) % (octets.len + 1);
    put_logs(in, 0);
    write_whole(database, buf_slice(&octets));
    buf_done(&octets);
    if (way & 16)
        change_cells(in);
    put_logs(in, way >> 5 & 1);
    put_body(in, way >> 6 & 1 ? take_octet(in) : 0);
}
