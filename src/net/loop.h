/* loop.h - the few words of libuv that the house uses, and the beat of its loop.
 *
 * "End of the pass": after all events of one turn, before sleeping.  Channels and connections collect what they have to write and
 * write it once, there. */
#pragma once

#include <uv.h>

#include "base/clock.h"
#include "base/list.h"

struct loop {
    uv_loop_t uv;
    uv_prepare_t before_sleep;
    struct list flushes;       /* struct loop_flush that want to run at the end of this pass */
    msec now;                  /* clock_now(), read once a pass; 0: not read yet */
};

struct loop_flush {            /* all zero is ready for use */
    struct list node;
    void (*run)(struct loop_flush *flush);
};

void loop_init(struct loop *loop);
void loop_run(struct loop *loop);          /* until loop_stop(); what waits to be flushed then still is */
void loop_stop(struct loop *loop);
void loop_done(struct loop *loop);         /* closes what is still open in it; nobody's callback is told */
void loop_flush_later(struct loop *loop, struct loop_flush *flush); /* at most once a pass; also from within a flush */
void loop_flush_never(struct loop_flush *flush);                    /* takes it back: before its memory goes */
msec loop_now(struct loop *loop);
