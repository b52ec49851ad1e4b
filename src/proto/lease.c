#include "proto/lease.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/must.h"

/* An address at which leases were asked for. */
struct place {
    struct ip peer;
    struct list leases;
    struct list seen; /* struct seen, the latest first */
};

struct seen {
    struct list node;
    uint32_t account;
    msec when;
};

struct lease_key {
    uint32_t account;
    struct ip peer;
};

const char *lease_end_name(enum lease_end end)
{
    switch (end) {
    case LEASE_EXPIRED:
        return "expired";
    case LEASE_REVOKED:
        return "revoked";
    case LEASE_CHANGED:
        return "account-changed";
    case LEASE_SHARED:
        return "shared-address";
    case LEASE_FAILURES:
        return "failed-logins";
    }
    return "unknown";
}

const char *lease_refusal(const struct settings *settings, const struct lease_asker *asker)
{
    if (settings->lease_accounts == LEASE_NONE || (asker->imap && !settings->lease_imap))
        return "";
    /* A device has only the rights that it was given, whatever its account may. */
    if (asker->device && !asker->device_may)
        return "";
    if (!asker->flagged && settings->lease_accounts == LEASE_FLAGGED)
        return "";
    if (!asker->flagged && asker->uses_auth)
        return "uses-smtp-auth";
    /* An empty list lifts the rule for our own addresses, too: for tests over loopback. */
    if (settings->lease_never_networks.count == 0)
        return NULL;
    if (networks_have(settings->lease_never_networks, asker->peer) || ip_equal(asker->peer, asker->local))
        return "never-network"; /* C106 */
    return NULL;
}

/* ---- places -------------------------------------------------------------------------------------------------------
 */

static struct place *place_find(const struct leases *leases, struct ip peer)
{
    return map_find(&leases->places, map_key(peer));
}

/* NULL: there are too many. */
static struct place *place_get(struct leases *leases, struct ip peer)
{
    struct place *place = place_find(leases, peer);
    if (place || leases->places.count >= LIMIT_LEASE_PLACES)
        return place;
    place = alloc(sizeof *place);
    place->peer = peer;
    list_init(&place->leases);
    list_init(&place->seen);
    map_put(&leases->places, map_key(peer), place);
    return place;
}

static void forget_seen(struct place *place, msec now)
{
    for (struct list *node = place->seen.prev, *before; node != &place->seen; node = before) {
        before = node->prev;
        struct seen *seen = list_element(node, struct seen, node);
        if (now - seen->when <= LIMIT_SHARED_AGE)
            return;
        list_remove(node);
        release(seen);
    }
}

/* Puts the account in front, and says how many others were there within the hour; more than `most` are not remembered.
 */
static uint32_t note_seen(struct place *place, uint32_t account, uint32_t most, msec now)
{
    struct seen *found = NULL, *last = NULL;
    uint32_t others = 0;
    forget_seen(place, now);
    for (struct list *node = place->seen.next; node != &place->seen; node = node->next) {
        struct seen *seen = list_element(node, struct seen, node);
        if (seen->account == account)
            found = seen;
        else
            others++;
        last = seen;
    }
    if (!found && others > most)
        found = last; /* the oldest makes room: there are more than enough without it */
    if (!found) {
        found = alloc(sizeof *found);
        list_init(&found->node);
    }
    found->account = account;
    found->when = now;
    list_remove(&found->node);
    /* To the front: appended to what is a ring, in front of its first element. */
    list_append(place->seen.next, &found->node);
    return others;
}

static void place_drop_if_empty(struct leases *leases, struct place *place)
{
    if (!list_is_empty(&place->leases) || !list_is_empty(&place->seen))
        return;
    map_take(&leases->places, map_key(place->peer));
    release(place);
}

/* ---- ending -------------------------------------------------------------------------------------------------------
 */

static struct lease_key key_of(uint32_t account, struct ip peer)
{
    struct lease_key key;
    memset(&key, 0, sizeof key);
    key.account = account;
    key.peer = peer;
    return key;
}

/* How many leases an account has. */
struct tally {
    uint32_t count;
};

static uint32_t tally_of(const struct leases *leases, uint32_t account)
{
    const struct tally *tally = map_find(&leases->by_account, map_key(account));
    return tally ? tally->count : 0;
}

static void count_up(struct leases *leases, uint32_t account)
{
    struct tally *tally = map_find(&leases->by_account, map_key(account));
    if (!tally) {
        tally = alloc(sizeof *tally);
        map_put(&leases->by_account, map_key(account), tally);
    }
    tally->count++;
    leases->count++;
}

