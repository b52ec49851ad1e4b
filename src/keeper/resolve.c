/* resolve.c - what becomes of a recipient: account, user+tag, aliases, catch-all, postmaster. */
#include <string.h>

#include "base/limits.h"
#include "keeper/directory.h"
#include "mail/address.h"

struct walk {
    const struct directory *d;
    struct arena *arena;
    struct resolution *out;
    struct target **last;
    struct map visited; /* aliases that were expanded: each once */
    bool fallback;      /* postmaster and abuse go to the oldest account if nobody else takes them */
    bool out_of_room, circle;
};

static bool has_target(const struct resolution *r, uint32_t account, struct slice remote)
{
    for (const struct target *t = r->targets; t; t = t->next)
        if (t->account == account && (account || slice_equal(t->remote, remote)))
            return true;
    return false;
}

static void add_target(struct walk *w, uint32_t account, struct slice remote)
{
    if (has_target(w->out, account, remote))
        return;
    if (w->out->count == LIMIT_ALIAS_TARGETS) {
        w->out->endless = true;
        return;
    }
    struct target *target = arena_take(w->arena, sizeof *target);
    if (!target) {
        w->out_of_room = true;
        return;
    }
    *target = (struct target){ .account = account, .remote = remote };
    *w->last = target;
    w->last = &target->next;
    w->out->count++;
}

static void add_account(struct walk *w, const struct account *account)
{
    if (account->enabled)
        add_target(w, account->id, NO_SLICE);
    else
        w->out->disabled = true;
}

static bool walk_key(struct walk *w, struct slice key, unsigned depth);

static bool expand(struct walk *w, const struct alias *alias, unsigned depth)
{
    if (depth == LIMIT_ALIAS_DEPTH) {
        w->out->endless = true;
        return true;
    }
    if (map_find(&w->visited, alias->address)) {
        w->circle = true;
        return true;
    }
    map_put(&w->visited, alias->address, w);
    for (; alias && !w->out->endless && !w->out_of_room; alias = alias->next) {
        struct slice domain = slice_from(alias->target, slice_find_last(alias->target, '@') + 1);
        if (directory_domain(w->d, domain))
            (void)walk_key(w, alias->target, depth + 1); /* a target that is gone gets nothing; the others do */
        else
            add_target(w, 0, alias->target);
    }
    return true;
}

static bool walk_exact(struct walk *w, struct slice key, unsigned depth)
{
    const struct alias *alias = directory_alias(w->d, key);
    if (alias)
        return expand(w, alias, depth);
    const struct account *account = directory_find(w->d, key);
    if (account)
        add_account(w, account);
    return account != NULL;
}

/* RFC 5233: user+tag@domain is user@domain. */
static bool walk_untagged(struct walk *w, struct slice key, size_t at, unsigned depth)
{
    size_t plus = slice_find(slice_upto(key, at), '+');
    if (plus == at || plus == 0)
        return false;
    char room[LIMIT_PATH];
    struct slice domain = slice_from(key, at);
    if (plus + domain.len > sizeof room)
        return false;
    memcpy(room, key.ptr, plus);
    memcpy(room + plus, domain.ptr, domain.len);
    return walk_exact(w, (struct slice){ room, plus + domain.len }, depth);
}

/* RFC 5321 4.5.1, RFC 2142: somebody must read these (C226). */
static bool is_required(struct slice local)
{
    return slice_equal(local, S("postmaster")) || slice_equal(local, S("abuse"));
}

/* Of a domain of ours: false where there is nobody. */
static bool walk_key(struct walk *w, struct slice key, unsigned depth)
{
    size_t at = slice_find_last(key, '@');
    if (walk_exact(w, key, depth) || walk_untagged(w, key, at, depth))
        return true;
    const struct alias *catch_all = directory_alias(w->d, slice_from(key, at));
    if (catch_all)
        return expand(w, catch_all, depth);
    if (!w->fallback || !is_required(slice_upto(key, at)))
        return false;
    const struct account *oldest = directory_oldest(w->d, slice_from(key, at + 1));
    if (oldest)
        add_account(w, oldest);
    return oldest != NULL;
}

/* The key, and whether its domain is ours. */
static enum status read_key(
    const struct directory *d, struct slice text, struct arena *arena, struct slice *out_key, bool *out_ours)
{
    struct address address;
    if (slice_equal_nocase(text, S("postmaster"))) { /* RFC 5321 4.1.1.3: without a domain it is ours */
        address = (struct address){ .local = S("postmaster"), .domain = directory_default_domain(d) };
        *out_ours = true;
        return address_key(&address, arena, out_key);
    }
    TRY(address_parse(text, true, arena, &address));
    *out_ours = directory_domain(d, address.domain) != NULL;
    return address_key(&address, arena, out_key);
}

static enum status resolve(struct walk *w, struct slice text)
{
    struct slice key;
    TRY(read_key(w->d, text, w->arena, &key, &w->out->ours));
    w->last = &w->out->targets;
    if (w->out->ours) {
        (void)walk_key(w, key, 0);
        if (w->out->count == 0 && !w->out->disabled && w->circle) /* round and round, and to nobody */
            w->out->endless = true;
        if (w->out->count > 0)
            w->out->disabled = false;
    } else {
        struct slice copy;
        TRY(arena_copy(w->arena, text, &copy));
        struct slice domain = slice_from(key, slice_find_last(key, '@') + 1);
        w->out->bare = slice_find(domain, '.') == domain.len && !slice_starts(domain, S("["));
        add_target(w, 0, copy);
    }
    map_done(&w->visited);
    return w->out_of_room ? STATUS_TOO_BIG : STATUS_OK;
}

enum status directory_resolve(const struct directory *d, struct slice text, struct arena *arena, struct resolution *out)
{
    *out = (struct resolution){ 0 };
    struct walk walk = { .d = d, .arena = arena, .out = out, .fallback = true };
    return resolve(&walk, text);
}

bool directory_owns(const struct directory *d, const struct account *account, struct slice sender)
{
    struct arena arena = ARENA(1u << 20);
    struct resolution found = { 0 };
    /* Without the fallback: postmaster's mail comes to the oldest account, which may not write as postmaster for that.
     */
    struct walk walk = { .d = d, .arena = &arena, .out = &found };
    bool owns = slice_find_last(sender, '@') < sender.len && resolve(&walk, sender) == STATUS_OK && found.ours &&
                has_target(&found, account->id, NO_SLICE);
    arena_done(&arena);
    return owns;
}

bool directory_has_owner(const struct directory *d, struct slice sender)
{
    struct arena arena = ARENA(1u << 20);
    struct resolution found = { 0 };
    struct walk walk = { .d = d, .arena = &arena, .out = &found };
    bool has = slice_find_last(sender, '@') < sender.len && resolve(&walk, sender) == STATUS_OK && found.ours &&
               found.count > 0;
    arena_done(&arena);
    return has;
}
