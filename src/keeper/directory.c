#include "keeper/directory.h"

#include <string.h>

#include "base/alloc.h"

static struct slice copy_text(struct slice text)
{
    char *copy = alloc(text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    return (struct slice){ copy, text.len };
}

static void drop_text(struct slice *text)
{
    release((void *)(uintptr_t)text->ptr);
    *text = NO_SLICE;
}

static struct slice domain_of(struct slice key)
{
    return slice_from(key, slice_find_last(key, '@') + 1);
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

struct account *directory_account(const struct directory *d, uint32_t id)
{
    return map_find(&d->by_id, map_key(id));
}
struct account *directory_find(const struct directory *d, struct slice key)
{
    return map_find(&d->by_address, key);
}
struct device *directory_device(const struct directory *d, uint32_t id)
{
    return map_find(&d->devices, map_key(id));
}
struct device *directory_key(const struct directory *d, struct slice key)
{
    return map_find(&d->keys, key);
}
struct domain *directory_domain(const struct directory *d, struct slice name)
{
    return map_find(&d->domains, name);
}
struct alias *directory_alias(const struct directory *d, struct slice key)
{
    return map_find(&d->aliases, key);
}

struct device *directory_find_device(const struct account *account, struct slice name)
{
    for (struct list *node = account->devices.next; node != &account->devices; node = node->next) {
        struct device *device = list_element(node, struct device, node);
        if (slice_equal(device->name, name))
            return device;
    }
    return NULL;
}

uint32_t directory_mechanisms(const struct directory *d)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < MECHANISM_COUNT; i++)
        if (d->device_mechanisms[i] > 0)
            set |= 1u << i;
    return set;
}

uint32_t directory_most_devices(const struct directory *d)
{
    uint32_t most = LIMIT_CREDENTIALS;
    while (most > 0 && d->holders[most] == 0)
        most--;
    return most;
}

struct account *directory_oldest(const struct directory *d, struct slice domain)
{
    struct account *oldest = NULL, *oldest_there = NULL;
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(&d->by_id, &at, &key, &value);) {
        struct account *account = value;
        if (!account->enabled)
            continue;
        if (!oldest || account->id < oldest->id)
            oldest = account;
        if (slice_equal(domain_of(account->address), domain) && (!oldest_there || account->id < oldest_there->id))
            oldest_there = account;
    }
    return oldest_there ? oldest_there : oldest;
}

struct slice directory_default_domain(const struct directory *d)
{
    return d->first ? d->first->name : NO_SLICE;
}

/* ---- accounts ---------------------------------------------------------------------------------------------------- */

static void count_keys(struct directory *d, const struct account *account, uint32_t by)
{
    struct scram_verifier verifier;
    if (scram_unpack(account->scram, &verifier) != STATUS_OK)
        return;
    for (int hash = 0; hash < SCRAM_HASHES; hash++) {
        uint32_t cost = scram_cost_of(verifier.keys[hash].rounds);
        if (cost < SCRAM_COSTS)
            d->scram_counts[hash][cost] += by;
    }
}

static void link_account(struct directory *d, struct account *account)
{
    map_put(&d->by_address, account->address, account);
    map_put(&d->by_id, map_key(account->id), account);
    directory_link_names(d, account);
    struct domain *domain = directory_domain(d, domain_of(account->address));
    if (domain)
        domain->accounts++;
}

/* So that a change of one device costs no walk over all. */
static void count_device(struct directory *d, const struct device *device, uint32_t by)
{
    struct account *account = device->account;
    for (uint32_t i = 0; i < MECHANISM_COUNT; i++)
        if (device->mechanisms >> i & 1u)
            d->device_mechanisms[i] += by;
    d->holders[account->device_count < LIMIT_CREDENTIALS ? account->device_count : LIMIT_CREDENTIALS]--;
    account->device_count += by;
    d->holders[account->device_count < LIMIT_CREDENTIALS ? account->device_count : LIMIT_CREDENTIALS]++;
}

static void drop_device(struct directory *d, struct device *device)
{
    count_device(d, device, -1u);
    map_take(&d->devices, map_key(device->id));
    if (device->key.len > 0)
        map_take(&d->keys, device->key);
    list_remove(&device->node);
    drop_text(&device->name);
    drop_text(&device->sealed);
    drop_text(&device->scram);
    drop_text(&device->key);
    drop_text(&device->from);
    release(device->from_rows);
    release(device);
}

