/* bodies.c - what is stored, octet by octet, for those who look whether it is whole and for those who carry it away. */
#include "base/must.h"
#include "store/sqlite/sqlite.h"

#define ROWS_MOST  1000u /* bodies in one answer */
#define MAILS_MOST 500u  /* messages in one answer: they fit into a frame at their longest names */

struct walk {
    struct sqlite *s;
    struct buf *octets;
    struct body_row *rows;
    uint32_t count;
};

/* How a body that is not there in its length is called; 0 where it is. */
static uint8_t fault_of(struct sqlite *s, sqlite3_stmt *select, uint64_t stored)
{
    uint64_t size = sqlite_number(select, 5);
    struct slice file = sqlite_text(select, 4);
    if (file.len > 0) {
        enum status status = body_file_size(&s->bodies, file, &size);
        if (status == STATUS_NOT_FOUND)
            return FOUND_MISSING_FILE;
        if (status != STATUS_OK)
            return FOUND_UNREADABLE;
    }
    return size == stored ? 0 : FOUND_LENGTH;
}

static enum status read_piece(struct sqlite *s, sqlite3_stmt *select, uint64_t at, size_t len, struct buf *out)
{
    struct slice file = sqlite_text(select, 4);
    sqlite3_blob *blob = NULL;
    char *room;
    if (file.len > 0)
        return body_file_read(&s->bodies, file, at, len, out);
    TRY(buf_reserve(out, len, &room));
    int code = sqlite3_blob_open(s->db, "main", "blob", "data", sqlite3_column_int64(select, 0), 0, &blob);
    if (code == SQLITE_OK)
        code = sqlite3_blob_read(blob, room, (int)len, (int)at);
    sqlite3_blob_close(blob);
    TRY(sqlite_status(s, code));
    buf_grown(out, len);
    return STATUS_OK;
}

/* One body, or as much of it as there is room for; false where there is none left. */
static enum status walk_body(struct walk *w, sqlite3_stmt *select, uint64_t at, struct arena *arena, bool *out_whole)
{
    struct body_row *row = &w->rows[w->count];
    uint64_t left = w->octets->max - w->octets->len;
    *row = (struct body_row){ .id = sqlite_number(select, 0),
        .size = sqlite_number(select, 1),
        .stored = sqlite_number(select, 2),
        .at = at,
        .found = fault_of(w->s, select, sqlite_number(select, 2)) };
    *out_whole = true;
    if (row->found == 0 && row->stored > at) {
        size_t start = w->octets->len, len = (size_t)(row->stored - at < left ? row->stored - at : left);
        *out_whole = len == row->stored - at;
        if (!*out_whole && w->count > 0 && left < STORE_BODIES_ROOM / 2)
            return STATUS_OK; /* what is large begins its own answer */
        enum status status = read_piece(w->s, select, at, len, w->octets);
        if (status != STATUS_OK || w->octets->len != start + len) {
            w->octets->len = start;
            row->found = FOUND_UNREADABLE;
            *out_whole = true;
        } else {
            row->octets = (struct slice){ w->octets->ptr + start, len };
        }
    }
    TRY(arena_copy(arena, slice_upto(sqlite_text(select, 3), 32), &row->digest));
    w->count++;
    return STATUS_OK;
}

/* A row that SQLite cannot read has no id that one could know: it stands for all behind it. */
static void unreadable(struct walk *w, uint64_t id)
{
    w->rows[w->count++] = (struct body_row){ .id = id, .found = FOUND_UNREADABLE };
}

static enum status walk_all(struct walk *w, const struct ask_bodies *ask, struct arena *arena, struct answer_bodies *out)
{
    uint64_t id = ask->id, at = ask->at;
    out->id = 0;
    while (w->count < ROWS_MOST) {
        scoped_statement *select = NULL;
        bool row, whole;
        uint32_t before = w->count;
        TRY(sqlite_query(w->s,
            "SELECT id, size, stored, digest, file, length(data) FROM blob WHERE id >= ?1 ORDER BY id LIMIT 1", &select));
        sqlite_bind(select, 1, id);
        if (sqlite_step(w->s, select, &row) != STATUS_OK) {
            unreadable(w, id);
            return STATUS_OK;
        }
        if (!row || (ask->only && sqlite_number(select, 0) != ask->id))
            return w->count > 0 || !ask->only ? STATUS_OK : STATUS_NOT_FOUND;
        if (sqlite_number(select, 0) != id)
            at = 0; /* it was removed between two pieces */
        id = sqlite_number(select, 0);
        TRY(walk_body(w, select, at, arena, &whole));
        if (!whole) {
            out->id = id;
            out->at = w->count > before ? at + w->rows[before].octets.len : at;
            return STATUS_OK;
        }
        if (ask->only)
            return STATUS_OK;
        id++;
        at = 0;
    }
    out->id = id;
    out->at = 0;
    return STATUS_OK;
}

