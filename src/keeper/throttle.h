/* throttle.h - a growing delay for those who guess passwords (C076).
 *
 * A delay, never a lock: nobody can lock an account's owner out.  The delay comes before the password is looked at, so
 * that it tells nothing.  Counted are:
 *   - failures of one account from one network: the only one that holds for places from which the account was used
 *     before (place.h), so that an office shares its address and not its mistakes;
 *   - the same from one site of IPv6 (a /48), with more patience: who has all its networks;
 *   - failures from one address, and how many different names fail from one network;
 *   - under how many names one password is tried (a keyed fingerprint, in memory only): a sprayed password;
 *   - failures a minute of names that nobody has, from everywhere: a botnet that comes once from each address.
 * Memory is bounded by rows of limits.h; what is old makes room.  While it is full, whoever is not at home waits. */
#pragma once

#include "base/clock.h"
#include "base/ip.h"
#include "base/map.h"

struct spray;

struct throttle {
    struct map entries;  /* by name and network, and by address */
    struct map networks; /* which names failed from there */
    struct map told;     /* of which names it was told something */
    struct spray *sprays; /* NULL until a password fails */
    uint64_t minute;      /* of `unknown` */
    uint32_t unknown, unknown_before;
    uint32_t hits; /* tries of sprayed passwords since throttle_report() */
};

/* One login. */
struct throttle_try {
    struct slice name;    /* what was typed, or the account's address: whatever stays the same */
    struct slice counted; /* under which name its failures count; empty: the same */
    struct ip peer;
    uint64_t fingerprint; /* of the password, keyed; 0: none was shown */
    bool is_nobody;       /* no account has the name */
    bool is_home;         /* the account was used from there before */
};

void throttle_done(struct throttle *throttle);
struct ip throttle_site(struct ip peer);  /* one address; of IPv6 its /48 */
msec throttle_delay(const struct throttle *throttle, const struct throttle_try *attempt, msec now);
void throttle_failed(struct throttle *throttle, const struct throttle_try *attempt, msec now);
void throttle_passed(struct throttle *throttle, const struct throttle_try *attempt);
/* May that network be told where this account is (C104)?  If so, it counts; a site of IPv6, its /48, is one network. */
bool throttle_may_tell(struct throttle *throttle, struct slice account, struct ip peer, msec now);
void throttle_forget(struct throttle *throttle, msec now); /* old failures */

/* What goes on, for a line in the log. */
struct throttle_news {
    uint32_t passwords; /* sprayed ones */
    uint32_t tries;     /* of them, since the last report */
    uint32_t networks;  /* from which too many names fail */
    uint32_t unknown;   /* failures of names that nobody has, in this minute or the one before */
};
struct throttle_news throttle_report(struct throttle *throttle, msec now);
bool throttle_has_news(const struct throttle_news *news);
