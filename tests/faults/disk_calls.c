/* disk_calls.c - the body store's half of the recorded disk: link-time wraps of the system calls of src/store. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "faults/disk.h"

#define DESCRIPTORS 1024

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);
int __real_close(int fd);
int __wrap_close(int fd);
ssize_t __real_write(int fd, const void *octets, size_t len);
ssize_t __wrap_write(int fd, const void *octets, size_t len);
ssize_t __real_pwrite64(int fd, const void *octets, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *octets, size_t len, off_t at);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_mkdirat(int dir, const char *path, mode_t mode);
int __wrap_mkdirat(int dir, const char *path, mode_t mode);
int __real_unlinkat(int dir, const char *path, int flags);
int __wrap_unlinkat(int dir, const char *path, int flags);

/* What our descriptors stand for. */
static struct {
    bool known, folder;
    uint32_t file;
    char path[DISK_PATH];
} open_files[DESCRIPTORS];

/* "bodies" and "ab" to "bodies/ab"; false where it is not in the recorded folder. */
static bool join(int dir, const char *path, char out[DISK_PATH])
{
    if (path[0] == '/') {
        const char *relative = disk_relative(path);
        if (!relative)
            return false;
        snprintf(out, DISK_PATH, "%s", relative);
        return true;
    }
    if (dir < 0 || dir >= DESCRIPTORS || !open_files[dir].known || !open_files[dir].folder)
        return false;
    const char *folder = open_files[dir].path;
    int len = strcmp(path, ".") == 0 ? snprintf(out, DISK_PATH, "%s", folder)
                                     : snprintf(out, DISK_PATH, "%s%s%s", folder, folder[0] ? "/" : "", path);
    must(len < DISK_PATH);
    return true;
}

static int died(void)
{
    errno = EIO;
    return -1;
}

static int remember(int fd, const char *path, int flags)
{
    struct stat status;
    if (fd < 0)
        return fd;
    must(fd < DESCRIPTORS);
    int failed = fstat(fd, &status);
    must(!failed);
    bool unnamed = (flags & O_TMPFILE) == O_TMPFILE;
    open_files[fd].known = !unnamed;
    open_files[fd].folder = S_ISDIR(status.st_mode);
    open_files[fd].file = open_files[fd].folder || unnamed ? 0 : disk_file(path);
    snprintf(open_files[fd].path, DISK_PATH, "%s", path);
    return fd;
}

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
    char full[DISK_PATH];
    struct stat status;
    uint32_t file;
    if (!join(dir, path, full)) {
        int fd = __real_openat64(dir, path, flags, mode);
        if (fd >= 0 && fd < DESCRIPTORS)
            open_files[fd].known = false; /* closedir(3) closes past us */
        return fd;
    }
    bool creates = (flags & O_CREAT) && (flags & O_TMPFILE) != O_TMPFILE && fstatat(dir, path, &status, 0) != 0;
    if (creates) { /* only where it can: its folder may not be there yet */
        int fd = __real_openat64(dir, path, flags, mode);
        if (fd < 0)
            return fd;
        if (!disk_creates(full, &file)) {
            __real_close(fd);
            __real_unlinkat(dir, path, 0);
            return died();
        }
        return remember(fd, full, flags);
    }
    return remember(__real_openat64(dir, path, flags, mode), full, flags);
}

static bool has_mode(int flags)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

int __wrap_openat64(int dir, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = has_mode(flags) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_at(dir, path, flags, mode);
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = has_mode(flags) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_at(AT_FDCWD, path, flags, mode);
}

int __wrap_close(int fd)
{
    if (fd >= 0 && fd < DESCRIPTORS)
        open_files[fd].known = false;
    return __real_close(fd);
}

static bool is_ours(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS && open_files[fd].known && (open_files[fd].folder || open_files[fd].file);
}

ssize_t __wrap_pwrite64(int fd, const void *octets, size_t len, off_t at)
{
    if (is_ours(fd) && !disk_writes(open_files[fd].file, octets, len, (uint64_t)at))
        return died();
    return __real_pwrite64(fd, octets, len, at);
}

ssize_t __wrap_write(int fd, const void *octets, size_t len)
{
    if (is_ours(fd) && !disk_writes(open_files[fd].file, octets, len, (uint64_t)lseek(fd, 0, SEEK_CUR)))
        return died();
    return __real_write(fd, octets, len);
}

int __wrap_fsync(int fd)
{
    if (is_ours(fd) &&
        !(open_files[fd].folder ? disk_syncs_folder(open_files[fd].path) : disk_syncs(open_files[fd].file)))
        return died();
    return __real_fsync(fd);
}

int __wrap_mkdirat(int dir, const char *path, mode_t mode)
{
    char full[DISK_PATH];
    bool ours = join(dir, path, full);
    int result = __real_mkdirat(dir, path, mode);
    if (!ours || result != 0)
        return result;
    if (!disk_makes_folder(full)) {
        __real_unlinkat(dir, path, AT_REMOVEDIR);
        return died();
    }
    disk_made_folder();
    return 0;
}

int __wrap_unlinkat(int dir, const char *path, int flags)
{
    char full[DISK_PATH];
    if (join(dir, path, full) && disk_file(full) && !disk_unlinks(full))
        return died();
    return __real_unlinkat(dir, path, flags);
}
