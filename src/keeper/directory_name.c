/* directory_name.c - who is meant by a login name (C031). */
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "keeper/directory.h"
#include "mail/address.h"
#include "mail/precis.h"

#define NAME_ARENA 16384u /* octets: a name in its few forms */

static bool is_address(struct slice name)
{
    return slice_find(name, '@') < name.len;
}

static struct slice local_of(struct slice address)
{
    return slice_upto(address, slice_find_last(address, '@'));
}

static enum status lower(struct slice name, struct arena *arena, struct slice *out_lower)
{
    char *copy = arena_take(arena, name.len + 1);
    if (!copy)
        return STATUS_TOO_BIG;
    for (size_t at = 0; at < name.len; at++)
        copy[at] = octet_lower(name.ptr[at]);
    *out_lower = (struct slice){ copy, name.len };
    return STATUS_OK;
}

enum status directory_fold(struct slice name, struct arena *arena, struct slice *out_folded)
{
    if (name.len > LIMIT_PATH)
        return STATUS_TOO_BIG;
    name = slice_trim(name);
    if (precis_name(name, arena, out_folded) == STATUS_OK)
        return STATUS_OK;
    return lower(name, arena, out_folded);
}

static enum status with_domain(const struct directory *d, struct slice name, struct arena *arena, struct slice *out)
{
    struct slice domain = directory_default_domain(d);
    char *text = arena_take(arena, name.len + 1 + domain.len + 1);
    if (!text)
        return STATUS_TOO_BIG;
    if (name.len > 0)
        memcpy(text, name.ptr, name.len);
    text[name.len] = '@';
    if (domain.len > 0)
        memcpy(text + name.len + 1, domain.ptr, domain.len);
    *out = (struct slice){ text, name.len + 1 + domain.len };
    return STATUS_OK;
}

enum status directory_stated(
    const struct directory *d, struct slice name, struct arena *arena, struct slice *out_stated)
{
    TRY(directory_fold(name, arena, out_stated));
    return is_address(*out_stated) ? STATUS_OK : with_domain(d, *out_stated, arena, out_stated);
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

static struct account *only(const struct map *map, struct slice name)
{
    const struct named *named = map_find(map, name);
    return named && !named->next ? named->account : NULL;
}

/* One account has this address, or one that is the same when folded. */
static struct account *at_address(const struct directory *d, struct slice folded)
{
    struct account *account = directory_find(d, folded);
    const struct named *others = map_find(&d->by_folded, folded);
    if (!account)
        return others && !others->next ? others->account : NULL;
    return others ? NULL : account;
}

/* As it was typed: an account is never out of reach because another one looks alike. */
static struct account *at_exact_address(const struct directory *d, struct slice name, struct arena *arena)
{
    struct address address;
    struct slice key;
    if (address_parse(slice_trim(name), true, arena, &address) != STATUS_OK ||
        address_key(&address, arena, &key) != STATUS_OK)
        return NULL;
    return directory_find(d, key);
}

static struct account *find(const struct directory *d, struct slice name, struct arena *arena)
{
    struct slice folded, whole;
    if (directory_fold(name, arena, &folded) != STATUS_OK)
        return NULL;
    if (map_find(&d->by_login, folded))
        return only(&d->by_login, folded);
    if (is_address(folded)) {
        struct account *exact = at_exact_address(d, name, arena);
        return exact ? exact : at_address(d, folded);
    }
    struct account *account = only(&d->by_local, folded);
    if (account || folded.len == 0 || with_domain(d, folded, arena, &whole) != STATUS_OK)
        return account;
    return at_address(d, whole);
}

struct account *directory_login(const struct directory *d, struct slice name)
{
    struct arena arena = ARENA(NAME_ARENA);
    struct account *account = find(d, name, &arena);
    arena_done(&arena);
    return account;
}

static bool has(const struct directory *d, struct slice name, bool locals)
{
    struct arena arena = ARENA(NAME_ARENA);
    struct slice folded;
    bool found = directory_fold(name, &arena, &folded) == STATUS_OK &&
                 (map_find(&d->by_login, folded) || (locals && map_find(&d->by_local, folded)));
    arena_done(&arena);
    return found;
}

bool directory_is_login(const struct directory *d, struct slice name)
{
    return has(d, name, false);
}
bool directory_has_name(const struct directory *d, struct slice name)
{
    return has(d, name, true);
}

/* ---- names that come and go -------------------------------------------------------------------------------------- */

static struct slice kept(struct slice name)
{
    struct arena arena = ARENA(NAME_ARENA);
    struct slice folded = name;
    if (directory_fold(name, &arena, &folded) != STATUS_OK)
        folded = name;
    char *copy = alloc(folded.len + 1);
    if (folded.len > 0)
        memcpy(copy, folded.ptr, folded.len);
    arena_done(&arena);
    return (struct slice){ copy, folded.len };
}

static void link_name(struct map *map, struct slice name, struct named *named, struct account *account)
{
    named->account = account;
    named->next = map_find(map, name);
    map_put(map, name, named);
}

static void unlink_name(struct map *map, struct slice name, struct named *named)
{
    struct named *first = map_find(map, name);
    if (first == named && !named->next)
        map_take(map, name);
    else if (first == named)
        map_put(map, name, named->next);
    while (first && first->next != named)
        first = first->next;
    if (first)
        first->next = named->next;
}

static bool is_odd(const struct account *account)
{
    return !slice_equal(account->folded, account->address);
}

void directory_link_names(struct directory *d, struct account *account)
{
    account->folded = kept(account->address);
    account->folded_login = kept(account->login);
    link_name(&d->by_local, local_of(account->folded), &account->by_local, account);
    if (account->folded_login.len > 0)
        link_name(&d->by_login, account->folded_login, &account->by_login, account);
    if (is_odd(account))
        link_name(&d->by_folded, account->folded, &account->by_folded, account);
}

void directory_unlink_names(struct directory *d, struct account *account)
{
    unlink_name(&d->by_local, local_of(account->folded), &account->by_local);
    if (account->folded_login.len > 0)
        unlink_name(&d->by_login, account->folded_login, &account->by_login);
    if (is_odd(account))
        unlink_name(&d->by_folded, account->folded, &account->by_folded);
    release((void *)(uintptr_t)account->folded.ptr);
    release((void *)(uintptr_t)account->folded_login.ptr);
}
