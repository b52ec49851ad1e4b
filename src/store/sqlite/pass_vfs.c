#include "store/sqlite/pass_vfs.h"

static int pass_close(sqlite3_file *file)
{
    return pass_real(file)->pMethods->xClose(pass_real(file));
}
static int pass_read(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
    return pass_real(file)->pMethods->xRead(pass_real(file), out, len, at);
}
static int pass_size(sqlite3_file *file, sqlite3_int64 *out)
{
    return pass_real(file)->pMethods->xFileSize(pass_real(file), out);
}
static int pass_lock(sqlite3_file *file, int level)
{
    return pass_real(file)->pMethods->xLock(pass_real(file), level);
}
static int pass_unlock(sqlite3_file *file, int level)
{
    return pass_real(file)->pMethods->xUnlock(pass_real(file), level);
}
static int pass_reserved(sqlite3_file *file, int *out)
{
    return pass_real(file)->pMethods->xCheckReservedLock(pass_real(file), out);
}
static int pass_control(sqlite3_file *file, int op, void *arg)
{
    return pass_real(file)->pMethods->xFileControl(pass_real(file), op, arg);
}
static int pass_sector(sqlite3_file *file)
{
    return pass_real(file)->pMethods->xSectorSize(pass_real(file));
}
static int pass_device(sqlite3_file *file)
{
    return pass_real(file)->pMethods->xDeviceCharacteristics(pass_real(file));
}
/* The log's index is mapped, not written through us. */
static int pass_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return pass_real(file)->pMethods->xShmMap(pass_real(file), page, size, extend, out);
}
static int pass_shm_lock(sqlite3_file *file, int at, int count, int flags)
{
    return pass_real(file)->pMethods->xShmLock(pass_real(file), at, count, flags);
}
static void pass_barrier(sqlite3_file *file)
{
    pass_real(file)->pMethods->xShmBarrier(pass_real(file));
}
static int pass_unmap(sqlite3_file *file, int remove)
{
    return pass_real(file)->pMethods->xShmUnmap(pass_real(file), remove);
}

const sqlite3_io_methods pass_methods = {
    .iVersion = 2,
    .xClose = pass_close,
    .xRead = pass_read,
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
