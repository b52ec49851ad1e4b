#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "keeper/impl.h"

#define JOBS 5

/* A store that only counts: what is kept, and when it was told to fail. */
struct counting {
    struct store store;
    unsigned begins, commits, rollbacks, undos;
    unsigned held, kept, at_mark; /* jobs in the transaction, jobs on the disk */
    unsigned fail_commits;        /* so many commits fail */
    unsigned fail_begins;
    bool open;
};

static struct counting counting;

static enum status on_begin(struct store *store)
{
    (void)store;
    assert_false(counting.open);
    counting.begins++;
    if (counting.fail_begins > 0) {
        counting.fail_begins--;
        return STATUS_IO;
    }
    counting.open = true;
    counting.held = counting.at_mark = 0;
    return STATUS_OK;
}

static enum status on_mark(struct store *store)
{
    (void)store;
    counting.at_mark = counting.held;
    return STATUS_OK;
}

static enum status on_undo(struct store *store)
{
    (void)store;
    counting.undos++;
    counting.held = counting.at_mark;
    return STATUS_OK;
}

static void on_rollback(struct store *store)
{
    (void)store;
    counting.rollbacks++;
    counting.open = false;
    counting.held = 0;
}

static enum status on_commit(struct store *store)
{
    assert_true(counting.open);
    if (counting.fail_commits > 0) {
        counting.fail_commits--;
        on_rollback(store);
        return STATUS_IO;
    }
    counting.open = false;
    counting.commits++;
    counting.kept += counting.held;
    return STATUS_OK;
}

static const struct store_verbs verbs = {
    .begin = on_begin, .mark = on_mark, .undo = on_undo, .rollback = on_rollback, .commit = on_commit
};

/* Each job does something, and then comes to what its state says. */
static enum status work(struct task *task, struct store *store)
{
    (void)store;
    counting.held++;
    return *(enum status *)task->state;
}

struct bench {
    struct keeper keeper;
    struct task tasks[JOBS];
    enum status outcomes[JOBS];
    struct list jobs;
};

static int setup(void **state)
{
    static struct bench bench;
    counting = (struct counting){ .store = { &verbs } };
    bench = (struct bench){ .keeper = { .writer = &counting.store } };
    list_init(&bench.jobs);
    for (int i = 0; i < JOBS; i++) {
        bench.tasks[i] =
            (struct task){ .keeper = &bench.keeper, .work = work, .state = &bench.outcomes[i], .octets = 1 };
        list_append(&bench.jobs, &bench.tasks[i].job.node);
    }
    *state = &bench;
    return 0;
}

static void test_all_that_waits_is_one_commit(void **state)
{
    struct bench *b = *state;
    writer_batch(&b->jobs, &b->keeper);
    assert_int_equal(counting.commits, 1);
    assert_int_equal(counting.kept, JOBS);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(b->tasks[i].status, STATUS_OK);
    assert_int_equal(atomic_load(&b->keeper.commits), 1);
    assert_int_equal(atomic_load(&b->keeper.jobs), JOBS);
}

static void test_a_job_that_is_refused_takes_back_only_itself(void **state)
{
    struct bench *b = *state;
    b->outcomes[1] = STATUS_EXISTS;
    b->outcomes[4] = STATUS_NOT_FOUND;
    writer_batch(&b->jobs, &b->keeper);
    assert_int_equal(counting.commits, 1);
    assert_int_equal(counting.kept, JOBS - 2);
    assert_int_equal(b->tasks[0].status, STATUS_OK);
    assert_int_equal(b->tasks[1].status, STATUS_EXISTS);
    assert_int_equal(b->tasks[4].status, STATUS_NOT_FOUND);
}

static void test_C219_C220_a_job_that_the_disk_fails_spoils_no_other(void **state)
{
    struct bench *b = *state;
    b->outcomes[2] = STATUS_FULL;
    writer_batch(&b->jobs, &b->keeper);
    assert_int_equal(counting.kept, JOBS - 1);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(b->tasks[i].status, i == 2 ? STATUS_FULL : STATUS_OK);
}

static void test_C219_a_commit_that_fails_is_tried_one_by_one(void **state)
{
    struct bench *b = *state;
    counting.fail_commits = 3; /* the whole batch, and then the first two alone */
    writer_batch(&b->jobs, &b->keeper);
    assert_int_equal(counting.kept, JOBS - 2);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(b->tasks[i].status, i < 2 ? STATUS_IO : STATUS_OK);
}

static void test_nothing_is_said_to_be_kept_that_is_not(void **state)
{
    struct bench *b = *state;
    counting.fail_begins = 1000;
    writer_batch(&b->jobs, &b->keeper);
    assert_int_equal(counting.kept, 0);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(b->tasks[i].status, STATUS_IO);
}

static void test_a_batch_holds_so_many_octets(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < JOBS; i++)
        b->tasks[i].octets = LIMIT_BATCH_OCTETS / 2;
    b->tasks[4].octets = 2u * LIMIT_BATCH_OCTETS; /* alone, but not refused */
    writer_batch(&b->jobs, &b->keeper);
    assert_int_equal(counting.commits, 3);
    assert_int_equal(counting.kept, JOBS);
}

static void test_rest_is_outside_of_transactions(void **state)
{
    struct bench *b = *state;
    b->tasks[2].bare = true;
    writer_batch(&b->jobs, &b->keeper);
    assert_int_equal(counting.begins, 2);
    assert_int_equal(counting.commits, 2);
    assert_int_equal(atomic_load(&b->keeper.jobs), JOBS - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define BENCH(test) cmocka_unit_test_setup_teardown(test, setup, NULL)
        BENCH(test_all_that_waits_is_one_commit),
        BENCH(test_a_job_that_is_refused_takes_back_only_itself),
        BENCH(test_C219_C220_a_job_that_the_disk_fails_spoils_no_other),
        BENCH(test_C219_a_commit_that_fails_is_tried_one_by_one),
        BENCH(test_nothing_is_said_to_be_kept_that_is_not),
        BENCH(test_a_batch_holds_so_many_octets),
        BENCH(test_rest_is_outside_of_transactions),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
