#include "base/must.h"
#include "store/sqlite/sqlite.h"

#define CLAIM_OCTETS (LIMIT_FRAME / 2) /* octets of their texts: the answer must fit into a frame */

static enum status add_message(struct sqlite *s, const struct store_message *message, uint64_t blob, uint64_t id)
{
    scoped_statement *insert = NULL;
    TRY(sqlite_query(s,
        "INSERT INTO queue_message (id, blob, sender, envid, session, size, skip, body_type, utf8, ret, arrived, due,"
        " claim_owner, claim_term) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, 0, 0)",
        &insert));
    sqlite_bind(insert, 1, id);
    sqlite_bind(insert, 2, blob);
    sqlite_bind_text(insert, 3, message->sender);
    sqlite_bind_text(insert, 4, message->envid);
    sqlite_bind_text(insert, 5, message->session);
    sqlite_bind(insert, 6, message->body.size > message->skip ? message->body.size - message->skip : 0);
    sqlite_bind(insert, 7, message->skip);
    sqlite_bind(insert, 8, message->body_type);
    sqlite_bind(insert, 9, message->utf8);
    sqlite_bind(insert, 10, message->ret);
    sqlite_bind(insert, 11, message->received); /* due at once: a fresh message's first attempt waits for nothing */
    return sqlite_run(s, insert);
}

enum status sqlite_queue_add(struct sqlite *s, const struct store_message *message, uint64_t blob, uint64_t *out_id)
{
    uint64_t id;
    TRY(sqlite_take_id(s, &id));
    TRY(add_message(s, message, blob, id));
    for (size_t i = 0; i < message->remote_count; i++) {
        const struct store_remote *remote = &message->remotes[i];
        scoped_statement *insert = NULL;
        TRY(sqlite_query(s,
            "INSERT INTO queue_recipient (message, number, address, domain, orcpt, notify, delivered, state,"
            " attempts, next_at, last_reply)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?8, 0, 0, ?7, '')",
            &insert));
        sqlite_bind(insert, 1, id);
        sqlite_bind(insert, 2, i + 1);
        sqlite_bind_text(insert, 3, remote->address);
        sqlite_bind_text(insert, 4, remote->domain);
        sqlite_bind_text(insert, 5, remote->orcpt);
        sqlite_bind(insert, 6, remote->notify);
        sqlite_bind(insert, 7, message->received);
        sqlite_bind(insert, 8, remote->delivered);
        TRY(sqlite_run(s, insert));
    }
    *out_id = id;
    return STATUS_OK;
}

static enum status claim_message(struct sqlite *s, const struct store_claim *claim, uint64_t *out_id)
{
    scoped_statement *select = NULL, *update = NULL;
    bool row;
    if (claim->id == 0) {
        TRY(sqlite_query(s, "SELECT id FROM queue_message WHERE due <= ?1 ORDER BY due LIMIT 1", &select));
        sqlite_bind(select, 1, claim->now);
    } else {
        TRY(sqlite_query(s, "SELECT id FROM queue_message WHERE due <= ?1 AND id = ?2", &select));
        sqlite_bind(select, 1, claim->now);
        sqlite_bind(select, 2, claim->id);
    }
    TRY(sqlite_step(s, select, &row));
    if (!row)
        return STATUS_NOT_FOUND;
    uint64_t id = sqlite_number(select, 0);
    TRY(sqlite_run(s, select)); /* the select ends before its row is changed */
    TRY(sqlite_query(s, "UPDATE queue_message SET claim_owner = ?2, claim_term = ?3, due = ?3 WHERE id = ?1", &update));
    sqlite_bind(update, 1, id);
    sqlite_bind(update, 2, claim->owner);
    sqlite_bind(update, 3, claim->term);
    TRY(sqlite_run(s, update));
    *out_id = id;
    return STATUS_OK;
}

