/* Linked into a program of the same libraries as ekirei, with -Wl,--wrap for each function below: lets the n-th event of a kind in one role fail, once or for ever.  What
 * SQLite does by itself is reached through the table of system calls of its own VFS, and fdatasync() by standing in front of the C library's. */
#include "countdown.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sqlite3.h>

#include "jail/jail.h"
#include "keeper/impl.h"
#include "net/channel.h"
#include "net/pool.h"
#include "net/wire.h"

#define SITES       4096u /* places that reach a limit, a power of two */
#define SITE_EVENTS 2u    /* the first calls from each of them count */
#define TICK_AFTER  30u   /* ms until the keeper's first round of housekeeping */
#define ALL_DUE     3599u /* rounds after which the next one does everything */

static struct countdown nowhere, *plan = &nowhere;
static int own_role = -1;
extern char __executable_start;

/* ---- counting ------------------------------------------------------------------------------------------------------ */

static void note(const char *text, const void *site)
{
    char where[sizeof plan->place];
    snprintf(where, sizeof where, "%.100s+0x%lx", text, site ? (unsigned long)((const char *)site - &__executable_start) : 0);
    memcpy(plan->place, where, sizeof where);
}

static bool is_due(enum event event, bool counts, const char *text, const void *site)
{
    if (own_role < 0)
        return false;
    uint64_t count = counts ? atomic_fetch_add(&plan->counts[own_role][event], 1) + 1 : 0;
    if (plan->at == 0 || plan->role != (uint32_t)own_role || plan->event != event)
        return false;
    bool over = plan->for_ever && atomic_load(&plan->failed) > 0;
    if (!over && (!counts || (plan->for_ever ? count < plan->at : count != plan->at)))
        return false;
    if (atomic_fetch_add(&plan->failed, 1) == 0)
        note(text, site);
    return true;
}

#define fails(event) is_due((event), true, __func__, __builtin_return_address(0))

/* Thousands of calls, from some hundred places. */
static bool limit_is_reached(const char *text, const void *site)
{
    static struct {
        _Atomic(const void *) site;
        atomic_uint count;
    } sites[SITES];
    size_t at = ((uintptr_t)site * UINT64_C(0x9e3779b97f4a7c15)) >> 40 & (SITES - 1);
    for (const void *none = NULL; !atomic_compare_exchange_strong(&sites[at].site, &none, site) && none != site; none = NULL)
        at = (at + 1) & (SITES - 1);
    return is_due(EVENT_LIMIT, atomic_fetch_add(&sites[at].count, 1) < SITE_EVENTS, text, site);
}

#define reaches_limit() limit_is_reached(__func__, __builtin_return_address(0))

static int error(int code)
{
    errno = code;
    return -1;
}

static int disk_error(void) { return error(plan->manner == MANNER_FULL ? ENOSPC : EIO); }
static int file_error(void) { return error(plan->manner == MANNER_FULL ? EMFILE : EIO); }

/* ---- SQL ------------------------------------------------------------------------------------------------------------ */

static int sql_error(void)
{
    errno = plan->manner == MANNER_FULL ? ENOSPC : EIO;
    return plan->manner == MANNER_FULL ? SQLITE_FULL : plan->manner == MANNER_BUSY ? SQLITE_BUSY : SQLITE_IOERR_WRITE;
}

int __real_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement)
{
    const char *sql = sqlite3_sql(statement);
    if (plan->manner == MANNER_LIE && (!sql || strncmp(sql, "INSERT INTO message", 19) != 0))
        return __real_sqlite3_step(statement);
    if (!is_due(EVENT_STATEMENT, true, sql ? sql : "", NULL))
        return __real_sqlite3_step(statement);
    if (plan->manner == MANNER_LIE)
        return SQLITE_DONE;
    if (sql && strcmp(sql, "ROLLBACK") == 0)
        __real_sqlite3_step(statement); /* SQLite's own never leaves the transaction open, whatever it says */
    return sql_error();
}

int __real_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int len, unsigned flags, sqlite3_stmt **out, const char **tail);
int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int len, unsigned flags, sqlite3_stmt **out, const char **tail);
int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int len, unsigned flags, sqlite3_stmt **out, const char **tail)
{
    /* That one reads nothing: only memory could be lacking. */
    if (strcmp(sql, "ROLLBACK") == 0 || !is_due(EVENT_PREPARE, true, sql, NULL))
        return __real_sqlite3_prepare_v3(db, sql, len, flags, out, tail);
    *out = NULL;
    return sql_error();
}

