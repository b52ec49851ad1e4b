/* directory.h - accounts, login names, aliases, domains and devices, in memory, and what becomes of a recipient.
 *
 * Loaded once; changed on the loop thread after the writer's commit.  Keys are in the form of address_key(): lower case
 * local part '@' domain. */
#pragma once

#include "base/arena.h"
#include "base/ip.h"
#include "base/list.h"
#include "base/map.h"
#include "keeper/scram.h"
#include "store/store.h"

/* One account in a chain of those that share a name. */
struct named {
    struct named *next;
    struct account *account;
};

struct account {
    uint32_t id;
    uint32_t generation; /* grows with every change that ends sessions */
    struct slice address, login, password;
    struct slice scram; /* verifiers: scram.h */
    wall created, last_login;
    bool enabled, pop_before_smtp;
    bool seen;      /* last_login is newer than the store's */
    bool uses_auth; /* sent with SMTP AUTH since the start */
    bool has_popped;
    msec last_pop3;
    struct list devices;
    uint32_t device_count;
    struct slice folded, folded_login; /* address and login as they are typed and compared (mail/precis.h) */
    struct named by_local, by_login, by_folded;
};

struct device {
    struct list node;
    uint32_t id;
    struct account *account;
    struct slice name, sealed, from;
    struct slice scram, key; /* key: SHA-256 of a public key, instead of a password */
    struct network *from_rows;
    struct networks networks; /* `from`, read */
    wall created, expires, last_used;
    uint32_t mechanisms;
    uint8_t rights;
    bool seen;
};

struct alias { /* one target; those of one address are chained */
    struct slice address, target;
    struct alias *next;
};

struct domain {
    struct slice name;
    uint32_t accounts;
    uint32_t order; /* the first that was added is the default domain */
};

struct directory {
    struct map by_address, by_id;
    struct map by_login, by_local, by_folded; /* of struct named; by_folded: where it differs from the address */
    struct map devices, keys, aliases, domains;
    uint32_t scram_counts[SCRAM_HASHES][SCRAM_COSTS]; /* accounts whose keys have the rounds of that cost */
    uint32_t device_mechanisms[MECHANISM_COUNT];     /* devices that name this one */
    uint32_t holders[LIMIT_CREDENTIALS + 1];         /* accounts with that many devices; the last: or more */
    uint32_t generation, domain_order;
    struct domain *first; /* the default domain, or NULL */
};

void directory_done(struct directory *d);
MUST_USE enum status directory_load(struct directory *d, struct store *store);

struct account *directory_account(const struct directory *d, uint32_t id);
struct account *directory_find(const struct directory *d, struct slice key);
struct device *directory_device(const struct directory *d, uint32_t id);
/* The device that has this public key's digest. */
struct device *directory_key(const struct directory *d, struct slice key);
/* The mechanisms that devices name, as a set. */
uint32_t directory_mechanisms(const struct directory *d);
/* How many devices the account has that has most of them; at most LIMIT_CREDENTIALS. */
uint32_t directory_most_devices(const struct directory *d);
struct device *directory_find_device(const struct account *account, struct slice name);
struct domain *directory_domain(const struct directory *d, struct slice name);
struct alias *directory_alias(const struct directory *d, struct slice key);
/* The oldest enabled account, of `domain` if it has one. */
struct account *directory_oldest(const struct directory *d, struct slice domain);
struct slice directory_default_domain(const struct directory *d); /* NO_SLICE: none */

/* After a commit.  put_account replaces an account of the same id. */
struct account *directory_put_account(struct directory *d, const struct store_account *row);
void directory_remove_account(struct directory *d, uint32_t id); /* with its devices and the aliases to it */
void directory_set_password(struct directory *d, uint32_t id, struct slice password, struct slice scram);
/* Other verifiers of the same password: sessions live on. */
void directory_rehash(struct directory *d, uint32_t id, struct slice password, struct slice scram);
void directory_rehash_device(struct directory *d, uint32_t id, struct slice scram);
void directory_set(struct directory *d, uint32_t id, bool enabled, bool pop_before_smtp);
struct device *directory_put_device(struct directory *d, const struct store_device *row);
void directory_remove_device(struct directory *d, uint32_t id);
void directory_put_alias(struct directory *d, const struct store_alias *row);
uint32_t directory_remove_alias(struct directory *d, struct slice address, struct slice target); /* target empty: all */
void directory_put_domain(struct directory *d, struct slice name);
void directory_remove_domain(struct directory *d, struct slice name);
/* "192.0.2.0/24,2001:db8::/32"; *out_rows is to be released. */
MUST_USE enum status directory_networks(struct slice text, struct network **out_rows, struct networks *out_networks);

/* ---- directory_name.c ---- */

/* The account that is meant by a login name: its extra name, its address, its local part where no other account has the
 * same, or its local part in the default domain.  Case and width do not matter; what could be two accounts is nobody
 * (C031). */
struct account *directory_login(const struct directory *d, struct slice name);
/* Is it an account's extra login name? */
bool directory_is_login(const struct directory *d, struct slice name);
/* Is it a login name, or the local part of an account? */
bool directory_has_name(const struct directory *d, struct slice name);
/* A name in the form in which login names are kept and compared; what is no name in the sense of RFC 8265 only loses
 * its ASCII case.  TOO_BIG beyond LIMIT_PATH. */
MUST_USE enum status directory_fold(struct slice name, struct arena *arena, struct slice *out_folded);
/* The same as an address: where it has no domain, with the default domain.  Two ways to type a name that nobody has give
 * one text (C075). */
MUST_USE enum status directory_stated(
    const struct directory *d, struct slice name, struct arena *arena, struct slice *out_stated);
/* For directory.c: the names of a new account, and of one that goes. */
void directory_link_names(struct directory *d, struct account *account);
void directory_unlink_names(struct directory *d, struct account *account);

/* ---- resolve.c ---- */

struct target {
    struct target *next;
    uint32_t account;    /* 0: elsewhere */
    struct slice remote; /* then its address */
};
struct resolution {
    struct target *targets;
    uint32_t count;
    bool ours;     /* the domain is ours, or it is <postmaster> */
    bool disabled; /* it exists, but nobody can get it */
    bool bare;     /* its domain is not ours and has no dot: "squeaky" */
    bool endless;  /* aliases without end, or too many targets (C214) */
};
/* `text` is canonical, from a gate: read again.  MALFORMED where it is no address.  An address elsewhere is one remote
 * target. */
MUST_USE enum status directory_resolve(
    const struct directory *d, struct slice text, struct arena *arena, struct resolution *out);
/* May `account` send as this address: its own, with +tag, an alias that leads to it. */
bool directory_owns(const struct directory *d, const struct account *account, struct slice sender);
/* Does it belong to any account of ours? */
bool directory_has_owner(const struct directory *d, struct slice sender);
