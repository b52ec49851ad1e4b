/* sqlite.h - the inside of the embedded store, for this folder only.
 *
 * WAL, synchronous=FULL, one connection that writes and checkpoints; readers are query_only and never checkpoint.  That
 * is more than tidiness: SQLite before 3.51.3 can damage a WAL database when a commit that restarts the log on one
 * connection meets a checkpoint on another. */
#pragma once

#include <sqlite3.h>

#include "base/list.h"
#include "base/map.h"
#include "store/body.h"
#include "store/store.h"

/* What undo() has to do. */
enum mark {
    MARK_START,   /* the last mark is the start of the transaction: roll back and begin again */
    MARK_PENDING, /* marked, but nothing was written since */
    MARK_OPEN,    /* a savepoint stands at the mark */
};

/* INBOX of one account as the writer knows it; `dirty` ones are written before a savepoint and before the commit, so
 * that a batch of messages to one account updates its row once. */
struct inbox {
    struct list dirty;
    bool is_dirty;
    int64_t mailbox;
    uint64_t uidnext, modseq, messages, octets;
    uint64_t last_blob; /* of the latest delivery: a target named twice gets one copy */
};

struct prepared {
    const char *sql;
    sqlite3_stmt *statement;
};

struct snapshot; /* snapshot.c */

struct sqlite {
    struct store store;
    sqlite3 *db;
    struct body_store bodies;
    int lock;
    enum store_mode mode;
    bool is_served; /* others may be at work: a file without a row may be one of tomorrow's */
    struct prepared *prepared; /* hash table by the text's address */
    size_t prepared_cap, prepared_count;

    /* the writer's */
    bool in_transaction, changed;
    enum mark mark;
    enum status broken; /* this transaction cannot be saved any more, and why */
    struct map inboxes; /* account id -> struct inbox */
    struct list dirty;
    uint64_t next_id, last_id; /* ids that were set aside by meta.next_id */
    struct buf doomed;         /* files to unlink once the commit is through, each name ended by NUL */
    size_t doomed_at_mark;
    struct snapshot *snapshot; /* one that is being made */
    int wal_pages, wal_copied,
        wal_retry; /* length of the log, how much of it is in the database, when to wait for readers again */
};

static inline struct sqlite *sqlite_of(struct store *store)
{
    return (struct sqlite *)(void *)store;
}

/* open.c */
MUST_USE enum status sqlite_open(const struct store_plan *plan, struct store **out_store, struct buf *why);

/* settle.c - before SQLite opens the log `name` */
MUST_USE enum status sqlite_settle_log(struct sqlite *s, const char *name);

/* statement.c - prepared statements live as long as the connection.  `sql` must be a constant: it is found by its
 * address. */
static inline void scoped_statement_reset(sqlite3_stmt **statement)
{
    if (*statement) {
        sqlite3_reset(*statement);
        sqlite3_clear_bindings(*statement); /* what was bound is borrowed: no pointer may outlive the call */
    }
}
#define scoped_statement __attribute__((cleanup(scoped_statement_reset))) sqlite3_stmt
MUST_USE enum status sqlite_query(struct sqlite *s, const char *sql, sqlite3_stmt **out_statement);
void sqlite_bind(sqlite3_stmt *statement, int at, uint64_t number);
void sqlite_bind_text(sqlite3_stmt *statement, int at, struct slice text);
void sqlite_bind_octets(sqlite3_stmt *statement, int at, struct slice octets);
MUST_USE enum status sqlite_step(struct sqlite *s, sqlite3_stmt *statement, bool *out_row);
MUST_USE enum status sqlite_run(struct sqlite *s, sqlite3_stmt *statement); /* to the end, whatever rows come */
/* An insert that may find its key taken (EXISTS) or its owner gone (NOT_FOUND): SQLite took back this one statement,
 * and the transaction goes on. */
