#include "keeper/throttle.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"

struct entry {
    msec last;
    uint32_t failures;
};

/* How many different ones there were: counted up to the number at which it is enough. */
struct crowd {
    uint32_t count;
    uint32_t marks[LIMIT_SPRAY_NAMES];
};

/* Names that failed from one network. */
struct source {
    msec last;
    struct crowd names;
};

/* One password, tried under several names: a row of a table in which the newest and least suspicious make room. */
struct spray {
    uint64_t fingerprint; /* 0: free */
    msec first, last;
    struct crowd names;
};
_Static_assert(LIMIT_TOLD_ACCOUNTS <= LIMIT_SPRAY_NAMES, "a crowd holds them");
#define SPRAY_WAYS 8u /* rows in which a fingerprint may stand */

struct key {
    char octets[16 + 1 + 64];
    size_t len;
};

static struct slice counted_of(const struct throttle_try *attempt)
{
    return attempt->counted.len > 0 ? attempt->counted : attempt->name;
}

/* A long name's tail is left out: its owner only shares a counter. */
static struct slice put_name(struct key *key, size_t at, struct slice name)
{
    name = slice_upto(name, 64);
    for (size_t i = 0; i < name.len; i++)
        key->octets[at + i] = octet_lower(name.ptr[i]);
    return (struct slice){ key->octets, at + name.len };
}

/* By what is around an address: one guesser has many of those. */
static struct slice name_key(struct key *key, struct slice name, struct ip peer)
{
    struct ip network = ip_vicinity(peer);
    memcpy(key->octets, network.octets, 16);
    return put_name(key, 16, name);
}

/* The same for a site of IPv6, its /48: some have all the networks in it. */
static struct slice site_key(struct key *key, struct slice name, struct ip peer)
{
    struct ip site = throttle_site(peer);
    memcpy(key->octets, site.octets, 16);
    key->octets[16] = '\1'; /* no name begins like this */
    return put_name(key, 17, name);
}

struct ip throttle_site(struct ip peer)
{
    return ip_is_v4(peer) ? peer : ip_prefix(peer, 48);
}

static struct slice address_key_of(struct key *key, struct ip peer)
{
    struct ip address = ip_place(peer);
    memcpy(key->octets, address.octets, 16);
    key->octets[16] = '\0'; /* no name begins like this */
    return (struct slice){ key->octets, 17 };
}

static struct slice network_key(struct key *key, struct ip peer)
{
    struct ip network = ip_vicinity(peer);
    memcpy(key->octets, network.octets, 16);
    return (struct slice){ key->octets, 16 };
}

static uint32_t mark_of(struct slice name)
{
    uint32_t mark = 2166136261u; /* FNV-1a: who makes two names meet is counted less, and gains nothing else */
    name = slice_upto(name, 64);
    for (size_t i = 0; i < name.len; i++) {
        char octet = octet_lower(name.ptr[i]);
        mark = (mark ^ (uint8_t)octet) * 16777619u;
    }
    return mark;
}

static bool crowd_has(const struct crowd *crowd, uint32_t mark)
{
    for (uint32_t at = 0; at < crowd->count; at++)
        if (crowd->marks[at] == mark)
            return true;
    return false;
}

static void crowd_add(struct crowd *crowd, uint32_t mark)
{
    if (!crowd_has(crowd, mark) && crowd->count < LIMIT_SPRAY_NAMES)
        crowd->marks[crowd->count++] = mark;
}

static bool is_crowded(const struct crowd *crowd)
{
    return crowd->count == LIMIT_SPRAY_NAMES;
}

/* ---- sprayed passwords ------------------------------------------------------------------------------------------- */

static struct spray *ways_of(const struct throttle *throttle, uint64_t fingerprint)
{
    return &throttle->sprays[fingerprint % (LIMIT_SPRAYS / SPRAY_WAYS) * SPRAY_WAYS];
}

static bool is_alive(const struct spray *spray, msec now)
{
    return spray->fingerprint != 0 && now - spray->last <= LIMIT_SPRAY_AGE;
}

static struct spray *find_spray(const struct throttle *throttle, uint64_t fingerprint, msec now)
{
    struct spray *ways = throttle->sprays && fingerprint ? ways_of(throttle, fingerprint) : NULL;
    for (unsigned at = 0; ways && at < SPRAY_WAYS; at++)
        if (ways[at].fingerprint == fingerprint && is_alive(&ways[at], now))
            return &ways[at];
    return NULL;
}

/* A row to be given up: a dead one, else the one with the fewest names, of these the oldest.  So a flood of passwords
 * that are tried once drives out no other. */
