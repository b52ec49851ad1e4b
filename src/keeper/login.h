/* login.h - what the files of a login share.
 *
 * One path for all mechanisms: login_open (whose name is it, what may be tried here) -> delay -> prove (a pool thread) ->
 * judge (rights) -> accept (lease, binding) -> answer.  Whatever fails, the answer is the same one, after the same work
 * (C073, C074).  Mechanisms differ in `prove` alone; a token or a key, which say by themselves who it is, end with
 * login_found(). */
#pragma once

#include "keeper/credential.h"
#include "keeper/impl.h"
#include "keeper/scram.h"

#define BIT(mechanism) (1u << (mechanism))

struct candidate {
    uint32_t device;
    struct slice name, sealed, scram;
};

struct login {
    uint32_t account, generation;       /* who the name stands for; 0: nobody */
    struct slice name, stated, session; /* stated: the address that is meant */
    struct slice authzid;
    struct ip peer, local;
    uint8_t protocol, mechanism;
    bool encrypted, try_person, try_devices;
    struct slice verifier, scram, dummy;
    struct candidate *candidates;
    struct credential_plan plan;         /* for `remade` */
    struct credential_devices remade;    /* devices without SCRAM's keys */
    size_t candidate_count, comparisons; /* comparisons: made whoever it is, so that their number tells nothing */
    uint32_t device;                     /* whose secret it was */
    bool right, hashing;
    char fingerprint[VAULT_NAME];        /* ASK_LOGIN: keyed hash of the secret, for those who must not keep it */
    char signature[SCRAM_KEY];           /* SCRAM: what proves us to the client */
    void (*begin)(struct task *task);    /* when the delay is over */
    const char *reason;                  /* for the log, if it fails */
    void *more;                          /* of its kind alone */
};

/* ---- login.c ---- */
/* Keeps and checks the ask, and finds the account that the name stands for.  NULL: it has been answered. */
struct login *login_open(struct task *task);
/* The account that a name shows in salts and delays: its own, or that of the same local part under another domain; NULL: nobody's. */
const struct account *login_namesake(struct task *task, struct slice name);
/* The login as those see it who count failures. */
struct throttle_try login_attempt(const struct task *task);
/* Calls login->begin now, or when those who failed before have waited long enough. */
void login_delay(struct task *task);

/* ---- login_judge.c ---- */
/* Whether it was the secret stands in the state; the rest is found here, and the answer given. */
void login_judge(struct task *task);
/* The end of a login that was proved elsewhere: an account of the directory, or 0 and a word for the log; `device` 0
 * where it was none.  To be called on the loop thread, also where the client has gone meanwhile. */
void login_found(struct task *task, uint32_t account, uint32_t device, const char *reason);
/* A refusal for now: the client may try again. */
void login_busy(struct task *task);

/* ---- login_prove.c: on a pool thread ---- */
enum status login_prove(struct task *task, struct store *none);
enum status login_prove_digest(struct task *task, struct store *none);
enum status login_prove_scram(struct task *task, struct store *none);
/* First makes the keys of devices that have none yet. */
enum status login_prove_remade(struct task *task, struct store *none);

/* ---- login_scram.c ---- */
enum scram_hash login_scram_hash(uint8_t mechanism);
/* Those of the password's keys, or those that new ones would have. */
uint32_t login_scram_rounds(
    const struct keeper *keeper, const struct account *account, const uint8_t salt[SCRAM_SALT], enum scram_hash hash);
/* Has the account a password, but no keys of it that a proof could be checked against?  It came from elsewhere, or is older than SCRAM. */
bool login_scram_lacks_keys(const struct login *login);
/* Is this the second half of what the session began, with the nonce that it was given?  That nonce is gone then (C085). */
bool login_scram_fits(struct task *task, const struct login *login);

/* ---- rehash.c: in the background, after a login ---- */
/* Where the settings want other verifiers of this password than there are. */
void rehash_password(struct keeper *keeper, const struct account *account, struct slice secret);
/* Keeps keys that were made for a login. */
void rehash_devices(struct keeper *keeper, const struct account *account, const struct credential_devices *devices);

/* ---- login_cache.c ---- */
bool login_know_again(struct keeper *keeper, struct login *login);
void login_remember(struct keeper *keeper, const struct login *login);

/* ---- login_lease.c ---- */
/* Opens or renews one, if this login may; true: there is a lease. */
bool login_open_lease(struct task *task, const struct account *account, const struct device *device);
