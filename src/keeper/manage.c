/* manage.c - what the command line changes: accounts.  device.c has devices, names.c aliases and domains, list.c
 * the lists.
 *
 * The store first, then the directory in memory, then the answer: a command returns when its change is in force. */
#include "base/secret.h"
#include "keeper/credential.h"
#include "keeper/impl.h"
#include "mail/address.h"

enum status keeper_key(struct slice text, struct arena *arena, struct slice *out_key, struct slice *out_domain)
{
    struct address address;
    TRY(address_parse(slice_trim(text), true, arena, &address));
    if (address.is_literal || address.local.len == 0)
        return STATUS_MALFORMED;
    if (out_domain)
        *out_domain = address.domain;
    return address_key(&address, arena, out_key);
}

/* State of all tasks in here. */
struct change {
    struct store_account account;
    uint32_t id;
    struct credential_plan plan;
    struct credential made;
    struct credential_devices devices;
    bool enabled, pop_before_smtp, had_leases;
};

static struct change *change_new(struct task *task)
{
    return task_state(task, sizeof(struct change));
}

static struct slice made_scram(const struct change *change)
{
    return (struct slice){ change->made.scram, change->made.scram_len };
}

static void log_change(const char *event, struct slice account)
{
    LOG(LOG_INFO, event, LOG_TEXT("account", account));
}

enum status manage_account(struct task *task, struct slice address, struct account **out_account)
{
    struct slice key;
    TRY(keeper_key(address, &task->arena, &key, NULL));
    *out_account = directory_find(&task->keeper->directory, key);
    return *out_account ? STATUS_OK : STATUS_NOT_FOUND;
}

void manage_end_leases(struct keeper *keeper, uint32_t account, uint32_t device)
{
    lease_revoke(&keeper->leases, account, device, NULL, LEASE_CHANGED, keeper_now(keeper));
    pin_forget(&keeper->pins, account, device);
}

/* ---- ACCOUNT_ADD ------------------------------------------------------------------------------------------------- */

/* The new verifiers, and those of devices that must go with them. */
static enum status hash_work(struct task *task, struct store *none)
{
    struct change *change = task->state;
    bool is_new = task->ask.kind == ASK_ACCOUNT_ADD;
    struct slice secret = is_new ? task->ask.account_add.secret : task->ask.account_password.secret;
    (void)none;
    if (is_new ? task->ask.account_add.hashed : task->ask.account_password.hashed)
        return credential_import(secret, &change->made);
    TRY(credential_make(&change->plan, secret, &change->made));
    return credential_remake(&change->plan, task->keeper->key, change->id, &task->arena, &change->devices);
}

static enum status check_new_account(struct task *task)
{
    const struct ask_account_add *ask = &task->ask.account_add;
    const struct directory *d = &task->keeper->directory;
    struct change *change = task->state;
    struct slice key, domain;
    TRY(keeper_key(ask->address, &task->arena, &key, &domain));
    if (ask->secret.len == 0 || slice_has_control(ask->login) || !slice_is_utf8(ask->login))
        return STATUS_MALFORMED;
    if (!directory_domain(d, domain))
        return STATUS_NOT_FOUND;
    if (directory_find(d, key) || directory_alias(d, key))
        return STATUS_EXISTS;
    /* An address that is somebody's login name would lead its owner to a stranger's account. */
    if (directory_login(d, key) || directory_is_login(d, slice_upto(key, slice_find_last(key, '@'))))
        return STATUS_EXISTS;
    if (ask->login.len > 0 && (directory_has_name(d, ask->login) || directory_login(d, ask->login)))
        return STATUS_EXISTS;
    change->account.address = key;
    TRY(directory_fold(ask->login, &task->arena, &change->account.login));
    change->account.created = clock_wall();
    change->account.enabled = true;
    change->account.pop_before_smtp = ask->pop_before_smtp != 0;
    return STATUS_OK;
}

static enum status account_add_work(struct task *task, struct store *store)
{
    struct change *change = task->state;
    return store->verbs->account_add(store, &change->account, &change->id);
}

static void account_added(struct task *task)
{
    struct change *change = task->state;
    if (task->status == STATUS_OK) {
        change->account.id = change->id;
        directory_put_account(&task->keeper->directory, &change->account);
        log_change("account.added", change->account.address);
    }
    task_answer(task, task->status);
}

static void new_account_hashed(struct task *task)
{
    /* Once more: another command may have been quicker. */
    struct change *change = task->state;
    enum status status = task->status;
    if (status == STATUS_OK)
        status = check_new_account(task);
    change->account.password = slice_of(change->made.password);
    change->account.scram = made_scram(change);
    if (status != STATUS_OK)
        task_answer(task, status);
    else
        task_go(task, STAGE_WRITE, account_add_work, account_added);
}

static void begin_account(struct task *task)
{
    struct change *change = task->state;
    change->plan = credential_plan_new(task->keeper, change->account.address);
    task_go(task, STAGE_HASH, hash_work, new_account_hashed);
}

