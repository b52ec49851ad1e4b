#include "keeper/parcel.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "mail/pack.h"

#define PACKED_ROOM                                                                                                    \
    (LIMIT_INLINE_STORED + 2u * LIMIT_BODY_FRAME) /* beyond LIMIT_INLINE_STORED it is emptied into the file */

void parcel_init(struct parcel *parcel, struct body_store *bodies)
{
    *parcel = (struct parcel){ .bodies = bodies, .plain = BUF(LIMIT_BODY_FRAME), .packed = BUF(PACKED_ROOM) };
    parcel->digest = vault_digest_open();
}

static enum status spill(struct parcel *parcel)
{
    if (!parcel->has_file) {
        TRY(body_file_open(parcel->bodies, &parcel->file));
        parcel->has_file = true;
    }
    TRY(body_file_put(&parcel->file, buf_slice(&parcel->packed)));
    buf_clear(&parcel->packed);
    return STATUS_OK;
}

static enum status pack_frame_of(struct parcel *parcel, struct slice plain)
{
    size_t before = parcel->packed.len;
    TRY(pack(&parcel->packed, plain));
    struct slice frame = slice_from(buf_slice(&parcel->packed), before);
    vault_digest_put(parcel->digest, frame);
    parcel->size += plain.len;
    parcel->stored += frame.len;
    return parcel->packed.len > LIMIT_INLINE_STORED ? spill(parcel) : STATUS_OK;
}

enum status parcel_put(struct parcel *parcel, struct slice plain)
{
    while (plain.len > 0) {
        struct slice piece = slice_upto(plain, LIMIT_BODY_FRAME - parcel->plain.len);
        plain = slice_from(plain, piece.len);
        if (piece.len == LIMIT_BODY_FRAME) {
            TRY(pack_frame_of(parcel, piece));
            continue;
        }
        TRY(buf_put(&parcel->plain, piece));
        if (parcel->plain.len == LIMIT_BODY_FRAME) {
            TRY(pack_frame_of(parcel, buf_slice(&parcel->plain)));
            buf_clear(&parcel->plain);
        }
    }
    return STATUS_OK;
}

/* Fills the frame under way with what stands at `at`. */
static enum status read_piece(struct parcel *parcel, int fd, uint64_t at, uint64_t most, size_t *out_len)
{
    size_t len = LIMIT_BODY_FRAME - parcel->plain.len;
    char *room;
    if (len > most)
        len = (size_t)most;
    TRY(buf_reserve(&parcel->plain, len, &room));
    ssize_t got = pread(fd, room, len, (off_t)at);
    if (got < 0)
        return errno == EINTR ? (*out_len = 0, STATUS_OK) : STATUS_IO;
    if (got == 0)
        return STATUS_MALFORMED; /* shorter than the gate said, or cut behind our back */
    buf_grown(&parcel->plain, (size_t)got);
    *out_len = (size_t)got;
    return STATUS_OK;
}

enum status parcel_put_fd(struct parcel *parcel, int fd, uint64_t size)
{
    struct stat facts;
    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) /* a pipe would hold this thread up for ever */
        return STATUS_MALFORMED;
    for (uint64_t at = 0; at < size;) {
        size_t len;
        TRY(read_piece(parcel, fd, at, size - at, &len));
        at += len;
        if (parcel->plain.len < LIMIT_BODY_FRAME)
            continue;
        TRY(pack_frame_of(parcel, buf_slice(&parcel->plain)));
        buf_clear(&parcel->plain);
    }
    return STATUS_OK;
}

enum status parcel_finish(struct parcel *parcel)
{
    must(!parcel->finished);
    if (parcel->plain.len > 0)
        TRY(pack_frame_of(parcel, buf_slice(&parcel->plain)));
    buf_done(&parcel->plain);
    if (parcel->has_file) {
        TRY(spill(parcel));
        TRY(body_file_finish(parcel->bodies, &parcel->file));
    }
    vault_digest_close(parcel->digest, parcel->hash);
    parcel->digest = NULL;
    parcel->finished = true;
    return STATUS_OK;
}

struct store_body parcel_body(const struct parcel *parcel)
{
    must(parcel->finished);
    struct store_body body = { .size = parcel->size, .stored = parcel->stored };
    if (parcel->has_file)
        body.file = slice_of(parcel->file.name);
    else
        body.packed = buf_slice(&parcel->packed);
    memcpy(body.digest, parcel->hash, sizeof body.digest);
    return body;
}

bool parcel_is_needed(enum status written)
{
    return written == STATUS_OK || written == STATUS_IO;
}

void parcel_done(struct parcel *parcel, bool needed)
{
    uint8_t unused[32];
    if (parcel->digest)
        vault_digest_close(parcel->digest, unused);
    parcel->digest = NULL;
    buf_done(&parcel->plain);
    buf_done(&parcel->packed);
    if (!parcel->has_file || (needed && parcel->finished))
        return;
    if (!parcel->finished)
        body_file_abandon(parcel->bodies, &parcel->file);
    else if (body_file_remove(parcel->bodies, slice_of(parcel->file.name)) != STATUS_OK)
        LOG(LOG_WARNING, "body.orphan", LOG_WORD("file", parcel->file.name)); /* the next sweep takes it */
}
