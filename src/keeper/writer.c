/* writer.c - the one thread that writes: all jobs that wait become one transaction with one sync (group commit), and
 * are answered after it. */
#include "keeper/impl.h"

static struct task *task_of(struct list *node)
{
    return (struct task *)(void *)list_element(node, struct pool_job, node);
}

/* Did the disk fail, rather than the job?  Then nothing of the transaction may stand. */
static bool is_fatal(enum status status)
{
    return status == STATUS_IO || status == STATUS_FULL || status == STATUS_CORRUPT || status == STATUS_BUSY;
}

/* What a job did before it failed is taken back; the others stand. */
static enum status work_marked(struct store *store, struct task *task)
{
    TRY(store->verbs->mark(store));
    task->status = task->work(task, store);
    if (task->status == STATUS_OK)
        return STATUS_OK;
    return is_fatal(task->status) ? task->status : store->verbs->undo(store);
}

static enum status work_all(struct store *store, struct list *from, struct list *until)
{
    for (struct list *node = from; node != until; node = node->next)
        TRY(work_marked(store, task_of(node)));
    return STATUS_OK;
}

void writer_one(struct store *store, struct task *task)
{
    if (task->bare) {
        task->status = task->work(task, store);
        return;
    }
    task->status = store->verbs->begin(store);
    if (task->status != STATUS_OK)
        return;
    task->status = task->work(task, store);
    if (task->status == STATUS_OK)
        task->status = store->verbs->commit(store);
    if (task->status != STATUS_OK)
        store->verbs->rollback(store);
}

/* Jobs from `from` up to `until` in one transaction.  Where that fails, one by one: so that one bad job spoils none of
 * the others. */
static void write_span(struct store *store, struct list *from, struct list *until)
{
    if (from->next == until) {
        writer_one(store, task_of(from));
        return;
    }
    enum status status = store->verbs->begin(store);
    if (status == STATUS_OK) {
        status = work_all(store, from, until);
        if (status == STATUS_OK)
            status = store->verbs->commit(store);
        if (status == STATUS_OK)
            return;
        store->verbs->rollback(store);
    }
    for (struct list *node = from; node != until; node = node->next)
        writer_one(store, task_of(node));
}

/* The end of what one transaction may hold: LIMIT_BATCH_OCTETS.  A bare job stands alone. */
static struct list *span_end(struct list *from, struct list *jobs)
{
    uint64_t octets = task_of(from)->octets;
    struct list *node = from->next;
    if (task_of(from)->bare)
        return node;
    for (; node != jobs && !task_of(node)->bare; node = node->next) {
        octets += task_of(node)->octets;
        if (octets > LIMIT_BATCH_OCTETS)
            break;
    }
    return node;
}

void writer_batch(struct list *jobs, void *context)
{
    struct keeper *keeper = context;
    struct list *from = jobs->next;
    while (from != jobs) {
        struct list *until = span_end(from, jobs);
        uint64_t count = 0;
        for (struct list *node = from; node != until; node = node->next)
            count += !task_of(node)->bare;
        write_span(keeper->writer, from, until);
        if (count > 0) {
            atomic_fetch_add(&keeper->commits, 1);
            atomic_fetch_add(&keeper->jobs, count);
        }
        from = until;
    }
}
