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
    msec now;                  /* clock_now(), read once a pass */
};

struct loop_flush {
    struct list node;
    void (*run)(struct loop_flush *flush);
};

void loop_init(struct loop *loop);
void loop_run(struct loop *loop);          /* until loop_stop() */
void loop_stop(struct loop *loop);
void loop_done(struct loop *loop);
void loop_flush_later(struct loop *loop, struct loop_flush *flush); /* at most once a pass */
msec loop_now(struct loop *loop);
