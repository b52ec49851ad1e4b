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
    struct ip at;
    uint32_t account;
    wall first, last, written;
};

struct network_use {
    uint32_t count; /* of places in it */
    wall last;
};

struct visited {
    uint32_t count;
    struct list places;
};

struct key {
    struct ip at;
    uint32_t account;
};

static struct key key_of(uint32_t account, struct ip at)
{
    struct key key;
    memset(&key, 0, sizeof key);
    key.at = at;
    key.account = account;
    return key;
}

static struct network_use *find_network(const struct places *places, uint32_t account, struct ip peer)
{
    struct key key = key_of(account, ip_vicinity(peer));
    return map_find(&places->networks, map_key(key));
}

static struct place *find(const struct places *places, uint32_t account, struct ip peer)
{
    struct key key = key_of(account, ip_place(peer));
    return map_find(&places->rows, map_key(key));
}

static bool is_old(wall last, wall now)
{
    return now > last && now - last > LIMIT_PLACE_AGE;
}

static void used(struct places *places, struct place *place, wall when)
{
    struct network_use *use = find_network(places, place->account, place->at);
    place->last = when;
    use->last = when > use->last ? when : use->last;
}

static void leave_network(struct places *places, uint32_t account, struct ip at)
{
    struct key key = key_of(account, ip_vicinity(at));
    struct network_use *use = map_find(&places->networks, map_key(key));
    if (--use->count == 0)
        release(map_take(&places->networks, map_key(key)));
}

static void drop(struct places *places, struct place *place)
{
    uint32_t account = place->account;
    struct key key = key_of(account, place->at);
    struct visited *visited = map_find(&places->accounts, map_key(account));
    map_take(&places->rows, map_key(key));
    list_remove(&place->node);
    if (place->is_fresh)
        list_remove(&place->fresh);
    leave_network(places, account, place->at);
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

static void enter_network(struct places *places, uint32_t account, struct ip at)
{
    struct key key = key_of(account, ip_vicinity(at));
    struct network_use *use = map_find(&places->networks, map_key(key));
    if (!use) {
        use = alloc(sizeof *use);
        map_put(&places->networks, map_key(key), use);
    }
    use->count++;
}

static struct place *add(struct places *places, uint32_t account, struct ip at)
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
    struct key key = key_of(account, at);
    place->at = at;
    place->account = account;
    list_append(&visited->places, &place->node);
    visited->count++;
    map_put(&places->rows, map_key(key), place);
    enter_network(places, account, at);
    return place;
}

bool place_note(struct places *places, uint32_t account, struct ip peer, wall now)
{
    struct place *place = find(places, account, peer);
    bool is_new = !place || is_old(place->last, now);
    if (!place)
        place = add(places, account, ip_place(peer));
    if (!place)
        return true; /* nothing can be remembered: then he is told each time */
    if (is_new)
        place->first = now;
    used(places, place, now);
    if (!place->is_fresh && (is_new || now - place->written >= WRITE_EVERY)) {
        place->is_fresh = true;
        list_append(&places->fresh, &place->fresh);
    }
    return is_new;
}

bool place_knows(const struct places *places, uint32_t account, struct ip peer, wall now)
{
    const struct network_use *use = account ? find_network(places, account, peer) : NULL;
    return use && !is_old(use->last, now);
}

bool place_has(const struct places *places, uint32_t account)
{
    return map_find(&places->accounts, map_key(account)) != NULL;
}

void place_put(struct places *places, const struct store_place *row, wall now)
{
    if (is_old(row->last, now))
        return;
    struct place *place = find(places, row->account, row->address);
    if (!place)
        place = add(places, row->account, ip_place(row->address));
    if (!place)
        return;
    place->first = row->first;
    place->written = row->last;
    used(places, place, row->last);
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
        if (is_old(((const struct place *)value)->last, now))
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
            .account = place->account, .address = place->at, .first = place->first, .last = place->last
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
    for (size_t at = 0; map_each(&places->networks, &at, &key, &value);)
        release(value);
    map_done(&places->rows);
    map_done(&places->networks);
    map_done(&places->accounts);
}