static void count_down(struct leases *leases, uint32_t account)
{
    struct tally *tally = map_find(&leases->by_account, map_key(account));
    must(tally && tally->count > 0 && leases->count > 0);
    if (--tally->count == 0)
        release(map_take(&leases->by_account, map_key(account)));
    leases->count--;
}

/* Whatever is reserved of it is void from now on: its id is never given again. */
static void end(struct leases *leases, struct lease *lease, enum lease_end why)
{
    struct lease_key key = key_of(lease->account, lease->peer);
    map_take(&leases->by_id, map_key(lease->id));
    map_take(&leases->by_key, map_key(key));
    list_remove(&lease->node);
    count_down(leases, lease->account);
    if (leases->ended)
        leases->ended(leases->context, lease, why);
    release(lease);
}

static bool is_over(const struct lease *lease, msec now)
{
    return now >= lease->until;
}

static uint32_t end_at(
    struct leases *leases, struct place *place, uint32_t account, uint32_t device, enum lease_end why, msec now)
{
    uint32_t ended = 0;
    for (struct list *node = place->leases.next, *next; node != &place->leases; node = next) {
        next = node->next;
        struct lease *lease = list_element(node, struct lease, node);
        if ((account && lease->account != account) || (device && lease->device != device))
            continue;
        bool over = is_over(lease, now);
        ended += !over;
        end(leases, lease, over ? LEASE_EXPIRED : why);
    }
    return ended;
}

uint32_t lease_revoke(
    struct leases *leases, uint32_t account, uint32_t device, const struct ip *peer, enum lease_end why, msec now)
{
    uint32_t ended = 0;
    struct slice key;
    void *value;
    if (peer) {
        struct place *place = place_find(leases, *peer);
        return place ? end_at(leases, place, account, device, why, now) : 0;
    }
    for (size_t at = 0; map_each(&leases->places, &at, &key, &value);)
        ended += end_at(leases, value, account, device, why, now);
    return ended;
}

void lease_expire(struct leases *leases, msec now)
{
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(&leases->places, &at, &key, &value);) {
        struct place *place = value;
        for (struct list *node = place->leases.next, *next; node != &place->leases; node = next) {
            next = node->next;
            struct lease *lease = list_element(node, struct lease, node);
            if (is_over(lease, now))
                end(leases, lease, LEASE_EXPIRED);
        }
        forget_seen(place, now);
        place_drop_if_empty(leases, place);
    }
}

void lease_done(struct leases *leases)
{
    struct slice key;
    void *value;
    leases->ended = NULL;
    for (size_t at = 0; map_each(&leases->places, &at, &key, &value);) {
        struct place *place = value;
        while (!list_is_empty(&place->leases))
            end(leases, list_element(place->leases.next, struct lease, node), LEASE_REVOKED);
        struct list *node;
        while ((node = list_take(&place->seen)))
            release(list_element(node, struct seen, node));
        release(place);
    }
    map_done(&leases->places);
    map_done(&leases->by_id);
    map_done(&leases->by_key);
    map_done(&leases->by_account);
    *leases = (struct leases){ 0 };
}

/* ---- granting -----------------------------------------------------------------------------------------------------
 */

static msec least(msec a, msec b)
{
    return a < b ? a : b;
}

static struct lease *open_lease(struct leases *leases, struct place *place, const struct lease_wish *wish,
    const struct settings *settings, msec now)
{
    struct lease *lease = alloc(sizeof *lease);
    struct lease_key key = key_of(wish->account, wish->peer);
    lease->id = ++leases->last_id;
    lease->account = wish->account;
    lease->peer = wish->peer;
    lease->cap = now + settings->lease_cap;
    map_put(&leases->by_id, map_key(lease->id), lease);
    map_put(&leases->by_key, map_key(key), lease);
    list_append(&place->leases, &lease->node);
    count_up(leases, lease->account);
    return lease;
}

