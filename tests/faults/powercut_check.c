/* powercut_check.c - what must be true of a store that is opened after a power cut. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "faults/powercut.h"
#include "mail/pack.h"
#include "store/sqlite/sqlite.h"

#define BODY_MOST (4u << 20)

/* One look at one image. */
struct look {
    const struct scene *scene;
    const struct disk_cut *cut;
    const char *dir;
    struct store *store;
    const struct store_verbs *v;
    sqlite3 *db;
    struct arena arena;
    struct buf octets, *why;
};

/* Says what is wrong, once. */
#define WRONG(look, ...)                                                                                               \
    do {                                                                                                               \
        enum status said_status = buf_print((look)->why, __VA_ARGS__);                                                 \
        (void)said_status;                                                                                             \
        return false;                                                                                                  \
    } while (0)

/* Each gives the number of rows that break it. */
static const struct {
    const char *what, *sql;
} laws[] = {
    { "integrity_check", "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'" },
    { "foreign keys", "SELECT count(*) FROM pragma_foreign_key_check" },
    { "a mailbox's count",
        "SELECT count(*) FROM mailbox WHERE messages <> (SELECT count(*) FROM message WHERE mailbox = mailbox.id)" },
    { "a mailbox's octets", "SELECT count(*) FROM mailbox WHERE octets <> (SELECT coalesce(sum(size), 0) FROM message "
                            "WHERE mailbox = mailbox.id)" },
    { "UID below UIDNEXT, modseq up to the highest",
        "SELECT count(*) FROM message JOIN mailbox ON mailbox.id = mailbox WHERE uid >= uidnext OR modseq > "
        "highestmodseq OR uid < 1" },
    { "the same for what was expunged", "SELECT count(*) FROM expunged JOIN mailbox ON mailbox.id = mailbox WHERE uid "
                                        ">= uidnext OR modseq > highestmodseq" },
    { "a UID both there and expunged", "SELECT count(*) FROM message JOIN expunged USING (mailbox, uid)" },
    { "a message without its body", "SELECT count(*) FROM message WHERE blob NOT IN (SELECT id FROM blob)" },
    { "a queued message without its body",
        "SELECT count(*) FROM queue_message WHERE blob NOT IN (SELECT id FROM blob)" },
    { "an orphan without its body", "SELECT count(*) FROM orphan WHERE blob NOT IN (SELECT id FROM blob)" },
    { "a body's references",
        "SELECT count(*) FROM (SELECT id, (SELECT count(*) FROM message WHERE blob = blob.id) + (SELECT count(*) FROM "
        "queue_message WHERE blob"
        " = blob.id) AS refs FROM blob) WHERE CASE WHEN refs = 0 THEN id NOT IN (SELECT blob FROM orphan) OR id IN "
        "(SELECT blob FROM share)"
        " ELSE id IN (SELECT blob FROM orphan) OR refs <> coalesce((SELECT refs FROM share WHERE blob = id), 1) END" },
    { "ids above those given out", "SELECT (SELECT value FROM meta WHERE key = 'next_id') <= max((SELECT "
                                   "coalesce(max(id), 0) FROM blob), (SELECT coalesce(max(id), 0) FROM"
                                   " queue_message))" },
    { "UIDVALIDITY once and below the next",
        "SELECT count(*) - count(DISTINCT uidvalidity) + coalesce(max(uidvalidity) > (SELECT value FROM meta WHERE key "
        "= 'uidvalidity'), 0) FROM"
        " mailbox" },
    { "an account without INBOX",
        "SELECT count(*) FROM account WHERE id NOT IN (SELECT account FROM mailbox WHERE name = 'INBOX')" },
    { "a queued message without recipients",
        "SELECT count(*) FROM queue_message WHERE id NOT IN (SELECT message FROM queue_recipient)" },
    { "a queued message's time", "SELECT count(*) FROM queue_message WHERE due IS NOT (SELECT max(min(next_at), "
                                 "queue_message.claim_term) FROM queue_recipient WHERE"
                                 " message = queue_message.id AND state = 0) AND claim_owner = 0" },
};

static bool keeps_laws(struct look *look)
{
    for (size_t i = 0; i < sizeof laws / sizeof *laws; i++)
        if (query(look->db, laws[i].sql, 0, 0) != 0)
            WRONG(look, "law broken: %s", laws[i].what);
    return true;
}