int __real_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int len, sqlite3_stmt **out, const char **tail);
int __wrap_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int len, sqlite3_stmt **out, const char **tail);
int __wrap_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int len, sqlite3_stmt **out, const char **tail)
{
    if (!is_due(EVENT_PREPARE, true, sql, NULL))
        return __real_sqlite3_prepare_v2(db, sql, len, out, tail);
    *out = NULL;
    return sql_error();
}

int __real_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **), void *context, char **why);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **), void *context, char **why);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **), void *context, char **why)
{
    return is_due(EVENT_PREPARE, true, sql, NULL) ? sql_error() : __real_sqlite3_exec(db, sql, each, context, why);
}

int __real_sqlite3_blob_open(sqlite3 *db, const char *base, const char *table, const char *column, sqlite3_int64 row, int flags, sqlite3_blob **out);
int __wrap_sqlite3_blob_open(sqlite3 *db, const char *base, const char *table, const char *column, sqlite3_int64 row, int flags, sqlite3_blob **out);
int __wrap_sqlite3_blob_open(sqlite3 *db, const char *base, const char *table, const char *column, sqlite3_int64 row, int flags, sqlite3_blob **out)
{
    if (!fails(EVENT_PREPARE))
        return __real_sqlite3_blob_open(db, base, table, column, row, flags, out);
    *out = NULL;
    return sql_error();
}

int __real_sqlite3_blob_read(sqlite3_blob *blob, void *out, int len, int at);
int __wrap_sqlite3_blob_read(sqlite3_blob *blob, void *out, int len, int at);
int __wrap_sqlite3_blob_read(sqlite3_blob *blob, void *out, int len, int at)
{
    return fails(EVENT_PREPARE) ? sql_error() : __real_sqlite3_blob_read(blob, out, len, at);
}

int __real_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *pages, int *copied);
int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *pages, int *copied);
int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *pages, int *copied)
{
    return fails(EVENT_PREPARE) ? sql_error() : __real_sqlite3_wal_checkpoint_v2(db, name, mode, pages, copied);
}

/* ---- what SQLite does with its files ------------------------------------------------------------------------------- */

/* Those below have wraps of their own, which are not for SQLite's calls. */
int __real_open64(const char *path, int flags, int mode);
ssize_t __real_pwrite64(int fd, const void *octets, size_t len, off_t at);

static ssize_t db_pwrite(int fd, const void *octets, size_t len, off_t at)
{
    bool enlarges = plan->manner == MANNER_LIE && len == 1; /* the log's index, which is then mapped */
    if (enlarges || !fails(EVENT_DB_WRITE))
        return __real_pwrite64(fd, octets, len, at);
    if (plan->manner == MANNER_LIE)
        return (ssize_t)len;
    if (plan->manner == MANNER_FULL && __real_pwrite64(fd, octets, len / 2, at) < 0)
        return -1;
    return disk_error();
}

static int db_open(const char *path, int flags, int mode) { return fails(EVENT_DB_FILE) ? file_error() : __real_open64(path, flags, mode); }
static int db_unlink(const char *path) { return fails(EVENT_DB_FILE) ? error(EIO) : unlink(path); }
static int db_truncate(int fd, off_t size) { return fails(EVENT_DB_FILE) ? disk_error() : ftruncate(fd, size); }
static int db_allocate(int fd, off_t at, off_t len) { return fails(EVENT_DB_FILE) ? (plan->manner == MANNER_FULL ? ENOSPC : EIO) : posix_fallocate(fd, at, len); }

static void *db_map(void *at, size_t len, int protection, int flags, int fd, off_t from)
{
    if (!fails(EVENT_DB_FILE))
        return mmap(at, len, protection, flags, fd, from);
    errno = ENOMEM;
    return MAP_FAILED;
}

/* The C library's name: SQLite's own calls come here. */
__attribute__((visibility("default"))) int fdatasync(int fd)
{
    if (!fails(EVENT_DB_SYNC))
        return (int)syscall(SYS_fdatasync, fd);
    return plan->manner == MANNER_LIE ? 0 : disk_error();
}