enum lease_grant lease_grant(struct leases *leases, const struct lease_wish *wish, const struct settings *settings,
    msec now, const struct lease **out_lease)
{
    struct place *place = place_get(leases, wish->peer);
    if (!place)
        return LEASE_REFUSED_FULL;
    uint32_t others = note_seen(place, wish->account, settings->lease_shared_accounts, now);
    if (others >= settings->lease_shared_accounts && !networks_have(settings->lease_office_networks, wish->peer)) {
        /* C095, C097: too many people behind one address.  Nobody there has a lease any more, while such logins go on.
         */
        end_at(leases, place, 0, 0, LEASE_SHARED, now);
        return LEASE_REFUSED_SHARED;
    }
    struct lease_key key = key_of(wish->account, wish->peer);
    struct lease *lease = map_find(&leases->by_key, map_key(key));
    if (lease && is_over(lease, now)) {
        end(leases, lease, LEASE_EXPIRED);
        lease = NULL;
    }
    enum lease_grant grant = lease ? LEASE_RENEWED : LEASE_OPENED;
    if (!lease && (leases->count >= LIMIT_LEASES || tally_of(leases, wish->account) >= LIMIT_LEASES_ACCOUNT))
        return LEASE_REFUSED_FULL;
    if (!lease)
        lease = open_lease(leases, place, wish, settings, now);
    lease->device = wish->device;
    lease->protocol = wish->protocol;
    lease->internal_only = wish->internal_only;
    lease->until = least(now + settings->lease_window, lease->cap); /* C098 */
    lease->messages = settings->lease_messages;
    lease->recipients = settings->lease_recipients;
    /* Both counts begin anew; what transactions have under way stays reserved, and so is counted against the new ones.
     */
    lease->messages_used = lease->recipients_used = 0;
    lease->failures = 0;
    *out_lease = lease;
    return grant;
}

void lease_failed(struct leases *leases, uint32_t account, struct ip peer, msec now)
{
    struct lease_key key = key_of(account, peer);
    struct lease *lease = map_find(&leases->by_key, map_key(key));
    if (lease && !is_over(lease, now) && ++lease->failures >= LIMIT_LEASE_FAILURES)
        end(leases, lease, LEASE_FAILURES);
}

/* ---- using --------------------------------------------------------------------------------------------------------
 */

const struct lease *lease_find(const struct leases *leases, uint32_t id, msec now)
{
    const struct lease *lease = map_find(&leases->by_id, map_key(id));
    return lease && !is_over(lease, now) ? lease : NULL;
}

const struct lease *lease_at(const struct leases *leases, struct ip peer, const struct lease *after, msec now)
{
    const struct place *place = place_find(leases, peer);
    if (!place)
        return NULL;
    for (const struct list *node = after ? after->node.next : place->leases.next; node != &place->leases;
         node = node->next) {
        const struct lease *lease = list_element(node, struct lease, node);
        if (!is_over(lease, now))
            return lease;
    }
    return NULL;
}

static uint32_t left(uint32_t granted, uint32_t used, uint32_t reserved)
{
    uint64_t gone = (uint64_t)used + reserved; /* may be more than granted: a renewal under smaller settings */
    return gone >= granted ? 0 : granted - (uint32_t)gone;
}

uint32_t lease_messages_left(const struct lease *lease)
{
    return left(lease->messages, lease->messages_used, lease->messages_reserved);
}

uint32_t lease_recipients_left(const struct lease *lease)
{
    return left(lease->recipients, lease->recipients_used, lease->recipients_reserved);
}

bool lease_reserve(struct leases *leases, struct lease_hold *hold, uint32_t id, uint32_t recipients, msec now)
{
    struct lease *lease = map_find(&leases->by_id, map_key(id));
    if (!lease || is_over(lease, now))
        return false;
    must(hold->lease == 0 || hold->lease == id); /* one transaction, one lease */
    if ((!hold->message && lease_messages_left(lease) == 0) || lease_recipients_left(lease) < recipients)
        return false; /* C109: checked and taken in one step, in one process */
    lease->messages_reserved += !hold->message;
    lease->recipients_reserved += recipients;
    hold->lease = id;
    hold->message = true;
    hold->recipients += recipients;
    return true;
}

/* Takes back what was reserved, if the lease is there still. */
static struct lease *unreserve(struct leases *leases, const struct lease_hold *hold)
{
    struct lease *lease = hold->lease ? map_find(&leases->by_id, map_key(hold->lease)) : NULL;
    if (!lease)
        return NULL;
    must(lease->messages_reserved >= hold->message && lease->recipients_reserved >= hold->recipients);
    lease->messages_reserved -= hold->message;
    lease->recipients_reserved -= hold->recipients;
    return lease;
}

void lease_commit(struct leases *leases, struct lease_hold *hold)
{
    struct lease *lease = unreserve(leases, hold);
    if (lease) {
        lease->messages_used += hold->message;
        lease->recipients_used += hold->recipients;
    }
    *hold = (struct lease_hold){ 0 };
}

void lease_give_back(struct leases *leases, struct lease_hold *hold)
{
    (void)unreserve(leases, hold);
    *hold = (struct lease_hold){ 0 };
}
