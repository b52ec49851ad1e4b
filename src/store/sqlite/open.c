#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/must.h"
#include "store/sqlite/schema.h"
#include "store/sqlite/sqlite.h"

#define DATABASE      "ekirei.db"
#define LOCK_FILE     "lock"
#define PATH_MOST     4096
#define LOCK_POLL     10         /* ms between two attempts at the lock */
#define ORDINARY_WAIT 5000       /* ms for SQLite's own locks */
#define DOOMED_MOST   (1u << 20) /* octets of file names that one transaction's sweep may remember */

/* One line for a person; a full `why` only loses words. */
#define SAY(why, ...)                                                                                                  \
    do {                                                                                                               \
        if (buf_print((why), __VA_ARGS__) != STATUS_OK)                                                                \
            buf_clear(why);                                                                                            \
    } while (0)

static void close_store(struct store *store)
{
    struct sqlite *s = sqlite_of(store);
    if (s->in_transaction)
        sqlite_rollback(store);
    if (s->snapshot)
        sqlite_snapshot_end(s);
    sqlite_forget_statements(s);
    int code = sqlite3_close(s->db);
    must(code == SQLITE_OK); /* BUSY: a statement or blob of ours is still open */
    sqlite_inboxes_forget(s);
    buf_done(&s->doomed);
    body_store_close(&s->bodies);
    if (s->lock >= 0)
        close(s->lock); /* last: a successor must find everything done */
    release(s);
}

static const struct store_verbs verbs = {
    .close = close_store,
    .begin = sqlite_begin,
    .mark = sqlite_mark,
    .undo = sqlite_undo,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .rest = sqlite_rest,
    .account_add = sqlite_account_add,
    .account_password = sqlite_account_password,
    .account_rehash = sqlite_account_rehash,
    .place_seen = sqlite_place_seen,
    .place_forget = sqlite_place_forget,
    .each_place = sqlite_each_place,
    .account_set = sqlite_account_set,
    .account_remove = sqlite_account_remove,
    .account_seen = sqlite_account_seen,
    .device_add = sqlite_device_add,
    .device_remove = sqlite_device_remove,
    .device_seen = sqlite_device_seen,
    .alias_add = sqlite_alias_add,
    .alias_remove = sqlite_alias_remove,
    .domain_add = sqlite_domain_add,
    .domain_remove = sqlite_domain_remove,
    .each_account = sqlite_each_account,
    .each_device = sqlite_each_device,
    .each_alias = sqlite_each_alias,
    .each_domain = sqlite_each_domain,
    .deliver = sqlite_deliver,
    .drop_list = sqlite_drop_list,
    .usage = sqlite_usage,
    .message_read = sqlite_message_read,
    .message_next = sqlite_message_next,
    .expunge = sqlite_expunge,
    .queue_claim = sqlite_queue_claim,
    .queue_next_due = sqlite_queue_next_due,
    .queue_read = sqlite_queue_read,
    .queue_settle = sqlite_queue_settle,
    .queue_release_claims = sqlite_queue_release_claims,
    .queue_list = sqlite_queue_list,
    .queue_show = sqlite_queue_show,
    .queue_change = sqlite_queue_change,
    .counts = sqlite_counts,
    .free_octets = sqlite_free_octets,
    .sweep = sqlite_sweep,
    .check = sqlite_check,
    .repair = sqlite_repair,
    .bodies = sqlite_bodies,
    .mails = sqlite_mails,
    .snapshot = sqlite_snapshot,
    .renew = sqlite_renew,
};

/* The lock file keeps a second writer out, whatever program it is: it is flock(2)ed as long as the writer lives, and
 * the kernel lets go of it when the process dies, however it dies. */