static void stand_before_sqlite(void)
{
    static const struct {
        const char *name;
        sqlite3_syscall_ptr call;
    } calls[] = { { "open", (sqlite3_syscall_ptr)db_open }, { "pwrite", (sqlite3_syscall_ptr)db_pwrite }, { "pwrite64", (sqlite3_syscall_ptr)db_pwrite },
        { "unlink", (sqlite3_syscall_ptr)db_unlink }, { "ftruncate", (sqlite3_syscall_ptr)db_truncate }, { "fallocate", (sqlite3_syscall_ptr)db_allocate },
        { "mmap", (sqlite3_syscall_ptr)db_map } };
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    for (size_t i = 0; vfs && i < sizeof calls / sizeof calls[0]; i++)
        (void)vfs->xSetSystemCall(vfs, calls[i].name, calls[i].call); /* SQLITE_NOTFOUND: it was built without that one */
}

/* ---- files of our own ----------------------------------------------------------------------------------------------- */

/* Not the log, of which the outcome is read, and not what only wakes a thread: that cannot fail. */
static bool is_file(int fd)
{
    struct stat about;
    return fd != STDERR_FILENO && fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
}

ssize_t __real_write(int fd, const void *octets, size_t len);
ssize_t __wrap_write(int fd, const void *octets, size_t len);
ssize_t __wrap_write(int fd, const void *octets, size_t len)
{
    if (!is_file(fd) || !fails(EVENT_WRITE))
        return __real_write(fd, octets, len);
    if (plan->manner == MANNER_FULL && __real_write(fd, octets, len / 2) < 0)
        return -1;
    return disk_error();
}

ssize_t __wrap_pwrite64(int fd, const void *octets, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *octets, size_t len, off_t at)
{
    if (!fails(EVENT_WRITE))
        return __real_pwrite64(fd, octets, len, at);
    if (plan->manner == MANNER_LIE)
        return (ssize_t)len;
    if (plan->manner == MANNER_FULL && __real_pwrite64(fd, octets, len / 2, at) < 0)
        return -1;
    return disk_error();
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) { return fails(EVENT_SYNC) ? disk_error() : __real_fsync(fd); }

int __wrap_open64(const char *path, int flags, int mode);
int __wrap_open64(const char *path, int flags, int mode) { return fails(EVENT_FILE) ? file_error() : __real_open64(path, flags, mode); }

int __real_openat64(int dir, const char *path, int flags, int mode);
int __wrap_openat64(int dir, const char *path, int flags, int mode);
int __wrap_openat64(int dir, const char *path, int flags, int mode) { return fails(EVENT_FILE) ? file_error() : __real_openat64(dir, path, flags, mode); }

ssize_t __real_pread64(int fd, void *octets, size_t len, off_t at);
ssize_t __wrap_pread64(int fd, void *octets, size_t len, off_t at);
ssize_t __wrap_pread64(int fd, void *octets, size_t len, off_t at) { return fails(EVENT_FILE) ? error(EIO) : __real_pread64(fd, octets, len, at); }

int __real_renameat(int from, const char *old, int to, const char *fresh);
int __wrap_renameat(int from, const char *old, int to, const char *fresh);
int __wrap_renameat(int from, const char *old, int to, const char *fresh) { return fails(EVENT_FILE) ? disk_error() : __real_renameat(from, old, to, fresh); }

int __real_unlinkat(int dir, const char *path, int flags);
int __wrap_unlinkat(int dir, const char *path, int flags);
int __wrap_unlinkat(int dir, const char *path, int flags) { return fails(EVENT_FILE) ? error(EIO) : __real_unlinkat(dir, path, flags); }

int __real_mkdirat(int dir, const char *path, mode_t mode);
int __wrap_mkdirat(int dir, const char *path, mode_t mode);
int __wrap_mkdirat(int dir, const char *path, mode_t mode) { return fails(EVENT_FILE) ? disk_error() : __real_mkdirat(dir, path, mode); }

int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags) { return fails(EVENT_FILE) ? file_error() : __real_memfd_create(name, flags); }

int __real_dup(int fd);
int __wrap_dup(int fd);
int __wrap_dup(int fd) { return fails(EVENT_FILE) ? file_error() : __real_dup(fd); }

int __real_socketpair(int family, int type, int protocol, int ends[2]);
int __wrap_socketpair(int family, int type, int protocol, int ends[2]);
int __wrap_socketpair(int family, int type, int protocol, int ends[2]) { return fails(EVENT_FILE) ? file_error() : __real_socketpair(family, type, protocol, ends); }

int __real_accept4(int fd, struct sockaddr *peer, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *peer, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *peer, socklen_t *size, int flags) { return fails(EVENT_FILE) ? file_error() : __real_accept4(fd, peer, size, flags); }

