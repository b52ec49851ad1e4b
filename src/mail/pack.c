#include "mail/pack.h"

#include <zstd.h>

#include "base/limits.h"
#include "base/must.h"

#define LEVEL 1 /* 3 and 5 gain 4 and 7 per cent of room for a third of the messages a second (HOTPATH) */

/* One context a thread, made at first use and kept: making one costs more than packing a small body.  Drawback:
 * a thread that ends leaves its contexts behind, so only threads that live as long as the role may pack. */
static _Thread_local ZSTD_CCtx *packer;
static _Thread_local ZSTD_DCtx *unpacker;

static ZSTD_CCtx *get_packer(void)
{
    if (!packer) {
        packer = ZSTD_createCCtx();
        must(packer);
        size_t level = ZSTD_CCtx_setParameter(packer, ZSTD_c_compressionLevel, LEVEL);
        size_t checksum = ZSTD_CCtx_setParameter(packer, ZSTD_c_checksumFlag, 1);
        must(!ZSTD_isError(level) && !ZSTD_isError(checksum));
    }
    return packer;
}

static enum status put_frame(struct buf *out, struct slice plain)
{
    char *room;
    size_t most = ZSTD_compressBound(plain.len), left = out->max - out->len;
    if (most > left) /* it may fit all the same: the bound is for noise */
        most = left;
    TRY(buf_reserve(out, most, &room));
    size_t len = ZSTD_compress2(get_packer(), room, most, plain.ptr, plain.len);
    if (ZSTD_isError(len))
        return STATUS_TOO_BIG; /* the only failure left: no room */
    buf_grown(out, len);
    return STATUS_OK;
}

enum status pack(struct buf *out, struct slice plain)
{
    size_t before = out->len;
    while (plain.len > 0) {
        enum status status = put_frame(out, slice_upto(plain, LIMIT_BODY_FRAME));
        if (status != STATUS_OK) {
            out->len = before;
            return status;
        }
        plain = slice_from(plain, LIMIT_BODY_FRAME);
    }
    return STATUS_OK;
}

/* RFC 8878 3.1.1: four octets of magic, then the descriptor, whose low bits say: a checksum, no dictionary, and nothing
 * in the bits that have no use. */
static bool is_ours(struct slice frame)
{
    return slice_starts(frame, S("\x28\xb5\x2f\xfd")) && frame.len > 4 && (frame.ptr[4] & 0x1f) == 0x04;
}

enum status pack_frame(struct slice packed, size_t *out_len)
{
    /* A frame without a checksum is not one of ours: taking it would let one flipped bit switch the checking off. */
    if (!is_ours(packed))
        return STATUS_MALFORMED;
    unsigned long long plain = ZSTD_getFrameContentSize(packed.ptr, packed.len);
    if (plain > LIMIT_BODY_FRAME) /* the two error values are at the top of the range */
        return STATUS_MALFORMED;
    size_t len = ZSTD_findFrameCompressedSize(packed.ptr, packed.len);
    if (ZSTD_isError(len) || len > packed.len)
        return STATUS_MALFORMED;
    *out_len = len;
    return STATUS_OK;
}

enum status unpack_frame(struct buf *out, struct slice frame)
{
    char *room;
    size_t len;
    if (pack_frame(frame, &len) != STATUS_OK || len != frame.len)
        return STATUS_CORRUPT;
    if (!unpacker) {
        unpacker = ZSTD_createDCtx();
        must(unpacker);
    }
    size_t plain = (size_t)ZSTD_getFrameContentSize(frame.ptr, frame.len);
    TRY(buf_reserve(out, plain, &room));
    if (ZSTD_decompressDCtx(unpacker, room, plain, frame.ptr, frame.len) != plain)
        return STATUS_CORRUPT;
    buf_grown(out, plain);
    return STATUS_OK;
}
