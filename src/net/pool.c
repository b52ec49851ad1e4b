#include "net/pool.h"

#include <pthread.h>
#include <signal.h>

#include "base/alloc.h"
#include "base/must.h"
#include "base/scoped.h"

struct pool {
    struct pool_plan plan;
    uv_async_t wake;
    pthread_t *threads;
    pthread_mutex_t mutex; /* guards what stands below */
    pthread_cond_t changed;
    struct list waiting;  /* jobs nobody has taken yet, oldest first */
    struct list finished; /* jobs whose done() is due */
    uint32_t waiting_count, ready_threads;
    bool closing;
};

/* Moves all of `from` to the end of `to` without visiting each. */
static void move_all(struct list *from, struct list *to)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* The next jobs for one thread; empty once the pool is closing and nothing waits. */
static void take_jobs(struct pool *pool, struct list *jobs)
{
    uint32_t most = pool->plan.batch ? pool->plan.batch_max : 1;
    scoped_lock pthread_mutex_t *held = lock(&pool->mutex);
    while (list_is_empty(&pool->waiting) && !pool->closing)
        pthread_cond_wait(&pool->changed, &pool->mutex);
    /* All that waits, without a delay: the work under way is the timer. */
    if (pool->waiting_count <= most) {
        move_all(&pool->waiting, jobs);
        pool->waiting_count = 0;
        return;
    }
    for (uint32_t i = 0; i < most; i++) {
        struct list *node = list_take(&pool->waiting);
        must(node);
        list_append(jobs, node);
    }
    pool->waiting_count -= most;
}

static void hand_back(struct pool *pool, struct list *jobs)
{
    bool first;
    {
        scoped_lock pthread_mutex_t *held = lock(&pool->mutex);
        first = list_is_empty(&pool->finished);
        move_all(jobs, &pool->finished);
    }
    /* The loop empties the list whole, so only what comes first has to wake it. */
    if (first)
        uv_async_send(&pool->wake);
}

static void *run_thread(void *argument)
{
    struct pool *pool = argument;
    pthread_setname_np(pthread_self(), pool->plan.name);
    void *of_thread = pool->plan.thread_open ? pool->plan.thread_open(pool->plan.context) : NULL;
    {
        scoped_lock pthread_mutex_t *held = lock(&pool->mutex);
        pool->ready_threads++;
        pthread_cond_broadcast(&pool->changed);
    }
    for (;;) {
        struct list jobs;
        list_init(&jobs);
        take_jobs(pool, &jobs);
        if (list_is_empty(&jobs))
            break;
        if (pool->plan.batch) {
            pool->plan.batch(&jobs, of_thread);
        } else {
            struct pool_job *job = list_element(jobs.next, struct pool_job, node);
            job->work(job, of_thread);
        }
        hand_back(pool, &jobs);
    }
    if (pool->plan.thread_close)
        pool->plan.thread_close(of_thread);
    return NULL;
}

static void call_done(struct pool *pool)
{
    struct list ready;
    list_init(&ready);
    {
        scoped_lock pthread_mutex_t *held = lock(&pool->mutex);
        move_all(&pool->finished, &ready);
    }
    struct list *node;
    while ((node = list_take(&ready))) {
        struct pool_job *job = list_element(node, struct pool_job, node);
        job->done(job);
    }
}

static void on_wake(uv_async_t *handle)
{
    call_done(handle->data);
}

static void start_threads(struct pool *pool)
{
    sigset_t all, before;
    sigfillset(&all);
    /* Signals are for the loop thread. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t i = 0; i < pool->plan.threads; i++)
        must(pthread_create(&pool->threads[i], NULL, run_thread, pool) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    scoped_lock pthread_mutex_t *held = lock(&pool->mutex);
    while (pool->ready_threads < pool->plan.threads)
        pthread_cond_wait(&pool->changed, &pool->mutex);
}

struct pool *pool_open(struct loop *loop, const struct pool_plan *plan)
{
    must(plan->threads > 0 && plan->queue_max > 0 && (!plan->batch || plan->batch_max > 0));
    struct pool *pool = alloc(sizeof *pool);
    pool->plan = *plan;
    pool->threads = alloc(plan->threads * sizeof *pool->threads);
    list_init(&pool->waiting);
    list_init(&pool->finished);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->changed, NULL);
    must(uv_async_init(&loop->uv, &pool->wake, on_wake) == 0);
    pool->wake.data = pool;
    start_threads(pool);
    return pool;
}

enum status pool_put(struct pool *pool, struct pool_job *job)
{
    {
        scoped_lock pthread_mutex_t *held = lock(&pool->mutex);
        if (pool->closing || pool->waiting_count >= pool->plan.queue_max)
            return STATUS_BUSY;
        list_append(&pool->waiting, &job->node);
        pool->waiting_count++;
    }
    /* Outside the lock, or who wakes would only find it held and sleep again. */
    pthread_cond_signal(&pool->changed);
    return STATUS_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct pool *pool = handle->data;
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->mutex);
    release(pool->threads);
    release(pool);
}

void pool_close(struct pool *pool)
{
    {
        scoped_lock pthread_mutex_t *held = lock(&pool->mutex);
        must(!pool->closing);
        pool->closing = true;
        pthread_cond_broadcast(&pool->changed);
    }
    for (uint32_t i = 0; i < pool->plan.threads; i++)
        pthread_join(pool->threads[i], NULL);
    call_done(pool);
    uv_close((uv_handle_t *)&pool->wake, on_closed);
}
