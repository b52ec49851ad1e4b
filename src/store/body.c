#include "store/body.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "base/random.h"
#include "base/scoped.h"

#define FOLDER     "bodies"
#define NAME_START (sizeof FOLDER "/ab/" - 1) /* octets before the name proper */
#define NAME_HEX   32                         /* 128 random bits: a name never meets another */

static enum status status_of_errno(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* RLIMIT_FSIZE or the file system's own end */
        return STATUS_FULL;
    case ENOENT:
        return STATUS_NOT_FOUND;
    case EEXIST:
        return STATUS_EXISTS;
    case EMFILE:
    case ENFILE:
        return STATUS_BUSY;
    default:
        return STATUS_IO;
    }
}

static enum status sync_folder(int dir, const char *name)
{
    scoped_fd int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return status_of_errno(errno);
    return STATUS_OK;
}

static enum status make_folder(int dir, const char *name)
{
    return mkdirat(dir, name, 0700) == 0 || errno == EEXIST ? STATUS_OK : status_of_errno(errno);
}

enum status body_store_open(struct body_store *out_bodies, const char *store_dir)
{
    int dir = open(store_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return status_of_errno(errno);
    /* Synced also where it was there: who made it may have been killed before he had done so. */
    enum status status = make_folder(dir, FOLDER);
    if (status == STATUS_OK)
        status = sync_folder(dir, ".");
    if (status != STATUS_OK) {
        close(dir);
        return status;
    }
    out_bodies->dir = dir;
    for (size_t i = 0; i < BODY_FOLDERS; i++)
        out_bodies->settled[i] = false;
    return STATUS_OK;
}

void body_store_close(struct body_store *bodies)
{
    if (bodies->dir >= 0)
        close(bodies->dir);
    bodies->dir = -1;
}

/* "bodies/ab/abcdef...": 256 folders, so that none grows to millions of names. */
static void make_name(char name[80])
{
    uint8_t octets[NAME_HEX / 2];
    random_fill(octets, sizeof octets);
    int len = snprintf(name, 80, FOLDER "/%02x/", octets[0]);
    must(len == (int)NAME_START);
    for (size_t i = 0; i < sizeof octets; i++)
        snprintf(name + NAME_START + 2 * i, 3, "%02x", octets[i]);
}

enum status body_stage(struct body_store *bodies, int *out_fd)
{
    int fd = openat(bodies->dir, FOLDER, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    /* A file system without O_TMPFILE says EOPNOTSUPP, an old kernel EISDIR. */
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        char name[80];
        make_name(name);
        memcpy(name + sizeof FOLDER, "st-", 3); /* the same length as "ab/": a file beside the folders */
        fd = openat(bodies->dir, name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0 && unlinkat(bodies->dir, name, 0) != 0) {
            close(fd);
            return STATUS_IO;
        }
    }
    if (fd < 0)
        return status_of_errno(errno);
    *out_fd = fd;
    return STATUS_OK;
}

/* "bodies/ab" out of "bodies/ab/abcdef...". */
static void folder_of(const char *name, char folder[NAME_START])
{
    memcpy(folder, name, NAME_START - 1);
    folder[NAME_START - 1] = '\0';
}

enum status body_file_open(struct body_store *bodies, struct body_file *out_file)
{
    struct body_file file;
    make_name(file.name);
    const int flags = O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC;
    file.fd = openat(bodies->dir, file.name, flags, 0600);
    if (file.fd < 0 && errno == ENOENT) {
        char folder[NAME_START];
        folder_of(file.name, folder);
        TRY(make_folder(bodies->dir, folder));
        file.fd = openat(bodies->dir, file.name, flags, 0600);
    }
    if (file.fd < 0)
        return status_of_errno(errno);
    *out_file = file;
    return STATUS_OK;
}

enum status body_file_put(struct body_file *file, struct slice octets)
{
    while (octets.len > 0) {
        ssize_t written = write(file->fd, octets.ptr, octets.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return status_of_errno(errno);
        octets = slice_from(octets, (size_t)written);
    }
    return STATUS_OK;
}

/* A folder that is there need not be on the disk: another thread may have made it a moment ago, or a process that was killed before it could sync.  So the first
 * file that is finished in it sees to that, and nobody believes anybody else. */
static enum status settle_folder(struct body_store *bodies, const char *folder)
{
    char *end;
    unsigned long number = strtoul(folder + sizeof FOLDER, &end, 16);
    must(number < BODY_FOLDERS && *end == '\0');
    TRY(sync_folder(bodies->dir, folder));
    if (bodies->settled[number])
        return STATUS_OK;
    TRY(sync_folder(bodies->dir, FOLDER));
    bodies->settled[number] = true;
    return STATUS_OK;
}

enum status body_file_finish(struct body_store *bodies, struct body_file *file)
{
    char folder[NAME_START];
    folder_of(file->name, folder);
    /* A failed fsync is never tried again: the kernel may have dropped the pages and say yes the next time (C219). */
    bool synced = fsync(file->fd) == 0;
    int error = errno;
    if (close(file->fd) != 0 && synced) {
        synced = false;
        error = errno;
    }
    file->fd = -1;
    enum status status = synced ? settle_folder(bodies, folder) : status_of_errno(error);
    if (status != STATUS_OK)
        body_file_abandon(bodies, file);
    return status;
}

void body_file_abandon(struct body_store *bodies, struct body_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    /* Should this fail, the next start finds the orphan. */
    unlinkat(bodies->dir, file->name, 0);
}

/* Names come back out of the database: what does not have our form is not followed (C123, C221). */
static bool name_of(struct slice name, char out[80])
{
    if (name.len != NAME_START + NAME_HEX || !slice_starts(name, S(FOLDER "/")))
        return false;
    for (size_t i = sizeof FOLDER; i < name.len; i++) {
        bool hex = (name.ptr[i] >= '0' && name.ptr[i] <= '9') || (name.ptr[i] >= 'a' && name.ptr[i] <= 'f');
        if (i == NAME_START - 1 ? name.ptr[i] != '/' : !hex)
            return false;
    }
    memcpy(out, name.ptr, name.len);
    out[name.len] = '\0';
    return true;
}

enum status body_file_read(struct body_store *bodies, struct slice name, uint64_t at, size_t room, struct buf *out)
{
    char path[80], *octets;
    if (!name_of(name, path))
        return STATUS_CORRUPT;
    if (at > INT64_MAX)
        return STATUS_MALFORMED;
    scoped_fd int fd = openat(bodies->dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return status_of_errno(errno);
    TRY(buf_reserve(out, room, &octets));
    size_t len = 0;
    while (len < room) {
        ssize_t got = pread(fd, octets + len, room - len, (off_t)(at + len));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return status_of_errno(errno);
        if (got == 0)
            break;
        len += (size_t)got;
    }
    buf_grown(out, len);
    return STATUS_OK;
}

bool body_is_name(struct slice name)
{
    char path[80];
    return name_of(name, path);
}

enum status body_file_size(struct body_store *bodies, struct slice name, uint64_t *out_size)
{
    char path[80];
    struct stat about;
    if (!name_of(name, path))
        return STATUS_CORRUPT;
    if (fstatat(bodies->dir, path, &about, AT_SYMLINK_NOFOLLOW) != 0)
        return status_of_errno(errno);
    if (!S_ISREG(about.st_mode))
        return STATUS_CORRUPT;
    *out_size = (uint64_t)about.st_size;
    return STATUS_OK;
}

enum status body_file_link(struct body_store *bodies, struct slice name, const char *folder)
{
    char path[80], there[160];
    struct stat about;
    if (!name_of(name, path))
        return STATUS_CORRUPT;
    if (fstatat(bodies->dir, path, &about, AT_SYMLINK_NOFOLLOW) != 0)
        return status_of_errno(errno);
    int len = snprintf(there, sizeof there, "%s/%s", folder, path);
    must(len > 0 && len < (int)sizeof there);
    if (linkat(bodies->dir, path, bodies->dir, there, 0) == 0)
        return STATUS_OK;
    if (errno != ENOENT)
        return status_of_errno(errno);
    char *slash = strrchr(there, '/');
    must(slash);
    *slash = '\0';
    if (mkdirat(bodies->dir, there, 0700) != 0 && errno != EEXIST)
        return status_of_errno(errno);
    *slash = '/';
    return linkat(bodies->dir, path, bodies->dir, there, 0) == 0 ? STATUS_OK : status_of_errno(errno);
}

enum status body_file_each(struct body_store *bodies, unsigned folder, enum status (*each)(void *context, const char *name), void *context)
{
    char path[16], name[sizeof path + NAME_MAX + 1];
    must(folder < BODY_FOLDERS);
    snprintf(path, sizeof path, FOLDER "/%02x", folder & 0xff);
    int fd = openat(bodies->dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? STATUS_OK : STATUS_IO;
    DIR *dir = fdopendir(fd);
    must(dir);
    enum status status = STATUS_OK;
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        status = each(context, name);
    }
    closedir(dir);
    return status;
}

enum status body_file_remove(struct body_store *bodies, struct slice name)
{
    char path[80];
    if (!name_of(name, path))
        return STATUS_CORRUPT;
    return unlinkat(bodies->dir, path, 0) == 0 ? STATUS_OK : status_of_errno(errno);
}
