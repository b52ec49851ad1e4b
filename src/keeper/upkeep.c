/* upkeep.c - what has to be done now and then: leases that are over, room on the disk, the log of the database, last
 * logins, bodies nobody needs. */
#include "keeper/impl.h"

#define FORGET_EVERY 60u         /* ticks: failures of logins, remembered passwords */
#define SEEN_EVERY   30u         /* last logins */
#define SWEEP_EVERY  300u        /* bodies */
#define SWEEP_MOST   500u        /* in one transaction */
#define SEEN_MOST    2000u       /* accounts, devices, and places, in one transaction */
#define PLACES_EVERY 3600u       /* places that nobody came back to */

static void drop(struct task *task)
{
    if (task->status != STATUS_OK && task->status != STATUS_BUSY)
        LOG(LOG_ERROR, "keeper.upkeep", LOG_STATUS(task->status));
    task_drop(task);
}

/* ---- disk -------------------------------------------------------------------------------------------------------- */

static enum status disk_work(struct task *task, struct store *store)
{
    uint64_t octets;
    TRY(store->verbs->free_octets(store, &octets));
    atomic_store(&task->keeper->disk_free, octets);
    return STATUS_OK;
}

/* ---- rest -------------------------------------------------------------------------------------------------------- */

static enum status rest_work(struct task *task, struct store *store)
{
    (void)task;
    store->verbs->rest(store);
    return STATUS_OK;
}

static void rested(struct task *task)
{
    task->keeper->resting = false;
    task_drop(task);
}

static void rest(struct keeper *keeper)
{
    uint64_t commits = atomic_load(&keeper->commits);
    if (keeper->resting || commits == keeper->rested_at)
        return;
    keeper->rested_at = commits;
    keeper->resting = true;
    struct task *task = task_new(keeper, NULL, NULL);
    task->bare = true;
    task_go(task, STAGE_WRITE, rest_work, rested);
}

/* ---- last logins ------------------------------------------------------------------------------------------------- */

struct stamp {
    uint32_t id;
    wall when;
};
struct stamps {
    struct stamp accounts[SEEN_MOST], devices[SEEN_MOST];
    struct store_place places[SEEN_MOST];
    uint32_t account_count, device_count, place_count;
};

static bool has_stamps(const struct stamps *stamps)
{
    return stamps->account_count + stamps->device_count + stamps->place_count > 0;
}

static void collect(struct keeper *keeper, struct stamps *stamps)
{
    struct slice key;
    void *value;
    for (size_t at = 0; stamps->account_count < SEEN_MOST && map_each(&keeper->directory.by_id, &at, &key, &value);) {
        struct account *account = value;
        if (account->seen)
            stamps->accounts[stamps->account_count++] = (struct stamp){ account->id, account->last_login };
        account->seen = false;
    }
    for (size_t at = 0; stamps->device_count < SEEN_MOST && map_each(&keeper->directory.devices, &at, &key, &value);) {
        struct device *device = value;
        if (device->seen)
            stamps->devices[stamps->device_count++] = (struct stamp){ device->id, device->last_used };
        device->seen = false;
    }
    stamps->place_count = place_take_fresh(&keeper->places, stamps->places, SEEN_MOST);
}

static enum status write_stamps(const struct stamps *stamps, struct store *store)
{
    for (uint32_t i = 0; i < stamps->account_count; i++) {
        enum status status = store->verbs->account_seen(store, stamps->accounts[i].id, stamps->accounts[i].when);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND)
            return status;
    }
    for (uint32_t i = 0; i < stamps->device_count; i++) {
        enum status status = store->verbs->device_seen(store, stamps->devices[i].id, stamps->devices[i].when);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND)
            return status;
    }
    for (uint32_t i = 0; i < stamps->place_count; i++)
        TRY(store->verbs->place_seen(store, &stamps->places[i], LIMIT_PLACES_ACCOUNT));
    return STATUS_OK;
}

static enum status stamps_work(struct task *task, struct store *store)
{
    return write_stamps(task->state, store);
}

