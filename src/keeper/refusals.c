#include "keeper/refusals.h"

#include <string.h>

#include "keeper/impl.h"
#include "proto/refusal.h"
#include "proto/smtp/smtp_reply.h"

struct entry {
    struct list node; /* refusals.aged */
    struct slice key;
    enum refusals_part part;
    struct ip peer;
    wall when;
    uint32_t code, account, count;
    uint8_t protocol;
    struct slice name, session, detail;
};

static const uint32_t most[REFUSALS_PARTS] = {
    [REFUSALS_OF_ACCOUNTS] = LIMIT_REFUSALS,
    [REFUSALS_TOLD] = LIMIT_REFUSALS_TOLD,
    [REFUSALS_OF_STRANGERS] = LIMIT_REFUSALS_STRANGERS,
};

/* ---- rows ----------------------------------------------------------------------------------------------------------- */

void refusals_init(struct refusals *refusals)
{
    for (size_t i = 0; i < REFUSALS_PARTS; i++)
        list_init(&refusals->aged[i]);
}

static void replace_text(struct slice *text, struct slice fresh)
{
    if (slice_equal(*text, fresh))
        return;
    release((void *)(uintptr_t)text->ptr);
    *text = NO_SLICE;
    if (fresh.len == 0)
        return;
    char *copy = alloc(fresh.len);
    memcpy(copy, fresh.ptr, fresh.len);
    *text = (struct slice){ copy, fresh.len };
}

static void drop(struct refusals *refusals, struct entry *entry)
{
    map_take(&refusals->entries, entry->key);
    list_remove(&entry->node);
    refusals->counts[entry->part]--;
    replace_text(&entry->key, NO_SLICE);
    replace_text(&entry->name, NO_SLICE);
    replace_text(&entry->session, NO_SLICE);
    replace_text(&entry->detail, NO_SLICE);
    release(entry);
}

static struct entry *oldest(const struct refusals *refusals, size_t part)
{
    struct list *node = refusals->aged[part].next;
    return node == &refusals->aged[part] ? NULL : list_element(node, struct entry, node);
}

void refusals_done(struct refusals *refusals)
{
    for (size_t part = 0; part < REFUSALS_PARTS; part++)
        for (struct entry *entry; refusals->aged[part].next && (entry = oldest(refusals, part));)
            drop(refusals, entry);
    map_done(&refusals->entries);
}

void refusals_forget(struct refusals *refusals, wall now)
{
    for (size_t part = 0; part < REFUSALS_PARTS; part++)
        for (struct entry *entry; (entry = oldest(refusals, part)) && entry->when + LIMIT_REFUSAL_AGE < now;)
            drop(refusals, entry);
}

/* ---- what is one row ------------------------------------------------------------------------------------------------ */

struct key {
    uint32_t part, code, protocol, account, slot;
    struct ip place;
    char name[LIMIT_ADDRESS];
};

/* FNV-1a: which of its rows an account's place has. */
static uint32_t slot_of(struct ip place)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < sizeof place.octets; i++)
        hash = (hash ^ place.octets[i]) * 16777619u;
    return hash % REFUSAL_PLACES;
}

static struct slice key_of(struct key *key, const struct refused *refused, enum refusals_part part)
{
    memset(key, 0, sizeof *key);
    struct ip place = ip_place(refused->peer);
    key->part = part;
    key->code = refused->code;
    key->protocol = refused->protocol;
    if (refused->account) {
        key->account = refused->account;
        key->slot = slot_of(place);
        return (struct slice){ (const char *)key, offsetof(struct key, place) };
    }
    key->place = place;
    for (size_t i = 0; i < refused->name.len; i++)
        key->name[i] = octet_lower(refused->name.ptr[i]);
    return (struct slice){ (const char *)key, offsetof(struct key, name) + refused->name.len };
}

static struct slice clean(struct slice text, size_t most_octets)
{
    return text.len <= most_octets && slice_is_utf8(text) && !slice_has_control(text) ? text : NO_SLICE;
}

