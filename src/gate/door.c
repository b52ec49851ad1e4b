#include "gate/door.h"

#include "base/must.h"

/* The map holds pointers; a count that is never 0 is one as good as any. */
static uintptr_t count_of(const struct door *door, struct ip key) { return (uintptr_t)map_find(&door->addresses, map_key(key)); }

bool door_enter(struct door *door, struct ip ip, uint32_t most_of_address, uint32_t most)
{
    struct ip key = ip_place(ip);
    uintptr_t count = count_of(door, key);
    if (door->inside >= most || count >= most_of_address)
        return false;
    map_put(&door->addresses, map_key(key), (void *)(count + 1));
    door->inside++;
    return true;
}

bool door_is_full(const struct door *door, struct ip ip, uint32_t most_of_address, uint32_t most)
{
    return door->inside >= most && count_of(door, ip_place(ip)) < most_of_address;
}

void door_leave(struct door *door, struct ip ip)
{
    struct ip key = ip_place(ip);
    uintptr_t count = count_of(door, key);
    must(count > 0 && door->inside > 0);
    if (count > 1)
        map_put(&door->addresses, map_key(key), (void *)(count - 1));
    else
        map_take(&door->addresses, map_key(key));
    door->inside--;
}

void door_done(struct door *door) { map_done(&door->addresses); }