/* All of a transaction, or nothing; and all of those that were answered. */
static bool is_promised_state(struct look *look)
{
    struct dump dump;
    const struct scene *s = look->scene;
    const struct state *last = NULL;
    if (!dump_take(look->db, &dump))
        WRONG(look, "cannot be read: %s", sqlite3_errmsg(look->db));
    for (size_t i = 0; i < s->state_count; i++) {
        if (look->cut->prefix < s->states[i].begin || look->cut->prefix > s->states[i].until)
            continue;
        last = &s->states[i];
        if (!dump_differs(&last->dump, &dump))
            return true;
    }
    for (size_t i = 0; i < s->state_count; i++)
        if (!dump_differs(&s->states[i].dump, &dump))
            WRONG(look, "not what was answered: it is state %zu of %zu, good from %zu to %zu", i, s->state_count,
                s->states[i].begin, s->states[i].until);
    WRONG(look, "no state that ever was: the table %s is not as it was at last",
        last ? dump_differs(&last->dump, &dump) : "?");
}

static bool is_text(struct look *look, uint64_t number)
{
    const struct text *text = text_of(number);
    struct slice packed = buf_slice(&look->octets), plain = buf_slice(&text->plain);
    struct buf frame_out = BUF(LIMIT_BODY_FRAME);
    bool same = slice_equal(packed, buf_slice(&text->packed));
    while (same && packed.len > 0) {
        size_t len;
        buf_clear(&frame_out);
        same = pack_frame(packed, &len) == STATUS_OK &&
               unpack_frame(&frame_out, slice_upto(packed, len)) == STATUS_OK &&
               slice_equal(buf_slice(&frame_out), slice_upto(plain, frame_out.len));
        packed = slice_from(packed, len);
        plain = slice_from(plain, frame_out.len);
    }
    buf_done(&frame_out);
    return same && plain.len == 0;
}

/* Every body, also of what was expunged: a session may be in the middle of it. */
static bool has_bodies(struct look *look)
{
    sqlite3_stmt *rows;
    bool good =
        sqlite3_prepare_v2(look->db, "SELECT id, stored, digest, file, data FROM blob", -1, &rows, NULL) == SQLITE_OK;
    while (good && sqlite3_step(rows) == SQLITE_ROW) {
        uint64_t number = 0, next;
        struct slice digest = sqlite_text(rows, 2);
        memcpy(&number, digest.ptr, sizeof number);
        struct blob_page page = { .id = (uint64_t)sqlite3_column_int64(rows, 0),
            .stored = (uint64_t)sqlite3_column_int64(rows, 1),
            .file = sqlite_text(rows, 3),
            .room = BODY_MOST };
        buf_clear(&look->octets);
        enum status status = sqlite_blob_read(sqlite_of(look->store), &page, &look->octets, &next);
        good = status == STATUS_OK && is_text(look, number);
        if (!good) {
            enum status said = buf_print(look->why, "body %llu (%s): %s", (unsigned long long)page.id,
                page.file.len ? page.file.ptr : "inline", status == STATUS_OK ? "other octets" : status_name(status));
            (void)said;
        }
    }
    sqlite3_finalize(rows);
    return good;
}

static bool read_message(struct look *look, uint32_t account, uint32_t uid, uint64_t number)
{
    struct store_page page = { account, uid, 0 };
    buf_clear(&look->octets);
    do {
        enum status status = look->v->message_read(look->store, &page, 65536, &look->octets, &page.at);
        if (status != STATUS_OK)
            WRONG(look, "account %u, UID %u: %s", account, uid, status_name(status));
    } while (page.at != 0);
    if (!is_text(look, number))
        WRONG(look, "account %u, UID %u: other octets", account, uid);
    return true;
}

static bool has_messages(struct look *look)
{
    const char *sql =
        "SELECT account, uid, internaldate, uidvalidity FROM message JOIN mailbox ON mailbox.id = mailbox";
    sqlite3_stmt *rows;
    const struct scene *s = look->scene;
    bool good = sqlite3_prepare_v2(look->db, sql, -1, &rows, NULL) == SQLITE_OK;
    while (good && sqlite3_step(rows) == SQLITE_ROW) {
        uint32_t account = sqlite_number32(rows, 0), uid = sqlite_number32(rows, 1);
        uint64_t received = sqlite_number(rows, 2), uidvalidity = sqlite_number(rows, 3);
        good = read_message(look, account, uid, received - TEXT_RECEIVED);
        for (size_t i = 0; good && i < s->seen_count; i++)
            good = s->seen[i].since > look->cut->prefix || s->seen[i].uidvalidity != uidvalidity ||
                   s->seen[i].uid != uid || s->seen[i].received == received;
    }
    sqlite3_finalize(rows);
    if (!good && look->why->len == 0)
        WRONG(look, "a UID has come back with another message");
    return good;
}