static struct entry *entry_get(struct refusals *refusals, const struct refused *refused, enum refusals_part part)
{
    struct key room;
    struct slice key = key_of(&room, refused, part);
    struct entry *entry = map_find(&refusals->entries, key);
    if (entry) {
        list_remove(&entry->node);
    } else {
        if (refusals->counts[part] >= most[part]) {
            struct entry *first = oldest(refusals, part);
            must(first);
            drop(refusals, first);
        }
        entry = alloc(sizeof *entry);
        entry->part = part;
        replace_text(&entry->key, key);
        map_put(&refusals->entries, entry->key, entry);
        refusals->counts[part]++;
    }
    list_append(&refusals->aged[part], &entry->node);
    return entry;
}

void refusals_note(struct refusals *refusals, const struct refused *refused, wall now)
{
    struct refused sound = *refused;
    sound.name = clean(refused->name, LIMIT_ADDRESS);
    struct entry *entry = entry_get(refusals, &sound,
        !sound.account ? REFUSALS_OF_STRANGERS
        : sound.told   ? REFUSALS_TOLD
                       : REFUSALS_OF_ACCOUNTS);
    if (entry->count > 0 && !ip_equal(ip_place(entry->peer), ip_place(sound.peer)))
        entry->count = 0; /* another place of the account came into this row */
    entry->count++;
    entry->peer = sound.peer;
    entry->when = now;
    entry->code = sound.code;
    entry->account = sound.account;
    entry->protocol = sound.protocol;
    replace_text(&entry->name, sound.name);
    replace_text(&entry->session, clean(sound.session, SESSION_NAME));
    replace_text(&entry->detail, clean(sound.detail, LIMIT_ADDRESS));
}

/* ---- looking -------------------------------------------------------------------------------------------------------- */

static bool is_of(const struct entry *entry, const struct refusals_query *query)
{
    for (size_t i = 0; i < query->account_count; i++)
        if (entry->account == query->accounts[i])
            return true;
    return query->name.len > 0 && (slice_equal_nocase(entry->name, query->name) || slice_equal_nocase(entry->detail, query->name));
}

static bool fits(const struct entry *entry, const struct refusals_query *query)
{
    if (query->code && entry->code != query->code)
        return false;
    if (query->by_peer)
        return ip_equal(ip_place(entry->peer), ip_place(query->peer));
    return query->name.len == 0 || is_of(entry, query);
}

static enum status put_row(struct why_row *row, const struct entry *entry, struct arena *arena)
{
    *row = (struct why_row){ .peer = entry->peer, .when = entry->when, .code = entry->code, .count = entry->count,
        .protocol = entry->protocol };
    TRY(arena_copy(arena, entry->name, &row->name));
    TRY(arena_copy(arena, entry->session, &row->session));
    return arena_copy(arena, entry->detail, &row->detail);
}

/* The latest that is left in any part; NULL: none. */
static const struct entry *take_latest(const struct refusals *refusals, const struct list *at[REFUSALS_PARTS])
{
    const struct entry *latest = NULL;
    for (size_t part = 0; part < REFUSALS_PARTS; part++) {
        const struct entry *entry =
            at[part] == &refusals->aged[part] ? NULL : list_element(at[part], const struct entry, node);
        if (entry && (!latest || entry->when > latest->when))
            latest = entry;
    }
    if (latest)
        at[latest->part] = at[latest->part]->prev;
    return latest;
}

enum status refusals_find(const struct refusals *refusals, const struct refusals_query *query, uint32_t most_rows,
    struct arena *arena, struct rows *out_rows)
{
    const struct list *at[REFUSALS_PARTS];
    struct why_row *rows = arena_take_rows(arena, most_rows, sizeof *rows);
    uint32_t count = 0;
    if (!rows)
        return STATUS_TOO_BIG;
    for (size_t part = 0; part < REFUSALS_PARTS; part++)
        at[part] = refusals->aged[part].prev;
    for (const struct entry *entry; count < most_rows && (entry = take_latest(refusals, at));)
        if (fits(entry, query))
            TRY(put_row(&rows[count++], entry, arena));
    *out_rows = (struct rows){ rows, count };
    return STATUS_OK;
}

