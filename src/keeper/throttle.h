/* throttle.h - a growing delay for those who guess passwords: per account and network, and per address (C076).
 *
 * A delay, never a lock: nobody can lock an account's owner out from elsewhere.  The delay comes before the password is
 * looked at, so that it tells nothing. */
#pragma once

#include "base/clock.h"
#include "base/ip.h"
#include "base/map.h"

struct throttle {
    struct map entries;
};
void throttle_done(struct throttle *throttle);
struct ip throttle_place(struct ip peer); /* one address; of IPv6 its /64 */
/* `name` is what was typed, or the account's address: whatever stays the same. */
msec throttle_delay(const struct throttle *throttle, struct slice name, struct ip peer, msec now);
void throttle_failed(struct throttle *throttle, struct slice name, struct ip peer, msec now);
void throttle_passed(struct throttle *throttle, struct slice name, struct ip peer);
void throttle_forget(struct throttle *throttle, msec now); /* old failures */
