/* buf.h - owned, growing bytes; no buffer without a maximum.
 *
 * A buf that is all zero but for max is ready for use.  Growth beyond max is STATUS_TOO_BIG and leaves
 * the contents as they were; running out of memory is must().  Drawback: a pointer into the buffer dies
 * at the next put. */
#pragma once

#include <stdarg.h>

#include "base/slice.h"

struct buf {
    char *ptr;
    size_t len, cap, max;
};

#define BUF(maximum) ((struct buf){ .max = (maximum) })

void buf_done(struct buf *b);                       /* frees; the buf may be used again */
void buf_clear(struct buf *b);                      /* empties, keeps the memory */
struct slice buf_slice(const struct buf *b);
MUST_USE enum status buf_put(struct buf *b, struct slice s);
MUST_USE enum status buf_put_byte(struct buf *b, char octet);
MUST_USE enum status buf_put_number(struct buf *b, uint64_t number);
MUST_USE enum status buf_print(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
MUST_USE enum status buf_vprint(struct buf *b, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
/* Room for `len` more octets, to be filled by the caller and then confirmed with buf_grown(). */
MUST_USE enum status buf_reserve(struct buf *b, size_t len, char **out_room);
void buf_grown(struct buf *b, size_t len);
void buf_drop(struct buf *b, size_t len);           /* removes the first len octets */
void buf_wipe(struct buf *b);                       /* overwrites, then empties: for what held a secret */