static void drop_account(struct directory *d, struct account *account)
{
    map_take(&d->by_address, account->address);
    map_take(&d->by_id, map_key(account->id));
    directory_unlink_names(d, account);
    struct domain *domain = directory_domain(d, domain_of(account->address));
    if (domain)
        domain->accounts--;
    while (!list_is_empty(&account->devices))
        drop_device(d, list_element(account->devices.next, struct device, node));
    d->holders[0]--;
    drop_text(&account->address);
    drop_text(&account->login);
    drop_text(&account->password);
    count_keys(d, account, -1u);
    drop_text(&account->scram);
    release(account);
}

struct account *directory_put_account(struct directory *d, const struct store_account *row)
{
    struct account *old = directory_account(d, row->id);
    if (old)
        drop_account(d, old);
    struct account *account = alloc(sizeof *account);
    account->id = row->id;
    account->generation = ++d->generation;
    account->address = copy_text(row->address);
    account->login = copy_text(row->login);
    account->password = copy_text(row->password);
    account->scram = copy_text(row->scram);
    count_keys(d, account, 1);
    account->created = row->created;
    account->last_login = row->last_login;
    account->enabled = row->enabled;
    account->pop_before_smtp = row->pop_before_smtp;
    list_init(&account->devices);
    d->holders[0]++;
    link_account(d, account);
    return account;
}

/* Any alias that leads there: a walk over all, since this is rare. */
static const struct alias *alias_to(const struct directory *d, struct slice target)
{
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(&d->aliases, &at, &key, &value);)
        for (const struct alias *alias = value; alias; alias = alias->next)
            if (slice_equal(alias->target, target))
                return alias;
    return NULL;
}

void directory_remove_account(struct directory *d, uint32_t id)
{
    struct account *account = directory_account(d, id);
    const struct alias *alias;
    if (!account)
        return;
    while ((alias = alias_to(d, account->address))) {
        struct slice address = copy_text(alias->address); /* the alias's own goes with it */
        directory_remove_alias(d, address, account->address);
        drop_text(&address);
    }
    drop_account(d, account);
}

void directory_rehash(struct directory *d, uint32_t id, struct slice password, struct slice scram)
{
    struct account *account = directory_account(d, id);
    if (!account)
        return;
    count_keys(d, account, -1u);
    drop_text(&account->password);
    drop_text(&account->scram);
    account->password = copy_text(password);
    account->scram = copy_text(scram);
    count_keys(d, account, 1);
}

void directory_set_password(struct directory *d, uint32_t id, struct slice password, struct slice scram)
{
    struct account *account = directory_account(d, id);
    directory_rehash(d, id, password, scram);
    if (account)
        account->generation = ++d->generation;
}

