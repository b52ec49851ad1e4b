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

/* ---- check, backup, export ---- */

/* What CHECK looks at: a part of the store after the other, each in slices.  `at` and `and_at` are where a slice begins: 0 first, then as the
 * answer before said. */
enum check_part {
    CHECK_PAGES = 1,             /* SQLite's own pages; only where no server runs (a running one cannot spare the time) */
    CHECK_COUNTERS, CHECK_DIRECTORY, CHECK_MAILBOXES, CHECK_MESSAGES, CHECK_REFERENCES, CHECK_QUEUE, CHECK_FILES,
    CHECK_PARTS,
    CHECK_USES = CHECK_PARTS     /* no part of its own: where the body `at` is used, each a row of FOUND_USE */
};
/* What it finds; the command line has the words (ctl_check.c). */
enum found {
    FOUND_PAGE = 1,              /* detail: SQLite's words, or what could not be read */
    FOUND_COUNTER,               /* detail: which; have, want: at least */
    FOUND_COUNT, FOUND_OCTETS, FOUND_UIDNEXT, FOUND_MODSEQ, /* of a mailbox */
    FOUND_NO_ACCOUNT, FOUND_NO_MAILBOX, FOUND_NO_BODY, FOUND_SIZE, /* of a message */
    FOUND_UNUSED, FOUND_DOOMED, FOUND_REFERENCES, FOUND_NO_SUCH_BODY, /* of a body */
    FOUND_QUEUED_NO_BODY, FOUND_QUEUED_EMPTY, FOUND_QUEUED_LOST, FOUND_QUEUED_DUE,
    FOUND_LOST_DEVICE, FOUND_LOST_PLACE, FOUND_LOST_DOMAIN, FOUND_LOST_ALIAS, FOUND_SEALED,
    FOUND_ORPHAN_FILE, FOUND_FOREIGN_FILE,
    FOUND_MISSING_FILE, FOUND_LENGTH, FOUND_UNREADABLE, FOUND_DIGEST, FOUND_UNPACK, /* of a body, by reading it */
    FOUND_USE,
    FOUND_COUNT_OF
};
struct check_row {
    struct slice address, mailbox; /* whose, where; empty: nobody's */
    struct slice detail;
    uint64_t id, have, want;
    uint32_t uid;
    uint8_t found;
};
struct ask_check {
    uint64_t at, and_at;
    uint8_t part;
};
struct answer_check {
    struct rows rows;            /* struct check_row */
    uint64_t at, and_at;         /* where to go on */
    uint64_t done;               /* things looked at */
    uint8_t more;
};
struct repair_row {
    uint32_t count;
    uint8_t found;
};
struct answer_repair {
    struct rows rows;            /* struct repair_row: what was put right */
};
/* Bodies as stored, in the order of their ids; a large one in pieces. */
struct body_row {
    struct slice octets;
    struct slice digest;         /* SHA-256 of all stored octets, as the store remembers it */
    uint64_t id, size, stored;
    uint64_t at;                 /* where these octets begin */
    uint8_t found;               /* MISSING_FILE, LENGTH, UNREADABLE: there are no octets, and no more of this body */
};
struct ask_bodies {
    uint64_t id, at;             /* the first with this id or a larger one, from this octet on */
    uint8_t only;                /* 1: no other than `id`: NOT_FOUND */
};
struct answer_bodies {
    struct rows rows;            /* struct body_row */
    uint64_t id, at;             /* where to go on; id 0: this was the end */
};
enum message_flag { FLAG_SEEN = 1, FLAG_ANSWERED = 2, FLAG_FLAGGED = 4, FLAG_DELETED = 8, FLAG_DRAFT = 16 };
struct export_row {
    struct slice mailbox;
    uint64_t mailbox_id, blob;
    wall received;
    uint32_t uid, flags;
};
struct ask_export {
    struct slice address;
    uint64_t mailbox;            /* messages behind this one; 0: from the start */
    uint32_t uid;
};
struct answer_export {
    struct rows rows;            /* struct export_row */
    uint8_t more;
};
/* A snapshot of the store in a folder within it, made in steps between which everything goes on: BEGIN, COPY until it has all, LINK until it has
 * all, and END when what is in the folder was copied elsewhere. */
enum snapshot_step { SNAPSHOT_BEGIN = 1, SNAPSHOT_COPY, SNAPSHOT_LINK, SNAPSHOT_END };
struct ask_snapshot {
    uint8_t step;
};
struct answer_snapshot {
    uint64_t done, total;        /* COPY: pages; LINK: files */
    uint32_t missing;            /* LINK: files that are not there */
    uint8_t more;
};