static enum status claimed_recipients(
    struct sqlite *s, const struct answer_claim *claim, bool delivered, wall now, struct arena *arena, struct rows *out)
{
    struct claim_recipient *rows = arena_take_rows(arena, LIMIT_CLAIM, sizeof *rows);
    if (!rows)
        return STATUS_TOO_BIG;
    scoped_statement *select = NULL;
    TRY(sqlite_query(s,
        "SELECT number, address, orcpt, last_reply, attempts, notify, delivered FROM queue_recipient"
        " WHERE message = ?1 AND state = 0 AND next_at <= ?2 AND (delivered > 0) = ?4 ORDER BY number LIMIT ?3",
        &select));
    sqlite_bind(select, 1, claim->id);
    sqlite_bind(select, 2, now);
    sqlite_bind(select, 3, LIMIT_CLAIM);
    sqlite_bind(select, 4, delivered);
    uint32_t count = 0;
    for (size_t octets = 0; octets < CLAIM_OCTETS;) {
        bool row;
        TRY(sqlite_step(s, select, &row));
        if (!row)
            break;
        struct claim_recipient *recipient = &rows[count++];
        recipient->id = sqlite_number32(select, 0);
        TRY(arena_copy(arena, sqlite_text(select, 1), &recipient->address));
        TRY(arena_copy(arena, sqlite_text(select, 2), &recipient->orcpt));
        TRY(arena_copy(arena, sqlite_text(select, 3), &recipient->last_reply));
        recipient->attempts = sqlite_number32(select, 4);
        recipient->notify = (uint8_t)sqlite_number(select, 5);
        recipient->delivered = (uint8_t)sqlite_number(select, 6);
        octets += recipient->address.len + recipient->orcpt.len + recipient->last_reply.len;
    }
    *out = (struct rows){ rows, count };
    return STATUS_OK;
}

enum status sqlite_queue_claim(
    struct store *store, const struct store_claim *claim, struct arena *arena, struct answer_claim *out)
{
    struct sqlite *s = sqlite_of(store);
    struct answer_claim answer = { 0 };
    TRY(sqlite_writing(s));
    TRY(claim_message(s, claim, &answer.id));
    scoped_statement *select = NULL;
    TRY(sqlite_query(
        s, "SELECT sender, envid, size, arrived, body_type, utf8, ret FROM queue_message WHERE id = ?1", &select));
    sqlite_bind(select, 1, answer.id);
    bool row;
    TRY(sqlite_step(s, select, &row));
    if (!row)
        return STATUS_CORRUPT;
    TRY(arena_copy(arena, sqlite_text(select, 0), &answer.sender));
    TRY(arena_copy(arena, sqlite_text(select, 1), &answer.envid));
    answer.size = sqlite_number(select, 2);
    answer.arrived = sqlite_number(select, 3);
    answer.body_type = (uint8_t)sqlite_number(select, 4);
    answer.utf8 = (uint8_t)sqlite_number(select, 5);
    answer.ret = (uint8_t)sqlite_number(select, 6);
    /* Notifications first: they wait for no host, and a deferred attempt shall not hold them up. */
    TRY(claimed_recipients(s, &answer, true, claim->now, arena, &answer.recipients));
    if (answer.recipients.count == 0)
        TRY(claimed_recipients(s, &answer, false, claim->now, arena, &answer.recipients));
    *out = answer;
    return STATUS_OK;
}

enum status sqlite_queue_next_due(struct store *store, wall *out_when)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *select = NULL;
    TRY(sqlite_query(s, "SELECT due FROM queue_message WHERE due IS NOT NULL ORDER BY due LIMIT 1", &select));
    bool row;
    TRY(sqlite_step(s, select, &row));
    if (!row)
        return STATUS_NOT_FOUND;
    *out_when = sqlite_number(select, 0);
    return STATUS_OK;
}

enum status sqlite_queue_read(
    struct store *store, uint64_t id, uint64_t at, size_t room, struct buf *out, uint64_t *out_next, uint32_t *out_skip)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *select = NULL;
    if (id > INT64_MAX)
        return STATUS_NOT_FOUND;
    TRY(sqlite_query(s,
        "SELECT blob.id, blob.stored, blob.file, queue_message.skip FROM queue_message"
        " JOIN blob ON blob.id = queue_message.blob WHERE queue_message.id = ?1",
        &select));
    sqlite_bind(select, 1, id);
    bool row;
    TRY(sqlite_step(s, select, &row));
    if (!row)
        return STATUS_NOT_FOUND;
    struct blob_page page = {
        .id = sqlite_number(select, 0),
        .stored = sqlite_number(select, 1),
        .at = at,
        .file = sqlite_text(select, 2),
        .room = room,
    };
    TRY(sqlite_blob_read(s, &page, out, out_next));
    *out_skip = sqlite_number32(select, 3);
    return STATUS_OK;
}

