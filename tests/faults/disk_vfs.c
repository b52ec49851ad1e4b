/* disk_vfs.c - SQLite's half of the recorded disk. */
#include <errno.h>
#include <string.h>

#include "base/must.h"
#include "faults/disk.h"
#include "store/sqlite/pass_vfs.h"

struct disk_handle {
    struct pass_file pass;
    uint32_t file; /* 0: not recorded */
};

static sqlite3_vfs vfs, *real_vfs;
static sqlite3_io_methods methods;
static int (*real_open_folder)(const char *, int *);

static struct disk_handle *handle_of(sqlite3_file *file)
{
    return (struct disk_handle *)(void *)file;
}

static int io_error(int code)
{
    errno = EIO;
    return code;
}

static int disk_write(sqlite3_file *file, const void *octets, int len, sqlite3_int64 at)
{
    struct disk_handle *h = handle_of(file);
    if (h->file && !disk_writes(h->file, octets, (size_t)len, (uint64_t)at))
        return io_error(SQLITE_IOERR_WRITE);
    return h->pass.real->pMethods->xWrite(h->pass.real, octets, len, at);
}

static int disk_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct disk_handle *h = handle_of(file);
    if (h->file && !disk_truncates(h->file, (uint64_t)size))
        return io_error(SQLITE_IOERR_TRUNCATE);
    return h->pass.real->pMethods->xTruncate(h->pass.real, size);
}

static int disk_sync(sqlite3_file *file, int flags)
{
    struct disk_handle *h = handle_of(file);
    if (h->file && !disk_syncs(h->file))
        return io_error(SQLITE_IOERR_FSYNC);
    return h->pass.real->pMethods->xSync(h->pass.real, flags);
}

static int disk_open(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    (void)self;
    struct disk_handle *h = handle_of(file);
    const char *relative = disk_relative(name);
    h->pass.base.pMethods = NULL;
    h->pass.real = (sqlite3_file *)(void *)((char *)file + sizeof *h);
    h->file = relative ? disk_file(relative) : 0;
    if (relative && !h->file && (flags & SQLITE_OPEN_CREATE) && !disk_creates(relative, &h->file))
        return io_error(SQLITE_CANTOPEN);
    int code = real_vfs->xOpen(real_vfs, name, h->pass.real, flags, out_flags);
    must(code == SQLITE_OK || !h->file);
    h->pass.base.pMethods = h->pass.real->pMethods ? &methods : NULL;
    return code;
}

static int disk_delete(sqlite3_vfs *self, const char *name, int sync_folder)
{
    (void)self;
    const char *relative = disk_relative(name);
    if (relative && disk_file(relative) && !disk_unlinks(relative))
        return io_error(SQLITE_IOERR_DELETE);
    return real_vfs->xDelete(real_vfs, name, sync_folder);
}

/* SQLite opens a folder for one purpose: to sync it, after the first sync of a new journal and after some deletions. */
static int open_folder(const char *name, int *out_fd)
{
    const char *relative = disk_relative(name);
    char folder[DISK_PATH] = "";
    if (relative) {
        const char *slash = strrchr(relative, '/');
        if (slash)
            memcpy(folder, relative, (size_t)(slash - relative));
        if (!disk_syncs_folder(folder))
            return io_error(SQLITE_CANTOPEN);
    }
    return real_open_folder(name, out_fd);
}

/* What SQLite draws and reads off the clock repeats from run to run. */
static int same_randomness(sqlite3_vfs *self, int len, char *out)
{
    (void)self;
    uint64_t state = 1;
    for (int i = 0; i < len; i++)
        out[i] = (char)disk_random(&state);
    return len;
}
static int same_time(sqlite3_vfs *self, sqlite3_int64 *out)
{
    (void)self;
    *out = INT64_C(212570000000000); /* ms since noon in November 4714 BC, as SQLite counts: early in 2024 */
    return SQLITE_OK;
}

static void fill_methods(void)
{
    methods = pass_methods;
    methods.xWrite = disk_write;
    methods.xTruncate = disk_truncate;
    methods.xSync = disk_sync;
}

void disk_install(void)
{
    if (real_vfs)
        return;
    real_vfs = sqlite3_vfs_find(NULL);
    must(real_vfs && real_vfs->iVersion >= 3);
    fill_methods();
    real_open_folder = (int (*)(const char *, int *))real_vfs->xGetSystemCall(real_vfs, "openDirectory");
    must(real_open_folder);
    int code = real_vfs->xSetSystemCall(real_vfs, "openDirectory", (sqlite3_syscall_ptr)open_folder);
    must(code == SQLITE_OK);
    vfs = *real_vfs;
    vfs.pNext = NULL;
    vfs.zName = "disk";
    vfs.szOsFile = (int)sizeof(struct disk_handle) + real_vfs->szOsFile;
    vfs.xOpen = disk_open;
    vfs.xDelete = disk_delete;
    vfs.xRandomness = same_randomness;
    vfs.xCurrentTimeInt64 = same_time;
    code = sqlite3_vfs_register(&vfs, 1);
    must(code == SQLITE_OK);
}
