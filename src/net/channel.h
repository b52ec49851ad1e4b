/* channel.h - frames over a stream socket pair, with at most one descriptor each.
 *
 * Wire: u32 length (little-endian, of what follows), then the payload of ask/ask.h.  Many frames go in one sendmsg, at the end of the loop's pass.
 * Backpressure: beyond LIMIT_CHANNEL_OUT waiting octets channel_put gives BUSY.  A frame that is too long, cut, or malformed closes the channel and tells
 * the owner (channel_lost): the receiver never aborts on what the other side sent.
 * A descriptor is sent with the first octet of its frame, and the sender's copy is closed afterwards. */
#pragma once

#include "ask/ask.h"
#include "net/loop.h"

struct channel;
struct channel_events {
    /* The frame and what it points at live until the callback returns.  A descriptor in it belongs to the callee. */
    void (*frame)(void *context, struct frame *frame);
    void (*lost)(void *context, const char *why); /* once; the channel may be closed in here or later */
    void *context;
};
/* Takes over `fd`; sets it non-blocking and its buffers to megabytes. */
struct channel *channel_open(struct loop *loop, int fd, const struct channel_events *events);
MUST_USE enum status channel_put(struct channel *channel, const struct frame *frame); /* copies; takes over frame's fd, also on failure */
void channel_close(struct channel *channel);   /* no callback comes afterwards */
/* Waits until all that was put is written, at most `limit`: for a last word before exit. */
void channel_drain(struct channel *channel, msec limit);

/* The blocking twin for the command line and the supervisor: one ask, one answer, over a connected stream socket. */
MUST_USE enum status channel_call(int fd, const struct ask *ask, struct arena *arena, struct buf *scratch, struct answer *out_answer);
