/* pool.h - threads beside a loop: work that must not hold the loop up (password hashing, packing, reading, writing).
 *
 * work() runs on a pool thread, done() on the loop thread afterwards, in no particular order between jobs.  The queue is bounded. */
#pragma once

#include "net/loop.h"
#include "base/status.h"

struct pool_job {
    struct list node;
    void (*work)(struct pool_job *job, void *of_thread); /* of_thread: what thread_open() gave, e.g. a reader's database connection */
    void (*done)(struct pool_job *job);                  /* may free the job, or put another; may not close the pool */
};

struct pool;
struct pool_plan {
    const char *name;               /* of the threads, at most 15 octets */
    uint32_t threads, queue_max;
    void *(*thread_open)(void *context);   /* may be NULL; runs on the thread, before pool_open() returns */
    void (*thread_close)(void *of_thread); /* may be NULL; runs on the thread */
    void *context;
    /* Takes all that waits, at most batch_max, as one list (struct pool_job nodes), oldest first: the writer's group commit.  It leaves the jobs in
     * the list.  NULL: jobs run one by one with work(). */
    void (*batch)(struct list *jobs, void *of_thread);
    uint32_t batch_max;
};
struct pool *pool_open(struct loop *loop, const struct pool_plan *plan);
MUST_USE enum status pool_put(struct pool *pool, struct pool_job *job); /* on the loop thread; BUSY when the queue is full or the pool closes */
/* Runs what waits, joins the threads, and calls the done() functions that are left. */
void pool_close(struct pool *pool);
