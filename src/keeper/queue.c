/* queue.c - what the courier asks: work, bodies, and what became of recipients; and what the command line asks about
 * the queue. */
#include "keeper/impl.h"
#include "keeper/parcel.h"
#include "mail/address.h"
#include "mail/dot.h"
#include "mail/pack.h"
#include "mail/trace.h"

/* ---- CLAIM: a long poll ------------------------------------------------------------------------------------------ */

struct claiming {
    uint32_t
        changes; /* keeper.queue_changes when it was tried: whoever queued something since then did not see it wait */
    uint32_t owner;
    wall next; /* when something will be due; 0: never */
};

static enum status claim_work(struct task *task, struct store *store)
{
    struct claiming *claiming = task->state;
    wall now = clock_wall();
    struct store_claim claim = { .now = now, .term = now + LIMIT_CLAIM_TERM, .owner = claiming->owner };
    enum status status = store->verbs->queue_claim(store, &claim, &task->arena, &task->answer.claim);
    claiming->next = 0;
    if (status == STATUS_NOT_FOUND && store->verbs->queue_next_due(store, &claiming->next) != STATUS_OK)
        claiming->next = 0;
    return status;
}

static void on_due(uv_timer_t *timer)
{
    struct keeper *keeper = timer->data;
    keeper->next_due = 0;
    queue_wake(keeper);
}

static void wake_at(struct keeper *keeper, wall when)
{
    wall now = clock_wall();
    if (!when || (keeper->next_due && keeper->next_due <= when))
        return;
    keeper->next_due = when;
    uv_timer_start(&keeper->due, on_due, when > now ? when - now : 1, 0);
}

static void try_claim(struct task *task);

static void claimed(struct task *task)
{
    struct keeper *keeper = task->keeper;
    struct claiming *claiming = task->state;
    if (!task->client) { /* its courier is gone; queue_release() comes behind us in the writer's queue */
        task_drop(task);
        return;
    }
    if (task->status != STATUS_NOT_FOUND) {
        bool took = task->status == STATUS_OK;
        task_answer(task, task->status);
        if (took)
            queue_wake(keeper); /* where one was due, another may be */
        return;
    }
    if (claiming->changes != keeper->queue_changes) {
        try_claim(task);
        return;
    }
    task_wait(task, &keeper->claims, &keeper->claim_count);
    wake_at(keeper, claiming->next);
}

static void try_claim(struct task *task)
{
    ((struct claiming *)task->state)->changes = task->keeper->queue_changes;
    task_go(task, STAGE_WRITE, claim_work, claimed);
}

void serve_claim(struct task *task)
{
    if (task->keeper->claim_count >= CLAIMS_WAITING) {
        task_answer(task, STATUS_BUSY);
        return;
    }
    struct claiming *claiming = task_state(task, sizeof *claiming);
    claiming->owner = task->client->worker;
    try_claim(task);
}

void queue_wake(struct keeper *keeper)
{
    keeper->queue_changes++;
    if (list_is_empty(&keeper->claims))
        return;
    struct task *task = list_element(keeper->claims.next, struct task, waiting);
    task_resume(task);
    try_claim(task);
}

static enum status release_work(struct task *task, struct store *store)
{
    (void)task;
    return store->verbs->queue_release_claims(store);
}

static void released(struct task *task)
{
    struct keeper *keeper = task->keeper;
    if (task->status != STATUS_OK)
        LOG(LOG_ERROR, "queue.release", LOG_STATUS(task->status));
    task_drop(task);
    queue_wake(keeper);
}

void queue_release(struct keeper *keeper)
{
    task_go(task_new(keeper, NULL, NULL), STAGE_WRITE, release_work, released);
}

/* ---- QUEUE_BODY -------------------------------------------------------------------------------------------------- */

struct page {
    struct buf octets;
};

static void discard_page(struct task *task)
{
    buf_done(&((struct page *)task->state)->octets);
}

static struct page *page_new(struct task *task)
{
    struct page *page = task_state(task, sizeof *page);
    page->octets = BUF(PAGE_ROOM);
    task->discard = discard_page;
    return page;
}

static enum status queue_body_work(struct task *task, struct store *store)
{
    struct page *page = task->state;
    struct answer_queue_body *answer = &task->answer.queue_body;
    TRY(store->verbs->queue_read(
        store, task->ask.queue_body.id, task->ask.queue_body.at, LIMIT_PAGE, &page->octets, &answer->next, &answer->skip));
    answer->frames = buf_slice(&page->octets);
    return STATUS_OK;
}

