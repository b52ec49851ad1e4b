#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/scoped.h"
#include "store/sqlite/sqlite.h"

#define PIECE (1u << 20) /* octets that are written at once */

static enum status write_all(int fd, struct slice octets, off_t at)
{
    while (octets.len > 0) {
        ssize_t written = pwrite(fd, octets.ptr, octets.len, at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return errno == ENOSPC || errno == EDQUOT ? STATUS_FULL : STATUS_IO;
        octets = slice_from(octets, (size_t)written);
        at += written;
    }
    return STATUS_OK;
}

static enum status write_anew(int fd, struct buf *piece)
{
    for (off_t at = 0;;) {
        char *room;
        TRY(buf_reserve(piece, PIECE, &room));
        ssize_t got = pread(fd, room, PIECE, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 ? STATUS_OK : STATUS_IO;
        TRY(write_all(fd, (struct slice){ room, (size_t)got }, at));
        at += got;
    }
}

/* What is found in the log counts as committed from now on and is shown to people, so it must be on the disk first.
 * Who wrote it may have been killed before the sync, or been told that it failed: then the kernel holds the pages for
 * clean, no later sync writes them (C219), and a checkpoint would copy from a log that is not there.  So all of it is
 * written once more, octet for octet, and synced with its name, before SQLite looks.  A clean stop leaves no log. */
enum status sqlite_settle_log(struct sqlite *s, const char *name)
{
    scoped_fd int fd = openat(s->bodies.dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? STATUS_OK : STATUS_IO;
    struct buf piece = BUF(PIECE);
    enum status status = write_anew(fd, &piece);
    buf_done(&piece);
    /* Only a file system that never writes in place has no room for this, and mail must be readable on a full disk (C220):
     * then the sync has to do, and a sync that failed before stays unmended. */
    if ((status == STATUS_OK || status == STATUS_FULL) && (fsync(fd) != 0 || fsync(s->bodies.dir) != 0))
        return STATUS_IO;
    return status == STATUS_FULL ? STATUS_OK : status;
}
