#include "net/arriving.h"

#include <errno.h>
#include <unistd.h>

#include "base/must.h"

/* Until the file is there: the inline limit, and what one or two reads brought beyond it before the engine could ask.
 */
#define HELD_ROOM (4u * LIMIT_INLINE_BODY)

void arriving_init(struct arriving *body)
{
    *body = (struct arriving){ .held = BUF(HELD_ROOM), .fd = -1 };
}

static void write_piece(struct arriving *body, struct slice piece)
{
    while (piece.len > 0) {
        ssize_t written = pwrite(body->fd, piece.ptr, piece.len, (off_t)body->staged);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            body->status =
                written < 0 && errno != ENOSPC && errno != EDQUOT && errno != EFBIG ? STATUS_IO : STATUS_FULL;
            return;
        }
        body->staged += (uint64_t)written;
        piece = slice_from(piece, (size_t)written);
    }
}

void arriving_put(struct arriving *body, struct slice piece)
{
    if (body->status != STATUS_OK)
        return;
    if (body->fd >= 0)
        write_piece(body, piece);
    else
        body->status = buf_put(&body->held, piece);
}

void arriving_stage(struct arriving *body, int fd)
{
    if (body->fd >= 0)
        close(body->fd);
    body->fd = fd;
    body->staged = 0;
    if (body->status == STATUS_OK)
        write_piece(body, buf_slice(&body->held));
    buf_done(&body->held);
}

enum status arriving_attach(struct arriving *body, struct ask *ask)
{
    must(ask->kind == ASK_DELIVER);
    if (body->status != STATUS_OK)
        return body->status;
    /* The engine counts what it gave out: another number here would be a message cut short. */
    must(ask->deliver.staged == 0 || ask->deliver.staged == body->staged);
    ask->deliver.staged = body->staged;
    ask->deliver.body = buf_slice(&body->held);
    if (body->staged > 0) { /* nothing at all came: then the file stays behind, and goes with arriving_drop() */
        ask->fd = body->fd;
        body->fd = -1;
    }
    return STATUS_OK;
}

void arriving_drop(struct arriving *body)
{
    if (body->fd >= 0)
        close(body->fd);
    buf_done(&body->held);
    arriving_init(body);
}