void serve_account_add(struct task *task)
{
    change_new(task);
    enum status status = task_keep(task);
    if (status == STATUS_OK)
        status = check_new_account(task);
    if (status != STATUS_OK)
        task_answer(task, status);
    else
        begin_account(task);
}

/* ---- ACCOUNT_PASSWORD, _SET, _REMOVE ----------------------------------------------------------------------------- */

static enum status password_work(struct task *task, struct store *store)
{
    const struct change *change = task->state;
    struct slice password = slice_of(change->made.password);
    struct store_rehash rehash = { .account = change->id,
        .expected = password,
        .password = password,
        .scram = made_scram(change),
        .devices = change->devices.rows,
        .device_count = change->devices.count };
    TRY(store->verbs->account_password(store, change->id, password, made_scram(change)));
    return change->devices.count == 0 ? STATUS_OK : store->verbs->account_rehash(store, &rehash);
}

static void password_set(struct task *task)
{
    struct change *change = task->state;
    if (task->status == STATUS_OK) {
        /* Sessions and leases of the old one end (C093). */
        directory_set_password(&task->keeper->directory, change->id, slice_of(change->made.password), made_scram(change));
        for (size_t i = 0; i < change->devices.count; i++)
            directory_rehash_device(
                &task->keeper->directory, change->devices.rows[i].id, change->devices.rows[i].scram);
        manage_end_leases(task->keeper, change->id, 0);
        log_change("account.password", task->ask.account_password.address);
    }
    task_answer(task, task->status);
}

static void password_hashed(struct task *task)
{
    if (task->status != STATUS_OK)
        task_answer(task, task->status);
    else
        task_go(task, STAGE_WRITE, password_work, password_set);
}

void serve_account_password(struct task *task)
{
    struct change *change = change_new(task);
    struct account *account = NULL;
    enum status status = task_keep(task);
    if (status == STATUS_OK)
        status = manage_account(task, task->ask.account_password.address, &account);
    if (status == STATUS_OK && task->ask.account_password.secret.len == 0)
        status = STATUS_MALFORMED;
    if (status != STATUS_OK) {
        task_answer(task, status);
        return;
    }
    change->id = account->id;
    change->plan = credential_plan_new(task->keeper, account->address);
    if (!task->ask.account_password.hashed)
        status = credential_collect(&change->plan, account, &task->arena, &change->devices);
    if (status != STATUS_OK)
        task_answer(task, status);
    else
        task_go(task, STAGE_HASH, hash_work, password_hashed);
}

static enum status set_work(struct task *task, struct store *store)
{
    struct change *change = task->state;
    return store->verbs->account_set(store, change->id, change->enabled, change->pop_before_smtp);
}

static void account_set(struct task *task)
{
    struct change *change = task->state;
    if (task->status == STATUS_OK) {
        directory_set(&task->keeper->directory, change->id, change->enabled, change->pop_before_smtp);
        if (!change->enabled || (change->had_leases && !change->pop_before_smtp))
            manage_end_leases(task->keeper, change->id, 0); /* C108; a device's opens anew with its next login */
        LOG(LOG_INFO, "account.set", LOG_TEXT("account", task->ask.account_set.address),
            LOG_NUMBER("enabled", change->enabled), LOG_NUMBER("pop_before_smtp", change->pop_before_smtp));
    }
    task_answer(task, task->status);
}

void serve_account_set(struct task *task)
{
    struct change *change = change_new(task);
    const struct ask_account_set *ask = &task->ask.account_set;
    struct account *account = NULL;
    enum status status = task_keep(task);
    if (status == STATUS_OK)
        status = manage_account(task, ask->address, &account);
    if (status == STATUS_OK && (ask->enabled > 2 || ask->pop_before_smtp > 2))
        status = STATUS_MALFORMED;
    if (status != STATUS_OK) {
        task_answer(task, status);
        return;
    }
    change->id = account->id;
    change->had_leases = account->pop_before_smtp;
    change->enabled = ask->enabled == 2 ? account->enabled : ask->enabled == 1;
    change->pop_before_smtp = ask->pop_before_smtp == 2 ? account->pop_before_smtp : ask->pop_before_smtp == 1;
    task_go(task, STAGE_WRITE, set_work, account_set);
}

static enum status remove_work(struct task *task, struct store *store)
{
    return store->verbs->account_remove(store, ((struct change *)task->state)->id);
}

static void account_removed(struct task *task)
{
    struct change *change = task->state;
    if (task->status == STATUS_OK) {
        manage_end_leases(task->keeper, change->id, 0);
        directory_remove_account(&task->keeper->directory, change->id);
        place_forget_account(&task->keeper->places, change->id);
        offers_renew(task->keeper);
        log_change("account.removed", task->ask.account.address);
    }
    task_answer(task, task->status);
}

void serve_account_remove(struct task *task)
{
    struct change *change = change_new(task);
    struct account *account = NULL;
    enum status status = task_keep(task);
    if (status == STATUS_OK)
        status = manage_account(task, task->ask.account.address, &account);
    if (status != STATUS_OK) {
        task_answer(task, status);
        return;
    }
    change->id = account->id;
    task_go(task, STAGE_WRITE, remove_work, account_removed);
}
