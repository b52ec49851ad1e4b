/* rehash.c - new verifiers for secrets that did not change: in the background, behind the login that showed them.
 *
 * A password's, where auth.hash_cost has grown, where it came from elsewhere, or where SCRAM's keys are missing; its
 * devices' with them, since all have the same rounds.  The store compares and sets: what was changed meanwhile stands. */
#include "base/secret.h"
#include "keeper/login.h"
#include "keeper/credential.h"

#define AT_ONCE 4u /* of them under way: the others wait for their next login */

struct rehash {
    uint32_t account;
    struct slice expected; /* the verifier so far */
    struct slice password, scram;
    struct credential_plan plan;
    struct credential made;
    struct credential_devices devices;
    struct secret secret;
};

static void discard(struct task *task)
{
    struct rehash *rehash = task->state;
    task->keeper->rehashes--;
    secret_wipe(&rehash->secret);
}

static struct task *begin(struct keeper *keeper, const struct account *account)
{
    struct task *task = task_new(keeper, NULL, NULL);
    struct rehash *rehash = task_state(task, sizeof *rehash);
    keeper->rehashes++;
    task->discard = discard;
    rehash->account = account->id;
    rehash->password = rehash->expected = NO_SLICE;
    if (arena_copy(&task->arena, account->password, &rehash->expected) == STATUS_OK)
        return task;
    task_drop(task);
    return NULL;
}

static enum status store_work(struct task *task, struct store *store)
{
    const struct rehash *rehash = task->state;
    struct store_rehash row = { .account = rehash->account,
        .expected = rehash->expected,
        .password = rehash->password,
        .scram = rehash->scram,
        .devices = rehash->devices.rows,
        .device_count = rehash->devices.count };
    return store->verbs->account_rehash(store, &row);
}

static void stored(struct task *task)
{
    struct keeper *keeper = task->keeper;
    const struct rehash *rehash = task->state;
    const struct account *account = directory_account(&keeper->directory, rehash->account);
    /* DENIED: the password was changed meanwhile, and has what it needs. */
    bool same = account && slice_equal(account->password, rehash->expected);
    if (task->status == STATUS_OK && same) {
        directory_rehash(&keeper->directory, rehash->account, rehash->password, rehash->scram);
        for (size_t i = 0; i < rehash->devices.count; i++)
            directory_rehash_device(&keeper->directory, rehash->devices.rows[i].id, rehash->devices.rows[i].scram);
        LOG(LOG_INFO, "account.rehashed", LOG_TEXT("account", account->address),
            LOG_NUMBER("devices", rehash->devices.count));
    } else if (task->status != STATUS_OK && task->status != STATUS_DENIED) {
        LOG(LOG_WARNING, "account.rehash", LOG_STATUS(task->status));
    }
    task_drop(task);
}

static enum status hash_work(struct task *task, struct store *none)
{
    struct rehash *rehash = task->state;
    (void)none;
    TRY(credential_make(&rehash->plan, secret_slice(&rehash->secret), &rehash->made));
    rehash->password = slice_of(rehash->made.password);
    rehash->scram = (struct slice){ rehash->made.scram, rehash->made.scram_len };
    return credential_remake(&rehash->plan, task->keeper->key, rehash->account, &task->arena, &rehash->devices);
}

static void hashed(struct task *task)
{
    if (task->status == STATUS_OK)
        task_go(task, STAGE_WRITE, store_work, stored);
    else
        task_drop(task);
}

void rehash_password(struct keeper *keeper, const struct account *account, struct slice secret)
{
    struct credential_plan plan = credential_plan_new(keeper, account->address);
    if (keeper->rehashes >= AT_ONCE || credential_is_current(&plan, account->password, account->scram))
        return;
    struct task *task = begin(keeper, account);
    if (!task)
        return;
    struct rehash *rehash = task->state;
    rehash->plan = plan;
    if (secret_set(&rehash->secret, secret) != STATUS_OK ||
        credential_collect(&plan, account, &task->arena, &rehash->devices) != STATUS_OK)
        task_drop(task);
    else
        task_go(task, STAGE_HASH, hash_work, hashed);
}

void rehash_devices(struct keeper *keeper, const struct account *account, const struct credential_devices *devices)
{
    struct task *task = keeper->rehashes < AT_ONCE ? begin(keeper, account) : NULL;
    if (!task)
        return;
    struct rehash *rehash = task->state;
    rehash->password = rehash->expected;
    enum status status = arena_copy(&task->arena, account->scram, &rehash->scram);
    rehash->devices.rows = arena_take_rows(&task->arena, LIMIT_CREDENTIALS, sizeof *rehash->devices.rows);
    for (size_t i = 0; rehash->devices.rows && status == STATUS_OK && i < devices->count; i++) {
        rehash->devices.rows[i].id = devices->rows[i].id;
        status = arena_copy(&task->arena, devices->rows[i].scram, &rehash->devices.rows[i].scram);
        rehash->devices.count++;
    }
    if (status == STATUS_OK && rehash->devices.rows)
        task_go(task, STAGE_WRITE, store_work, stored);
    else
        task_drop(task);
}
