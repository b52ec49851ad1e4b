#include <string.h>
#include <sys/statvfs.h>

#include "base/must.h"
#include "mail/pack.h"
#include "store/sqlite/sqlite.h"

/* What a frame can need at most once packed: noise grows by zstd's headers only. */
#define FRAME_ROOM (LIMIT_BODY_FRAME + 1024u)

enum status sqlite_blob_add(struct sqlite *s, uint64_t id, const struct store_body *body)
{
    scoped_statement *insert = NULL;
    TRY(sqlite_query(
        s, "INSERT INTO blob (id, size, stored, digest, file, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)", &insert));
    sqlite_bind(insert, 1, id);
    sqlite_bind(insert, 2, body->size);
    sqlite_bind(insert, 3, body->stored);
    sqlite_bind_octets(insert, 4, (struct slice){ (const char *)body->digest, sizeof body->digest });
    if (body->file.len > 0) /* what is not bound is null */
        sqlite_bind_text(insert, 5, body->file);
    else
        sqlite_bind_octets(insert, 6, body->packed);
    return sqlite_run(s, insert);
}

enum status sqlite_blob_share(struct sqlite *s, uint64_t id, uint64_t refs)
{
    must(refs > 1);
    scoped_statement *insert = NULL;
    TRY(sqlite_query(s, "INSERT INTO share (blob, refs) VALUES (?1, ?2)", &insert));
    sqlite_bind(insert, 1, id);
    sqlite_bind(insert, 2, refs);
    return sqlite_run(s, insert);
}

enum status sqlite_blob_drop(struct sqlite *s, uint64_t id)
{
    scoped_statement *update = NULL, *orphan = NULL, *tidy = NULL;
    TRY(sqlite_query(s, "UPDATE share SET refs = refs - 1 WHERE blob = ?1", &update));
    sqlite_bind(update, 1, id);
    TRY(sqlite_run(s, update));
    TRY(sqlite_query(s,
        "INSERT INTO orphan (blob, since) SELECT ?1, ?2 WHERE coalesce((SELECT refs FROM share WHERE blob = ?1), 0)"
        " = 0",
        &orphan));
    sqlite_bind(orphan, 1, id);
    sqlite_bind(orphan, 2, clock_wall());
    TRY(sqlite_run(s, orphan));
    TRY(sqlite_query(s, "DELETE FROM share WHERE blob = ?1 AND refs = 0", &tidy));
    sqlite_bind(tidy, 1, id);
    return sqlite_run(s, tidy);
}

/* Part of an inline body, without loading all of it. */
static enum status read_inline(struct sqlite *s, const struct blob_page *page, size_t len, struct buf *out)
{
    char *room;
    sqlite3_blob *blob = NULL;
    TRY(buf_reserve(out, len, &room));
    int code = sqlite3_blob_open(s->db, "main", "blob", "data", (int64_t)page->id, 0, &blob);
    if (code == SQLITE_OK && (uint64_t)sqlite3_blob_bytes(blob) != page->stored)
        code = SQLITE_CORRUPT;
    if (code == SQLITE_OK)
        code = sqlite3_blob_read(blob, room, (int)len, (int)page->at);
    sqlite3_blob_close(blob);
    TRY(sqlite_status(s, code));
    buf_grown(out, len);
    return STATUS_OK;
}

/* Cuts `out` behind the last whole frame that fits; the first one always stays. */
static enum status keep_whole_frames(struct buf *out, size_t start, size_t room)
{
    struct slice rest = slice_from(buf_slice(out), start);
    size_t kept = 0;
    while (rest.len > 0) {
        size_t len;
        if (pack_frame(rest, &len) != STATUS_OK || (kept > 0 && kept + len > room))
            break;
        kept += len;
        rest = slice_from(rest, len);
    }
    out->len = start + kept;
    return kept > 0 ? STATUS_OK : STATUS_CORRUPT;
}

static enum status read_part(struct sqlite *s, const struct blob_page *page, struct buf *out)
{
    size_t start = out->len, len = page->room > FRAME_ROOM ? page->room : FRAME_ROOM;
    if (len > page->stored - page->at)
        len = (size_t)(page->stored - page->at);
    if (page->file.len > 0) {
        enum status status = body_file_read(&s->bodies, page->file, page->at, len, out);
        if (status == STATUS_NOT_FOUND || (status == STATUS_OK && out->len - start != len))
            return STATUS_CORRUPT; /* a row without its file, or a cut one (C218) */
        TRY(status);
    } else {
        TRY(read_inline(s, page, len, out));
    }
    return keep_whole_frames(out, start, page->room);
}

enum status sqlite_blob_read(struct sqlite *s, const struct blob_page *page, struct buf *out, uint64_t *out_next)
{
    if (page->at > page->stored)
        return STATUS_MALFORMED;
    size_t start = out->len;
    if (page->data.len > 0) {
        if (page->data.len != page->stored)
            return STATUS_CORRUPT;
        TRY(buf_put(out, page->data));
    } else if (page->at < page->stored) {
        enum status status = read_part(s, page, out);
        if (status != STATUS_OK) {
            out->len = start;
            return status;
        }
    }
    uint64_t next = page->at + (out->len - start);
    *out_next = next < page->stored ? next : 0;
    return STATUS_OK;
}

static enum status read_row(struct sqlite *s, const struct store_page *page, sqlite3_stmt *select, size_t room,
    struct buf *out, uint64_t *out_next)
{
    sqlite_bind(select, 1, page->account);
    sqlite_bind(select, 2, page->uid);
    sqlite_bind(select, 3, page->at == 0 ? room : 0);
    bool row;
    TRY(sqlite_step(s, select, &row));
    if (!row)
        return STATUS_NOT_FOUND;
    struct blob_page blob = {
        .id = sqlite_number(select, 0),
        .stored = sqlite_number(select, 1),
        .at = page->at,
        .file = sqlite_text(select, 2),
        .data = sqlite_text(select, 3),
        .room = room,
    };
    return sqlite_blob_read(s, &blob, out, out_next);
}

#define READ_ROW(table)                                                                                                \
    "SELECT blob.id, blob.stored, blob.file, CASE WHEN blob.stored <= ?3 AND blob.file IS NULL THEN blob.data END"     \
    " FROM mailbox JOIN " table " AS row ON row.mailbox = mailbox.id AND row.uid = ?2 JOIN blob ON blob.id = row.blob" \
    " WHERE mailbox.account = ?1 AND mailbox.name = 'INBOX'"

enum status sqlite_message_read(
    struct store *store, const struct store_page *page, size_t room, struct buf *out, uint64_t *out_next)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *select = NULL, *gone = NULL;
    TRY(sqlite_query(s, READ_ROW("message"), &select));
    enum status status = read_row(s, page, select, room, out, out_next);
    if (status != STATUS_NOT_FOUND || page->at == 0)
        return status;
    /* C156: removed by another session in the middle of this one's RETR, which may still end. */
    TRY(sqlite_query(s, READ_ROW("expunged"), &gone));
    return read_row(s, page, gone, room, out, out_next);
}

enum status sqlite_free_octets(struct store *store, uint64_t *out)
{
    struct statvfs disk;
    if (fstatvfs(sqlite_of(store)->bodies.dir, &disk) != 0)
        return STATUS_IO;
    *out = (uint64_t)disk.f_bavail * disk.f_frsize;
    return STATUS_OK;
}
