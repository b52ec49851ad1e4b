#include "proto/lease.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/must.h"

/* Who logged in from a network: one IPv4 address, or an IPv6 /64. */
struct crowd {
    struct ip network;
    struct list places;
    struct list seen; /* struct seen, the latest first */
};

/* An address at which there are leases. */
struct place {
    struct list node; /* of its crowd */
    struct crowd *crowd;
    struct ip peer;
    struct list leases;
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

/* ---- places ------------------------------------------------------------------------------------------------------ */

static struct place *place_find(const struct leases *leases, struct ip peer)
{
    return map_find(&leases->places, map_key(peer));
}

static struct crowd *crowd_find(const struct leases *leases, struct ip peer)
{
    struct ip network = ip_place(peer);
    return map_find(&leases->crowds, map_key(network));
}

static struct crowd *crowd_get(struct leases *leases, struct ip peer)
{
    struct crowd *crowd = crowd_find(leases, peer);
    if (crowd || leases->crowds.count >= LIMIT_LEASE_PLACES)
        return crowd;
    crowd = alloc(sizeof *crowd);
    crowd->network = ip_place(peer);
    list_init(&crowd->places);
    list_init(&crowd->seen);
    map_put(&leases->crowds, map_key(crowd->network), crowd);
    return crowd;
}

/* NULL: there are too many. */
static struct place *place_get(struct leases *leases, struct ip peer)
{
    struct place *place = place_find(leases, peer);
    struct crowd *crowd = place ? place->crowd : crowd_get(leases, peer);
    if (place || !crowd || leases->places.count >= LIMIT_LEASE_PLACES)
        return place;
    place = alloc(sizeof *place);
    place->crowd = crowd;
    place->peer = peer;
    list_init(&place->leases);
    list_append(&crowd->places, &place->node);
    map_put(&leases->places, map_key(peer), place);
    return place;
}

static void forget_seen(struct crowd *crowd, msec now)
{
    for (struct list *node = crowd->seen.prev, *before; node != &crowd->seen; node = before) {
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
static uint32_t note_seen(struct crowd *crowd, uint32_t account, uint32_t most, msec now)
{
    struct seen *found = NULL, *last = NULL;
    uint32_t others = 0;
    forget_seen(crowd, now);
    for (struct list *node = crowd->seen.next; node != &crowd->seen; node = node->next) {
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
    list_append(crowd->seen.next, &found->node);
    return others;
}

static uint32_t crowd_size(const struct crowd *crowd, msec now)
{
    uint32_t count = 0;
    for (const struct list *node = crowd->seen.next; node != &crowd->seen; node = node->next)
        count += now - list_element(node, struct seen, node)->when <= LIMIT_SHARED_AGE;
    return count;
}

uint32_t lease_crowd(const struct leases *leases, struct ip peer, msec now)
{
    const struct crowd *crowd = crowd_find(leases, peer);
    return crowd ? crowd_size(crowd, now) : 0;
}

bool lease_each_crowd(const struct leases *leases, size_t *at, msec now, struct ip *out_network, uint32_t *out_accounts)
{
    struct slice key;
    void *value;
    if (!map_each(&leases->crowds, at, &key, &value))
        return false;
    *out_network = ((const struct crowd *)value)->network;
    *out_accounts = crowd_size(value, now);
    return true;
}

static void crowd_drop_if_empty(struct leases *leases, struct crowd *crowd)
{
    if (!list_is_empty(&crowd->places) || !list_is_empty(&crowd->seen))
        return;
    map_take(&leases->crowds, map_key(crowd->network));
    release(crowd);
}

static void place_drop_if_empty(struct leases *leases, struct place *place)
{
    struct crowd *crowd = place->crowd;
    if (!list_is_empty(&place->leases))
        return;
    map_take(&leases->places, map_key(place->peer));
    list_remove(&place->node);
    release(place);
    crowd_drop_if_empty(leases, crowd);
}

/* ---- ending ------------------------------------------------------------------------------------------------------ */

static struct lease_key key_of(uint32_t account, struct ip peer)
{
    struct lease_key key;
    memset(&key, 0, sizeof key);
    key.account = account;
    key.peer = peer;
    return key;
}

/* The leases of an account. */
struct tally {
    uint32_t count;
    struct list leases;
};

static uint32_t tally_of(const struct leases *leases, uint32_t account)
{
    const struct tally *tally = map_find(&leases->by_account, map_key(account));
    return tally ? tally->count : 0;
}

static void count_up(struct leases *leases, struct lease *lease)
{
    struct tally *tally = map_find(&leases->by_account, map_key(lease->account));
    if (!tally) {
        tally = alloc(sizeof *tally);
        list_init(&tally->leases);
        map_put(&leases->by_account, map_key(lease->account), tally);
    }
    list_append(&tally->leases, &lease->sibling);
    tally->count++;
    leases->count++;
}

static void count_down(struct leases *leases, struct lease *lease)
{
    struct tally *tally = map_find(&leases->by_account, map_key(lease->account));
    must(tally && tally->count > 0 && leases->count > 0);
    list_remove(&lease->sibling);
    if (--tally->count == 0)
        release(map_take(&leases->by_account, map_key(lease->account)));
    leases->count--;
}

/* Whatever is reserved of it is void from now on: its id is never given again. */
static void end(struct leases *leases, struct lease *lease, enum lease_end why)
{
    struct lease_key key = key_of(lease->account, lease->peer);
    map_take(&leases->by_id, map_key(lease->id));
    map_take(&leases->by_key, map_key(key));
    list_remove(&lease->node);
    count_down(leases, lease);
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
        place_drop_if_empty(leases, place);
    }
    for (size_t at = 0; map_each(&leases->crowds, &at, &key, &value);) {
        forget_seen(value, now);
        crowd_drop_if_empty(leases, value);
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
        release(place);
    }
    for (size_t at = 0; map_each(&leases->crowds, &at, &key, &value);) {
        struct crowd *crowd = value;
        struct list *node;
        while ((node = list_take(&crowd->seen)))
            release(list_element(node, struct seen, node));
        release(crowd);
    }
    map_done(&leases->places);
    map_done(&leases->crowds);
    map_done(&leases->by_id);
    map_done(&leases->by_key);
    map_done(&leases->by_account);
    *leases = (struct leases){ 0 };
}

/* ---- granting ---------------------------------------------------------------------------------------------------- */

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
    count_up(leases, lease);
    return lease;
}

/* Nobody in that network has a lease any more, but for offices that lie within. */
static void end_crowd(struct leases *leases, struct crowd *crowd, const struct settings *settings, msec now)
{
    for (struct list *node = crowd->places.next, *next; node != &crowd->places; node = next) {
        next = node->next;
        struct place *place = list_element(node, struct place, node);
        if (networks_have(settings->lease_office_networks, place->peer))
            continue;
        end_at(leases, place, 0, 0, LEASE_SHARED, now);
        place_drop_if_empty(leases, place); /* the crowd stays: somebody was just seen */
    }
}

/* C095, C097: too many people behind one address, and so for as long as such logins go on.  An office is not counted. */
static bool is_shared(struct leases *leases, struct place *place, uint32_t account, const struct settings *settings, msec now)
{
    if (networks_have(settings->lease_office_networks, place->peer))
        return false;
    uint32_t others = note_seen(place->crowd, account, settings->lease_shared_accounts, now);
    if (others < settings->lease_shared_accounts)
        return false;
    end_crowd(leases, place->crowd, settings, now);
    return true;
}

enum lease_grant lease_grant(struct leases *leases, const struct lease_wish *wish, const struct settings *settings,
    msec now, const struct lease **out_lease)
{
    struct place *place = place_get(leases, wish->peer);
    if (!place)
        return LEASE_REFUSED_FULL;
    if (is_shared(leases, place, wish->account, settings, now)) /* then the place is gone */
        return LEASE_REFUSED_SHARED;
    struct lease_key key = key_of(wish->account, wish->peer);
    struct lease *lease = map_find(&leases->by_key, map_key(key));
    if (lease && is_over(lease, now)) {
        end(leases, lease, LEASE_EXPIRED);
        lease = NULL;
    }
    enum lease_grant grant = lease ? LEASE_RENEWED : LEASE_OPENED;
    if (!lease && (leases->count >= LIMIT_LEASES || tally_of(leases, wish->account) >= LIMIT_LEASES_ACCOUNT)) {
        place_drop_if_empty(leases, place);
        return LEASE_REFUSED_FULL;
    }
    if (!lease)
        lease = open_lease(leases, place, wish, settings, now);
    lease->device = wish->device;
    lease->protocol = wish->protocol;
    lease->internal_only = wish->internal_only;
    lease->until = least(now + settings->lease_window, lease->cap); /* C098 */
    if (wish->most)
        lease->until = least(lease->until, now + wish->most);
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

/* ---- using ------------------------------------------------------------------------------------------------------- */

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

const struct lease *lease_of(const struct leases *leases, uint32_t account, const struct lease *after, msec now)
{
    const struct tally *tally = map_find(&leases->by_account, map_key(account));
    for (const struct list *node = !tally ? NULL : after ? after->sibling.next : tally->leases.next;
         tally && node != &tally->leases; node = node->next) {
        const struct lease *lease = list_element(node, struct lease, sibling);
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
