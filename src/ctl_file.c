#include "ctl_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scoped.h"
#include "base/secret.h"
#include "ctl_impl.h"
#include "jail/jail.h"

void file_path(char out[FILE_PATH], const char *dir, const char *name)
{
    int len = snprintf(out, FILE_PATH, "%s/%s", dir, name);
    if (len < 0 || len >= (int)FILE_PATH)
        exit(ctl_usage("the folder's path is too long"));
}

enum status file_read(const char *path, struct buf *out)
{
    scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO;
    for (;;) {
        char page[4096]; /* read to the end and not to st_size: a settings file may be a pipe */
        ssize_t got = read(fd, page, sizeof page);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return STATUS_IO;
        enum status status = got > 0 ? buf_put(out, (struct slice){ page, (size_t)got }) : STATUS_OK;
        wipe(page, sizeof page); /* it may have been a key */
        if (status != STATUS_OK || got == 0)
            return status;
    }
}

static enum status write_all(int fd, struct slice octets)
{
    while (octets.len > 0) {
        ssize_t put = write(fd, octets.ptr, octets.len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno == ENOSPC || errno == EDQUOT ? STATUS_FULL : STATUS_IO;
        octets = slice_from(octets, (size_t)put);
    }
    return fsync(fd) == 0 ? STATUS_OK : STATUS_IO;
}

enum status file_make(const char *path, struct slice octets, mode_t mode)
{
    scoped_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return errno == EEXIST ? STATUS_EXISTS : STATUS_IO;
    enum status status = fchmod(fd, mode) == 0 ? write_all(fd, octets) : STATUS_IO; /* whatever the umask is */
    if (status != STATUS_OK) {
        int error = errno;
        unlink(path);
        errno = error;
    }
    return status;
}

enum status file_own_store(const char *store, uint32_t preset_uid, const char **out_path)
{
    uint32_t uid = jail_uid(ROLE_KEEPER, preset_uid);
    *out_path = store;
    if (geteuid() != 0 || uid == 0)
        return STATUS_OK;
    TRY(jail_become(uid, store));
    *out_path = "/";
    return STATUS_OK;
}

/* By descriptors: whoever owns a folder above could put another one into the way of a path. */
static void remove_below(int folder, const char *name, const dev_t *device)
{
    struct stat about;
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 && fstat(fd, &about) == 0 && (!device || about.st_dev == *device) ? fdopendir(fd) : NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove_below(fd, entry->d_name, &about.st_dev);
    (void)unlinkat(folder, name, fd >= 0 ? AT_REMOVEDIR : 0);
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
}

void file_remove_at(int folder, const char *name) { remove_below(folder, name, NULL); }

void file_remove_all(const char *path) { file_remove_at(AT_FDCWD, path); }