void directory_set(struct directory *d, uint32_t id, bool enabled, bool pop_before_smtp)
{
    struct account *account = directory_account(d, id);
    if (!account)
        return;
    if (account->enabled != enabled)
        account->generation = ++d->generation;
    account->enabled = enabled;
    account->pop_before_smtp = pop_before_smtp;
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

enum status directory_networks(struct slice text, struct network **out_rows, struct networks *out_networks)
{
    struct network rows[LIMIT_DEVICE_NETWORKS];
    struct slice piece;
    size_t count = 0;
    while (slice_cut(&text, ',', &piece)) {
        if (count == LIMIT_DEVICE_NETWORKS)
            return STATUS_TOO_BIG;
        TRY(network_parse(slice_trim(piece), &rows[count++]));
    }
    *out_rows = count == 0 ? NULL : alloc(count * sizeof *rows);
    if (count > 0)
        memcpy(*out_rows, rows, count * sizeof *rows);
    *out_networks = (struct networks){ *out_rows, count };
    return STATUS_OK;
}

struct device *directory_put_device(struct directory *d, const struct store_device *row)
{
    struct account *account = directory_account(d, row->account);
    if (!account)
        return NULL;
    directory_remove_device(d, row->id);
    struct device *device = alloc(sizeof *device);
    device->id = row->id;
    device->account = account;
    device->name = copy_text(row->name);
    device->sealed = copy_text(row->sealed);
    device->scram = copy_text(row->scram);
    device->key = copy_text(row->key);
    device->from = copy_text(row->from);
    device->created = row->created;
    device->expires = row->expires;
    device->last_used = row->last_used;
    device->mechanisms = row->mechanisms;
    device->rights = row->rights;
    list_append(&account->devices, &device->node);
    count_device(d, device, 1);
    map_put(&d->devices, map_key(device->id), device);
    if (device->key.len > 0)
        map_put(&d->keys, device->key, device);
    /* What cannot be read permits nothing: an empty list would permit all. */
    if (directory_networks(row->from, &device->from_rows, &device->networks) != STATUS_OK)
        device->rights = 0;
    return device;
}

void directory_rehash_device(struct directory *d, uint32_t id, struct slice scram)
{
    struct device *device = directory_device(d, id);
    if (!device)
        return;
    drop_text(&device->scram);
    device->scram = copy_text(scram);
}

void directory_remove_device(struct directory *d, uint32_t id)
{
    struct device *device = directory_device(d, id);
    if (device)
        drop_device(d, device);
}

/* ---- aliases and domains ----------------------------------------------------------------------------------------- */

void directory_put_alias(struct directory *d, const struct store_alias *row)
{
    struct alias *alias = alloc(sizeof *alias);
    alias->address = copy_text(row->address);
    alias->target = copy_text(row->target);
    alias->next = directory_alias(d, row->address);
    map_put(&d->aliases, alias->address, alias);
}

uint32_t directory_remove_alias(struct directory *d, struct slice address, struct slice target)
{
    struct alias *alias = map_take(&d->aliases, address), *kept = NULL, *next;
    uint32_t removed = 0;
    for (; alias; alias = next) {
        next = alias->next;
        if (target.len > 0 && !slice_equal(alias->target, target)) {
            alias->next = kept;
            kept = alias;
            continue;
        }
        drop_text(&alias->address);
        drop_text(&alias->target);
        release(alias);
        removed++;
    }
    if (kept)
        map_put(&d->aliases, address, kept);
    return removed;
}

void directory_put_domain(struct directory *d, struct slice name)
{
    if (directory_domain(d, name))
        return;
    struct domain *domain = alloc(sizeof *domain);
    domain->name = copy_text(name);
    domain->order = ++d->domain_order;
    map_put(&d->domains, domain->name, domain);
    if (!d->first)
        d->first = domain;
}

static struct domain *first_domain(const struct directory *d)
{
    struct domain *first = NULL;
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(&d->domains, &at, &key, &value);) {
        struct domain *domain = value;
        if (!first || domain->order < first->order)
            first = domain;
    }
    return first;
}

void directory_remove_domain(struct directory *d, struct slice name)
{
    struct domain *domain = map_take(&d->domains, name);
    if (!domain)
        return;
    if (d->first == domain)
        d->first = first_domain(d);
    drop_text(&domain->name);
    release(domain);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static enum status load_account(void *context, const struct store_account *row)
{
    directory_put_account(context, row);
    return STATUS_OK;
}

static enum status load_device(void *context, const struct store_device *row)
{
    directory_put_device(context, row);
    return STATUS_OK;
}

static enum status load_alias(void *context, const struct store_alias *row)
{
    directory_put_alias(context, row);
    return STATUS_OK;
}

static enum status load_domain(void *context, const struct store_domain *row)
{
    directory_put_domain(context, row->name);
    return STATUS_OK;
}

enum status directory_load(struct directory *d, struct store *store)
{
    TRY(store->verbs->each_domain(store, load_domain, d));
    TRY(store->verbs->each_account(store, 0, load_account, d));
    TRY(store->verbs->each_device(store, 0, load_device, d));
    return store->verbs->each_alias(store, load_alias, d);
}

void directory_done(struct directory *d)
{
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(&d->by_id, &at, &key, &value);)
        drop_account(d, value);
    for (size_t at = 0; map_each(&d->aliases, &at, &key, &value);) {
        for (struct alias *alias = value, *next; alias; alias = next) {
            next = alias->next;
            drop_text(&alias->address);
            drop_text(&alias->target);
            release(alias);
        }
    }
    for (size_t at = 0; map_each(&d->domains, &at, &key, &value);) {
        drop_text(&((struct domain *)value)->name);
        release(value);
    }
    struct map *maps[] = { &d->by_address, &d->by_login, &d->by_local, &d->by_folded, &d->by_id, &d->devices, &d->keys,
        &d->aliases, &d->domains };
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        map_done(maps[i]);
    *d = (struct directory){ 0 };
}
