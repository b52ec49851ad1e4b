/* ask_ctl.h - the command line's part of ask.h: what it asks the keeper, and the rows that come back.
 *
 * The same rules as there: slices borrow, wall times are Unix milliseconds. */
#pragma once

#include "ask/field.h"
#include "base/clock.h"

/* Lists come in pages: `after` is the last key of the page before, empty for the first. */
struct ask_list {
    struct slice after;
    struct slice about;          /* restricts the list: an address; empty: all */
};

struct account_row {
    struct slice address, login; /* login: the extra name, or empty */
    uint32_t id;
    uint32_t messages, devices;
    uint64_t octets;
    wall created, last_login;
    uint8_t enabled, pop_before_smtp;
};
struct answer_account_list {
    struct rows rows;            /* struct account_row */
    uint8_t more;
};
struct ask_account_add {
    struct slice address, login, secret;
    uint8_t pop_before_smtp;
    uint8_t hashed;              /* 1: `secret` is a hash from elsewhere: crypt(3) or Argon2, a "{SCHEME}" in front is left out */
};
struct ask_account_password {
    struct slice address, secret;
    uint8_t hashed;              /* the same */
};
struct ask_account_set {
    struct slice address;
    uint8_t enabled;             /* 0, 1, or 2: leave as it is */
    uint8_t pop_before_smtp;     /* the same */
};
struct ask_account {             /* ACCOUNT_REMOVE */
    struct slice address;
};
struct ask_device_add {
    struct slice address, name;
    struct slice from;           /* networks as text "192.0.2.0/24,...", or empty: from anywhere */
    struct slice key;            /* SHA-256 of a public key, for EXTERNAL: then no password is made; else empty */
    wall expires;                /* 0: never */
    uint32_t mechanisms;         /* set of 1 << enum mechanism; 0: all */
    uint8_t rights;
};
struct answer_device_add {
    struct slice secret;         /* shown once; empty for a key */
};
struct device_row {
    struct slice address, name, from, key;
    wall created, expires, last_used;
    uint32_t mechanisms;
    uint8_t rights;
};
struct answer_device_list {
    struct rows rows;            /* struct device_row */
    uint8_t more;
};
struct ask_device_revoke {
    struct slice address, name;  /* name empty: all devices of the account */
};
struct answer_count {
    uint32_t count;              /* things changed */
};
struct alias_row {
    struct slice address;        /* "@domain" is a catch-all */
    struct slice target;
};
struct answer_alias_list {
    struct rows rows;            /* struct alias_row */
    uint8_t more;
};
struct domain_row {
    struct slice name;
    uint32_t accounts;
};
struct answer_domain_list {
    struct rows rows;            /* struct domain_row */
    uint8_t more;
};
struct ask_domain {
    struct slice name;
};
struct lease_row {
    struct slice address;        /* the account */
    struct slice device;         /* name of the device whose password opened it, or empty */
    struct slice protocol;       /* "pop3", "imap" */
    struct slice office;         /* name of the office the address belongs to, or empty */
    struct ip peer;
    uint32_t id;
    uint32_t seconds_left, messages_left, recipients_left;
};
struct shared_row {              /* where nobody gets a lease, because too many accounts come from there */
    struct ip network;           /* an IPv4 address, or a /64 */
    uint32_t accounts;           /* that were seen within the hour; not counted further than two above the permitted number */
};
struct answer_lease_list {
    struct rows rows;            /* struct lease_row */
    struct rows shared;          /* struct shared_row, with the first page only; not all where there are very many */
    uint8_t more;
};
struct ask_lease_revoke {
    struct slice about;          /* an address of an account, an IP address, or empty: all */
};
struct queue_row {
    struct slice sender, recipient, last_reply;
    uint64_t id;
    uint64_t size;
    wall arrived, next;
    uint32_t attempts;
    uint8_t state;
    uint8_t delivered;           /* enum delivered */
};
struct ask_queue_list {
    uint64_t after_id;
    struct slice after_recipient;
};
struct answer_queue_list {
    struct rows rows;            /* struct queue_row: one a recipient */
    uint8_t more;
};
struct ask_queue_show {
    uint64_t id;
};
struct answer_queue_show {
    struct rows rows;            /* struct queue_row */
    struct slice header;         /* the header section, up to 32 KiB */
};
enum queue_change { QUEUE_RETRY = 1, QUEUE_HOLD, QUEUE_RELEASE, QUEUE_REMOVE };
struct ask_queue_change {
    uint64_t id;                 /* 0: all */
    uint8_t change;
};
struct answer_status {
    struct slice version;
    uint32_t accounts, domains, leases, sessions, queued, schema;
    uint64_t messages, octets, disk_free, uptime_seconds, commits, jobs;
};

struct ask_why {
    struct slice about;          /* a login name, an address, or an IP address as text */
    uint32_t code;               /* or one kind of refusal; 0: any */
};
struct why_row {
    struct slice name, session;  /* as it was typed; empty: none */
    struct slice detail;         /* a word for the true reason ("wrong-password"), or what it was about; empty: nothing more is known */
    struct ip peer;
    wall when;                   /* of the last of them */
    uint32_t code;               /* enum refusal */
    uint32_t count;              /* how often lately */
    uint8_t protocol;
};
struct answer_why {
    struct rows rows;            /* struct why_row, the latest first */
};
