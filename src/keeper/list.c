/* list.c - the lists of the command line, a page at a time, in the order of their keys:
 *
 *   accounts: address        devices: address, space, name        aliases: address, space, target        domains: name
 *   leases: id in decimal */
#include "keeper/impl.h"

#define KEY_MOST 1400u /* octets of the longest key */

/* The LIST_PAGE lowest keys above `after`, and whether there are more: what is larger falls out at the end. */
struct item {
    struct slice key;
    const void *value;
};
struct page {
    struct slice after;
    struct item items[LIST_PAGE + 1];
    uint32_t count;
    struct arena *arena;
    bool failed;
};

static struct page *page_new(struct task *task)
{
    struct page *page = task_state(task, sizeof *page);
    page->after = task->ask.list.after;
    page->arena = &task->arena;
    return page;
}

/* `key` is copied only if it stays. */
static void offer(struct page *page, struct slice key, const void *value)
{
    if (slice_compare(key, page->after) <= 0 && page->after.len > 0)
        return;
    uint32_t at = page->count;
    while (at > 0 && slice_compare(key, page->items[at - 1].key) < 0)
        at--;
    if (at > LIST_PAGE)
        return;
    struct item item = { .value = value };
    if (arena_copy(page->arena, key, &item.key) != STATUS_OK) {
        page->failed = true;
        return;
    }
    uint32_t kept = page->count > LIST_PAGE ? LIST_PAGE : page->count;
    memmove(&page->items[at + 1], &page->items[at], (kept - (at < kept ? at : kept)) * sizeof item);
    page->items[at] = item;
    page->count = kept + 1;
}

static struct slice joined(char room[KEY_MOST], struct slice a, struct slice b)
{
    a = slice_upto(a, KEY_MOST / 2 - 1);
    b = slice_upto(b, KEY_MOST / 2);
    memcpy(room, a.ptr, a.len);
    room[a.len] = ' ';
    if (b.len > 0)
        memcpy(room + a.len + 1, b.ptr, b.len);
    return (struct slice){ room, a.len + 1 + b.len };
}

static uint32_t page_rows(const struct page *page)
{
    return page->count > LIST_PAGE ? LIST_PAGE : page->count;
}

/* Texts in an answer outlive what the directory may do until the answer is written. */
static struct slice copied(struct page *page, struct slice text)
{
    struct slice copy = NO_SLICE;
    if (arena_copy(page->arena, text, &copy) != STATUS_OK)
        page->failed = true;
    return copy;
}

/* The account a list is restricted to: out_account NULL where it is about all. */
static enum status about_account(struct task *task, const struct account **out_account)
{
    struct slice key;
    *out_account = NULL;
    if (task->ask.list.about.len == 0)
        return STATUS_OK;
    TRY(keeper_key(task->ask.list.about, &task->arena, &key, NULL));
    *out_account = directory_find(&task->keeper->directory, key);
    return *out_account ? STATUS_OK : STATUS_NOT_FOUND;
}

/* ---- accounts ---------------------------------------------------------------------------------------------------- */

static enum status usage_work(struct task *task, struct store *store)
{
    struct answer_account_list *answer = &task->answer.account_list;
    struct account_row *rows = (struct account_row *)(uintptr_t)answer->rows.at;
    for (uint32_t i = 0; i < answer->rows.count; i++) {
        enum status status = store->verbs->usage(store, rows[i].id, &rows[i].messages, &rows[i].octets);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND)
            return status;
    }
    return STATUS_OK;
}

static void fill_account(struct page *page, const struct account *account, struct account_row *row)
{
    *row = (struct account_row){ .address = copied(page, account->address),
        .login = copied(page, account->login),
        .id = account->id,
        .created = account->created,
        .last_login = account->last_login,
        .enabled = account->enabled,
        .pop_before_smtp = account->pop_before_smtp };
    for (struct list *node = account->devices.next; node != &account->devices; node = node->next)
        row->devices++;
}

