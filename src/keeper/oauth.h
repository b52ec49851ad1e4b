/* oauth.h - logins by token: the keys that sign them, where the others are asked about, and what is fetched for both.
 *
 * errand.c: what the courier is to fetch over HTTPS.  oauth.c: the key set.  token.c: the login. */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "base/secret.h"
#include "mail/jwk.h"

struct keeper;
struct client;
struct task;

/* ---- errand.c ---- */

enum errand_for { ERRAND_FOR_KEYS = 1, ERRAND_FOR_TOKEN };

struct errand {
    struct list node; /* errands.waiting or errands.out */
    uint64_t id;
    enum errand_for purpose;
    uint8_t kind; /* enum errand_kind */
    struct slice url, form, user, password;
    struct arena arena;
    const struct client *courier; /* who has it; NULL: nobody yet */
    msec due;                     /* when it has failed */
};

struct errands {
    struct list waiting, out;
    uint32_t count;
    struct list polls; /* tasks: the courier waits for an errand */
    uint32_t poll_count;
    uint64_t last_id;
};

/* What came of it; code 0: no reply.  The words in `why` are for the log. */
struct errand_end {
    uint64_t id;
    uint32_t code;
    struct slice body, why;
};

void errand_init(struct errands *errands);
void errand_done_all(struct keeper *keeper); /* frees; nobody is told */
/* Copies; returns its id, or 0 where too many are under way or it is too long. */
uint64_t errand_put(struct keeper *keeper, enum errand_for purpose, const struct errand *wish);
void errand_tick(struct keeper *keeper, msec now);                            /* those that are late have failed */
void errand_release(struct keeper *keeper, const struct client *courier);     /* gone: another will get them */

/* ---- oauth.c ---- */

struct oauth {
    struct jwk_set *keys;  /* NULL: none yet */
    struct slice source;   /* the setting that they came from */
    struct secret secret;  /* ours at the introspection endpoint */
    uint64_t fetch;        /* errand under way; 0: none */
    msec tried, fetched;   /* when the set was asked for and when it came; 0: never */
    msec sought;           /* when it was asked for an unknown key's sake */
    struct map known;      /* tokens that introspection found good lately */
    struct list waiting;   /* tasks: logins that wait for an errand */
    uint32_t waiting_count;
    struct arena arena;    /* behind `source` */
};

void oauth_init(struct keeper *keeper);
void oauth_done(struct keeper *keeper);
/* With new settings, or at the start: what the supervisor read from the files that they name. */
void oauth_take(struct keeper *keeper, struct slice keys, struct slice secret);
/* Sends for the key set; the errand's id.  0: none is under way, and another would come too soon. */
uint64_t oauth_fetch(struct keeper *keeper);
uint64_t oauth_seek(struct keeper *keeper); /* the same for the sake of a key that is not in it */
void oauth_fetched(struct keeper *keeper, const struct errand_end *end);
void oauth_tick(struct keeper *keeper, msec now);

/* ---- token.c ---- */
void token_errand_done(struct keeper *keeper, const struct errand_end *end); /* goes on with the logins that wait for it */
void token_forget(struct keeper *keeper, msec now);                          /* what is known for too long; 0: all */
