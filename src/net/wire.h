/* wire.h - what a channel and its blocking twin share: frames as octets, and one system call at a time. */
#pragma once

#include <sys/types.h>

#include "ask/ask.h"
#include "base/clock.h"

#define WIRE_HEADER 5u /* octets: length and mark, see channel.h */

/* As sendmsg(2) and recvmsg(2), never waiting, EINTR seen to.  `rider` goes with the first octet unless it is -1. */
ssize_t wire_send(int fd, struct slice octets, int rider);
/* A descriptor that comes is put into *held where that is -1, and else closed. */
ssize_t wire_receive(int fd, char *room, size_t size, int *held);
bool wire_wait(int fd, short events, msec until); /* false once `until` has passed */

int *wire_fd(struct frame *frame); /* where a frame has its descriptor */
/* Appends header and payload; leaves `out` as it was on failure. */
MUST_USE enum status wire_put(struct buf *out, const struct frame *frame, bool has_rider);
/* Octets of the whole frame that `in` begins with: 0 while the header is not complete; MALFORMED where no frame may
 * begin so. */
MUST_USE enum status wire_measure(struct slice in, size_t *out_size);
/* Decodes a whole frame, and gives it the descriptor that was held for it. */
MUST_USE enum status wire_open(struct slice whole, struct arena *rows, int *held, struct frame *out_frame);
