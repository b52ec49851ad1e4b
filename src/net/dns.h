/* dns.h - names to addresses: libunbound behind a few functions.
 *
 * Opened before the jail, because resolv.conf and hosts are read then; a thread of libunbound's own does the work, and its descriptor is in our
 * loop for as long as the process lives.  Address records only: MX, TLSA and validation come with routing. */
#pragma once

#include "base/ip.h"
#include "base/settings.h"
#include "net/loop.h"

#define DNS_ADDRESSES 8 /* of one name; more are left out */

struct dns;
struct dns_answer {
    enum status status;  /* NOT_FOUND: no such name or no address; AWAY: no answer */
    struct ip addresses[DNS_ADDRESSES];
    size_t count;
};
/* `servers`: "address" or "address:port"; none: those of the system. */
MUST_USE enum status dns_open(struct loop *loop, struct slices servers, struct dns **out_dns);
/* Calls `found` once, never before this returns.  Text that is an address is answered as that address. */
void dns_find(struct dns *dns, struct slice name, void (*found)(void *context, const struct dns_answer *answer), void *context);
