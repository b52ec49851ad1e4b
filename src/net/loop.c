#include "net/loop.h"

#include "base/log.h"
#include "base/must.h"

static void run_flushes(struct loop *loop)
{
    struct list *node;
    /* What a flush adds runs in this very pass: nothing may sleep on octets that could go out. */
    while ((node = list_take(&loop->flushes))) {
        struct loop_flush *flush = list_element(node, struct loop_flush, node);
        flush->run(flush);
    }
}

static void on_before_sleep(uv_prepare_t *handle)
{
    struct loop *loop = handle->data;
    log_flush(); /* first: what anybody is told now stands in the log */
    run_flushes(loop);
    log_flush();
    loop->now = 0; /* the sleep may be long */
}

void loop_init(struct loop *loop)
{
    *loop = (struct loop){ 0 };
    list_init(&loop->flushes);
    must(uv_loop_init(&loop->uv) == 0);
    uv_prepare_init(&loop->uv, &loop->before_sleep);
    loop->before_sleep.data = loop;
    uv_prepare_start(&loop->before_sleep, on_before_sleep);
}

void loop_run(struct loop *loop)
{
    loop->now = 0;
    log_gather(true);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    log_gather(false);
    /* libuv leaves at once when it is told to, before the end of the pass. */
    run_flushes(loop);
}

void loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}

static void close_left(uv_handle_t *handle, void *unused)
{
    (void)unused;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void loop_done(struct loop *loop)
{
    run_flushes(loop);
    uv_walk(&loop->uv, close_left, NULL);
    /* A stop that came after the loop had ended would cut this run short too: the second one is whole. */
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    must(uv_loop_close(&loop->uv) == 0);
}

void loop_flush_later(struct loop *loop, struct loop_flush *flush)
{
    if (!flush->node.next)
        list_init(&flush->node);
    if (list_is_empty(&flush->node))
        list_append(&loop->flushes, &flush->node);
}

void loop_flush_never(struct loop_flush *flush)
{
    if (flush->node.next)
        list_remove(&flush->node);
}

msec loop_now(struct loop *loop)
{
    if (loop->now == 0)
        loop->now = clock_now();
    return loop->now;
}
