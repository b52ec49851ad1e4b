#include "keeper/place.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/list.h"

#define WRITE_EVERY MINUTES(60) /* the store need not know the minute */

struct place {
    struct list node;  /* of its account */
    struct list fresh; /* of places.fresh */
    bool is_fresh;
    struct ip network;
    uint32_t account;
    wall first, last, written;
};

struct visited {
    uint32_t count;
    struct list places;
};

struct key {
    struct ip network;
    uint32_t account;
};

static struct key key_of(uint32_t account, struct ip network)
{
    struct key key;
    memset(&key, 0, sizeof key);
    key.network = network;
    key.account = account;
    return key;
}

struct ip place_network(struct ip peer)
{
    return ip_prefix(peer, ip_is_v4(peer) ? 120 : 64);
}

static struct place *find(const struct places *places, uint32_t account, struct ip peer)
{
    struct key key = key_of(account, place_network(peer));
    return map_find(&places->rows, map_key(key));
}

static bool is_old(const struct place *place, wall now)
{
    return now > place->last && now - place->last > LIMIT_PLACE_AGE;
}

static void drop(struct places *places, struct place *place)
{
    uint32_t account = place->account;
    struct key key = key_of(account, place->network);
    struct visited *visited = map_find(&places->accounts, map_key(account));
    map_take(&places->rows, map_key(key));
    list_remove(&place->node);
    if (place->is_fresh)
        list_remove(&place->fresh);
    release(place);
    if (--visited->count == 0) {
        map_take(&places->accounts, map_key(account));
        release(visited);
    }
}

/* Room for one more: an account that has its share gives up the one that it used longest ago.  False: there is none. */
static bool make_room(struct places *places, uint32_t account)
{
    struct visited *visited = map_find(&places->accounts, map_key(account));
    bool full = places->rows.count >= LIMIT_PLACES;
    if (!visited || (visited->count < LIMIT_PLACES_ACCOUNT && !full))
        return !full;
    struct place *oldest = list_element(visited->places.next, struct place, node);
    for (struct list *node = visited->places.next; node != &visited->places; node = node->next) {
        struct place *place = list_element(node, struct place, node);
        if (place->last < oldest->last)
            oldest = place;
    }
    drop(places, oldest);
    return true;
}

static struct place *add(struct places *places, uint32_t account, struct ip network)
{
    if (!make_room(places, account))
        return NULL;
    struct visited *visited = map_find(&places->accounts, map_key(account));
    if (!visited) {
        visited = alloc(sizeof *visited);
        list_init(&visited->places);
        map_put(&places->accounts, map_key(account), visited);
    }
    struct place *place = alloc(sizeof *place);
    struct key key = key_of(account, network);
    place->network = network;
    place->account = account;
    list_append(&visited->places, &place->node);
    visited->count++;
    map_put(&places->rows, map_key(key), place);
    return place;
}

bool place_note(struct places *places, uint32_t account, struct ip peer, wall now)
{
    struct place *place = find(places, account, peer);
    bool is_new = !place || is_old(place, now);
    if (!place)
        place = add(places, account, place_network(peer));
    if (!place)
        return true; /* nothing can be remembered: then he is told each time */
    if (is_new)
        place->first = now;
    place->last = now;
    if (!place->is_fresh && (is_new || now - place->written >= WRITE_EVERY)) {
        place->is_fresh = true;
        list_append(&places->fresh, &place->fresh);
    }
    return is_new;
}

bool place_knows(const struct places *places, uint32_t account, struct ip peer, wall now)
{
    const struct place *place = account ? find(places, account, peer) : NULL;
    return place && !is_old(place, now);
}

bool place_has(const struct places *places, uint32_t account)
{
    return map_find(&places->accounts, map_key(account)) != NULL;
}

void place_put(struct places *places, const struct store_place *row, wall now)
{
    struct place read = { .last = row->last };
    if (is_old(&read, now))
        return;
    struct place *place = find(places, row->account, row->network);
    if (!place)
        place = add(places, row->account, place_network(row->network));
    if (!place)
        return;
    place->first = row->first;
    place->last = place->written = row->last;
}

void place_forget_account(struct places *places, uint32_t account)
{
    struct visited *visited;
    while ((visited = map_find(&places->accounts, map_key(account))))
        drop(places, list_element(visited->places.next, struct place, node));
}

void place_forget(struct places *places, wall now)
{
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(&places->rows, &at, &key, &value);) {
        if (is_old(value, now))
            drop(places, value);
    }
}

uint32_t place_take_fresh(struct places *places, struct store_place *out_rows, uint32_t most)
{
    uint32_t count = 0;
    for (struct list *node; count < most && (node = list_take(&places->fresh));) {
        struct place *place = list_element(node, struct place, fresh);
        place->is_fresh = false;
        place->written = place->last;
        out_rows[count++] = (struct store_place){
            .account = place->account, .network = place->network, .first = place->first, .last = place->last
        };
    }
    return count;
}

void place_init(struct places *places)
{
    *places = (struct places){ 0 };
    list_init(&places->fresh);
}

void place_done(struct places *places)
{
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(&places->rows, &at, &key, &value);)
        release(value);
    for (size_t at = 0; map_each(&places->accounts, &at, &key, &value);)
        release(value);
    map_done(&places->rows);
    map_done(&places->accounts);
}
