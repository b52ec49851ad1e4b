#include "keeper/throttle.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"

struct entry {
    msec last;
    uint32_t failures;
};

struct key {
    char octets[16 + 64];
    size_t len;
};

/* IPv4 by /24, IPv6 by /64: what one guesser has many of. */
static struct ip network_of(struct ip peer)
{
    return ip_prefix(peer, ip_is_v4(peer) ? 120 : 64);
}

/* A long name's tail is left out: its owner only shares a counter. */
static struct slice name_key(struct key *key, struct slice name, struct ip peer)
{
    struct ip network = network_of(peer);
    memcpy(key->octets, network.octets, 16);
    name = slice_upto(name, 64);
    for (size_t i = 0; i < name.len; i++)
        key->octets[16 + i] = name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? (char)(name.ptr[i] | 0x20) : name.ptr[i];
    return (struct slice){ key->octets, 16 + name.len };
}

struct ip throttle_place(struct ip peer)
{
    return ip_is_v4(peer) ? peer : ip_prefix(peer, 64);
}

static struct slice address_key_of(struct key *key, struct ip peer)
{
    struct ip address = throttle_place(peer);
    memcpy(key->octets, address.octets, 16);
    key->octets[16] = '\0'; /* no name begins like this */
    return (struct slice){ key->octets, 17 };
}

static msec delay_of(const struct entry *entry, uint32_t free, msec now)
{
    if (!entry || entry->failures < free || now - entry->last > LIMIT_FAILURE_AGE)
        return 0;
    uint32_t doublings = entry->failures - free;
    return doublings > 5 ? LIMIT_LONGEST_DELAY : (msec)LIMIT_FIRST_DELAY << doublings;
}

msec throttle_delay(const struct throttle *throttle, struct slice name, struct ip peer, msec now)
{
    struct key room;
    msec by_name = delay_of(map_find(&throttle->entries, name_key(&room, name, peer)), LIMIT_FREE_BY_NAME, now);
    msec by_address = delay_of(map_find(&throttle->entries, address_key_of(&room, peer)), LIMIT_FREE_BY_ADDRESS, now);
    return by_name > by_address ? by_name : by_address;
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

void throttle_failed(struct throttle *throttle, struct slice name, struct ip peer, msec now)
{
    struct key room;
    count(throttle, name_key(&room, name, peer), now);
    count(throttle, address_key_of(&room, peer), now);
}

void throttle_passed(struct throttle *throttle, struct slice name, struct ip peer)
{
    struct key room;
    release(map_take(&throttle->entries, name_key(&room, name, peer)));
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
}

void throttle_done(struct throttle *throttle)
{
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(&throttle->entries, &at, &key, &value);)
        release(value);
    map_done(&throttle->entries);
}
