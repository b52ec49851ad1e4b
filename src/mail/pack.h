/* pack.h - a stored body: a row of zstd frames, each of at most LIMIT_BODY_FRAME plain octets and with zstd's own checksum.
 *
 * The concatenation is itself a valid .zst file, so `zstd -d` reads a body without us.  A range read costs one frame.
 * Bodies are packed in the keeper and unpacked in the gate. */
#pragma once

#include "base/buf.h"

/* Appends the frames of `plain` to `out`.  Only the last call for a body may hand in a length that is no multiple of LIMIT_BODY_FRAME. */
MUST_USE enum status pack(struct buf *out, struct slice plain);
/* Length of the frame at the start of `packed`; MALFORMED if it is cut or is none, or would unpack to more than LIMIT_BODY_FRAME. */
MUST_USE enum status pack_frame(struct slice packed, size_t *out_len);
/* Appends the plain octets of the one frame `frame`; CORRUPT where the checksum or the form is wrong. */
MUST_USE enum status unpack_frame(struct buf *out, struct slice frame);
