/* names.c - what the command line changes: aliases, domains, leases; and the server's state. */
#include "keeper/impl.h"
#include "mail/address.h"

/* ---- aliases ----------------------------------------------------------------------------------------------------- */

struct alias_change {
    struct store_alias row;
    uint32_t count;
};

/* "@domain" is a catch-all. */
static enum status alias_address(struct task *task, struct slice text, struct slice *out_key)
{
    struct slice domain;
    if (slice_starts(text, S("@"))) {
        TRY(domain_parse(slice_from(text, 1), true, &task->arena, &domain));
        char *key = arena_take(&task->arena, domain.len + 1);
        if (!key)
            return STATUS_TOO_BIG;
        key[0] = '@';
        memcpy(key + 1, domain.ptr, domain.len);
        *out_key = (struct slice){ key, domain.len + 1 };
    } else {
        TRY(keeper_key(text, &task->arena, out_key, &domain));
    }
    return directory_domain(&task->keeper->directory, domain) ? STATUS_OK : STATUS_NOT_FOUND;
}

/* Of ours as a key; elsewhere as it is written, since only its owner knows whether case matters there. */
static enum status alias_target(struct task *task, struct slice text, struct slice *out_target, bool *out_ours)
{
    struct address address;
    TRY(address_parse(slice_trim(text), true, &task->arena, &address));
    *out_ours = directory_domain(&task->keeper->directory, address.domain) != NULL;
    if (*out_ours)
        return address_key(&address, &task->arena, out_target);
    struct buf room = BUF(LIMIT_PATH);
    enum status status = address_print(&room, &address);
    if (status == STATUS_OK)
        status = arena_copy(&task->arena, buf_slice(&room), out_target);
    buf_done(&room);
    return status;
}

static enum status check_new_alias(struct task *task, struct alias_change *change)
{
    const struct directory *d = &task->keeper->directory;
    bool ours;
    TRY(alias_address(task, task->ask.alias.address, &change->row.address));
    TRY(alias_target(task, task->ask.alias.target, &change->row.target, &ours));
    if (directory_find(d, change->row.address))
        return STATUS_EXISTS;
    for (const struct alias *alias = directory_alias(d, change->row.address); alias; alias = alias->next)
        if (slice_equal(alias->target, change->row.target))
            return STATUS_EXISTS;
    if (slice_equal(change->row.address, change->row.target))
        return STATUS_MALFORMED;
    if (!ours)
        return STATUS_OK;
    struct resolution found;
    TRY(directory_resolve(d, change->row.target, &task->arena, &found));
    return found.count > 0 || found.disabled ? STATUS_OK : STATUS_NOT_FOUND;
}

static enum status alias_add_work(struct task *task, struct store *store)
{
    return store->verbs->alias_add(store, &((struct alias_change *)task->state)->row);
}

static void alias_added(struct task *task)
{
    struct alias_change *change = task->state;
    if (task->status == STATUS_OK) {
        directory_put_alias(&task->keeper->directory, &change->row);
        LOG(LOG_INFO, "alias.added", LOG_TEXT("address", change->row.address), LOG_TEXT("target", change->row.target));
    }
    task_answer(task, task->status);
}

void serve_alias_add(struct task *task)
{
    struct alias_change *change = task_state(task, sizeof *change);
    enum status status = task_keep(task);
    if (status == STATUS_OK)
        status = check_new_alias(task, change);
    if (status != STATUS_OK)
        task_answer(task, status);
    else
        task_go(task, STAGE_WRITE, alias_add_work, alias_added);
}

static enum status alias_remove_work(struct task *task, struct store *store)
{
    struct alias_change *change = task->state;
    TRY(store->verbs->alias_remove(store, change->row.address, change->row.target, &change->count));
    return change->count > 0 ? STATUS_OK : STATUS_NOT_FOUND;
}

static void alias_removed(struct task *task)
{
    struct alias_change *change = task->state;
    if (task->status == STATUS_OK) {
        directory_remove_alias(&task->keeper->directory, change->row.address, change->row.target);
        LOG(LOG_INFO, "alias.removed", LOG_TEXT("address", change->row.address),
            LOG_TEXT("target", change->row.target));
    }
    task->answer.count.count = change->count;
    task_answer(task, task->status);
}

void serve_alias_remove(struct task *task)
{
    struct alias_change *change = task_state(task, sizeof *change);
    enum status status = task_keep(task);
    bool ours;
    if (status == STATUS_OK)
        status = alias_address(task, task->ask.alias.address, &change->row.address);
    if (status == STATUS_OK && task->ask.alias.target.len > 0)
        status = alias_target(task, task->ask.alias.target, &change->row.target, &ours);
    if (status != STATUS_OK)
        task_answer(task, status);
    else
        task_go(task, STAGE_WRITE, alias_remove_work, alias_removed);
}