static enum status take_lock(struct sqlite *s, const struct store_plan *plan, struct buf *why)
{
    s->lock = openat(s->bodies.dir, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (s->lock < 0) {
        SAY(why, "%s/" LOCK_FILE " cannot be opened (errno %d)", plan->dir, errno);
        return STATUS_IO;
    }
    msec end = clock_now() + plan->patience;
    while (flock(s->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            SAY(why, "%s/" LOCK_FILE " cannot be locked (errno %d)", plan->dir, errno);
            return STATUS_IO;
        }
        if (clock_now() >= end) {
            SAY(why, "the store in %s is in use by another process", plan->dir);
            return STATUS_BUSY;
        }
        nanosleep(&(struct timespec){ .tv_nsec = LOCK_POLL * 1000000L }, NULL);
    }
    return STATUS_OK;
}

/* The file is made here, so that it has our mode whatever the umask; SQLite gives the log and its index the same. */
static enum status make_database(struct sqlite *s, const struct store_plan *plan, struct buf *why)
{
    if (faccessat(s->bodies.dir, DATABASE, F_OK, 0) == 0)
        return STATUS_OK;
    if (plan->mode != STORE_WRITER || !plan->create) {
        SAY(why, "there is no store in %s", plan->dir);
        return STATUS_NOT_FOUND;
    }
    int fd = openat(s->bodies.dir, DATABASE, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        SAY(why, "%s/" DATABASE " cannot be made (errno %d)", plan->dir, errno);
        return errno == ENOSPC || errno == EDQUOT ? STATUS_FULL : STATUS_IO;
    }
    close(fd);
    return fsync(s->bodies.dir) == 0 ? STATUS_OK : STATUS_IO;
}

static enum status put_path(struct buf *path, const char *dir)
{
    size_t len = strlen(dir);
    TRY(buf_print(path, "%s%s" DATABASE, dir, len > 0 && dir[len - 1] == '/' ? "" : "/"));
    return buf_put_byte(path, '\0');
}

/* "immutable" is what lets SQLite read a database that was in WAL mode without making files beside it. */
static enum status put_copy_path(struct buf *path, const char *dir)
{
    TRY(buf_put(path, S("file:")));
    for (const char *at = dir; *at; at++)
        TRY(buf_print(path, strchr("%?#", *at) ? "%%%02X" : "%c", (unsigned char)*at));
    TRY(buf_put(path, S("/" DATABASE "?immutable=1")));
    return buf_put_byte(path, '\0');
}

static enum status open_database(struct sqlite *s, const struct store_plan *plan, struct buf *why)
{
    struct buf path = BUF(PATH_MOST);
    bool is_copy = plan->mode == STORE_COPY;
    enum status status = is_copy ? put_copy_path(&path, plan->dir) : put_path(&path, plan->dir);
    if (status == STATUS_OK) {
        /* NOMUTEX: one connection belongs to one thread at a time.  A reader opens for writing, too: it needs the log's
         * index. */
        int flags = is_copy ? SQLITE_OPEN_READONLY | SQLITE_OPEN_URI : SQLITE_OPEN_READWRITE;
        int code = sqlite3_open_v2(path.ptr, &s->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
        if (code != SQLITE_OK) {
            SAY(why, "%s: %s", path.ptr, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code));
            status = sqlite_status(s, code);
        }
        /* Where that fails SQLite tries for reading only, and would refuse every write from then on, also when the cause is gone. */
        if (code == SQLITE_OK && plan->mode == STORE_WRITER && sqlite3_db_readonly(s->db, "main") == 1) {
            SAY(why, "%s: cannot be opened for writing", path.ptr);
            status = STATUS_IO;
        }
    }
    buf_done(&path);
    return status;
}

static enum status run(struct sqlite *s, const char *sql, struct buf *why)
{
    int code = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    if (code != SQLITE_OK)
        SAY(why, "%s", sqlite3_errmsg(s->db));
    return sqlite_status(s, code);
}

static enum status prepare_writer(struct sqlite *s, const struct store_plan *plan, struct buf *why)
{
    if (!plan->create) /* no row for any body: all of them would be swept */
        TRY(schema_is_made(s->db, &schema_steps, why));
    /* page_size first: it is fixed with the first page that is written.  wal_autocheckpoint is off everywhere, rest()
     * and commit() of this connection see to it. */
    TRY(run(s,
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;"
        "PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON; PRAGMA secure_delete = OFF;"
        "PRAGMA wal_autocheckpoint = 0;",
        why));
    sqlite_watch_log(s);
    if (plan->as_is)
        return schema_check(s->db, &schema_steps, why);
    TRY(schema_migrate(s->db, &schema_steps, why));
    sqlite_snapshot_end(s); /* one that was left behind */
    return sqlite_sweep_files(s);
}

static enum status prepare_reader(struct sqlite *s, struct buf *why)
{
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    TRY(run(s,
        "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY;"
        "PRAGMA cache_size = -16384;",
        why));
    return schema_check(s->db, &schema_steps, why);
}

static enum status open_store(struct sqlite *s, const struct store_plan *plan, struct buf *why)
{
    enum status status = body_store_open(&s->bodies, plan->dir);
    if (status != STATUS_OK) {
        SAY(why, "the folder %s cannot be opened: %s", plan->dir, status_name(status));
        return status;
    }
    if (plan->mode == STORE_WRITER)
        TRY(take_lock(s, plan, why));
    TRY(make_database(s, plan, why));
    if (plan->mode == STORE_WRITER && (status = sqlite_settle_log(s, DATABASE "-wal")) != STATUS_OK) {
        SAY(why, "%s/" DATABASE "-wal cannot be written anew: %s", plan->dir, status_name(status));
        return status;
    }
    TRY(open_database(s, plan, why));
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, ORDINARY_WAIT);
    status = plan->mode == STORE_WRITER ? prepare_writer(s, plan, why) : prepare_reader(s, why);
    if (status != STATUS_OK && why->len == 0)
        SAY(why, "the store in %s cannot be opened: %s", plan->dir, status_name(status));
    return status;
}

enum status sqlite_open(const struct store_plan *plan, struct store **out_store, struct buf *why)
{
    struct sqlite *s = alloc(sizeof *s);
    s->store.verbs = &verbs;
    s->mode = plan->mode;
    s->is_served = plan->mode == STORE_WRITER ? !plan->as_is : plan->mode == STORE_READER;
    s->lock = s->bodies.dir = -1;
    s->doomed = BUF(DOOMED_MOST);
    list_init(&s->dirty);
    enum status status = open_store(s, plan, why);
    if (status != STATUS_OK) {
        close_store(&s->store);
        return status;
    }
    *out_store = &s->store;
    return STATUS_OK;
}
