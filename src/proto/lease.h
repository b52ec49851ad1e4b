/* lease.h - POP before SMTP: who may send from where, how long and how much (DESIGN section 8, C095-C112).
 *
 * In memory only: a restart ends all leases (C107).  Pure logic: time is an argument, and every check is made at use,
 * so that a lease is over at its second whether or not somebody swept (C101).  Bound to one account and one exact
 * address; an account has one lease per address.  Whether an address is shared by too many accounts is judged by its
 * network: an IPv4 address, or the /64 of an IPv6 one, which is what a household or an office has. */
#pragma once

#include "base/clock.h"
#include "base/ip.h"
#include "base/list.h"
#include "base/map.h"
#include "base/settings.h"

enum lease_end { LEASE_EXPIRED, LEASE_REVOKED, LEASE_CHANGED, LEASE_SHARED, LEASE_FAILURES };
const char *lease_end_name(enum lease_end end);

struct lease {
    struct list node;             /* of its place */
    struct list sibling;          /* of its account */
    uint32_t id, account, device; /* device 0: a person's password */
    struct ip peer;
    uint8_t protocol;
    bool internal_only;
    msec until;                                      /* over from this moment on */
    msec cap;                                        /* never later than this */
    uint32_t messages, recipients;                   /* granted */
    uint32_t messages_used, recipients_used;         /* since the last renewal */
    uint32_t messages_reserved, recipients_reserved; /* by transactions under way */
    uint32_t failures; /* wrong passwords for this account from this address since the last renewal */
};

struct leases {
    struct map by_id, by_key, places, crowds, by_account;
    uint32_t last_id;
    size_t count;
    void (*ended)(void *context, const struct lease *lease, enum lease_end end); /* for the log; may be NULL */
    void *context;
};
void lease_done(struct leases *leases);

/* May a login open a lease at all, before the address is looked at as shared? */
struct lease_asker {
    bool flagged;    /* the account is flagged, or the device has RIGHT_LEASE */
    bool device;     /* a device password */
    bool device_may; /* it has RIGHT_LEASE */
    bool uses_auth;  /* the account sends with SMTP AUTH */
    bool imap;       /* else POP3 */
    struct ip peer, local;
};
/* The office that an address belongs to, as the settings name it; NO_SLICE: none. */
struct slice lease_office(const struct settings *settings, struct ip peer);
/* Accounts that logged in from that place (ip_place()) within the hour, offices not counted; beyond the permitted number
 * it goes on for one more at most. */
uint32_t lease_crowd(const struct leases *leases, struct ip peer, msec now);
/* All such networks: for (size_t at = 0; lease_each_crowd(leases, &at, now, &network, &accounts);) */
bool lease_each_crowd(const struct leases *leases, size_t *at, msec now, struct ip *out_network, uint32_t *out_accounts);

/* NULL: it may; else a word for the log.  "" where nobody would expect a lease: not worth a line. */
const char *lease_refusal(const struct settings *settings, const struct lease_asker *asker);

struct lease_wish {
    uint32_t account, device;
    struct ip peer;
    uint8_t protocol;
    bool internal_only;
    msec most;   /* until then at most, from now on: a device's time is up; 0: as the settings say */
};
enum lease_grant { LEASE_OPENED, LEASE_RENEWED, LEASE_REFUSED_SHARED, LEASE_REFUSED_FULL };
/* *out_lease only where one was opened or renewed. */
enum lease_grant lease_grant(struct leases *leases, const struct lease_wish *wish, const struct settings *settings,
    msec now, const struct lease **out_lease);

/* Live leases only. */
const struct lease *lease_find(const struct leases *leases, uint32_t id, msec now);
/* Those at an address, one after another: `after` NULL for the first. */
const struct lease *lease_at(const struct leases *leases, struct ip peer, const struct lease *after, msec now);
/* Those of an account, wherever they are; `after` NULL for the first. */
const struct lease *lease_of(const struct leases *leases, uint32_t account, const struct lease *after, msec now);
uint32_t lease_messages_left(const struct lease *lease);
uint32_t lease_recipients_left(const struct lease *lease);

/* What one transaction has reserved.  All zero: nothing. */
struct lease_hold {
    uint32_t lease, recipients;
    bool message;
};
/* Reserves the message with the first call, and `recipients` more; false: no such live lease, or no room (then nothing
 * changes). */
bool lease_reserve(struct leases *leases, struct lease_hold *hold, uint32_t id, uint32_t recipients, msec now);
void lease_commit(struct leases *leases, struct lease_hold *hold); /* the message was taken */
void lease_give_back(struct leases *leases, struct lease_hold *hold);

/* A wrong password for the account from this address. */
void lease_failed(struct leases *leases, uint32_t account, struct ip peer, msec now);
/* Ends the leases of an account (0: any), of one of its devices (0: all), at an address (NULL: any). */
uint32_t lease_revoke(
    struct leases *leases, uint32_t account, uint32_t device, const struct ip *peer, enum lease_end end, msec now);
/* Frees what is over; to be called now and then. */
void lease_expire(struct leases *leases, msec now);
