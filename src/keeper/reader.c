/* reader.c - what is read for a mailbox: POP3's list, its bodies ahead of the client, and its deletions. */
#include "keeper/impl.h"

#define PAGE_ROWS 512u        /* messages in one answer */

static uint32_t bound_account(const struct task *task)
{
    const struct binding *binding = binding_find(task->keeper, task->client, task->session);
    must(binding && binding->account); /* serve.c has seen to it */
    return binding->account;
}

struct reading {
    uint32_t account;
    struct buf octets;
};

static void discard_reading(struct task *task)
{
    buf_done(&((struct reading *)task->state)->octets);
}

static struct reading *reading_new(struct task *task)
{
    struct reading *reading = task_state(task, sizeof *reading);
    reading->account = bound_account(task);
    reading->octets = BUF(PAGE_ROOM);
    task->discard = discard_reading;
    return reading;
}

/* ---- DROP_LIST --------------------------------------------------------------------------------------------------- */

static enum status drop_list_work(struct task *task, struct store *store)
{
    const struct reading *reading = task->state;
    return store->verbs->drop_list(
        store, reading->account, &task->ask.drop_list, &task->arena, &task->answer.drop_list);
}

/* A device that may only open leases sees an empty maildrop: what such devices read, they delete. */
static bool reads_mail(const struct task *task)
{
    const struct binding *binding = binding_find(task->keeper, task->client, task->session);
    must(binding);
    return (binding->rights & (binding->protocol == PROTOCOL_IMAP ? RIGHT_IMAP : RIGHT_POP3)) != 0;
}

void serve_drop_list(struct task *task)
{
    if (!reads_mail(task)) {
        task->answer.drop_list = (struct answer_drop_list){ .uidvalidity = 1 };
        task_answer(task, STATUS_OK);
        return;
    }
    reading_new(task);
    task_go(task, STAGE_READ, drop_list_work, task_finish); /* the ask has no slices: it needs no copy */
}

/* ---- FETCH ------------------------------------------------------------------------------------------------------- */

/* The messages behind the first, whole, while there is room. */
static enum status read_ahead(
    struct task *task, struct store *store, struct fetch_row *rows, size_t *ends, uint32_t *count)
{
    struct reading *reading = task->state;
    uint32_t uid = task->ask.fetch.uid, until = task->ask.fetch.until;
    while (*count < PAGE_ROWS) {
        uint64_t stored;
        enum status status = store->verbs->message_next(store, reading->account, uid, until, &uid, &stored);
        if (status == STATUS_NOT_FOUND || (status == STATUS_OK && reading->octets.len + stored > LIMIT_PAGE))
            return STATUS_OK;
        TRY(status);
        struct store_page page = { .account = reading->account, .uid = uid };
        uint64_t next;
        TRY(store->verbs->message_read(store, &page, LIMIT_PAGE - reading->octets.len, &reading->octets, &next));
        rows[*count] = (struct fetch_row){ .uid = uid, .next = next };
        ends[(*count)++] = reading->octets.len;
        if (next != 0)
            return STATUS_OK;
    }
    return STATUS_OK;
}

static enum status read_page(struct task *task, struct store *store)
{
    struct reading *reading = task->state;
    const struct ask_fetch *ask = &task->ask.fetch;
    struct fetch_row *rows = arena_take_rows(&task->arena, ask->until ? PAGE_ROWS : 1, sizeof *rows);
    size_t *ends = arena_take_rows(&task->arena, ask->until ? PAGE_ROWS : 1, sizeof *ends);
    must(rows && ends); /* the arena's cap is far above */
    struct store_page page = { .account = reading->account, .uid = ask->uid, .at = ask->at };
    uint64_t next;
    uint32_t count = 1;
    TRY(store->verbs->message_read(store, &page, LIMIT_PAGE, &reading->octets, &next));
    rows[0] = (struct fetch_row){ .uid = ask->uid, .next = next };
    ends[0] = reading->octets.len;
    if (next == 0 && ask->until > ask->uid)
        TRY(read_ahead(task, store, rows, ends, &count));
    /* Slices last: the buffer has moved while it grew. */
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        rows[i].frames = (struct slice){ reading->octets.ptr + at, ends[i] - at };
        at = ends[i];
    }
    task->answer.fetch.rows = (struct rows){ rows, count };
    return STATUS_OK;
}

/* One transaction for the whole page: each message by itself was four locks. */
static enum status fetch_work(struct task *task, struct store *store)
{
    TRY(store->verbs->begin(store));
    enum status status = read_page(task, store);
    store->verbs->rollback(store);
    return status;
}

void serve_fetch(struct task *task)
{
    if (!reads_mail(task)) {
        task_answer(task, STATUS_DENIED);
        return;
    }
    reading_new(task);
    task_go(task, STAGE_READ, fetch_work, task_finish);
}

/* ---- EXPUNGE ----------------------------------------------------------------------------------------------------- */

static enum status expunge_work(struct task *task, struct store *store)
{
    const struct reading *reading = task->state;
    struct rows ranges = task->ask.expunge.ranges;
    return store->verbs->expunge(store, reading->account, ranges.at, ranges.count, &task->answer.expunge.removed);
}

static void expunged(struct task *task)
{
    if (task->status == STATUS_OK)
        LOG(LOG_INFO, "mail.expunged", LOG_TEXT("session", task_name(task)),
            LOG_NUMBER("messages", task->answer.expunge.removed));
    task_answer(task, task->status);
}

void serve_expunge(struct task *task)
{
    struct rows ranges = task->ask.expunge.ranges;
    if (!reads_mail(task)) {
        task_answer(task, STATUS_DENIED);
        return;
    }
    reading_new(task);
    enum status status = task_keep(task);
    /* Ascending, as an honest gate has them: so that no UID is looked for twice, and all of it costs one walk. */
    uint32_t before = 0;
    for (uint32_t i = 0; status == STATUS_OK && i < ranges.count; i++) {
        const struct uid_range *range = row_of(struct uid_range, ranges, i);
        if (range->first <= before || range->first > range->last)
            status = STATUS_MALFORMED;
        before = range->last;
    }
    if (status != STATUS_OK)
        task_answer(task, status);
    else
        task_go(task, STAGE_WRITE, expunge_work, expunged);
}