/* When a message is to be looked at again: when its first waiting recipient is due, but not before a claim on it ends;
 * null when all are held. */
enum status sqlite_queue_reckon(struct sqlite *s, uint64_t first, uint64_t last)
{
    scoped_statement *update = NULL;
    TRY(sqlite_query(s,
        "UPDATE queue_message SET due = (SELECT max(min(next_at), queue_message.claim_term) FROM queue_recipient"
        " WHERE message = queue_message.id AND state = 0) WHERE id BETWEEN ?1 AND ?2",
        &update));
    sqlite_bind(update, 1, first);
    sqlite_bind(update, 2, last);
    return sqlite_run(s, update);
}

static enum status settle_recipient(struct sqlite *s, uint64_t id, const struct settle_recipient *recipient)
{
    scoped_statement *gone = NULL, *deferred = NULL;
    if (recipient->outcome != SETTLE_DEFERRED) {
        TRY(sqlite_query(s, "DELETE FROM queue_recipient WHERE message = ?1 AND number = ?2", &gone));
        sqlite_bind(gone, 1, id);
        sqlite_bind(gone, 2, recipient->id);
        return sqlite_run(s, gone);
    }
    TRY(sqlite_query(s,
        "UPDATE queue_recipient SET attempts = attempts + 1, next_at = ?3, last_reply = ?4 WHERE message = ?1"
        " AND number = ?2",
        &deferred));
    sqlite_bind(deferred, 1, id);
    sqlite_bind(deferred, 2, recipient->id);
    sqlite_bind(deferred, 3, recipient->next < INT64_MAX ? recipient->next : INT64_MAX);
    sqlite_bind_text(deferred, 4, recipient->reply);
    return sqlite_run(s, deferred);
}

enum status sqlite_queue_remove(struct sqlite *s, uint64_t id, uint64_t blob)
{
    scoped_statement *statement = NULL;
    TRY(sqlite_query(s, "DELETE FROM queue_message WHERE id = ?1", &statement)); /* its recipients go with it */
    sqlite_bind(statement, 1, id);
    TRY(sqlite_run(s, statement));
    return sqlite_blob_drop(s, blob);
}

/* The claim ends; false where the message left the queue before. */
static enum status end_claim(struct sqlite *s, uint64_t id, bool *out_found, uint64_t *out_blob, bool *out_empty)
{
    scoped_statement *update = NULL;
    TRY(sqlite_query(s,
        "UPDATE queue_message SET claim_owner = 0, claim_term = 0 WHERE id = ?1"
        " RETURNING blob, NOT EXISTS (SELECT 1 FROM queue_recipient WHERE message = queue_message.id)",
        &update));
    sqlite_bind(update, 1, id);
    TRY(sqlite_step(s, update, out_found));
    if (!*out_found)
        return STATUS_OK;
    *out_blob = sqlite_number(update, 0);
    *out_empty = sqlite_number(update, 1) != 0;
    return sqlite_run(s, update);
}

/* C217: what is gone already is settled.  A courier that lost our answer may say it all again. */
enum status sqlite_queue_settle(struct store *store, const struct ask_settle *settle, wall now, bool *out_done)
{
    struct sqlite *s = sqlite_of(store);
    bool found, empty = true;
    uint64_t blob = 0;
    (void)now;
    TRY(sqlite_writing(s));
    if (settle->id > INT64_MAX) {
        *out_done = true;
        return STATUS_OK;
    }
    for (uint32_t i = 0; i < settle->recipients.count; i++)
        TRY(settle_recipient(s, settle->id, row_of(struct settle_recipient, settle->recipients, i)));
    TRY(end_claim(s, settle->id, &found, &blob, &empty));
    if (found && empty)
        TRY(sqlite_queue_remove(s, settle->id, blob));
    else if (found)
        TRY(sqlite_queue_reckon(s, settle->id, settle->id));
    *out_done = empty;
    return STATUS_OK;
}

enum status sqlite_queue_release_claims(struct store *store)
{
    struct sqlite *s = sqlite_of(store);
    TRY(sqlite_writing(s));
    TRY(sqlite_run_sql(s, "UPDATE queue_message SET claim_owner = 0, claim_term = 0 WHERE claim_term <> 0"));
    return sqlite_queue_reckon(s, 0, INT64_MAX);
}
