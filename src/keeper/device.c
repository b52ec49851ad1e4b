/* device.c - secrets and keys that devices log in with: made here, shown once, revoked one by one. */
#include "base/secret.h"
#include "keeper/credential.h"
#include "keeper/impl.h"

struct change {
    struct store_device device;
    struct buf sealed;
    struct credential_plan plan;
    size_t scram_len;
    char scram[SCRAM_BLOB];
    char password[VAULT_PASSWORD];
    uint32_t id;
    uint32_t *ids; /* devices to be removed */
    uint32_t count;
};

static void discard(struct task *task)
{
    struct change *change = task->state;
    wipe(change->password, sizeof change->password);
    wipe(change->scram, sizeof change->scram);
    buf_done(&change->sealed);
}

static struct change *change_new(struct task *task)
{
    struct change *change = task_state(task, sizeof *change);
    change->sealed = BUF(LIMIT_SECRET + 64);
    task->discard = discard;
    return change;
}

/* ---- DEVICE_ADD -------------------------------------------------------------------------------------------------- */

static enum status device_add_work(struct task *task, struct store *store)
{
    struct change *change = task->state;
    return store->verbs->device_add(store, &change->device, &change->id);
}

static void device_added(struct task *task)
{
    struct change *change = task->state;
    if (task->status == STATUS_OK) {
        change->device.id = change->id;
        directory_put_device(&task->keeper->directory, &change->device);
        offers_renew(task->keeper);
        task->answer.device_add.secret = slice_of(change->password);
        LOG(LOG_INFO, "device.added", LOG_TEXT("account", task->ask.device_add.address),
            LOG_TEXT("device", change->device.name), LOG_NUMBER("key", change->device.key.len > 0));
    }
    task_answer(task, task->status);
}

static enum status keys_work(struct task *task, struct store *none)
{
    struct change *change = task->state;
    (void)none;
    change->scram_len = credential_make_device(&change->plan, slice_of(change->password), change->scram);
    change->device.scram = (struct slice){ change->scram, change->scram_len };
    return STATUS_OK;
}

static void keys_made(struct task *task)
{
    if (task->status != STATUS_OK)
        task_answer(task, task->status);
    else
        task_go(task, STAGE_WRITE, device_add_work, device_added);
}

static enum status check_device(struct task *task, const struct account *account)
{
    const struct ask_device_add *ask = &task->ask.device_add;
    struct network *rows;
    struct networks networks;
    size_t count = 0;
    if (ask->name.len == 0 || slice_has_control(ask->name) || !slice_is_utf8(ask->name))
        return STATUS_MALFORMED;
    if (ask->mechanisms >> MECHANISM_COUNT || (ask->mechanisms & 1u) || (ask->rights & ~(RIGHTS_ALL | RIGHT_INTERNAL_ONLY)))
        return STATUS_MALFORMED;
    /* A key is good for EXTERNAL only, and nothing else is. */
    if (ask->key.len > 0 && (ask->key.len != 32 || (ask->mechanisms && ask->mechanisms != 1u << MECHANISM_EXTERNAL)))
        return STATUS_MALFORMED;
    if (ask->key.len == 0 && ask->mechanisms == 1u << MECHANISM_EXTERNAL)
        return STATUS_MALFORMED;
    TRY(directory_networks(ask->from, &rows, &networks));
    release(rows);
    for (const struct list *node = account->devices.next; node != &account->devices; node = node->next)
        count++;
    if (directory_find_device(account, ask->name))
        return STATUS_EXISTS;
    if (ask->key.len > 0 && directory_key(&task->keeper->directory, ask->key))
        return STATUS_EXISTS; /* else it would not say who it is */
    return count >= LIMIT_CREDENTIALS ? STATUS_TOO_BIG : STATUS_OK;
}

static enum status make_device(struct task *task, struct change *change)
{
    const struct ask_device_add *ask = &task->ask.device_add;
    struct account *account;
    TRY(manage_account(task, ask->address, &account));
    TRY(check_device(task, account));
    if (ask->key.len == 0) {
        vault_password(change->password);
        TRY(vault_seal(task->keeper->key, account->id, ask->name, slice_of(change->password), &change->sealed));
        change->plan = credential_plan_kept(task->keeper, account);
    }
    change->device = (struct store_device){ .account = account->id,
        .name = ask->name,
        .sealed = buf_slice(&change->sealed),
        .key = ask->key,
        .from = ask->from,
        .created = clock_wall(),
        .expires = ask->expires,
        .mechanisms = ask->mechanisms,
        .rights = ask->rights };
    /* Only mechanisms, or only "internal-only", were named: then every protocol is meant. */
    if (!(change->device.rights & RIGHTS_ALL))
        change->device.rights |= RIGHTS_ALL;
    return STATUS_OK;
}

void serve_device_add(struct task *task)
{
    struct change *change = change_new(task);
    enum status status = task_keep(task);
    if (status == STATUS_OK)
        status = make_device(task, change);
    if (status != STATUS_OK)
        task_answer(task, status);
    else if (task->ask.device_add.key.len > 0)
        task_go(task, STAGE_WRITE, device_add_work, device_added);
    else
        task_go(task, STAGE_HASH, keys_work, keys_made);
}

/* ---- DEVICE_REVOKE ----------------------------------------------------------------------------------------------- */

static enum status revoke_work(struct task *task, struct store *store)
{
    struct change *change = task->state;
    for (uint32_t i = 0; i < change->count; i++)
        TRY(store->verbs->device_remove(store, change->ids[i]));
    return STATUS_OK;
}

static void revoked(struct task *task)
{
    struct change *change = task->state;
    for (uint32_t i = 0; task->status == STATUS_OK && i < change->count; i++) {
        manage_end_leases(task->keeper, change->id, change->ids[i]);
        directory_remove_device(&task->keeper->directory, change->ids[i]);
    }
    if (task->status == STATUS_OK && change->count > 0)
        offers_renew(task->keeper);
    if (task->status == STATUS_OK)
        LOG(LOG_INFO, "device.revoked", LOG_TEXT("account", task->ask.device_revoke.address),
            LOG_TEXT("device", task->ask.device_revoke.name), LOG_NUMBER("count", change->count));
    task->answer.count.count = change->count;
    task_answer(task, task->status);
}

static enum status pick_devices(struct task *task, struct change *change)
{
    const struct ask_device_revoke *ask = &task->ask.device_revoke;
    struct account *account;
    TRY(manage_account(task, ask->address, &account));
    change->id = account->id;
    change->ids = arena_take_rows(&task->arena, LIMIT_CREDENTIALS, sizeof *change->ids);
    if (!change->ids)
        return STATUS_TOO_BIG;
    for (struct list *node = account->devices.next; node != &account->devices && change->count < LIMIT_CREDENTIALS;
         node = node->next) {
        const struct device *device = list_element(node, struct device, node);
        if (ask->name.len == 0 || slice_equal(device->name, ask->name))
            change->ids[change->count++] = device->id;
    }
    return ask->name.len > 0 && change->count == 0 ? STATUS_NOT_FOUND : STATUS_OK;
}

void serve_device_revoke(struct task *task)
{
    struct change *change = change_new(task);
    enum status status = task_keep(task);
    if (status == STATUS_OK)
        status = pick_devices(task, change);
    if (status != STATUS_OK)
        task_answer(task, status);
    else
        task_go(task, STAGE_WRITE, revoke_work, revoked);
}
