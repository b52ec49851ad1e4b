/* door.h - how many may be inside: at once from one address, and at once at all (C227).
 *
 * An IPv6 address counts as its /64, which is what one subscriber has.  Loopback counts like any other.  Who is not let in is told so by the session
 * (env.crowded) and is not counted: it leaves at once. */
#pragma once

#include "base/ip.h"
#include "base/map.h"

struct door {
    struct map addresses; /* of those inside: how many */
    uint32_t inside;
};

/* True: counted, and door_leave() must follow. */
bool door_enter(struct door *door, struct ip ip, uint32_t most_of_address, uint32_t most);
/* True: it is not that address's own number that keeps it out, but all places are taken. */
bool door_is_full(const struct door *door, struct ip ip, uint32_t most_of_address, uint32_t most);
void door_leave(struct door *door, struct ip ip);
void door_done(struct door *door);
