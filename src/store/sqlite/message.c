#include "base/must.h"
#include "store/sqlite/sqlite.h"

/* All that could refuse a delivery is looked at before anything is written, so that a refused one needs no undo. */
static enum status check_targets(struct sqlite *s, const struct store_message *message)
{
    for (size_t i = 0; i < message->target_count; i++) {
        struct inbox *inbox;
        TRY(sqlite_inbox(s, message->targets[i].account, &inbox));
        if (inbox->uidnext >= UINT32_MAX) /* C135: never wrap, never give out what UIDNEXT could not exceed */
            return STATUS_TOO_BIG;
    }
    return STATUS_OK;
}

/* C134: the UID is given out in the transaction that stores the message. */
static enum status put_message(
    struct sqlite *s, struct inbox *inbox, const struct store_message *message, uint64_t blob)
{
    scoped_statement *insert = NULL;
    TRY(sqlite_query(s,
        "INSERT INTO message (mailbox, uid, modseq, flags, keywords, internaldate, size, pop3_size, blob)"
        " VALUES (?1, ?2, ?3, 0, '', ?4, ?5, ?6, ?7)",
        &insert));
    sqlite_bind(insert, 1, (uint64_t)inbox->mailbox);
    sqlite_bind(insert, 2, inbox->uidnext);
    sqlite_bind(insert, 3, inbox->modseq + 1);
    sqlite_bind(insert, 4, message->received);
    sqlite_bind(insert, 5, message->body.size);
    sqlite_bind(insert, 6, message->pop3_size);
    sqlite_bind(insert, 7, blob);
    TRY(sqlite_run(s, insert));
    inbox->uidnext++;
    inbox->modseq++;
    inbox->messages++;
    inbox->octets += message->body.size;
    inbox->last_blob = blob;
    sqlite_inbox_changed(s, inbox);
    return STATUS_OK;
}

enum status sqlite_deliver(struct store *store, const struct store_message *message, uint64_t *out_queue_id)
{
    struct sqlite *s = sqlite_of(store);
    uint64_t blob, queue_id = 0, refs = 0;
    must(message->target_count + message->remote_count > 0);
    must(message->body.file.len > 0 || message->body.packed.len == message->body.stored);
    TRY(sqlite_writing(s));
    TRY(check_targets(s, message));
    TRY(sqlite_take_id(s, &blob));
    TRY(sqlite_blob_add(s, blob, &message->body));
    for (size_t i = 0; i < message->target_count; i++) {
        struct inbox *inbox;
        TRY(sqlite_inbox(s, message->targets[i].account, &inbox));
        if (inbox->last_blob == blob)
            continue;
        TRY(put_message(s, inbox, message, blob));
        refs++;
    }
    if (message->remote_count > 0) {
        TRY(sqlite_queue_add(s, message, blob, &queue_id));
        refs++;
    }
    if (refs > 1)
        TRY(sqlite_blob_share(s, blob, refs));
    *out_queue_id = queue_id;
    return STATUS_OK;
}

enum status sqlite_message_next(
    struct store *store, uint32_t account, uint32_t after, uint32_t until, uint32_t *out_uid, uint64_t *out_stored)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *select = NULL;
    TRY(sqlite_query(s,
        "SELECT message.uid, blob.stored FROM mailbox JOIN message ON message.mailbox = mailbox.id"
        " JOIN blob ON blob.id = message.blob WHERE mailbox.account = ?1 AND mailbox.name = 'INBOX'"
        " AND message.uid > ?2 AND message.uid <= ?3 ORDER BY message.uid LIMIT 1",
        &select));
    sqlite_bind(select, 1, account);
    sqlite_bind(select, 2, after);
    sqlite_bind(select, 3, until);
    bool row;
    TRY(sqlite_step(s, select, &row));
    if (!row)
        return STATUS_NOT_FOUND;
    *out_uid = sqlite_number32(select, 0);
    *out_stored = sqlite_number(select, 1);
    return STATUS_OK;
}