void serve_account_list(struct task *task)
{
    const struct account *only;
    struct slice key;
    void *value;
    enum status status = about_account(task, &only);
    if (status != STATUS_OK) {
        task_answer(task, status);
        return;
    }
    struct page *page = page_new(task);
    if (only)
        offer(page, only->address, only);
    for (size_t at = 0; !only && map_each(&task->keeper->directory.by_address, &at, &key, &value);)
        offer(page, key, value);
    struct account_row *rows = arena_take_rows(&task->arena, page_rows(page), sizeof *rows);
    for (uint32_t i = 0; rows && i < page_rows(page); i++)
        fill_account(page, page->items[i].value, &rows[i]);
    if (!rows || page->failed) {
        task_answer(task, STATUS_TOO_BIG);
        return;
    }
    task->answer.account_list =
        (struct answer_account_list){ .rows = { rows, page_rows(page) }, .more = page->count > LIST_PAGE };
    task_go(task, STAGE_READ, usage_work, task_finish);
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

void serve_device_list(struct task *task)
{
    const struct account *only;
    struct slice key;
    void *value;
    char room[KEY_MOST];
    enum status status = about_account(task, &only);
    if (status != STATUS_OK) {
        task_answer(task, status);
        return;
    }
    struct page *page = page_new(task);
    for (size_t at = 0; map_each(&task->keeper->directory.devices, &at, &key, &value);) {
        const struct device *device = value;
        if (!only || device->account == only)
            offer(page, joined(room, device->account->address, device->name), device);
    }
    struct device_row *rows = arena_take_rows(&task->arena, page_rows(page), sizeof *rows);
    for (uint32_t i = 0; rows && i < page_rows(page); i++) {
        const struct device *device = page->items[i].value;
        rows[i] = (struct device_row){ .address = copied(page, device->account->address),
            .name = copied(page, device->name),
            .from = copied(page, device->from),
            .key = copied(page, device->key),
            .created = device->created,
            .expires = device->expires,
            .last_used = device->last_used,
            .mechanisms = device->mechanisms,
            .rights = device->rights };
    }
    task->answer.device_list =
        (struct answer_device_list){ .rows = { rows, page_rows(page) }, .more = page->count > LIST_PAGE };
    task_answer(task, rows && !page->failed ? STATUS_OK : STATUS_TOO_BIG);
}

/* ---- aliases ----------------------------------------------------------------------------------------------------- */

void serve_alias_list(struct task *task)
{
    struct page *page = page_new(task);
    struct slice about = slice_trim(task->ask.list.about), key;
    void *value;
    char room[KEY_MOST];
    for (size_t at = 0; map_each(&task->keeper->directory.aliases, &at, &key, &value);)
        for (const struct alias *alias = value; alias; alias = alias->next)
            if (about.len == 0 || slice_equal_nocase(about, alias->address) || slice_equal_nocase(about, alias->target))
                offer(page, joined(room, alias->address, alias->target), alias);
    struct alias_row *rows = arena_take_rows(&task->arena, page_rows(page), sizeof *rows);
    for (uint32_t i = 0; rows && i < page_rows(page); i++) {
        const struct alias *alias = page->items[i].value;
        rows[i] = (struct alias_row){ copied(page, alias->address), copied(page, alias->target) };
    }
    task->answer.alias_list =
        (struct answer_alias_list){ .rows = { rows, page_rows(page) }, .more = page->count > LIST_PAGE };
    task_answer(task, rows && !page->failed ? STATUS_OK : STATUS_TOO_BIG);
}

/* ---- domains ----------------------------------------------------------------------------------------------------- */

void serve_domain_list(struct task *task)
{
    struct page *page = page_new(task);
    struct slice about = slice_trim(task->ask.list.about), key;
    void *value;
    for (size_t at = 0; map_each(&task->keeper->directory.domains, &at, &key, &value);)
        if (about.len == 0 || slice_equal_nocase(about, key))
            offer(page, key, value);
    struct domain_row *rows = arena_take_rows(&task->arena, page_rows(page), sizeof *rows);
    for (uint32_t i = 0; rows && i < page_rows(page); i++) {
        const struct domain *domain = page->items[i].value;
        rows[i] = (struct domain_row){ copied(page, domain->name), domain->accounts };
    }
    task->answer.domain_list =
        (struct answer_domain_list){ .rows = { rows, page_rows(page) }, .more = page->count > LIST_PAGE };
    task_answer(task, rows && !page->failed ? STATUS_OK : STATUS_TOO_BIG);
}

/* ---- leases ------------------------------------------------------------------------------------------------------ */

/* Why some have none: for all, or for the address that is asked about. */
static bool add_shared(struct task *task, struct slice about)
{
    struct keeper *keeper = task->keeper;
    struct shared_row *rows = arena_take_rows(&task->arena, LIST_PAGE, sizeof *rows);
    struct ip peer, network;
    bool is_ip = ip_parse(about, &peer) == STATUS_OK;
    uint32_t count = 0, accounts;
    if (!rows || (about.len > 0 && !is_ip))
        return rows != NULL;
    for (size_t at = 0; count < LIST_PAGE && lease_each_crowd(&keeper->leases, &at, keeper_now(keeper), &network, &accounts);)
        if (accounts > keeper->settings->lease_shared_accounts && (!is_ip || ip_equal(network, ip_place(peer))))
            rows[count++] = (struct shared_row){ network, accounts };
    task->answer.lease_list.shared = (struct rows){ rows, count };
    return true;
}

static bool is_about(const struct keeper *keeper, const struct lease *lease, struct slice about)
{
    struct ip peer;
    const struct account *account = directory_account(&keeper->directory, lease->account);
    if (about.len == 0)
        return true;
    if (ip_parse(about, &peer) == STATUS_OK)
        return ip_equal(peer, lease->peer);
    return account && slice_equal_nocase(about, account->address);
}

static void fill_lease(
    struct page *page, const struct keeper *keeper, const struct lease *lease, msec now, struct lease_row *row)
{
    const struct account *account = directory_account(&keeper->directory, lease->account);
    const struct device *device = directory_device(&keeper->directory, lease->device);
    *row = (struct lease_row){ .protocol = lease->protocol == PROTOCOL_IMAP ? S("imap") : S("pop3"),
        .peer = lease->peer,
        .id = lease->id,
        .seconds_left = (uint32_t)((lease->until - now) / 1000),
        .messages_left = lease_messages_left(lease),
        .recipients_left = lease_recipients_left(lease),
        .office = copied(page, lease_office(keeper->settings, lease->peer)) };
    if (account)
        row->address = copied(page, account->address);
    if (device)
        row->device = copied(page, device->name);
}

void serve_lease_list(struct task *task)
{
    struct keeper *keeper = task->keeper;
    struct page *page = page_new(task);
    struct slice about = slice_trim(task->ask.list.about), key;
    uint64_t after = 0;
    msec now = keeper_now(keeper);
    void *value;
    /* Ids are numbers: compared in a form whose order of octets is theirs. */
    unsigned char after_key[4] = { 0 };
    if (task->ask.list.after.len > 0 && slice_number(task->ask.list.after, UINT32_MAX, &after) == STATUS_OK) {
        for (int i = 0; i < 4; i++)
            after_key[i] = (unsigned char)(after >> (24 - 8 * i));
        page->after = (struct slice){ (const char *)after_key, 4 };
    } else {
        page->after = NO_SLICE;
    }
    for (size_t at = 0; map_each(&keeper->leases.by_id, &at, &key, &value);) {
        const struct lease *lease = value;
        unsigned char id[4];
        for (int i = 0; i < 4; i++)
            id[i] = (unsigned char)(lease->id >> (24 - 8 * i));
        if (lease->until > now && is_about(keeper, lease, about))
            offer(page, (struct slice){ (const char *)id, 4 }, lease);
    }
    struct lease_row *rows = arena_take_rows(&task->arena, page_rows(page), sizeof *rows);
    for (uint32_t i = 0; rows && i < page_rows(page); i++)
        fill_lease(page, keeper, page->items[i].value, now, &rows[i]);
    task->answer.lease_list =
        (struct answer_lease_list){ .rows = { rows, page_rows(page) }, .more = page->count > LIST_PAGE };
    bool fine = rows && !page->failed && (page->after.len > 0 || add_shared(task, about));
    task_answer(task, fine ? STATUS_OK : STATUS_TOO_BIG);
}
