#include "store/sqlite/fault_vfs.h"

#include <errno.h>
#include <string.h>

#include "base/must.h"
#include "store/sqlite/pass_vfs.h"

static sqlite3_vfs vfs, *real_vfs;
static sqlite3_io_methods methods;
static enum fault kind;
static int countdown;
static bool armed, once, happened;
static long syncs;

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
    sqlite3_file *real = pass_real(file);
    if (!fails())
        return real->pMethods->xWrite(real, octets, len, at);
    /* What a disk does that gives up in the middle: half of it is there. */
    int code = real->pMethods->xWrite(real, octets, len / 2, at);
    errno = kind == FAULT_FULL ? ENOSPC : EIO;
    return code != SQLITE_OK ? code : kind == FAULT_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int fault_sync(sqlite3_file *file, int flags)
{
    sqlite3_file *real = pass_real(file);
    syncs++;
    return fails() ? SQLITE_IOERR_FSYNC : real->pMethods->xSync(real, flags);
}

static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    sqlite3_file *real = pass_real(file);
    return fails() ? SQLITE_IOERR_TRUNCATE : real->pMethods->xTruncate(real, size);
}

static int fault_open(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    (void)self;
    struct pass_file *ours = (struct pass_file *)(void *)file;
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
    methods = pass_methods;
    methods.xWrite = fault_write;
    methods.xTruncate = fault_truncate;
    methods.xSync = fault_sync;
    vfs = *real_vfs;
    vfs.pNext = NULL;
    vfs.zName = "fault";
    vfs.szOsFile = (int)sizeof(struct pass_file) + real_vfs->szOsFile;
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