static struct spray *weakest(struct throttle *throttle, uint64_t fingerprint, msec now)
{
    struct spray *ways = ways_of(throttle, fingerprint), *weakest = ways;
    for (unsigned at = 0; at < SPRAY_WAYS; at++) {
        if (!is_alive(&ways[at], now))
            return &ways[at];
        if (ways[at].names.count < weakest->names.count ||
            (ways[at].names.count == weakest->names.count && ways[at].last < weakest->last))
            weakest = &ways[at];
    }
    return weakest;
}

static void count_password(struct throttle *throttle, const struct throttle_try *attempt, msec now)
{
    if (attempt->fingerprint == 0)
        return;
    if (!throttle->sprays)
        throttle->sprays = alloc(LIMIT_SPRAYS * sizeof *throttle->sprays);
    struct spray *spray = find_spray(throttle, attempt->fingerprint, now);
    /* Within an hour; what was found to be sprayed stays so while it is tried. */
    if (!spray || (!is_crowded(&spray->names) && now - spray->first > LIMIT_SPRAY_AGE)) {
        spray = spray ? spray : weakest(throttle, attempt->fingerprint, now);
        *spray = (struct spray){ .fingerprint = attempt->fingerprint, .first = now };
    }
    spray->last = now;
    crowd_add(&spray->names, mark_of(attempt->name));
    if (is_crowded(&spray->names))
        throttle->hits++;
}

/* ---- names that nobody has --------------------------------------------------------------------------------------- */

static uint32_t unknown_lately(const struct throttle *throttle, msec now)
{
    uint64_t minute = now / MINUTES(1);
    if (minute == throttle->minute)
        return throttle->unknown > throttle->unknown_before ? throttle->unknown : throttle->unknown_before;
    return minute == throttle->minute + 1 ? throttle->unknown : 0;
}

static void count_unknown(struct throttle *throttle, msec now)
{
    uint64_t minute = now / MINUTES(1);
    if (minute != throttle->minute) {
        throttle->unknown_before = minute == throttle->minute + 1 ? throttle->unknown : 0;
        throttle->unknown = 0;
        throttle->minute = minute;
    }
    if (throttle->unknown < UINT32_MAX)
        throttle->unknown++;
}

/* ---- delays ------------------------------------------------------------------------------------------------------ */

static msec delay_of(const struct entry *entry, uint32_t free, msec now)
{
    if (!entry || entry->failures < free || now - entry->last > LIMIT_FAILURE_AGE)
        return 0;
    uint32_t doublings = entry->failures - free;
    return doublings > 5 ? LIMIT_LONGEST_DELAY : (msec)LIMIT_FIRST_DELAY << doublings;
}

static msec longer(msec a, msec b)
{
    return a > b ? a : b;
}

/* Failures that cannot be counted any more must not be free: so many come from a storm. */
static bool is_full(const struct throttle *throttle)
{
    return throttle->entries.count >= LIMIT_FAILURES_KNOWN || throttle->networks.count >= LIMIT_SOURCES;
}

static msec delay_of_crowds(const struct throttle *throttle, const struct throttle_try *attempt, msec now)
{
    struct key room;
    const struct spray *spray = find_spray(throttle, attempt->fingerprint, now);
    if (spray && is_crowded(&spray->names))
        return LIMIT_LONGEST_DELAY;
    const struct source *source = map_find(&throttle->networks, network_key(&room, attempt->peer));
    if (source && now - source->last <= LIMIT_FAILURE_AGE && is_crowded(&source->names))
        return LIMIT_SPRAY_DELAY;
    return unknown_lately(throttle, now) > LIMIT_UNKNOWN_RATE || is_full(throttle) ? LIMIT_SPRAY_DELAY : 0;
}

msec throttle_delay(const struct throttle *throttle, const struct throttle_try *attempt, msec now)
{
    struct key room;
    const struct entry *own = map_find(&throttle->entries, name_key(&room, counted_of(attempt), attempt->peer));
    msec delay = delay_of(own, LIMIT_FREE_BY_NAME, now);
    if (attempt->is_home)
        return delay;
    const struct entry *all = map_find(&throttle->entries, address_key_of(&room, attempt->peer));
    delay = longer(delay, delay_of(all, LIMIT_FREE_BY_ADDRESS, now));
    if (!ip_is_v4(attempt->peer)) {
        const struct entry *site = map_find(&throttle->entries, site_key(&room, counted_of(attempt), attempt->peer));
        delay = longer(delay, delay_of(site, LIMIT_FREE_BY_ADDRESS, now));
    }
    return longer(delay, delay_of_crowds(throttle, attempt, now));
}