static void stamped(struct task *task)
{
    task->keeper->noting = false;
    drop(task);
}

static void note_logins(struct keeper *keeper)
{
    if (keeper->noting)
        return;
    struct task *task = task_new(keeper, NULL, NULL);
    struct stamps *stamps = task_state(task, sizeof *stamps);
    collect(keeper, stamps);
    if (!has_stamps(stamps)) {
        task_drop(task);
        return;
    }
    keeper->noting = true;
    task_go(task, STAGE_WRITE, stamps_work, stamped);
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

static enum status places_work(struct task *task, struct store *store)
{
    (void)task;
    return store->verbs->place_forget(store, clock_wall() - LIMIT_PLACE_AGE);
}

static void forget_places(struct keeper *keeper)
{
    place_forget(&keeper->places, clock_wall());
    task_go(task_new(keeper, NULL, NULL), STAGE_WRITE, places_work, drop);
}

/* ---- guessing ---------------------------------------------------------------------------------------------------- */

static void report_guessing(struct keeper *keeper, msec now)
{
    struct throttle_news news = throttle_report(&keeper->throttle, now);
    if (throttle_has_news(&news))
        LOG(LOG_WARNING, "throttle.spray", LOG_NUMBER("count", news.tries), LOG_NUMBER("passwords", news.passwords),
            LOG_NUMBER("networks", news.networks), LOG_NUMBER("unknown_names", news.unknown));
    throttle_forget(&keeper->throttle, now);
}

/* ---- sweep ------------------------------------------------------------------------------------------------------- */

static enum status sweep_work(struct task *task, struct store *store)
{
    uint32_t *swept = task->state;
    return store->verbs->sweep(store, clock_wall() - LIMIT_SWEEP_GRACE, SWEEP_MOST, swept);
}

static void sweep(struct keeper *keeper);

static void swept(struct task *task)
{
    struct keeper *keeper = task->keeper;
    uint32_t count = task->status == STATUS_OK ? *(uint32_t *)task->state : 0;
    if (count > 0)
        LOG(LOG_INFO, "body.swept", LOG_NUMBER("count", count));
    drop(task);
    if (count == SWEEP_MOST && !keeper->stopping)
        sweep(keeper);
}

static void sweep(struct keeper *keeper)
{
    struct task *task = task_new(keeper, NULL, NULL);
    task_state(task, sizeof(uint32_t));
    task_go(task, STAGE_WRITE, sweep_work, swept);
}

/* ---------------------------------------------------------------------------------------------------------------------
 */

void upkeep_tick(struct keeper *keeper)
{
    uint32_t tick = ++keeper->ticks;
    msec now = keeper_now(keeper);
    lease_expire(&keeper->leases, now);
    errand_tick(keeper, now);
    oauth_tick(keeper, now);
    task_go(task_new(keeper, NULL, NULL), STAGE_READ, disk_work, drop);
    rest(keeper);
    if (tick % SEEN_EVERY == 0)
        note_logins(keeper);
    if (tick % PLACES_EVERY == 0)
        forget_places(keeper);
    if (tick % SWEEP_EVERY == 0)
        sweep(keeper);
    if (tick % FORGET_EVERY == 0) {
        report_guessing(keeper, now);
        login_forget(keeper, now);
        token_forget(keeper, now);
        refusals_forget(&keeper->refusals, clock_wall());
        notice_forget(keeper, now);
    }
}

void upkeep_last(struct keeper *keeper)
{
    struct stamps *stamps = alloc(sizeof *stamps);
    struct store *store = keeper->writer;
    collect(keeper, stamps);
    if (has_stamps(stamps) && store->verbs->begin(store) == STATUS_OK) {
        enum status status = write_stamps(stamps, store);
        if (status == STATUS_OK)
            status = store->verbs->commit(store);
        if (status != STATUS_OK) {
            store->verbs->rollback(store);
            LOG(LOG_WARNING, "keeper.last-logins", LOG_STATUS(status));
        }
    }
    release(stamps);
    store->verbs->rest(store);
}
