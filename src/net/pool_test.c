#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "net/pool.h"

struct counted {
    struct pool_job job;
    int worked, done;
    uint32_t batch;
};

static struct loop loop;
static int finished, wanted;
static atomic_int threads_open, threads_closed, batches;
static atomic_bool gate_open;

static void count_work(struct pool_job *job, void *of_thread)
{
    struct counted *counted = list_element(job, struct counted, job);
    counted->worked += of_thread == &threads_open;
}

static void count_done(struct pool_job *job)
{
    struct counted *counted = list_element(job, struct counted, job);
    counted->done++;
    if (++finished == wanted)
        loop_stop(&loop);
}

static void *open_thread(void *context)
{
    atomic_fetch_add(&threads_open, 1);
    return context;
}

static void close_thread(void *of_thread)
{
    assert_ptr_equal(of_thread, &threads_open);
    atomic_fetch_add(&threads_closed, 1);
}

static void wait_at_gate(struct pool_job *job, void *of_thread)
{
    (void)of_thread;
    (void)job;
    while (!atomic_load(&gate_open))
        usleep(200);
}

static void write_batch(struct list *jobs, void *of_thread)
{
    uint32_t number = (uint32_t)atomic_fetch_add(&batches, 1);
    for (struct list *node = jobs->next; node != jobs; node = node->next) {
        struct counted *counted = list_element(list_element(node, struct pool_job, node), struct counted, job);
        counted->worked++;
        counted->batch = number;
    }
    wait_at_gate(NULL, of_thread);
}

static int begin(void **state)
{
    (void)state;
    finished = wanted = 0;
    atomic_store(&threads_open, 0);
    atomic_store(&threads_closed, 0);
    atomic_store(&batches, 0);
    atomic_store(&gate_open, false);
    loop_init(&loop);
    return 0;
}

static int end(void **state)
{
    (void)state;
    loop_done(&loop);
    return 0;
}

static void every_job_is_worked_and_done_once(void **state)
{
    (void)state;
    static struct counted jobs[500];
    memset(jobs, 0, sizeof jobs);
    struct pool *pool = pool_open(&loop, &(struct pool_plan){ .name = "test",
                                             .threads = 3,
                                             .queue_max = 500,
                                             .thread_open = open_thread,
                                             .thread_close = close_thread,
                                             .context = &threads_open });
    assert_int_equal(atomic_load(&threads_open), 3);
    wanted = 500;
    for (size_t i = 0; i < 500; i++) {
        jobs[i].job = (struct pool_job){ .work = count_work, .done = count_done };
        assert_int_equal(pool_put(pool, &jobs[i].job), STATUS_OK);
    }
    loop_run(&loop);
    for (size_t i = 0; i < 500; i++) {
        assert_int_equal(jobs[i].worked, 1);
        assert_int_equal(jobs[i].done, 1);
    }
    pool_close(pool);
    assert_int_equal(atomic_load(&threads_closed), 3);
}

static void a_full_queue_says_busy(void **state)
{
    (void)state;
    struct counted held = { .job = { .work = wait_at_gate, .done = count_done } }, waiting[2], extra;
    struct pool *pool =
        pool_open(&loop, &(struct pool_plan){ .name = "test", .threads = 1, .queue_max = 2, .context = NULL });
    assert_int_equal(pool_put(pool, &held.job), STATUS_OK);
    usleep(50000); /* the thread has it now, so that two more may wait */
    for (size_t i = 0; i < 2; i++) {
        waiting[i] = (struct counted){ .job = { .work = wait_at_gate, .done = count_done } };
        assert_int_equal(pool_put(pool, &waiting[i].job), STATUS_OK);
    }
    extra = held;
    assert_int_equal(pool_put(pool, &extra.job), STATUS_BUSY);
    atomic_store(&gate_open, true);
    /* Closing runs what waits, and tells each. */
    pool_close(pool);
    assert_int_equal(finished, 3);
    assert_int_equal(waiting[1].done, 1);
}

static void a_batch_is_all_that_waits_up_to_its_maximum(void **state)
{
    (void)state;
    static struct counted jobs[13];
    memset(jobs, 0, sizeof jobs);
    struct pool *pool = pool_open(&loop,
        &(struct pool_plan){ .name = "writer", .threads = 1, .queue_max = 100, .batch = write_batch, .batch_max = 8 });
    wanted = 13;
    for (size_t i = 0; i < 13; i++) {
        jobs[i].job = (struct pool_job){ .done = count_done };
        assert_int_equal(pool_put(pool, &jobs[i].job), STATUS_OK);
        if (i == 0)
            while (atomic_load(&batches) == 0) /* the first goes alone, at once */
                usleep(200);
    }
    atomic_store(&gate_open, true);
    loop_run(&loop);
    assert_int_equal(jobs[0].batch, 0);
    for (size_t i = 1; i < 9; i++)
        assert_int_equal(jobs[i].batch, 1);
    for (size_t i = 9; i < 13; i++)
        assert_int_equal(jobs[i].batch, 2);
    for (size_t i = 0; i < 13; i++)
        assert_int_equal(jobs[i].done, 1);
    pool_close(pool);
}

static struct loop_flush first, second;
static int flushed[2], turns;

static void flush_second(struct loop_flush *flush)
{
    (void)flush;
    flushed[1]++;
}

static void flush_first(struct loop_flush *flush)
{
    (void)flush;
    flushed[0]++;
    loop_flush_later(&loop, &second);
}

static void on_turn(uv_timer_t *timer)
{
    (void)timer;
    /* What was added in the last turn, and what that added, ran before this one. */
    assert_int_equal(flushed[0], turns);
    assert_int_equal(flushed[1], turns);
    loop_flush_later(&loop, &first);
    loop_flush_later(&loop, &first);
    if (++turns == 5)
        loop_stop(&loop);
}

static void a_flush_runs_once_a_pass_and_may_add_another(void **state)
{
    (void)state;
    uv_timer_t timer;
    first = (struct loop_flush){ .run = flush_first };
    second = (struct loop_flush){ .run = flush_second };
    uv_timer_init(&loop.uv, &timer);
    uv_timer_start(&timer, on_turn, 1, 1);
    loop_run(&loop);
    assert_int_equal(flushed[0], 5); /* the last one too, though the loop was told to stop */
    assert_int_equal(flushed[1], 5);
    uv_close((uv_handle_t *)&timer, NULL);
    loop_flush_later(&loop, &first);
    loop_flush_never(&first);
    uv_run(&loop.uv, UV_RUN_NOWAIT);
    assert_int_equal(flushed[0], 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_job_is_worked_and_done_once, begin, end),
        cmocka_unit_test_setup_teardown(a_full_queue_says_busy, begin, end),
        cmocka_unit_test_setup_teardown(a_batch_is_all_that_waits_up_to_its_maximum, begin, end),
        cmocka_unit_test_setup_teardown(a_flush_runs_once_a_pass_and_may_add_another, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
