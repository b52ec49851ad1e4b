/* inspect.c - what `ekirei check`, `backup` and `export` ask: slices of looking, pages of bodies, steps of a snapshot.
 *
 * The keeper reads and compares numbers; it never unpacks a body and never computes the digest of one: that is the command line's
 * part. */
#include "base/secret.h"
#include "keeper/impl.h"

/* ---- CHECK ------------------------------------------------------------------------------------------------------- */

struct opening {
    struct task *task;
    struct check_row *rows;
    uint32_t count;
};
#define SEALED_MOST 20u /* devices named whose secrets do not open */

static enum status open_device(void *context, const struct store_device *device)
{
    struct opening *opening = context;
    struct task *task = opening->task;
    struct secret secret;
    if (device->sealed.len == 0 || opening->count == SEALED_MOST)
        return STATUS_OK;
    bool opens = vault_open(task->keeper->key, device->account, device->name, device->sealed, &secret) == STATUS_OK;
    secret_wipe(&secret);
    if (opens)
        return STATUS_OK;
    struct check_row *row = &opening->rows[opening->count++];
    *row = (struct check_row){ .found = FOUND_SEALED, .id = device->id, .have = device->account };
    return arena_copy(&task->arena, device->name, &row->detail);
}

static enum status name_owner(void *context, const struct store_account *account)
{
    struct opening *opening = context;
    struct check_row *row = &opening->rows[opening->count];
    return arena_copy(&opening->task->arena, account->address, &row->address);
}

/* Behind what the store found. */
static enum status open_devices(struct task *task, struct store *store)
{
    struct answer_check *answer = &task->answer.check;
    struct opening opening = { .task = task };
    opening.rows = arena_take_rows(&task->arena, answer->rows.count + SEALED_MOST, sizeof *opening.rows);
    must(opening.rows);
    if (answer->rows.count > 0)
        memcpy(opening.rows, answer->rows.at, answer->rows.count * sizeof *opening.rows);
    opening.rows += answer->rows.count;
    TRY(store->verbs->each_device(store, 0, open_device, &opening));
    uint32_t sealed = opening.count;
    for (opening.count = 0; opening.count < sealed; opening.count++) {
        TRY(store->verbs->each_account(store, (uint32_t)opening.rows[opening.count].have, name_owner, &opening));
        opening.rows[opening.count].have = 0;
    }
    answer->rows = (struct rows){ opening.rows - answer->rows.count, answer->rows.count + sealed };
    return STATUS_OK;
}

static enum status look(struct task *task, struct store *store)
{
    TRY(store->verbs->check(store, &task->ask.check, &task->arena, &task->answer.check));
    return task->ask.check.part == CHECK_DIRECTORY ? open_devices(task, store) : STATUS_OK;
}

/* One transaction: what is compared is of one moment. */
static enum status check_work(struct task *task, struct store *store)
{
    TRY(store->verbs->begin(store));
    enum status status = look(task, store);
    store->verbs->rollback(store);
    return status;
}

void serve_check(struct task *task)
{
    task_go(task, STAGE_READ, check_work, task_finish); /* the ask has no slices: it needs no copy */
}

/* ---- REPAIR ------------------------------------------------------------------------------------------------------ */

static enum status repair_work(struct task *task, struct store *store)
{
    return store->verbs->repair(store, clock_wall(), &task->arena, &task->answer.repair);
}

static void repaired(struct task *task)
{
    uint64_t count = 0;
    for (uint32_t i = 0; task->status == STATUS_OK && i < task->answer.repair.rows.count; i++)
        count += row_of(struct repair_row, task->answer.repair.rows, i)->count;
    LOG(task->status == STATUS_OK ? LOG_INFO : LOG_ERROR, "store.repaired", LOG_NUMBER("count", count), LOG_STATUS(task->status));
    task_answer(task, task->status);
}

void serve_repair(struct task *task)
{
    task_go(task, STAGE_WRITE, repair_work, repaired);
}

