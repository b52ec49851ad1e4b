/* channel.h - frames over a stream socket pair, with at most one descriptor each.
 *
 * Wire: u32 length (little-endian, of what follows), one octet that is 1 where a descriptor comes with the frame and else 0, then the payload of
 * ask/ask.h.  Many frames go in one sendmsg, at the end of the loop's pass.
 * Backpressure: beyond LIMIT_CHANNEL_OUT waiting octets channel_put gives BUSY.  A frame that is too long, cut, or malformed closes the channel and tells
 * the owner (channel_lost): the receiver never aborts on what the other side sent.
 * A descriptor is sent with the first octet of its frame, and the sender's copy is closed afterwards.  One that no frame announces is closed; a frame
 * that announces one that did not come is malformed. */
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
/* Takes over `fd`, a connected stream socket; sets it non-blocking and its buffers to megabytes. */
struct channel *channel_open(struct loop *loop, int fd, const struct channel_events *events);
/* Copies; takes over the frame's fd, also on failure.  BUSY: too much waits (never said to a silent ask); AWAY: the channel is lost; TOO_BIG: beyond LIMIT_FRAME. */
MUST_USE enum status channel_put(struct channel *channel, const struct frame *frame);
void channel_close(struct channel *channel);   /* no callback comes afterwards */
/* Waits until all that was put is written, at most `limit`: for a last word before exit. */
void channel_drain(struct channel *channel, msec limit);

/* The blocking twin for the command line and the supervisor: one ask, one answer, over a connected stream socket; at most a minute.  Takes over ask->fd.
 * The answer points into `scratch` (whose max is at least CHANNEL_SCRATCH) and into `arena`.  AWAY: no answer came; MALFORMED: no good one. */
#define CHANNEL_SCRATCH (LIMIT_FRAME + 64u)
MUST_USE enum status channel_call(int fd, const struct ask *ask, struct arena *arena, struct buf *scratch, struct answer *out_answer);
/* And the twin's other end, for a process that does nothing else: waits for one ask as long as it takes, and answers it.  No descriptors here.
 * AWAY: nobody asks any more. */
MUST_USE enum status channel_take(int fd, struct arena *arena, struct buf *scratch, struct frame *out_frame);
MUST_USE enum status channel_reply(int fd, struct buf *scratch, const struct frame *ask, const struct answer *answer);