/* ---- domains ----------------------------------------------------------------------------------------------------- */

struct domain_change {
    struct slice name;
};

static enum status domain_add_work(struct task *task, struct store *store)
{
    return store->verbs->domain_add(store, ((struct domain_change *)task->state)->name);
}

static void domain_added(struct task *task)
{
    struct slice name = ((struct domain_change *)task->state)->name;
    if (task->status == STATUS_OK) {
        directory_put_domain(&task->keeper->directory, name);
        LOG(LOG_INFO, "domain.added", LOG_TEXT("domain", name));
    }
    task_answer(task, task->status);
}

void serve_domain_add(struct task *task)
{
    struct domain_change *change = task_state(task, sizeof *change);
    enum status status = domain_parse(slice_trim(task->ask.domain.name), true, &task->arena, &change->name);
    if (status == STATUS_OK && directory_domain(&task->keeper->directory, change->name))
        status = STATUS_EXISTS;
    if (status != STATUS_OK)
        task_answer(task, status);
    else
        task_go(task, STAGE_WRITE, domain_add_work, domain_added);
}

static enum status domain_remove_work(struct task *task, struct store *store)
{
    return store->verbs->domain_remove(store, ((struct domain_change *)task->state)->name);
}

static void domain_removed(struct task *task)
{
    struct slice name = ((struct domain_change *)task->state)->name;
    if (task->status == STATUS_OK) {
        directory_remove_domain(&task->keeper->directory, name);
        LOG(LOG_INFO, "domain.removed", LOG_TEXT("domain", name));
    }
    task_answer(task, task->status);
}

void serve_domain_remove(struct task *task)
{
    struct domain_change *change = task_state(task, sizeof *change);
    enum status status = domain_parse(slice_trim(task->ask.domain.name), true, &task->arena, &change->name);
    const struct domain *domain = status == STATUS_OK ? directory_domain(&task->keeper->directory, change->name) : NULL;
    if (status == STATUS_OK && !domain)
        status = STATUS_NOT_FOUND;
    if (status == STATUS_OK && domain->accounts > 0)
        status = STATUS_DENIED;
    if (status != STATUS_OK)
        task_answer(task, status);
    else
        task_go(task, STAGE_WRITE, domain_remove_work, domain_removed);
}

/* ---- leases and state -------------------------------------------------------------------------------------------- */

void serve_lease_revoke(struct task *task)
{
    struct keeper *keeper = task->keeper;
    struct slice about = slice_trim(task->ask.lease_revoke.about), key;
    struct ip peer;
    bool is_ip = ip_parse(about, &peer) == STATUS_OK;
    uint32_t id = 0;
    if (about.len > 0 && !is_ip) {
        enum status status = keeper_key(about, &task->arena, &key, NULL);
        const struct account *account = status == STATUS_OK ? directory_find(&keeper->directory, key) : NULL;
        if (!account) {
            task_answer(task, status == STATUS_OK ? STATUS_NOT_FOUND : status);
            return;
        }
        id = account->id;
    }
    task->answer.count.count =
        lease_revoke(&keeper->leases, id, 0, is_ip ? &peer : NULL, LEASE_REVOKED, keeper_now(keeper));
    if (!is_ip)
        pin_forget(&keeper->pins, id, 0);
    task_answer(task, STATUS_OK);
}

static enum status status_work(struct task *task, struct store *store)
{
    struct store_counts counts;
    struct answer_status *about = &task->answer.about;
    TRY(store->verbs->counts(store, &counts));
    about->accounts = counts.accounts;
    about->domains = counts.domains;
    about->queued = counts.queued;
    about->schema = counts.schema;
    about->messages = counts.messages;
    about->octets = counts.octets;
    return store->verbs->free_octets(store, &about->disk_free);
}

static void status_done(struct task *task)
{
    struct keeper *keeper = task->keeper;
    struct answer_status *about = &task->answer.about;
    about->version = S(EKIREI_VERSION);
    about->leases = (uint32_t)keeper->leases.count;
    about->sessions = keeper->session_count;
    about->uptime_seconds = keeper->loop ? (keeper_now(keeper) - keeper->started) / 1000 : 0;
    about->commits = atomic_load(&keeper->commits);
    about->jobs = atomic_load(&keeper->jobs);
    task_answer(task, task->status);
}

void serve_status(struct task *task)
{
    task_go(task, STAGE_READ, status_work, status_done);
}