/* F_DUPFD_CLOEXEC alone makes something; all commands that we use take a number. */
int __real_fcntl64(int fd, int command, long value);
int __wrap_fcntl64(int fd, int command, long value);
int __wrap_fcntl64(int fd, int command, long value)
{
    return command == F_DUPFD_CLOEXEC && fails(EVENT_FILE) ? file_error() : __real_fcntl64(fd, command, value);
}

/* ---- between processes, and to clients ------------------------------------------------------------------------------- */

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (!fails(EVENT_SENDMSG))
        return __real_sendmsg(fd, message, flags);
    if (plan->manner == MANNER_BUSY)
        return error(EAGAIN);
    if (plan->manner == MANNER_CUT) {
        struct iovec half = { message->msg_iov->iov_base, message->msg_iov->iov_len / 2 };
        struct msghdr part = { .msg_iov = &half, .msg_iovlen = 1 };
        (void)__real_sendmsg(fd, &part, flags);
    }
    return error(ENOBUFS); /* what may come of a line whose ends both live */
}

ssize_t __real_send(int fd, const void *octets, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *octets, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *octets, size_t len, int flags)
{
    if (!fails(EVENT_SEND))
        return __real_send(fd, octets, len, flags);
    if (plan->manner == MANNER_BUSY)
        return error(EAGAIN);
    if (plan->manner == MANNER_CUT)
        (void)__real_send(fd, octets, len / 2, flags);
    return error(EPIPE);
}

enum status __real_channel_put(struct channel *channel, const struct frame *frame);
enum status __wrap_channel_put(struct channel *channel, const struct frame *frame);
enum status __wrap_channel_put(struct channel *channel, const struct frame *frame)
{
    if (plan->manner == MANNER_LIE && frame->is_answer && frame->answer.kind == ASK_DELIVER && fails(EVENT_PUT)) {
        struct frame other = *frame;
        other.answer.status = STATUS_OK;
        other.answer.deliver.verdict = MAIL_NO_SUCH_USER;
        return __real_channel_put(channel, &other);
    }
    bool silent = !frame->is_answer && ask_defs[frame->ask.kind].silent; /* nobody could say BUSY to those */
    int fd = frame->is_answer ? frame->answer.fd : frame->ask.fd;
    if (silent || plan->manner == MANNER_LIE || !is_due(EVENT_PUT, true, ask_defs[frame->is_answer ? frame->answer.kind : frame->ask.kind].name, NULL))
        return __real_channel_put(channel, frame);
    if (fd >= 0)
        close(fd);
    return STATUS_BUSY;
}

enum status __real_wire_open(struct slice whole, struct arena *rows, int *held, struct frame *out_frame);
enum status __wrap_wire_open(struct slice whole, struct arena *rows, int *held, struct frame *out_frame);
enum status __wrap_wire_open(struct slice whole, struct arena *rows, int *held, struct frame *out_frame)
{
    return fails(EVENT_OPEN) ? STATUS_MALFORMED : __real_wire_open(whole, rows, held, out_frame);
}

enum status __real_pool_put(struct pool *pool, struct pool_job *job);
enum status __wrap_pool_put(struct pool *pool, struct pool_job *job);
enum status __wrap_pool_put(struct pool *pool, struct pool_job *job) { return fails(EVENT_POOL) ? STATUS_BUSY : __real_pool_put(pool, job); }

/* ---- limits --------------------------------------------------------------------------------------------------------- */

void *__real_arena_take(struct arena *a, size_t size);
void *__wrap_arena_take(struct arena *a, size_t size);
void *__wrap_arena_take(struct arena *a, size_t size) { return reaches_limit() ? NULL : __real_arena_take(a, size); }

void *__real_arena_take_rows(struct arena *a, size_t count, size_t size);
void *__wrap_arena_take_rows(struct arena *a, size_t count, size_t size);
void *__wrap_arena_take_rows(struct arena *a, size_t count, size_t size) { return reaches_limit() ? NULL : __real_arena_take_rows(a, count, size); }

enum status __real_arena_copy(struct arena *a, struct slice s, struct slice *out_copy);
enum status __wrap_arena_copy(struct arena *a, struct slice s, struct slice *out_copy);
enum status __wrap_arena_copy(struct arena *a, struct slice s, struct slice *out_copy) { return reaches_limit() ? STATUS_TOO_BIG : __real_arena_copy(a, s, out_copy); }