/* ---- the keeper's own ----------------------------------------------------------------------------------------------- */

/* Without TLS the gate says that instead, and tells us so (ASK_REFUSED). */
static bool is_without_tls(const struct keeper *keeper, const struct transaction *t)
{
    return !t->encrypted && !networks_have(keeper->settings->auth_plaintext_networks, t->peer) &&
           !networks_have(keeper->settings->legacy_networks, t->peer);
}

void refusals_of_mail(struct task *task, const struct binding *binding, const struct account *account, uint8_t verdict,
    struct slice about)
{
    struct keeper *keeper = task->keeper;
    const struct transaction *t = &binding->transaction;
    struct slice sender = slice_of(t->sender);
    if (verdict == MAIL_PROVE_YOURSELF && is_without_tls(keeper, t))
        return;
    if (verdict == MAIL_PROVE_YOURSELF && about.len == 0)
        about = binding->auth_failed ? S("failed-login") : S("no-lease");
    struct slice name = account ? account->address : sender;
    if (!account)
        account = directory_login(&keeper->directory, sender);
    struct refused refused = { .name = name, .session = slice_of(binding->name), .detail = about, .peer = t->peer,
        .code = smtp_replies[smtp_reply_of_verdict(verdict)].refusal, .account = account ? account->id : 0,
        .protocol = PROTOCOL_SMTP };
    refusals_note(&keeper->refusals, &refused, clock_wall());
}

/* ---- asks ----------------------------------------------------------------------------------------------------------- */

/* A gate that an intruder owns, or a flood at its door, is heard so often a second and no more. */
static bool may_tell(struct client *client, msec now)
{
    if (now - client->told_since >= SECONDS(1)) {
        client->told_since = now;
        client->told = 0;
    }
    return client->told++ < LIMIT_TOLD_RATE;
}

void serve_refused(struct task *task)
{
    struct keeper *keeper = task->keeper;
    const struct ask_refused *ask = &task->ask.refused;
    if (refusal_find(ask->code) && may_tell(task->client, keeper_now(keeper))) {
        struct slice name = clean(ask->name, LIMIT_ADDRESS);
        const struct account *account = name.len > 0 ? directory_login(&keeper->directory, name) : NULL;
        struct refused refused = { .name = name, .session = ask->session, .peer = ask->peer, .code = ask->code,
            .account = account ? account->id : 0, .protocol = ask->protocol, .told = true };
        refusals_note(&keeper->refusals, &refused, clock_wall());
        if (account && ask->code == REFUSAL_NEEDS_TLS)
            notice_cleartext(keeper, name, ask->peer, ask->protocol, ask->code);
    }
    task_drop(task);
}

/* A login name, an address, or an alias: the accounts that get its mail. */
static enum status find_accounts(struct task *task, struct slice name, struct refusals_query *query)
{
    const struct directory *d = &task->keeper->directory;
    const struct account *account = directory_login(d, name);
    struct resolution found = { 0 };
    if (!account && directory_resolve(d, name, &task->arena, &found) != STATUS_OK)
        found.targets = NULL; /* no address: then it is only what somebody typed */
    uint32_t *ids = arena_take_rows(&task->arena, found.count + 1, sizeof *ids);
    if (!ids)
        return STATUS_TOO_BIG;
    query->accounts = ids;
    if (account)
        ids[query->account_count++] = account->id;
    for (const struct target *target = found.targets; target; target = target->next)
        if (target->account)
            ids[query->account_count++] = target->account;
    return STATUS_OK;
}

void serve_why(struct task *task)
{
    struct slice about = slice_trim(task->ask.why.about);
    struct refusals_query query = { .code = task->ask.why.code };
    enum status status = STATUS_OK;
    query.by_peer = ip_parse(about, &query.peer) == STATUS_OK;
    if (!query.by_peer && about.len > 0) {
        query.name = about;
        status = find_accounts(task, about, &query);
    }
    if (status == STATUS_OK)
        status = refusals_find(&task->keeper->refusals, &query, LIST_PAGE, &task->arena, &task->answer.why.rows);
    task_answer(task, status);
}
