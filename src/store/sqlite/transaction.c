#include "base/must.h"
#include "store/sqlite/sqlite.h"

#define ID_BLOCK      1024u /* ids set aside at once: one update of meta for so many messages */
#define RESTART_WAIT  200   /* ms that a commit beyond LIMIT_WAL_HARD waits for readers */
#define ORDINARY_WAIT 5000  /* ms for all other locks: only a start may meet one */

/* Nothing in memory may outlive the transaction in which it was learned. */
static void forget(struct sqlite *s)
{
    sqlite_inboxes_forget(s);
    s->next_id = s->last_id = 0;
}

enum status sqlite_behind_memory(struct sqlite *s)
{
    TRY(sqlite_inboxes_flush(s));
    forget(s);
    return STATUS_OK;
}

static enum status start(struct sqlite *s)
{
    s->changed = false;
    s->mark = MARK_START;
    s->broken = STATUS_OK;
    buf_clear(&s->doomed);
    s->doomed_at_mark = 0;
    return s->mode == STORE_WRITER ? sqlite_run_sql(s, "BEGIN IMMEDIATE") : sqlite_run_sql(s, "BEGIN");
}

enum status sqlite_begin(struct store *store)
{
    struct sqlite *s = sqlite_of(store);
    must(!s->in_transaction);
    TRY(start(s));
    s->in_transaction = true;
    return STATUS_OK;
}

enum status sqlite_writing(struct sqlite *s)
{
    must(s->mode == STORE_WRITER && s->in_transaction);
    if (s->broken != STATUS_OK)
        return s->broken;
    if (s->mark == MARK_PENDING) {
        /* Before the savepoint, so that undo() can forget all and read again what was true at the mark. */
        TRY(sqlite_inboxes_flush(s));
        TRY(sqlite_run_sql(s, "SAVEPOINT mark"));
        s->mark = MARK_OPEN;
    }
    s->changed = true;
    return STATUS_OK;
}

/* Costs nothing by itself: the savepoint, which makes SQLite copy each page that is changed after it, is set by the
 * first change that follows, and none is needed before the first job of a transaction. */
enum status sqlite_mark(struct store *store)
{
    struct sqlite *s = sqlite_of(store);
    must(s->in_transaction);
    if (s->broken != STATUS_OK)
        return s->broken;
    if (s->mark == MARK_OPEN)
        TRY(sqlite_run_sql(s, "RELEASE mark"));
    s->mark = s->changed ? MARK_PENDING : MARK_START;
    s->doomed_at_mark = s->doomed.len;
    return STATUS_OK;
}

enum status sqlite_undo(struct store *store)
{
    struct sqlite *s = sqlite_of(store);
    must(s->in_transaction);
    if (s->broken != STATUS_OK)
        return s->broken;
    if (s->mark == MARK_PENDING || !s->changed)
        return STATUS_OK;
    forget(s);
    if (s->mark == MARK_START) {
        TRY(sqlite_run_sql(s, "ROLLBACK"));
        enum status status = start(s);
        s->broken = status;
        return status;
    }
    TRY(sqlite_run_sql(s, "ROLLBACK TO mark"));
    TRY(sqlite_run_sql(s, "RELEASE mark"));
    s->mark = MARK_PENDING;
    s->doomed.len = s->doomed_at_mark;
    return STATUS_OK;
}

void sqlite_rollback(struct store *store)
{
    struct sqlite *s = sqlite_of(store);
    if (!s->in_transaction) /* a commit that failed has done it */
        return;
    /* SQLite may have rolled back by itself; then there is nothing left to do, and asking would be an error. */
    if (!sqlite3_get_autocommit(s->db) && sqlite_run_sql(s, "ROLLBACK") != STATUS_OK)
        must(sqlite3_get_autocommit(s->db)); /* a transaction that cannot be ended would swallow all that follows */
    s->in_transaction = false;
    s->broken = STATUS_OK;
    buf_clear(&s->doomed);
    forget(s);
}

/* Passive copies what no reader still needs and waits for nobody; once all is copied and no reader looks into the log,
 * the next commit starts it from the front.  Failing is no loss: the log holds everything, and the next attempt copies
 * again. */
static void checkpoint(struct sqlite *s, int mode)
{
    int pages = 0, copied = 0;
    if (mode != SQLITE_CHECKPOINT_PASSIVE)
        sqlite3_busy_timeout(s->db, RESTART_WAIT);
    int code = sqlite3_wal_checkpoint_v2(s->db, NULL, mode, &pages, &copied);
    if (mode != SQLITE_CHECKPOINT_PASSIVE)
        sqlite3_busy_timeout(s->db, ORDINARY_WAIT);
    s->wal_copied = code == SQLITE_OK || code == SQLITE_BUSY ? copied : 0;
    if (mode != SQLITE_CHECKPOINT_PASSIVE) {
        s->wal_retry = code == SQLITE_OK ? 0 : s->wal_pages + LIMIT_WAL_HARD;
        if (code == SQLITE_OK)
            s->wal_pages = s->wal_copied = 0;
    }
}

enum status sqlite_commit(struct store *store)
{
    struct sqlite *s = sqlite_of(store);
    must(s->in_transaction);
    enum status status = s->broken;
    if (status == STATUS_OK)
        status = sqlite_inboxes_flush(s);
    if (status == STATUS_OK)
        status = sqlite_run_sql(s, "COMMIT");
    if (status != STATUS_OK) {
        sqlite_rollback(store);
        return status;
    }
    s->in_transaction = false;
    sqlite_doomed_unlink(s);
    if (s->wal_pages > LIMIT_WAL_HARD && s->wal_pages > s->wal_retry)
        checkpoint(s, SQLITE_CHECKPOINT_RESTART);
    return STATUS_OK;
}

void sqlite_rest(struct store *store)
{
    struct sqlite *s = sqlite_of(store);
    must(s->mode == STORE_WRITER && !s->in_transaction);
    if (s->wal_pages - s->wal_copied > LIMIT_WAL_REST)
        checkpoint(s, SQLITE_CHECKPOINT_PASSIVE);
}

static int log_grew(void *context, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    struct sqlite *s = context;
    if (pages < s->wal_pages) /* it was started anew */
        s->wal_copied = s->wal_retry = 0;
    s->wal_pages = pages;
    return SQLITE_OK;
}

void sqlite_watch_log(struct sqlite *s)
{
    sqlite3_wal_hook(s->db, log_grew, s);
}

enum status sqlite_take_id(struct sqlite *s, uint64_t *out_id)
{
    if (s->next_id == s->last_id) {
        scoped_statement *update = NULL;
        TRY(sqlite_query(s, "UPDATE meta SET value = value + ?1 WHERE key = 'next_id' RETURNING value", &update));
        sqlite_bind(update, 1, ID_BLOCK);
        bool row;
        TRY(sqlite_step(s, update, &row));
        if (!row || sqlite_number(update, 0) <= ID_BLOCK)
            return STATUS_CORRUPT;
        uint64_t last = sqlite_number(update, 0);
        TRY(sqlite_run(s, update));
        s->next_id = last - ID_BLOCK;
        s->last_id = last;
    }
    *out_id = s->next_id++;
    return STATUS_OK;
}
