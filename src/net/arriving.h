/* arriving.h - the body that is arriving in a connection: in memory, and beyond LIMIT_INLINE_BODY in a file that the
 * keeper lent.
 *
 * A write that fails is remembered and said when the message is to be delivered: until then the peer goes on sending
 * anyway. */
#pragma once

#include "ask/ask.h"

struct arriving {
    struct buf held;    /* what arrived while there is no file */
    int fd;             /* -1: none */
    uint64_t staged;    /* octets in the file */
    enum status status; /* of the first write that failed: FULL or IO; TOO_BIG where nobody lent a file in time */
};

void arriving_init(struct arriving *body);
void arriving_put(struct arriving *body, struct slice piece);
void arriving_stage(struct arriving *body, int fd); /* takes over the file, and moves into it what is held */
/* Fills in body, staged and fd; they are good until arriving_drop().  On OK the ask owns the file. */
MUST_USE enum status arriving_attach(struct arriving *body, struct ask *deliver);
void arriving_drop(struct arriving *body);