void serve_queue_body(struct task *task)
{
    page_new(task);
    task_go(task, STAGE_READ, queue_body_work, task_finish);
}

/* ---- SETTLE ------------------------------------------------------------------------------------------------------ */

/* settle; with a bounce: find the sender (reader) -> resolve him (loop) -> pack the bounce (pool) -> settle and deliver
 * in one transaction. */
struct settling {
    struct slice sender;
    bool has_parcel, needed, has_bounce, done;
    struct parcel parcel;
    struct store_message bounce;
    uint64_t queue_id;
};

static void discard_settling(struct task *task)
{
    struct settling *s = task->state;
    if (s->has_parcel)
        parcel_done(&s->parcel, s->needed);
}

static enum status settle_work(struct task *task, struct store *store)
{
    struct settling *s = task->state;
    TRY(store->verbs->queue_settle(store, &task->ask.settle, clock_wall(), &s->done));
    return s->has_bounce ? store->verbs->deliver(store, &s->bounce, &s->queue_id) : STATUS_OK;
}

static void settled(struct task *task)
{
    struct keeper *keeper = task->keeper;
    struct settling *s = task->state;
    bool wakes = task->status == STATUS_OK && (!s->done || s->queue_id);
    s->needed = s->has_bounce && parcel_is_needed(task->status);
    if (task->status == STATUS_OK) {
        task->answer.settle.done = s->done;
        LOG(LOG_INFO, "queue.settled", LOG_NUMBER("queue", task->ask.settle.id),
            LOG_NUMBER("recipients", task->ask.settle.recipients.count), LOG_NUMBER("done", s->done),
            LOG_NUMBER("bounce", s->has_bounce));
    }
    task_answer(task, task->status);
    if (wakes)
        queue_wake(keeper); /* the bounce, more recipients than one claim takes, or a new time to wait for */
}

static enum status pack_bounce(struct task *task, struct store *none)
{
    struct settling *s = task->state;
    struct buf line = BUF(LIMIT_PREFIX);
    struct dot_strays strays = { 0 };
    (void)none;
    enum status status = trace_return_path(&line, NO_SLICE);
    s->bounce.skip = (uint32_t)line.len;
    if (status == STATUS_OK)
        status = parcel_put(&s->parcel, buf_slice(&line));
    buf_done(&line);
    TRY(status);
    TRY(parcel_put(&s->parcel, task->ask.settle.bounce));
    dot_strays_feed(&strays, task->ask.settle.bounce);
    s->bounce.pop3_size = s->parcel.size + s->parcel.plain.len + dot_strays_end(&strays);
    return parcel_finish(&s->parcel);
}

static void bounce_packed(struct task *task)
{
    struct settling *s = task->state;
    if (task->status != STATUS_OK) {
        task_answer(task, task->status);
        return;
    }
    s->bounce.body = parcel_body(&s->parcel);
    s->has_bounce = true;
    task->octets = s->bounce.body.packed.len;
    task_go(task, STAGE_WRITE, settle_work, settled);
}

/* Where the original's sender is now: accounts here, addresses elsewhere. */
static enum status address_bounce(struct task *task)
{
    struct settling *s = task->state;
    struct resolution found;
    TRY(directory_resolve(&task->keeper->directory, s->sender, &task->arena, &found));
    struct store_target *targets = arena_take_rows(&task->arena, found.count, sizeof *targets);
    struct store_remote *remotes = arena_take_rows(&task->arena, found.count, sizeof *remotes);
    if (!targets || !remotes)
        return STATUS_TOO_BIG;
    s->bounce = (struct store_message){
        .received = clock_wall(), .targets = targets, .remotes = remotes, .session = S("bounce"), .body_type = BODY_8BIT
    };
    for (const struct target *t = found.targets; t; t = t->next) {
        if (t->account)
            targets[s->bounce.target_count++].account = t->account;
        else
            remotes[s->bounce.remote_count++] = (struct store_remote){ .address = t->remote,
                .domain = slice_from(t->remote, slice_find_last(t->remote, '@') + 1),
                .notify = DSN_NEVER };
    }
    return found.count > 0 ? STATUS_OK : STATUS_NOT_FOUND;
}