MUST_USE enum status sqlite_insert_new(struct sqlite *s, sqlite3_stmt *statement);
MUST_USE enum status sqlite_run_sql(struct sqlite *s, const char *sql); /* the same, with nothing to bind */
uint64_t sqlite_number(sqlite3_stmt *statement, int column);
uint32_t sqlite_number32(sqlite3_stmt *statement, int column);
struct slice sqlite_text(sqlite3_stmt *statement, int column); /* valid until the next step */
enum status sqlite_status(struct sqlite *s, int code);
void sqlite_forget_statements(struct sqlite *s);

/* transaction.c */
enum status sqlite_begin(struct store *store);
enum status sqlite_mark(struct store *store);
enum status sqlite_undo(struct store *store);
enum status sqlite_commit(struct store *store);
void sqlite_rollback(struct store *store);
void sqlite_rest(struct store *store);
void sqlite_watch_log(struct sqlite *s);
MUST_USE enum status sqlite_behind_memory(struct sqlite *s); /* before rows are changed that the writer remembers: writes them, and forgets */
MUST_USE enum status sqlite_writing(struct sqlite *s); /* to be called by each verb that writes, before it does */
MUST_USE enum status sqlite_take_id(struct sqlite *s, uint64_t *out_id);

/* account.c */
enum status sqlite_account_add(struct store *store, const struct store_account *account, uint32_t *out_id);
enum status sqlite_account_password(struct store *store, uint32_t id, struct slice password, struct slice scram);
enum status sqlite_account_rehash(struct store *store, const struct store_rehash *rehash);
enum status sqlite_place_seen(struct store *store, const struct store_place *place, uint32_t most);
enum status sqlite_place_forget(struct store *store, wall before);
enum status sqlite_each_place(struct store *store, enum status (*each)(void *, const struct store_place *), void *context);
enum status sqlite_account_set(struct store *store, uint32_t id, bool enabled, bool pop_before_smtp);
enum status sqlite_account_remove(struct store *store, uint32_t id);
enum status sqlite_account_seen(struct store *store, uint32_t id, wall when);
enum status sqlite_each_account(
    struct store *store, uint32_t only_id, enum status (*each)(void *, const struct store_account *), void *context);

/* device.c */
enum status sqlite_device_add(struct store *store, const struct store_device *device, uint32_t *out_id);
enum status sqlite_device_remove(struct store *store, uint32_t id);
enum status sqlite_device_seen(struct store *store, uint32_t id, wall when);
enum status sqlite_each_device(struct store *store, uint32_t only_account,
    enum status (*each)(void *, const struct store_device *), void *context);

/* alias.c */
enum status sqlite_alias_add(struct store *store, const struct store_alias *alias);
enum status sqlite_alias_remove(struct store *store, struct slice address, struct slice target, uint32_t *out_count);
enum status sqlite_domain_add(struct store *store, struct slice name);
enum status sqlite_domain_remove(struct store *store, struct slice name);
enum status sqlite_each_alias(
    struct store *store, enum status (*each)(void *, const struct store_alias *), void *context);
enum status sqlite_each_domain(
    struct store *store, enum status (*each)(void *, const struct store_domain *), void *context);

/* mailbox.c */
MUST_USE enum status sqlite_mailboxes_add(struct sqlite *s, uint32_t account);
MUST_USE enum status sqlite_inbox(struct sqlite *s, uint32_t account, struct inbox **out_inbox);
void sqlite_inbox_changed(struct sqlite *s, struct inbox *inbox);
MUST_USE enum status sqlite_inboxes_flush(struct sqlite *s);
void sqlite_inboxes_forget(struct sqlite *s);
void sqlite_inbox_forget(struct sqlite *s, uint32_t account);
enum status sqlite_drop_list(struct store *store, uint32_t account, const struct ask_drop_list *ask,
    struct arena *arena, struct answer_drop_list *out);
enum status sqlite_usage(struct store *store, uint32_t account, uint32_t *out_messages, uint64_t *out_octets);
enum status sqlite_counts(struct store *store, struct store_counts *out);