enum status sqlite_bodies(
    struct store *store, const struct ask_bodies *ask, struct arena *arena, struct buf *octets, struct answer_bodies *out)
{
    struct walk w = { .s = sqlite_of(store), .octets = octets };
    struct answer_bodies answer = { 0 };
    char *room;
    must(octets->max == STORE_BODIES_ROOM && octets->len == 0);
    if (ask->id >= INT64_MAX || ask->at > INT64_MAX)
        return STATUS_MALFORMED;
    w.rows = arena_take_rows(arena, ROWS_MOST + 1, sizeof *w.rows);
    if (!w.rows)
        return STATUS_TOO_BIG;
    TRY(buf_reserve(octets, STORE_BODIES_ROOM, &room)); /* all of it: what is in it may not move */
    TRY(walk_all(&w, ask, arena, &answer));
    answer.rows = (struct rows){ w.rows, w.count };
    *out = answer;
    return STATUS_OK;
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static enum status next_mailbox(struct sqlite *s, uint32_t account, uint64_t *mailbox)
{
    scoped_statement *select = NULL;
    bool row;
    TRY(sqlite_query(s, "SELECT min(id) FROM mailbox WHERE account = ?1 AND id >= ?2", &select));
    sqlite_bind(select, 1, account);
    sqlite_bind(select, 2, *mailbox);
    TRY(sqlite_step(s, select, &row));
    *mailbox = row ? sqlite_number(select, 0) : 0;
    return *mailbox > 0 ? STATUS_OK : STATUS_NOT_FOUND;
}

static enum status mails_of(
    struct sqlite *s, uint64_t mailbox, uint32_t uid, struct arena *arena, struct export_row *rows, uint32_t *count)
{
    scoped_statement *select = NULL;
    bool row;
    TRY(sqlite_query(s,
        "SELECT mailbox.name, uid, flags, internaldate, blob FROM message JOIN mailbox ON mailbox.id = message.mailbox"
        " WHERE mailbox = ?1 AND uid > ?2 ORDER BY uid LIMIT ?3",
        &select));
    sqlite_bind(select, 1, mailbox);
    sqlite_bind(select, 2, uid);
    sqlite_bind(select, 3, MAILS_MOST - *count);
    for (;;) {
        TRY(sqlite_step(s, select, &row));
        if (!row)
            return STATUS_OK;
        struct export_row *mail = &rows[*count];
        TRY(arena_copy(arena, slice_upto(sqlite_text(select, 0), LIMIT_PATH), &mail->mailbox));
        mail->mailbox_id = mailbox;
        mail->uid = sqlite_number32(select, 1);
        mail->flags = sqlite_number32(select, 2);
        mail->received = sqlite_number(select, 3);
        mail->blob = sqlite_number(select, 4);
        ++*count;
    }
}

enum status sqlite_mails(struct store *store, uint32_t account, const struct ask_export *ask, struct arena *arena,
    struct answer_export *out)
{
    struct sqlite *s = sqlite_of(store);
    uint64_t mailbox = ask->mailbox;
    uint32_t count = 0, uid = ask->uid;
    if (mailbox > INT64_MAX - 1)
        return STATUS_MALFORMED;
    struct export_row *rows = arena_take_rows(arena, MAILS_MOST, sizeof *rows);
    if (!rows)
        return STATUS_TOO_BIG;
    enum status status = next_mailbox(s, account, &mailbox);
    for (; status == STATUS_OK && count < MAILS_MOST; status = next_mailbox(s, account, &mailbox)) {
        TRY(mails_of(s, mailbox, mailbox == ask->mailbox ? uid : 0, arena, rows, &count));
        mailbox++;
    }
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return status;
    *out = (struct answer_export){ .rows = { rows, count }, .more = count == MAILS_MOST };
    return STATUS_OK;
}
