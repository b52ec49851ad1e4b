#include "base/alloc.h"
#include "base/must.h"
#include "store/sqlite/sqlite.h"

/* RFC 6154 2: what each mailbox of a new account is for. */
static const struct {
    const char *name, *special_use;
} first_mailboxes[] = {
    { "INBOX", "" },
    { "Drafts", "\\Drafts" },
    { "Sent", "\\Sent" },
    { "Trash", "\\Trash" },
    { "Junk", "\\Junk" },
};

/* RFC 9051 2.3.1.1: a UIDVALIDITY that is larger than any before it, in the whole store, for ever (C136). */
static enum status take_uidvalidity(struct sqlite *s, uint32_t *out_value)
{
    scoped_statement *update = NULL;
    TRY(sqlite_query(s,
        "UPDATE meta SET value = value + 1 WHERE key = 'uidvalidity' AND value < 4294967295 RETURNING value", &update));
    bool row;
    TRY(sqlite_step(s, update, &row));
    if (!row)
        return STATUS_TOO_BIG;
    uint32_t value = sqlite_number32(update, 0);
    TRY(sqlite_run(s, update));
    *out_value = value;
    return STATUS_OK;
}

enum status sqlite_mailboxes_add(struct sqlite *s, uint32_t account)
{
    for (size_t i = 0; i < sizeof first_mailboxes / sizeof *first_mailboxes; i++) {
        uint32_t uidvalidity;
        TRY(take_uidvalidity(s, &uidvalidity));
        scoped_statement *insert = NULL;
        TRY(sqlite_query(s,
            "INSERT INTO mailbox (account, name, uidvalidity, uidnext, highestmodseq, messages, octets,"
            " special_use, subscribed)"
            " VALUES (?1, ?2, ?3, 1, 1, 0, 0, ?4, 1)",
            &insert));
        sqlite_bind(insert, 1, account);
        sqlite_bind_text(insert, 2, slice_of(first_mailboxes[i].name));
        sqlite_bind(insert, 3, uidvalidity);
        sqlite_bind_text(insert, 4, slice_of(first_mailboxes[i].special_use));
        TRY(sqlite_run(s, insert));
    }
    return STATUS_OK;
}

enum status sqlite_inbox(struct sqlite *s, uint32_t account, struct inbox **out_inbox)
{
    struct inbox *inbox = map_find(&s->inboxes, map_key(account));
    if (!inbox) {
        scoped_statement *select = NULL;
        TRY(sqlite_query(s,
            "SELECT id, uidnext, highestmodseq, messages, octets FROM mailbox WHERE account = ?1 AND name = 'INBOX'",
            &select));
        sqlite_bind(select, 1, account);
        bool row;
        TRY(sqlite_step(s, select, &row));
        if (!row)
            return STATUS_NOT_FOUND;
        int64_t mailbox = sqlite3_column_int64(select, 0);
        if (mailbox <= 0) /* we give out none such */
            return sqlite_status(s, SQLITE_CORRUPT);
        inbox = alloc(sizeof *inbox);
        list_init(&inbox->dirty);
        inbox->mailbox = mailbox;
        inbox->uidnext = sqlite_number(select, 1);
        inbox->modseq = sqlite_number(select, 2);
        inbox->messages = sqlite_number(select, 3);
        inbox->octets = sqlite_number(select, 4);
        map_put(&s->inboxes, map_key(account), inbox);
    }
    *out_inbox = inbox;
    return STATUS_OK;
}

void sqlite_inbox_changed(struct sqlite *s, struct inbox *inbox)
{
    if (inbox->is_dirty)
        return;
    inbox->is_dirty = true;
    list_append(&s->dirty, &inbox->dirty);
}

enum status sqlite_inboxes_flush(struct sqlite *s)
{
    if (list_is_empty(&s->dirty))
        return STATUS_OK;
    scoped_statement *update = NULL;
    TRY(sqlite_query(
        s, "UPDATE mailbox SET uidnext = ?2, highestmodseq = ?3, messages = ?4, octets = ?5 WHERE id = ?1", &update));
    for (struct list *node; (node = list_take(&s->dirty));) {
        struct inbox *inbox = list_element(node, struct inbox, dirty);
        inbox->is_dirty = false;
        sqlite_bind(update, 1, (uint64_t)inbox->mailbox);
        sqlite_bind(update, 2, inbox->uidnext);
        sqlite_bind(update, 3, inbox->modseq);
        sqlite_bind(update, 4, inbox->messages);
        sqlite_bind(update, 5, inbox->octets);
        TRY(sqlite_run(s, update));
        sqlite3_reset(update);
    }
    return STATUS_OK;
}

