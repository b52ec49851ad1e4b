#include "store/sqlite/fault_vfs.h"

#include <errno.h>
#include <string.h>

#include <sqlite3.h>

#include "base/must.h"

/* The real file lies behind ours in the same memory. */
struct fault_file {
    sqlite3_file base;
    sqlite3_file *real;
};

static sqlite3_vfs vfs, *real_vfs;
static sqlite3_io_methods methods;
static enum fault kind;
static int countdown;
static bool armed, once, happened;
static long syncs;

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct fault_file *)(void *)file)->real;
}

static bool fails(void)
{
    if (!armed || --countdown > 0)
        return false;
    if (once)
        armed = false;
    else
        countdown = 1;
    happened = true;
    errno = kind == FAULT_FULL ? ENOSPC : EIO;
    return true;
}

static int fault_write(sqlite3_file *file, const void *octets, int len, sqlite3_int64 at)
{
    sqlite3_file *real = real_of(file);
    if (!fails())
        return real->pMethods->xWrite(real, octets, len, at);
    /* What a disk does that gives up in the middle: half of it is there. */
    int code = real->pMethods->xWrite(real, octets, len / 2, at);
    errno = kind == FAULT_FULL ? ENOSPC : EIO;
    return code != SQLITE_OK ? code : kind == FAULT_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int fault_sync(sqlite3_file *file, int flags)
{
    sqlite3_file *real = real_of(file);
    syncs++;
    return fails() ? SQLITE_IOERR_FSYNC : real->pMethods->xSync(real, flags);
}

static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    sqlite3_file *real = real_of(file);
    return fails() ? SQLITE_IOERR_TRUNCATE : real->pMethods->xTruncate(real, size);
}

static int pass_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}
static int pass_read(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
    return real_of(file)->pMethods->xRead(real_of(file), out, len, at);
}
static int pass_size(sqlite3_file *file, sqlite3_int64 *out)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), out);
}
static int pass_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}
static int pass_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}
static int pass_reserved(sqlite3_file *file, int *out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}
static int pass_control(sqlite3_file *file, int op, void *arg)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}
static int pass_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}
static int pass_device(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}
static int pass_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, out);
}
static int pass_shm_lock(sqlite3_file *file, int at, int count, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), at, count, flags);
}
static void pass_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}
static int pass_unmap(sqlite3_file *file, int remove)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}

static int fault_open(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    (void)self;
    struct fault_file *ours = (struct fault_file *)(void *)file;
    ours->real = (sqlite3_file *)(void *)((char *)file + sizeof *ours);
    int code = real_vfs->xOpen(real_vfs, name, ours->real, flags, out_flags);
    ours->base.pMethods = ours->real->pMethods ? &methods : NULL;
    return code;
}

void fault_install(void)
{
    if (real_vfs)
        return;
    real_vfs = sqlite3_vfs_find(NULL);
    must(real_vfs);
    methods = (sqlite3_io_methods){
        .iVersion = 2,
        .xClose = pass_close,
        .xRead = pass_read,
        .xWrite = fault_write,
        .xTruncate = fault_truncate,
        .xSync = fault_sync,
        .xFileSize = pass_size,
        .xLock = pass_lock,
        .xUnlock = pass_unlock,
        .xCheckReservedLock = pass_reserved,
        .xFileControl = pass_control,
        .xSectorSize = pass_sector,
        .xDeviceCharacteristics = pass_device,
        .xShmMap = pass_map,
        .xShmLock = pass_shm_lock,
        .xShmBarrier = pass_barrier,
        .xShmUnmap = pass_unmap,
    };
    vfs = *real_vfs;
    vfs.pNext = NULL;
    vfs.zName = "fault";
    vfs.szOsFile = (int)sizeof(struct fault_file) + real_vfs->szOsFile;
    vfs.xOpen = fault_open;
    int code = sqlite3_vfs_register(&vfs, 1);
    must(code == SQLITE_OK);
}

void fault_arm(enum fault fault, int first, bool only_once)
{
    kind = fault;
    countdown = first;
    once = only_once;
    happened = false;
    armed = true;
}

bool fault_disarm(void)
{
    armed = false;
    return happened;
}

long fault_syncs(void)
{
    return syncs;
}