enum status __real_buf_put(struct buf *b, struct slice s);
enum status __wrap_buf_put(struct buf *b, struct slice s);
enum status __wrap_buf_put(struct buf *b, struct slice s) { return reaches_limit() ? STATUS_TOO_BIG : __real_buf_put(b, s); }

enum status __real_buf_put_byte(struct buf *b, char octet);
enum status __wrap_buf_put_byte(struct buf *b, char octet);
enum status __wrap_buf_put_byte(struct buf *b, char octet) { return reaches_limit() ? STATUS_TOO_BIG : __real_buf_put_byte(b, octet); }

enum status __real_buf_put_number(struct buf *b, uint64_t number);
enum status __wrap_buf_put_number(struct buf *b, uint64_t number);
enum status __wrap_buf_put_number(struct buf *b, uint64_t number) { return reaches_limit() ? STATUS_TOO_BIG : __real_buf_put_number(b, number); }

enum status __real_buf_vprint(struct buf *b, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
enum status __wrap_buf_vprint(struct buf *b, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
enum status __wrap_buf_vprint(struct buf *b, const char *format, va_list args) { return reaches_limit() ? STATUS_TOO_BIG : __real_buf_vprint(b, format, args); }

enum status __wrap_buf_print(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum status __wrap_buf_print(struct buf *b, const char *format, ...)
{
    if (reaches_limit())
        return STATUS_TOO_BIG;
    va_list args;
    va_start(args, format);
    enum status status = __real_buf_vprint(b, format, args);
    va_end(args);
    return status;
}

enum status __real_buf_reserve(struct buf *b, size_t len, char **out_room);
enum status __wrap_buf_reserve(struct buf *b, size_t len, char **out_room);
enum status __wrap_buf_reserve(struct buf *b, size_t len, char **out_room) { return reaches_limit() ? STATUS_TOO_BIG : __real_buf_reserve(b, len, out_room); }

/* ---- time ------------------------------------------------------------------------------------------------------------ */

/* The keeper's housekeeping is a second away, and its sweep five minutes: here all of it comes at once, and then at its time. */
int __real_uv_timer_start(uv_timer_t *timer, uv_timer_cb call, uint64_t after, uint64_t repeat);
int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb call, uint64_t after, uint64_t repeat);
int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb call, uint64_t after, uint64_t repeat)
{
    bool housekeeping = own_role == FAULTY_KEEPER && after == TICK && repeat == TICK;
    return __real_uv_timer_start(timer, call, housekeeping ? TICK_AFTER : after, repeat);
}

void __real_upkeep_tick(struct keeper *keeper);
void __wrap_upkeep_tick(struct keeper *keeper);
void __wrap_upkeep_tick(struct keeper *keeper)
{
    if (keeper->ticks == 0)
        keeper->ticks = ALL_DUE;
    __real_upkeep_tick(keeper);
}

/* ---- with sanitizers ------------------------------------------------------------------------------------------------------ */

#ifdef COUNTDOWN_SANITIZED
/* The sanitizer cannot live inside the jail. */
enum status __wrap_jail_enter(const struct jail_plan *jail);
enum status __wrap_jail_enter(const struct jail_plan *jail)
{
    (void)jail;
    return STATUS_OK;
}
enum status __wrap_jail_supervise(void);
enum status __wrap_jail_supervise(void) { return STATUS_OK; }
const char *__wrap_jail_path(const struct jail_plan *jail);
const char *__wrap_jail_path(const struct jail_plan *jail) { return jail->root; }
#endif

/* ---- the beginning ------------------------------------------------------------------------------------------------------ */

static int role_of(int argc, char **argv)
{
    static const char *const names[FAULTY_ROLES] = { "serve", "keeper", "mx", "user", "courier" };
    const char *name = argc == 3 && strcmp(argv[1], "--role") == 0 ? argv[2] : argc > 1 && strcmp(argv[1], "serve") == 0 ? argv[1] : "";
    for (int i = 0; i < FAULTY_ROLES; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1; /* the command line has no faults */
}

__attribute__((constructor)) static void countdown_begin(int argc, char **argv)
{
    const char *path = getenv("EKIREI_COUNTDOWN");
    int role = path ? role_of(argc, argv) : -1;
    if (role < 0)
        return;
    int fd = __real_open64(path, O_RDWR | O_CLOEXEC, 0);
    void *map = fd >= 0 ? mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (map == MAP_FAILED)
        abort();
    close(fd);
    plan = map;
    stand_before_sqlite();
    own_role = role;
}