/* ---- BODIES, EXPORT ---------------------------------------------------------------------------------------------- */

static void discard_octets(struct task *task)
{
    buf_done(task->state);
}

static enum status bodies_work(struct task *task, struct store *store)
{
    TRY(store->verbs->begin(store));
    enum status status = store->verbs->bodies(store, &task->ask.bodies, &task->arena, task->state, &task->answer.bodies);
    store->verbs->rollback(store);
    return status;
}

void serve_bodies(struct task *task)
{
    struct buf *octets = task_state(task, sizeof *octets);
    *octets = BUF(STORE_BODIES_ROOM);
    task->discard = discard_octets;
    task_go(task, STAGE_READ, bodies_work, task_finish);
}

static enum status export_work(struct task *task, struct store *store)
{
    TRY(store->verbs->begin(store));
    const uint32_t *account = task->state;
    enum status status = store->verbs->mails(store, *account, &task->ask.export, &task->arena, &task->answer.export);
    store->verbs->rollback(store);
    return status;
}

void serve_export(struct task *task)
{
    struct account *account;
    enum status status = manage_account(task, task->ask.export.address, &account);
    if (status != STATUS_OK) {
        task_answer(task, status);
        return;
    }
    *(uint32_t *)task_state(task, sizeof(uint32_t)) = account->id;
    task->ask.export.address = NO_SLICE; /* it is not looked at again, and dies with this call */
    task_go(task, STAGE_READ, export_work, task_finish);
}

/* ---- SNAPSHOT ---------------------------------------------------------------------------------------------------- */

static enum status snapshot_work(struct task *task, struct store *store)
{
    return store->verbs->snapshot(store, &task->ask.snapshot, *(uint64_t *)task->state, &task->answer.snapshot);
}

static enum status end_work(struct task *task, struct store *store)
{
    struct answer_snapshot ignored;
    (void)task;
    return store->verbs->snapshot(store, &(struct ask_snapshot){ .step = SNAPSHOT_END }, 0, &ignored);
}

static void ended(struct task *task)
{
    task_drop(task);
}

void snapshot_release(struct keeper *keeper, const struct client *client)
{
    if (keeper->snapshot != client)
        return;
    keeper->snapshot = NULL;
    struct task *task = task_new(keeper, NULL, NULL);
    task->bare = true;
    task_go(task, STAGE_WRITE, end_work, ended);
}

static void stepped(struct task *task)
{
    struct keeper *keeper = task->keeper;
    uint8_t step = task->ask.snapshot.step;
    bool over = step == SNAPSHOT_END || task->status != STATUS_OK;
    if (task->status != STATUS_OK && task->client)
        snapshot_release(keeper, task->client); /* whatever is left of it: nothing is swept as long as there is one */
    else if (over && keeper->snapshot == task->client)
        keeper->snapshot = NULL;
    if (step == SNAPSHOT_BEGIN || over)
        LOG(task->status == STATUS_OK ? LOG_INFO : LOG_ERROR, "store.snapshot", LOG_NUMBER("step", step), LOG_STATUS(task->status));
    task_answer(task, task->status);
}

/* It is its client's: one that goes away takes it along. */
void serve_snapshot(struct task *task)
{
    struct keeper *keeper = task->keeper;
    if (task->ask.snapshot.step == SNAPSHOT_BEGIN && !keeper->snapshot)
        keeper->snapshot = task->client;
    else if (task->ask.snapshot.step == SNAPSHOT_BEGIN || keeper->snapshot != task->client) {
        task_answer(task, task->ask.snapshot.step == SNAPSHOT_BEGIN ? STATUS_BUSY : STATUS_DENIED);
        return;
    }
    *(uint64_t *)task_state(task, sizeof(uint64_t)) = keeper->settings->disk_reserve;
    task->bare = true;
    task_go(task, STAGE_WRITE, snapshot_work, stepped);
}
