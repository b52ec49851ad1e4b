#include <unistd.h>

#include "base/secret.h"
#include "keeper/impl.h"

struct task *task_new(struct keeper *keeper, struct client *client, const struct frame *frame)
{
    struct task *task = alloc(sizeof *task);
    task->keeper = keeper;
    task->client = client;
    task->arena = ARENA(TASK_ARENA);
    task->ask.fd = task->answer.fd = -1;
    list_init(&task->node);
    list_init(&task->waiting);
    if (frame) {
        task->session = frame->session;
        task->number = frame->number;
        task->ask = frame->ask;
    }
    if (client) {
        list_append(&client->tasks, &task->node);
        client->task_count++;
    }
    return task;
}

static void *ask_fields(struct ask *ask)
{
    return &ask->login;
} /* any member: they all begin where it begins */

static enum status copy_fields(struct arena *arena, const struct field *fields, char *message)
{
    for (const struct field *f = fields; f && f->kind != FIELD_END; f++) {
        struct slice *slice = (void *)(message + f->at);
        struct rows *rows = (void *)(message + f->at);
        if (f->kind == FIELD_TEXT || f->kind == FIELD_BYTES || f->kind == FIELD_SECRET)
            TRY(arena_copy(arena, *slice, slice));
        if (f->kind != FIELD_ROWS || rows->count == 0)
            continue;
        char *copy = arena_take_rows(arena, rows->count, f->row_size);
        if (!copy)
            return STATUS_TOO_BIG;
        memcpy(copy, rows->at, (size_t)rows->count * f->row_size);
        rows->at = copy;
        for (uint32_t i = 0; i < rows->count; i++)
            TRY(copy_fields(arena, f->rows, copy + (size_t)i * f->row_size));
    }
    return STATUS_OK;
}

enum status task_keep(struct task *task)
{
    must(!task->kept);
    TRY(copy_fields(&task->arena, ask_defs[task->ask.kind].ask, ask_fields(&task->ask)));
    task->kept = true;
    return STATUS_OK;
}

void *task_state(struct task *task, size_t size)
{
    must(!task->state);
    task->state = arena_take(&task->arena, size);
    must(task->state); /* the arena's cap is far above any state and any ask */
    return task->state;
}

static void on_done(struct pool_job *job)
{
    struct task *task = (struct task *)(void *)job;
    task->next(task);
}

void task_go(struct task *task, enum stage stage, enum status (*work)(struct task *, struct store *),
    void (*next)(struct task *))
{
    struct keeper *keeper = task->keeper;
    task->work = work;
    task->next = next;
    task->status = STATUS_OK;
    if (!keeper->loop && stage == STAGE_WRITE)
        writer_one(keeper->writer, task);
    else if (!keeper->loop)
        task->status = work(task, keeper->writer);
    if (!keeper->loop) {
        next(task);
        return;
    }
    task->job.work = reader_work;
    task->job.done = on_done;
    /* A pool that is closed has no room. */
    if (!keeper->pools[stage] || pool_put(keeper->pools[stage], &task->job) != STATUS_OK) {
        task->status = STATUS_BUSY;
        next(task);
    }
}

static void wipe_secrets(struct task *task)
{
    const char *message = ask_fields(&task->ask);
    for (const struct field *f = ask_defs[task->ask.kind].ask; f && f->kind != FIELD_END; f++) {
        const struct slice *secret = (const void *)(message + f->at);
        if (f->kind == FIELD_SECRET && secret->len > 0)
            wipe((void *)(uintptr_t)secret->ptr, secret->len);
    }
}

void task_wait(struct task *task, struct list *list, uint32_t *count)
{
    must(!task->waiting_count);
    list_append(list, &task->waiting);
    task->waiting_count = count;
    (*count)++;
    keeper_soon(task->keeper);
}

void task_resume(struct task *task)
{
    if (!task->waiting_count)
        return;
    list_remove(&task->waiting);
    (*task->waiting_count)--;
    task->waiting_count = NULL;
}

static void task_free(struct task *task)
{
    if (task->client) {
        list_remove(&task->node);
        task->client->task_count--;
        task->client->held -= task->weight;
    }
    task_resume(task);
    if (task->discard)
        task->discard(task);
    if (task->kept)
        wipe_secrets(task);
    if (task->ask.fd >= 0)
        close(task->ask.fd);
    if (task->answer.fd >= 0)
        close(task->answer.fd);
    arena_done(&task->arena);
    release(task);
}

void task_drop(struct task *task)
{
    task_free(task);
}

/* False: the channel has no room now. */
static bool put_answer(struct task *task)
{
    struct frame frame = {
        .session = task->session, .number = task->number, .is_answer = true, .answer = task->answer
    };
    /* The channel takes descriptors also where it fails; a second try needs one of its own. */
    if (task->answer.fd >= 0)
        frame.answer.fd = dup(task->answer.fd);
    enum status status = channel_put(task->client->channel, &frame);
    if (status == STATUS_BUSY)
        return false;
    if (status == STATUS_TOO_BIG || status == STATUS_MALFORMED) {
        LOG(LOG_ERROR, "keeper.answer", LOG_WORD("ask", ask_defs[task->ask.kind].name), LOG_STATUS(status));
        frame.answer = (struct answer){ .kind = task->ask.kind, .status = status, .fd = -1 };
        status = channel_put(task->client->channel, &frame);
        must(status != STATUS_TOO_BIG && status != STATUS_MALFORMED); /* a status alone has room; dropped, it would be waited for */
        return status != STATUS_BUSY;
    }
    return true; /* or the channel is lost, which its owner is being told */
}

void task_answer(struct task *task, enum status status)
{
    struct client *client = task->client;
    must(!client || !ask_defs[task->ask.kind].silent);
    task->answer.kind = task->ask.kind;
    task->answer.status = status;
    if (client && !client->channel) {
        client->kept = task;
        return;
    }
    if (client && !put_answer(task)) {
        list_remove(&task->node);
        list_append(&client->late, &task->node);
        keeper_soon(task->keeper);
        return;
    }
    task_free(task);
}

void task_finish(struct task *task)
{
    task_answer(task, task->status);
}

bool task_retry_late(struct keeper *keeper)
{
    bool left = false;
    for (struct list *c = keeper->clients.next; c != &keeper->clients; c = c->next) {
        struct client *client = list_element(c, struct client, node);
        while (!list_is_empty(&client->late)) {
            struct task *task = list_element(client->late.next, struct task, node);
            if (!put_answer(task))
                break;
            task_free(task);
        }
        left = left || !list_is_empty(&client->late);
    }
    return left;
}

struct slice task_name(const struct task *task)
{
    const struct binding *binding = task->client ? binding_find(task->keeper, task->client, task->session) : NULL;
    return binding ? slice_of(binding->name) : NO_SLICE;
}

/* ---- pool threads ------------------------------------------------------------------------------------------------ */

/* Also for hashing and packing, where there is no store. */
void reader_work(struct pool_job *job, void *store)
{
    struct task *task = (struct task *)(void *)job;
    task->status = task->work(task, store);
}
