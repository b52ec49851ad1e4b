#include "base/must.h"
#include "store/sqlite/sqlite.h"

#define LIST_OCTETS                                                                                                    \
    (LIMIT_FRAME / 2) /* octets of the texts and numbers of one page: the answer must fit into a frame */

struct page {
    struct queue_row *rows;
    uint32_t count;
    size_t octets;
};

static enum status add_row(struct page *page, sqlite3_stmt *select, struct arena *arena)
{
    struct queue_row *row = &page->rows[page->count];
    TRY(arena_copy(arena, sqlite_text(select, 1), &row->sender));
    TRY(arena_copy(arena, sqlite_text(select, 2), &row->recipient));
    TRY(arena_copy(arena, sqlite_text(select, 3), &row->last_reply));
    row->id = sqlite_number(select, 0);
    row->size = sqlite_number(select, 4);
    row->arrived = sqlite_number(select, 5);
    row->next = sqlite_number(select, 6);
    row->attempts = sqlite_number32(select, 7);
    row->state = (uint8_t)sqlite_number(select, 8);
    row->delivered = (uint8_t)sqlite_number(select, 9);
    page->octets += sizeof *row + row->sender.len + row->recipient.len + row->last_reply.len;
    page->count++;
    return STATUS_OK;
}

static enum status collect(
    struct sqlite *s, sqlite3_stmt *select, struct arena *arena, struct page *page, bool *out_more)
{
    const uint32_t most = LIST_OCTETS / sizeof *page->rows;
    page->rows = arena_take_rows(arena, most, sizeof *page->rows);
    if (!page->rows)
        return STATUS_TOO_BIG;
    for (;;) {
        TRY(sqlite_step(s, select, out_more));
        if (!*out_more || page->octets >= LIST_OCTETS || page->count == most)
            return STATUS_OK;
        TRY(add_row(page, select, arena));
    }
}

#define COLUMNS                                                                                                        \
    "SELECT queue_message.id, sender, address, last_reply, size, arrived, next_at, attempts, state, delivered"   \
    " FROM queue_message JOIN queue_recipient ON queue_recipient.message = queue_message.id"

enum status sqlite_queue_list(
    struct store *store, const struct ask_queue_list *ask, struct arena *arena, struct answer_queue_list *out)
{
    struct sqlite *s = sqlite_of(store);
    struct page page = { 0 };
    bool more;
    scoped_statement *select = NULL;
    TRY(sqlite_query(s,
        COLUMNS
        " WHERE queue_message.id >= ?1 AND (queue_message.id > ?1 OR address > ?2) ORDER BY queue_message.id, address",
        &select));
    sqlite_bind(select, 1, ask->after_id < INT64_MAX ? ask->after_id : INT64_MAX);
    sqlite_bind_text(select, 2, ask->after_recipient);
    TRY(collect(s, select, arena, &page, &more));
    *out = (struct answer_queue_list){ .rows = { page.rows, page.count }, .more = more };
    return STATUS_OK;
}

enum status sqlite_queue_show(struct store *store, uint64_t id, struct arena *arena, struct answer_queue_show *out)
{
    struct sqlite *s = sqlite_of(store);
    struct page page = { 0 };
    bool more;
    if (id > INT64_MAX)
        return STATUS_NOT_FOUND;
    scoped_statement *select = NULL;
    TRY(sqlite_query(s, COLUMNS " WHERE queue_message.id = ?1 ORDER BY address", &select));
    sqlite_bind(select, 1, id);
    TRY(collect(s, select, arena, &page, &more));
    if (page.count == 0)
        return STATUS_NOT_FOUND;
    *out = (struct answer_queue_show){ .rows = { page.rows, page.count } };
    return STATUS_OK;
}

/* Recipients of the messages from ?1 to ?2; ?3 is now. */
#define WHOSE " WHERE message BETWEEN ?1 AND ?2"
static const char *const change_recipients[] = {
    [QUEUE_RETRY] = "UPDATE queue_recipient SET next_at = ?3" WHOSE " AND state = 0",
    [QUEUE_HOLD] = "UPDATE queue_recipient SET state = 1" WHOSE " AND state = 0",
    [QUEUE_RELEASE] = "UPDATE queue_recipient SET state = 0, next_at = ?3" WHOSE " AND state = 1",
};

static enum status change_rows(struct sqlite *s, const struct ask_queue_change *change, wall now, uint32_t *out_count)
{
    scoped_statement *update = NULL;
    uint64_t last = change->id ? change->id : INT64_MAX;
    TRY(sqlite_query(s, change_recipients[change->change], &update));
    sqlite_bind(update, 1, change->id);
    sqlite_bind(update, 2, last);
    if (sqlite3_bind_parameter_count(update) > 2)
        sqlite_bind(update, 3, now);
    TRY(sqlite_run(s, update));
    *out_count = (uint32_t)sqlite3_changes(s->db);
    return sqlite_queue_reckon(s, change->id, last);
}

static enum status remove_message(
    struct sqlite *s, uint64_t after, uint64_t only, uint64_t *out_id, uint32_t *out_count)
{
    scoped_statement *select = NULL;
    TRY(sqlite_query(s,
        "SELECT id, blob, (SELECT count(*) FROM queue_recipient WHERE message = queue_message.id) FROM queue_message"
        " WHERE id > ?1 AND (?2 = 0 OR id = ?2) ORDER BY id LIMIT 1",
        &select));
    sqlite_bind(select, 1, after);
    sqlite_bind(select, 2, only);
    bool row;
    TRY(sqlite_step(s, select, &row));
    if (!row)
        return STATUS_NOT_FOUND;
    uint64_t id = sqlite_number(select, 0), blob = sqlite_number(select, 1);
    *out_count += sqlite_number32(select, 2);
    TRY(sqlite_run(s, select));
    *out_id = id;
    return sqlite_queue_remove(s, id, blob);
}

static enum status remove_messages(struct sqlite *s, uint64_t only, uint32_t *out_count)
{
    uint64_t id = only ? only - 1 : 0;
    for (;;) {
        enum status status = remove_message(s, id, only, &id, out_count);
        if (status == STATUS_NOT_FOUND)
            return STATUS_OK;
        TRY(status);
    }
}

static enum status find_message(struct sqlite *s, uint64_t id)
{
    if (id > INT64_MAX)
        return STATUS_NOT_FOUND;
    scoped_statement *select = NULL;
    TRY(sqlite_query(s, "SELECT 1 FROM queue_message WHERE id = ?1", &select));
    sqlite_bind(select, 1, id);
    bool row;
    TRY(sqlite_step(s, select, &row));
    return row ? STATUS_OK : STATUS_NOT_FOUND;
}

enum status sqlite_queue_change(
    struct store *store, const struct ask_queue_change *change, wall now, uint32_t *out_count)
{
    struct sqlite *s = sqlite_of(store);
    uint32_t count = 0;
    if (change->change < QUEUE_RETRY || change->change > QUEUE_REMOVE)
        return STATUS_MALFORMED;
    TRY(sqlite_writing(s));
    if (change->id != 0)
        TRY(find_message(s, change->id));
    if (change->change == QUEUE_REMOVE)
        TRY(remove_messages(s, change->id, &count));
    else
        TRY(change_rows(s, change, now, &count));
    *out_count = count;
    return STATUS_OK;
}