static void count(struct throttle *throttle, struct slice key, msec now)
{
    struct entry *entry = map_find(&throttle->entries, key);
    if (!entry) {
        if (throttle->entries.count >= LIMIT_FAILURES_KNOWN)
            return;
        entry = alloc(sizeof *entry);
        map_put(&throttle->entries, key, entry);
    }
    if (now - entry->last > LIMIT_FAILURE_AGE)
        entry->failures = 0;
    entry->failures++;
    entry->last = now;
}

static void count_name(struct throttle *throttle, const struct throttle_try *attempt, msec now)
{
    struct key room;
    struct slice key = network_key(&room, attempt->peer);
    struct source *source = map_find(&throttle->networks, key);
    if (!source) {
        if (throttle->networks.count >= LIMIT_SOURCES)
            return;
        source = alloc(sizeof *source);
        map_put(&throttle->networks, key, source);
    }
    if (now - source->last > LIMIT_FAILURE_AGE)
        source->names.count = 0;
    source->last = now;
    crowd_add(&source->names, mark_of(attempt->name));
}

bool throttle_may_tell(struct throttle *throttle, struct slice account, struct ip peer, msec now)
{
    struct ip network = ip_prefix(peer, ip_is_v4(peer) ? 120 : 48);
    struct source *source = map_find(&throttle->told, map_key(network));
    if (!source) {
        if (throttle->told.count >= LIMIT_SOURCES)
            return false;
        source = alloc(sizeof *source);
        map_put(&throttle->told, map_key(network), source);
    }
    if (now - source->last > LIMIT_FAILURE_AGE)
        source->names.count = 0;
    source->last = now;
    if (crowd_has(&source->names, mark_of(account)))
        return true;
    if (source->names.count >= LIMIT_TOLD_ACCOUNTS)
        return false;
    crowd_add(&source->names, mark_of(account));
    return true;
}

void throttle_failed(struct throttle *throttle, const struct throttle_try *attempt, msec now)
{
    struct key room;
    count(throttle, name_key(&room, counted_of(attempt), attempt->peer), now);
    count_password(throttle, attempt, now);
    /* A phone with its owner's old password says nothing about the others behind its address. */
    if (attempt->is_home)
        return;
    count(throttle, address_key_of(&room, attempt->peer), now);
    if (!ip_is_v4(attempt->peer))
        count(throttle, site_key(&room, counted_of(attempt), attempt->peer), now);
    count_name(throttle, attempt, now);
    if (attempt->is_nobody)
        count_unknown(throttle, now);
}

void throttle_passed(struct throttle *throttle, const struct throttle_try *attempt)
{
    struct key room;
    release(map_take(&throttle->entries, name_key(&room, counted_of(attempt), attempt->peer)));
}

static void forget_sources(struct map *sources, msec now)
{
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(sources, &at, &key, &value);) {
        if (now - ((struct source *)value)->last <= LIMIT_FAILURE_AGE)
            continue;
        map_take(sources, key);
        release(value);
    }
}

void throttle_forget(struct throttle *throttle, msec now)
{
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(&throttle->entries, &at, &key, &value);) {
        if (now - ((struct entry *)value)->last <= LIMIT_FAILURE_AGE)
            continue;
        map_take(&throttle->entries, key);
        release(value);
    }
    forget_sources(&throttle->networks, now);
    forget_sources(&throttle->told, now);
}

/* ---- news -------------------------------------------------------------------------------------------------------- */

struct throttle_news throttle_report(struct throttle *throttle, msec now)
{
    struct throttle_news news = { .tries = throttle->hits, .unknown = unknown_lately(throttle, now) };
    struct slice key;
    void *value;
    for (size_t at = 0; throttle->sprays && at < LIMIT_SPRAYS; at++)
        news.passwords += is_alive(&throttle->sprays[at], now) && is_crowded(&throttle->sprays[at].names);
    for (size_t at = 0; map_each(&throttle->networks, &at, &key, &value);) {
        const struct source *source = value;
        news.networks += now - source->last <= LIMIT_FAILURE_AGE && is_crowded(&source->names);
    }
    throttle->hits = 0;
    return news;
}

bool throttle_has_news(const struct throttle_news *news)
{
    return news->tries > 0 || news->networks > 0 || news->unknown > LIMIT_UNKNOWN_RATE;
}

void throttle_done(struct throttle *throttle)
{
    struct map *maps[] = { &throttle->entries, &throttle->networks, &throttle->told };
    struct slice key;
    void *value;
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        for (size_t at = 0; map_each(maps[i], &at, &key, &value);)
            release(value);
        map_done(maps[i]);
    }
    release(throttle->sprays);
    *throttle = (struct throttle){ 0 };
}