/* message.c */
enum status sqlite_deliver(struct store *store, const struct store_message *message, uint64_t *out_queue_id);
enum status sqlite_message_next(
    struct store *store, uint32_t account, uint32_t after, uint32_t until, uint32_t *out_uid, uint64_t *out_stored);

/* blob.c - bodies in the database or beside it, and when they may go */
MUST_USE enum status sqlite_blob_add(struct sqlite *s, uint64_t id, const struct store_body *body);
MUST_USE enum status sqlite_blob_share(struct sqlite *s, uint64_t id, uint64_t refs); /* refs > 1 */
MUST_USE enum status sqlite_blob_drop(struct sqlite *s, uint64_t id);
struct blob_page {
    uint64_t id, stored, at;
    struct slice file, data; /* data: all of it, where it came with the row */
    size_t room;
};
MUST_USE enum status sqlite_blob_read(
    struct sqlite *s, const struct blob_page *page, struct buf *out, uint64_t *out_next);
enum status sqlite_message_read(
    struct store *store, const struct store_page *page, size_t room, struct buf *out, uint64_t *out_next);
enum status sqlite_free_octets(struct store *store, uint64_t *out);

/* expunge.c */
enum status sqlite_expunge(
    struct store *store, uint32_t account, const struct uid_range *ranges, size_t count, uint32_t *out_removed);
MUST_USE enum status sqlite_mailboxes_empty(struct sqlite *s, uint32_t account);
enum status sqlite_sweep(struct store *store, wall before, uint32_t most, uint32_t *out_swept);
MUST_USE enum status sqlite_sweep_files(struct sqlite *s); /* at start: files that no row names */
void sqlite_doomed_unlink(struct sqlite *s);

/* queue.c */
MUST_USE enum status sqlite_queue_add(
    struct sqlite *s, const struct store_message *message, uint64_t blob, uint64_t *out_id);
enum status sqlite_queue_claim(
    struct store *store, const struct store_claim *claim, struct arena *arena, struct answer_claim *out);
enum status sqlite_queue_next_due(struct store *store, wall *out_when);
enum status sqlite_queue_read(struct store *store, uint64_t id, uint64_t at, size_t room, struct buf *out,
    uint64_t *out_next, uint32_t *out_skip);
enum status sqlite_queue_settle(struct store *store, const struct ask_settle *settle, wall now, bool *out_done);
enum status sqlite_queue_release_claims(struct store *store);

MUST_USE enum status sqlite_queue_remove(struct sqlite *s, uint64_t id, uint64_t blob);
MUST_USE enum status sqlite_queue_reckon(struct sqlite *s, uint64_t first, uint64_t last);

/* queue_list.c */
enum status sqlite_queue_list(
    struct store *store, const struct ask_queue_list *ask, struct arena *arena, struct answer_queue_list *out);
enum status sqlite_queue_show(struct store *store, uint64_t id, struct arena *arena, struct answer_queue_show *out);
enum status sqlite_queue_change(
    struct store *store, const struct ask_queue_change *change, wall now, uint32_t *out_count);

/* check.c, bodies.c, repair.c: whether all is as it must be */
enum status sqlite_check(
    struct store *store, const struct ask_check *ask, struct arena *arena, struct answer_check *out);
bool sqlite_is_orphan_file(struct sqlite *s, const char *name);
enum status sqlite_bodies(struct store *store, const struct ask_bodies *ask, struct arena *arena, struct buf *octets,
    struct answer_bodies *out);
enum status sqlite_mails(struct store *store, uint32_t account, const struct ask_export *ask, struct arena *arena,
    struct answer_export *out);
enum status sqlite_repair(struct store *store, wall now, struct arena *arena, struct answer_repair *out);
enum status sqlite_renew(struct store *store, wall now, uint32_t *out_held);

/* snapshot.c */
enum status sqlite_snapshot(
    struct store *store, const struct ask_snapshot *ask, uint64_t reserve, struct answer_snapshot *out);
void sqlite_snapshot_end(struct sqlite *s); /* without one: nothing but what was left behind is removed */