static bool has_queue(struct look *look)
{
    sqlite3_stmt *rows;
    bool good = sqlite3_prepare_v2(look->db, "SELECT id, arrived FROM queue_message", -1, &rows, NULL) == SQLITE_OK;
    while (good && sqlite3_step(rows) == SQLITE_ROW) {
        uint64_t next = 0;
        uint32_t skip;
        enum status status = STATUS_OK;
        buf_clear(&look->octets);
        do
            status = look->v->queue_read(look->store, sqlite_number(rows, 0), next, 65536, &look->octets, &next, &skip);
        while (status == STATUS_OK && next != 0);
        good = status == STATUS_OK && is_text(look, sqlite_number(rows, 1) - TEXT_RECEIVED);
    }
    sqlite3_finalize(rows);
    if (!good)
        WRONG(look, "a queued message cannot be read");
    return true;
}

/* Files that no row names were swept when the store was opened. */
static bool has_no_orphans(struct look *look)
{
    for (unsigned folder = 0; folder < 256; folder++) {
        char path[128], name[128];
        snprintf(path, sizeof path, "%s/bodies/%02x", look->dir, folder);
        DIR *dir = opendir(path);
        if (!dir)
            continue;
        bool good = true;
        for (struct dirent *entry; good && (entry = readdir(dir));) {
            snprintf(
                name, sizeof name, "SELECT count(*) FROM blob WHERE file = 'bodies/%02x/%.40s'", folder, entry->d_name);
            good = entry->d_name[0] == '.' || query(look->db, name, 0, 0) == 1;
        }
        closedir(dir);
        if (!good)
            WRONG(look, "a file is left that no row names");
    }
    return true;
}

/* The store lives on: a message to everybody, in a file; its UIDs are new. */
static bool takes_mail(struct look *look)
{
    const uint64_t number = 7;
    uint64_t queue_id;
    struct body_file file;
    struct store_target targets[64];
    size_t count = 0;
    sqlite3_stmt *rows;
    int code = sqlite3_prepare_v2(look->db, "SELECT id FROM account LIMIT 60", -1, &rows, NULL);
    must(code == SQLITE_OK);
    while (sqlite3_step(rows) == SQLITE_ROW)
        targets[count++].account = sqlite_number32(rows, 0);
    sqlite3_finalize(rows);
    enum status status = look->v->begin(look->store);
    if (status == STATUS_OK && count == 0)
        status = look->v->account_add(
            look->store, &(struct store_account){ .address = S("new@b.example") }, &targets[count++].account);
    struct body_store *bodies = &sqlite_of(look->store)->bodies;
    struct store_message message = {
        .body = text_body(number), .received = 1, .pop3_size = 5, .targets = targets, .target_count = count
    };
    if (status == STATUS_OK)
        status = body_file_open(bodies, &file);
    if (status == STATUS_OK)
        status = body_file_put(&file, message.body.packed);
    if (status == STATUS_OK)
        status = body_file_finish(bodies, &file);
    message.body.file = slice_of(file.name);
    if (status == STATUS_OK)
        status = look->v->deliver(look->store, &message, &queue_id);
    if (status == STATUS_OK)
        status = look->v->commit(look->store);
    if (status != STATUS_OK)
        WRONG(look, "takes no new mail: %s", status_name(status));
    const struct scene *s = look->scene;
    for (size_t i = 0; i < s->seen_count; i++)
        if (s->seen[i].since <= look->cut->prefix &&
            query(look->db,
                "SELECT count(*) FROM message JOIN mailbox ON mailbox.id = mailbox WHERE uidvalidity = ?1 AND uid = ?2 "
                "AND internaldate = 1",
                s->seen[i].uidvalidity, s->seen[i].uid) != 0)
            WRONG(look, "UID %llu is given out again", (unsigned long long)s->seen[i].uid);
    uint32_t uid = (uint32_t)query(look->db,
        "SELECT max(uid) FROM message JOIN mailbox ON mailbox.id = mailbox WHERE account = ?1", targets[0].account, 0);
    return read_message(look, targets[0].account, uid, number) && keeps_laws(look);
}

bool powercut_check(const struct scene *s, const struct disk_cut *cut, const char *dir, struct buf *why)
{
    struct look look = {
        .scene = s, .cut = cut, .dir = dir, .arena = ARENA(1u << 20), .octets = BUF(BODY_MOST * 2), .why = why
    };
    struct store_plan plan = {
        .dir = dir, .mode = STORE_WRITER, .create = s->plan.start == START_NEW && cut->prefix < s->opened
    };
    enum status status = store_open(&plan, &look.store, why);
    if (status != STATUS_OK) {
        enum status said = buf_print(why, " (%s at opening)", status_name(status));
        (void)said;
        return false;
    }
    look.v = look.store->verbs;
    look.db = sqlite_of(look.store)->db;
    bool good = is_promised_state(&look) && keeps_laws(&look) && has_bodies(&look) && has_messages(&look) &&
                has_queue(&look) && has_no_orphans(&look) && takes_mail(&look);
    store_close(look.store);
    buf_done(&look.octets);
    arena_done(&look.arena);
    return good;
}