void sqlite_inboxes_forget(struct sqlite *s)
{
    struct slice key;
    void *inbox;
    for (size_t at = 0; map_each(&s->inboxes, &at, &key, &inbox);)
        release(inbox);
    map_done(&s->inboxes);
    list_init(&s->dirty);
}

void sqlite_inbox_forget(struct sqlite *s, uint32_t account)
{
    struct inbox *inbox = map_take(&s->inboxes, map_key(account));
    if (!inbox)
        return;
    list_remove(&inbox->dirty);
    release(inbox);
}

/* The snapshot of a maildrop is the range of UIDs up to the highest one of now (RFC 1939 8, C150): UIDs only grow, so
 * nothing new can get into it. */
static enum status find_drop(
    struct sqlite *s, uint32_t account, uint32_t until, uint64_t *out_mailbox, struct answer_drop_list *out)
{
    scoped_statement *select = NULL;
    TRY(sqlite_query(s,
        "SELECT id, uidvalidity, (SELECT max(uid) FROM message WHERE mailbox = mailbox.id) FROM mailbox"
        " WHERE account = ?1 AND name = 'INBOX'",
        &select));
    sqlite_bind(select, 1, account);
    bool row;
    TRY(sqlite_step(s, select, &row));
    if (!row)
        return STATUS_NOT_FOUND;
    *out_mailbox = sqlite_number(select, 0);
    out->uidvalidity = sqlite_number32(select, 1);
    out->until = until ? until : sqlite_number32(select, 2);
    return STATUS_OK;
}

enum status sqlite_drop_list(struct store *store, uint32_t account, const struct ask_drop_list *ask,
    struct arena *arena, struct answer_drop_list *out)
{
    struct sqlite *s = sqlite_of(store);
    struct answer_drop_list list = { 0 };
    uint64_t mailbox;
    TRY(find_drop(s, account, ask->until, &mailbox, &list));
    struct drop_row *rows = arena_take_rows(arena, LIMIT_ROWS, sizeof *rows);
    if (!rows)
        return STATUS_TOO_BIG;
    scoped_statement *select = NULL;
    TRY(sqlite_query(s,
        "SELECT uid, pop3_size FROM message WHERE mailbox = ?1 AND uid > ?2 AND uid <= ?3 ORDER BY uid LIMIT ?4",
        &select));
    sqlite_bind(select, 1, mailbox);
    sqlite_bind(select, 2, ask->after);
    sqlite_bind(select, 3, list.until);
    sqlite_bind(select, 4, LIMIT_ROWS + 1);
    for (;;) {
        bool row;
        TRY(sqlite_step(s, select, &row));
        if (!row)
            break;
        if (list.rows.count == LIMIT_ROWS) {
            list.more = 1;
            break;
        }
        rows[list.rows.count++] = (struct drop_row){ sqlite_number32(select, 0), sqlite_number32(select, 1) };
    }
    list.rows.at = rows;
    *out = list;
    return STATUS_OK;
}

enum status sqlite_usage(struct store *store, uint32_t account, uint32_t *out_messages, uint64_t *out_octets)
{
    struct sqlite *s = sqlite_of(store);
    TRY(sqlite_inboxes_flush(s));
    scoped_statement *select = NULL;
    TRY(sqlite_query(s, "SELECT count(*), sum(messages), sum(octets) FROM mailbox WHERE account = ?1", &select));
    sqlite_bind(select, 1, account);
    bool row;
    TRY(sqlite_step(s, select, &row));
    if (!row || sqlite_number(select, 0) == 0)
        return STATUS_NOT_FOUND;
    *out_messages = sqlite_number32(select, 1);
    *out_octets = sqlite_number(select, 2);
    return STATUS_OK;
}

enum status sqlite_counts(struct store *store, struct store_counts *out)
{
    struct sqlite *s = sqlite_of(store);
    TRY(sqlite_inboxes_flush(s));
    scoped_statement *select = NULL, *version = NULL;
    TRY(sqlite_query(s,
        "SELECT (SELECT count(*) FROM account), (SELECT count(*) FROM domain), (SELECT count(*) FROM queue_message),"
        " sum(messages), sum(octets) FROM mailbox",
        &select));
    TRY(sqlite_query(s, "PRAGMA user_version", &version));
    bool row;
    TRY(sqlite_step(s, version, &row));
    if (row)
        TRY(sqlite_step(s, select, &row));
    if (!row)
        return STATUS_CORRUPT;
    *out = (struct store_counts){
        .accounts = sqlite_number32(select, 0),
        .domains = sqlite_number32(select, 1),
        .queued = sqlite_number32(select, 2),
        .messages = sqlite_number(select, 3),
        .octets = sqlite_number(select, 4),
        .schema = sqlite_number32(version, 0),
    };
    return STATUS_OK;
}
