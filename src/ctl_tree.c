#include "ctl_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/must.h"
#include "base/scoped.h"
#include "ctl_file.h"
#include "ctl_impl.h"

#define INCOMPLETE "INCOMPLETE"
#define PIECE      (1u << 20)
#define QUIET      SECONDS(2)

/* ---- the folder ---------------------------------------------------------------------------------------------------- */

static void remove_entries(const struct tree *t, const char *const *entries)
{
    for (; *entries; entries++)
        file_remove_at(t->fd, *entries);
}

/* But for the mark. */
static bool is_empty(int fd)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    bool empty = dir != NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        empty = empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || strcmp(entry->d_name, INCOMPLETE) == 0);
    if (dir)
        closedir(dir);
    return empty;
}

static int open_folder(struct tree *t)
{
    t->made = mkdir(t->folder, 0700) == 0;
    if (!t->made && errno != EEXIST)
        return ctl_failed("%s cannot be made: %s", t->folder, strerror(errno));
    t->fd = open(t->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return t->fd >= 0 ? CTL_DONE : ctl_failed("%s cannot be opened: %s", t->folder, strerror(errno));
}

int tree_claim(struct tree *t, const char *folder, const char *const *entries)
{
    *t = (struct tree){ .folder = folder, .fd = -1, .manifest = BUF(1u << 30), .verb = "copied", .pause = QUIET };
    t->tell_at = clock_now() + QUIET;
    int code = open_folder(t);
    if (code != CTL_DONE)
        return code;
    bool marked = faccessat(t->fd, INCOMPLETE, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    if (marked)
        remove_entries(t, entries);
    if (!is_empty(t->fd)) {
        tree_done(t); /* not ours: nobody abandons it */
        return marked ? ctl_failed("%s is not empty, but holds something that was begun and not finished; remove it", folder)
                      : ctl_failed("%s is not empty; nothing was changed", folder);
    }
    if (marked)
        (void)unlinkat(t->fd, INCOMPLETE, 0);
    if (fchmod(t->fd, 0700) != 0)
        return ctl_failed("%s is not yours: %s", folder, strerror(errno));
    scoped_fd int mark = openat(t->fd, INCOMPLETE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return mark >= 0 ? CTL_DONE : ctl_failed("%s cannot be written: %s", folder, strerror(errno));
}

void tree_abandon(struct tree *t, const char *const *entries)
{
    if (t->fd < 0 || faccessat(t->fd, INCOMPLETE, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return; /* not ours */
    remove_entries(t, entries);
    (void)unlinkat(t->fd, INCOMPLETE, 0);
    if (t->made)
        (void)rmdir(t->folder);
}

static int unsynced(const struct tree *t) { return ctl_failed("%s cannot be brought to the disk: %s", t->folder, strerror(errno)); }

int tree_sync(struct tree *t) { return syncfs(t->fd) == 0 ? CTL_DONE : unsynced(t); }

int tree_finish(struct tree *t)
{
    int code = tree_sync(t);
    if (code == CTL_DONE && (unlinkat(t->fd, INCOMPLETE, 0) != 0 || fsync(t->fd) != 0))
        code = unsynced(t);
    return code;
}

void tree_done(struct tree *t)
{
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    buf_done(&t->manifest);
}

/* ---- octets -------------------------------------------------------------------------------------------------------- */

static void tell(struct tree *t)
{
    msec now = clock_now();
    if (now < t->tell_at)
        return;
    t->pause = t->pause < SECONDS(60) ? t->pause * 2 : t->pause;
    t->tell_at = now + t->pause;
    fprintf(stderr, "ekirei: %llu files, %llu MB %s so far\n", (unsigned long long)t->files, (unsigned long long)(t->octets >> 20), t->verb);
}

static int write_whole(const struct tree *t, int fd, const char *path, const char *at, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, at, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return ctl_failed("%s/%s cannot be written: %s", t->folder, path, strerror(errno));
        at += put;
        len -= (size_t)put;
    }
    return CTL_DONE;
}

static void put_hex(const uint8_t digest[32], char out[TREE_HEX + 1])
{
    for (unsigned i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* From one descriptor to the end; `out` -1: only the digest. */
static int stream(struct tree *t, int in, int out, const char *path, char out_hex[TREE_HEX + 1])
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    uint8_t digest[EVP_MAX_MD_SIZE];
    char *piece = alloc(PIECE);
    ssize_t got = 1;
    int code = CTL_DONE, well = EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
    while (code == CTL_DONE && got > 0) {
        got = read(in, piece, PIECE);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got < 0)
            code = ctl_failed("%s cannot be read: %s", path, strerror(errno));
        else if (got > 0) {
            well = well && EVP_DigestUpdate(hash, piece, (size_t)got);
            code = out >= 0 ? write_whole(t, out, path, piece, (size_t)got) : CTL_DONE;
            t->octets += (uint64_t)got;
            tell(t);
        }
    }
    well = well && EVP_DigestFinal_ex(hash, digest, NULL);
    must(well);
    put_hex(digest, out_hex);
    EVP_MD_CTX_free(hash);
    release(piece);
    t->files++;
    return code;
}

static int note(struct tree *t, const char *hex, const char *path)
{
    return buf_print(&t->manifest, "%s  %s\n", hex, path) == STATUS_OK ? CTL_DONE : ctl_failed("%s: too many files", t->folder);
}

/* ---- copying ------------------------------------------------------------------------------------------------------- */

static int copy_file(struct tree *t, const struct tree_copy *copy, int in, const char *path)
{
    char hex[TREE_HEX + 1];
    mode_t mode = copy->mode ? copy->mode(path) : 0600;
    scoped_fd int out = openat(t->fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (out < 0)
        return ctl_failed("%s/%s cannot be made: %s", t->folder, path, strerror(errno));
    if (fchmod(out, mode) != 0 || (copy->owned && fchown(out, copy->owner, copy->owner) != 0))
        return ctl_failed("%s/%s cannot be given to its owner: %s", t->folder, path, strerror(errno));
    int code = stream(t, in, out, path, hex);
    return code == CTL_DONE ? note(t, hex, path) : code;
}

static int copy_folder(struct tree *t, const struct tree_copy *copy, int in, const char *path)
{
    int code = CTL_DONE;
    if (mkdirat(t->fd, path, 0700) != 0)
        return ctl_failed("%s/%s cannot be made: %s", t->folder, path, strerror(errno));
    if (copy->owned && fchownat(t->fd, path, copy->owner, copy->owner, AT_SYMLINK_NOFOLLOW) != 0)
        return ctl_failed("%s/%s cannot be given to its owner: %s", t->folder, path, strerror(errno));
    int again = openat(in, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    if (!dir)
        return ctl_failed("%s/%s cannot be read: %s", copy->from_name, path, strerror(errno));
    struct tree_copy inner = *copy;
    inner.from = in;
    for (struct dirent *entry; code == CTL_DONE && (entry = readdir(dir));) {
        char below[FILE_PATH];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        file_path(below, path, entry->d_name);
        code = tree_copy(t, &inner, entry->d_name, below);
    }
    closedir(dir);
    return code;
}

int tree_copy(struct tree *t, const struct tree_copy *copy, const char *name, const char *path)
{
    struct stat about;
    /* O_NONBLOCK: a pipe that somebody put there must not hold us up. */
    scoped_fd int in = openat(copy->from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (in < 0 && errno != ELOOP && errno != ENXIO)
        return ctl_failed("%s/%s cannot be read: %s", copy->from_name, path, strerror(errno));
    if (in >= 0 && fstat(in, &about) != 0)
        return ctl_failed("%s/%s cannot be read: %s", copy->from_name, path, strerror(errno));
    if (in >= 0 && S_ISDIR(about.st_mode))
        return copy_folder(t, copy, in, path);
    if (in >= 0 && S_ISREG(about.st_mode))
        return copy_file(t, copy, in, path);
    ctl_warn("%s/%s is no plain file and is left out", copy->from_name, path);
    return CTL_DONE;
}

int tree_put(struct tree *t, const char *path, struct slice octets)
{
    char hex[TREE_HEX + 1];
    uint8_t digest[EVP_MAX_MD_SIZE];
    scoped_fd int out = openat(t->fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return ctl_failed("%s/%s cannot be made: %s", t->folder, path, strerror(errno));
    int code = write_whole(t, out, path, octets.ptr, octets.len);
    if (code == CTL_DONE && fsync(out) != 0)
        code = ctl_failed("%s/%s cannot be written: %s", t->folder, path, strerror(errno));
    int well = EVP_Digest(octets.ptr, octets.len, digest, NULL, EVP_sha256(), NULL);
    must(well == 1);
    put_hex(digest, hex);
    return code == CTL_DONE ? note(t, hex, path) : code;
}

int tree_hash(struct tree *t, const char *path, char out_hex[TREE_HEX + 1])
{
    scoped_fd int in = openat(t->fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (in < 0)
        return ctl_failed("%s/%s cannot be read: %s", t->folder, path, strerror(errno));
    return stream(t, in, -1, path, out_hex);
}

/* ---- giving away --------------------------------------------------------------------------------------------------- */

static bool give_below(int folder, const struct tree_giving *giving);

/* By descriptors, and only what we made: who is given the first folder may put links into it before we are at the last. */
static bool give_one(int folder, const char *name, const struct tree_giving *giving)
{
    struct stat about;
    scoped_fd int fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) != 0 || about.st_uid != giving->from || about.st_dev != giving->device)
        return true;
    if (S_ISDIR(about.st_mode) && !give_below(fd, giving))
        return false;
    if (!S_ISDIR(about.st_mode) && (!S_ISREG(about.st_mode) || about.st_nlink != 1))
        return true;
    return fchownat(fd, "", giving->uid, giving->gid, AT_EMPTY_PATH) == 0;
}

static bool give_below(int folder, const struct tree_giving *giving)
{
    int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    bool given = dir != NULL;
    for (struct dirent *entry; given && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            given = give_one(folder, entry->d_name, giving);
    if (dir)
        closedir(dir);
    return given;
}

int tree_give(const char *folder, const struct tree_giving *giving)
{
    struct stat about;
    scoped_fd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) != 0)
        return ctl_failed("%s cannot be given back to its owner: %s", folder, strerror(errno));
    if (about.st_dev != giving->device || about.st_ino != giving->inode)
        return ctl_failed("%s is another folder than it was: what was exported belongs to user id %u", folder, giving->from);
    if (!give_below(fd, giving) || fchown(fd, giving->uid, giving->gid) != 0)
        return ctl_failed("%s cannot be given back to its owner: %s", folder, strerror(errno));
    return CTL_DONE;
}

/* ---- looking ------------------------------------------------------------------------------------------------------- */

int tree_each(int fd, const char *path, int (*each)(void *context, const char *path, bool plain), void *context)
{
    int again = openat(fd, path[0] != '\0' ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), code = CTL_DONE;
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    if (!dir)
        return ctl_failed("%s cannot be read: %s", path, strerror(errno));
    for (struct dirent *entry; code == CTL_DONE && (entry = readdir(dir));) {
        char below[FILE_PATH];
        struct stat about;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (path[0] != '\0')
            file_path(below, path, entry->d_name);
        else
            snprintf(below, sizeof below, "%s", entry->d_name);
        bool known = fstatat(fd, below, &about, AT_SYMLINK_NOFOLLOW) == 0;
        if (known && S_ISDIR(about.st_mode))
            code = tree_each(fd, below, each, context);
        else
            code = each(context, below, known && S_ISREG(about.st_mode));
    }
    closedir(dir);
    return code;
}