static enum status find_sender(struct task *task, struct store *store)
{
    struct settling *s = task->state;
    struct answer_queue_show shown;
    TRY(store->verbs->queue_show(store, task->ask.settle.id, &task->arena, &shown));
    if (shown.rows.count == 0)
        return STATUS_NOT_FOUND;
    s->sender = row_of(struct queue_row, shown.rows, 0)->sender;
    return STATUS_OK;
}

static void sender_found(struct task *task)
{
    struct settling *s = task->state;
    if (task->status != STATUS_OK) {
        task_answer(task, task->status);
        return;
    }
    /* Never to the null sender (C211), and not to one who is gone. */
    if (s->sender.len == 0 || address_bounce(task) != STATUS_OK) {
        LOG(LOG_WARNING, "bounce.dropped", LOG_NUMBER("queue", task->ask.settle.id), LOG_TEXT("sender", s->sender));
        task_go(task, STAGE_WRITE, settle_work, settled);
        return;
    }
    parcel_init(&s->parcel, &task->keeper->bodies);
    s->has_parcel = true;
    task_go(task, STAGE_PACK, pack_bounce, bounce_packed);
}

void serve_settle(struct task *task)
{
    if (task_keep(task) != STATUS_OK) {
        task_answer(task, STATUS_TOO_BIG);
        return;
    }
    task_state(task, sizeof(struct settling));
    task->discard = discard_settling;
    if (task->ask.settle.bounce.len == 0)
        task_go(task, STAGE_WRITE, settle_work, settled);
    else
        task_go(task, STAGE_READ, find_sender, sender_found);
}

/* ---- the command line -------------------------------------------------------------------------------------------- */

static enum status list_work(struct task *task, struct store *store)
{
    return store->verbs->queue_list(store, &task->ask.queue_list, &task->arena, &task->answer.queue_list);
}

void serve_queue_list(struct task *task)
{
    if (task_keep(task) != STATUS_OK)
        task_answer(task, STATUS_TOO_BIG);
    else
        task_go(task, STAGE_READ, list_work, task_finish);
}

static struct slice header_of(struct slice message)
{
    for (size_t at = 0; at + 3 < message.len; at++)
        if (memcmp(message.ptr + at, "\r\n\r\n", 4) == 0)
            return slice_upto(slice_upto(message, at + 2), LIMIT_SHOWN_HEADER);
    return slice_upto(message, LIMIT_SHOWN_HEADER);
}

/* The first frame holds more than is shown. */
static enum status read_header(struct task *task, struct store *store, struct buf *packed, struct buf *plain)
{
    uint64_t next;
    uint32_t skip;
    size_t len;
    TRY(store->verbs->queue_read(store, task->ask.queue_show.id, 0, 1, packed, &next, &skip));
    if (packed->len == 0)
        return STATUS_OK;
    TRY(pack_frame(buf_slice(packed), &len));
    TRY(unpack_frame(plain, slice_upto(buf_slice(packed), len)));
    return arena_copy(&task->arena, header_of(slice_from(buf_slice(plain), skip)), &task->answer.queue_show.header);
}

static enum status show_work(struct task *task, struct store *store)
{
    struct buf packed = BUF(PAGE_ROOM), plain = BUF(LIMIT_BODY_FRAME);
    TRY(store->verbs->queue_show(store, task->ask.queue_show.id, &task->arena, &task->answer.queue_show));
    enum status status = read_header(task, store, &packed, &plain);
    buf_done(&packed);
    buf_done(&plain);
    return status;
}

void serve_queue_show(struct task *task)
{
    task_go(task, STAGE_READ, show_work, task_finish);
}

static enum status change_work(struct task *task, struct store *store)
{
    return store->verbs->queue_change(store, &task->ask.queue_change, clock_wall(), &task->answer.count.count);
}

static void changed(struct task *task)
{
    struct keeper *keeper = task->keeper;
    bool wakes = task->status == STATUS_OK && keeper->loop;
    task_answer(task, task->status);
    if (wakes)
        queue_wake(keeper);
}

void serve_queue_change(struct task *task)
{
    uint8_t change = task->ask.queue_change.change;
    if (change < QUEUE_RETRY || change > QUEUE_REMOVE)
        task_answer(task, STATUS_MALFORMED);
    else
        task_go(task, STAGE_WRITE, change_work, changed);
}
