/* impl.h - what the files of the keeper share: the keeper itself, its clients, and a task.
 *
 * A question becomes a task.  Its handler runs on the loop thread; what must not hold the loop up goes to a stage (a
 * pool) with task_go() and comes back to the loop thread; it ends with task_answer() or task_drop().  In the command
 * line's own process (alone.c) the same handlers run: there a stage is carried out at once. */
#pragma once

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "ask/ask.h"
#include "base/alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/must.h"
#include "base/settings.h"
#include "keeper/binding.h"
#include "keeper/directory.h"
#include "keeper/place.h"
#include "keeper/oauth.h"
#include "keeper/refusals.h"
#include "proto/lease.h"
#include "proto/pin.h"
#include "keeper/throttle.h"
#include "keeper/vault.h"
#include "net/boot.h"
#include "net/channel.h"
#include "net/control.h"
#include "net/pool.h"
#include "net/signer.h"
#include "store/body.h"
#include "store/store.h"

#define PAGE_ROOM (LIMIT_PAGE + 2 * LIMIT_BODY_FRAME) /* one zstd frame always fits, however badly it packs */
#define TASK_ARENA     (4u << 20) /* octets that one question may need: a page of a list, a large envelope */
#define LIST_PAGE      100u        /* rows in one page of a list: they fit in LIMIT_FRAME at their longest */
#define CLAIMS_WAITING 1000u       /* questions for work that may wait at once */
#define OFFERS_WAITING 1000u       /* gates waiting for another set of mechanisms */
#define TICK           SECONDS(1)  /* between two rounds of housekeeping */
#define READERS        2u

enum stage { STAGE_HASH, STAGE_PACK, STAGE_READ, STAGE_WRITE, STAGES };

struct keeper;

/* Who is on the other end of a channel. */
struct client {
    struct list node;  /* keeper.clients */
    struct list tasks; /* under way */
    struct list late;  /* answered, but the channel was full */
    struct list bindings;
    struct keeper *keeper;
    struct channel *channel; /* NULL in the command line's own process */
    struct task *kept;       /* there: the task that was answered */
    uint64_t id;
    enum role role;
    uint8_t worker;
    uint32_t task_count, binding_count, hash_count; /* asks under way; sessions; passwords being hashed */
    uint64_t held; /* octets: the weights of its tasks */
    msec told_since;
    uint32_t told; /* refusals within the second from then on */
};

struct task {
    struct pool_job job;
    struct list node;        /* client.tasks, or client.late */
    struct list waiting;     /* keeper.delayed or keeper.claims */
    uint32_t *waiting_count; /* theirs */
    struct keeper *keeper;
    struct client *client; /* NULL: housekeeping, or the channel is gone */
    uint64_t session;
    uint32_t number;
    struct ask ask; /* points into the frame until task_keep() */
    struct answer answer;
    enum status status; /* what came of the last stage */
    struct arena arena;
    enum status (*work)(struct task *task, struct store *store); /* on a pool thread; in STAGE_WRITE it may run twice */
    void (*next)(struct task *task);                             /* on the loop thread afterwards */
    void (*discard)(struct task *task); /* frees what `state` holds outside the arena; may be NULL */
    void *state;
    uint64_t octets; /* STAGE_WRITE: size of what is written */
    uint32_t weight; /* octets that it may hold until its answer has left */
    msec due;        /* of a delayed login */
    bool kept;       /* the ask is a copy */
    bool bare;       /* STAGE_WRITE: runs outside a transaction */
};

struct keeper {
    struct loop *loop; /* NULL in the command line's own process */
    struct control *control;
    struct signer *signer; /* NULL without gates */
    struct settings *settings;
    boot_settings *parse;
    struct body_store bodies;
    struct store *writer, *readers[READERS];
    atomic_uint readers_taken;
    struct pool *pools[STAGES];
    char key[32];                     /* seals device passwords */
    char cache_key[32];               /* of this process only: names verified passwords in memory */
    char dummies[11][VAULT_VERIFIER]; /* by cost; made when first needed, never changed: pool threads read them */
    struct buf dummy_sealed;          /* what is opened where a name has fewer devices than others */
    struct list offers;               /* tasks: gates that wait for another set of mechanisms */
    uint32_t offers_count, offers_serial, offers_mechanisms;
    uint32_t rehashes;                /* under way */
    const char *dummy;                /* the verifier that unknown names are checked against (C074) */

    struct directory directory;
    struct leases leases;
    struct pins pins;
    struct throttle throttle;
    struct places places; /* from where accounts were used */
    struct oauth oauth;
    struct errands errands;
    struct refusals refusals;
    struct map verified; /* passwords that were right lately: see login.c */
    struct map noticed;  /* what owners were told today: see notice.c */
    struct map bindings;
    uint32_t session_count;

    struct list clients;
    struct client *snapshot; /* for whom one of the store is being made */
    uint64_t next_client;
    uint32_t ctl_clients;
    uid_t owner; /* who started the server */
    int listen_fd;
    uv_poll_t listen;
    uv_timer_t tick, soon, due;

    struct list delayed; /* tasks: logins waiting out their delay */
    uint32_t delayed_count;
    struct list claims; /* tasks: the courier waits for work */
    uint32_t claim_count, queue_changes;
    wall next_due;

    atomic_uint_fast64_t disk_free, commits, jobs;
    uint64_t rested_at; /* commits when the writer rested last */
    uint32_t ticks;
    msec started;
    bool stopping, resting, noting;
};

/* ---- task.c ---- */
struct task *task_new(
    struct keeper *keeper, struct client *client, const struct frame *frame); /* frame NULL: housekeeping */
/* Copies the ask, so that it may be used after the handler has returned; TOO_BIG beyond the arena. */
MUST_USE enum status task_keep(struct task *task);
void *task_state(struct task *task, size_t size); /* zeroed; never NULL */
/* Sends it to a stage; next(task) runs on the loop thread afterwards, also where the stage had no room (task->status is
 * BUSY then). */
void task_go(struct task *task, enum stage stage, enum status (*work)(struct task *, struct store *),
    void (*next)(struct task *));
void task_answer(struct task *task, enum status status);
void task_drop(struct task *task);   /* no answer is due */
void task_finish(struct task *task); /* a `next` for handlers that need nothing more: answers task->status */
/* Puts it on a waiting list; takes it off again. */
void task_wait(struct task *task, struct list *list, uint32_t *count);
void task_resume(struct task *task);
bool task_retry_late(struct keeper *keeper);     /* false: nothing is late any more */
struct slice task_name(const struct task *task); /* session's name for the log */

/* ---- pools ---- */
void writer_batch(struct list *jobs, void *keeper);
void writer_one(struct store *store, struct task *task);
void reader_work(struct pool_job *job, void *store);

/* ---- serve.c ---- */
struct client *asker_open(struct keeper *keeper, int fd, enum role role, uint8_t worker);
void asker_close(struct client *client);
void serve(struct task *task);
bool serve_knows(enum ask_kind kind); /* there is a handler */

/* ---- handlers ---- */
void serve_login(struct task *task);
void serve_login_digest(struct task *task);
void serve_scram(struct task *task);
void serve_login_scram(struct task *task);
void serve_login_key(struct task *task);
void serve_login_token(struct task *task);
void serve_errand(struct task *task);
void serve_errand_done(struct task *task);
void serve_offers(struct task *task);
void offers_renew(struct keeper *keeper); /* devices came or went */
void login_delayed(struct keeper *keeper); /* those whose time has come */
void login_forget(struct keeper *keeper, msec now);
void serve_mail(struct task *task);
void serve_rcpt(struct task *task);
void serve_stage(struct task *task);
void serve_deliver(struct task *task);
void serve_reset(struct task *task);
void serve_end_session(struct task *task);
void serve_drop_list(struct task *task);
void serve_fetch(struct task *task);
void serve_expunge(struct task *task);
void serve_claim(struct task *task);
void serve_queue_body(struct task *task);
void serve_settle(struct task *task);
void queue_wake(struct keeper *keeper);    /* something was queued, or is due */
void queue_release(struct keeper *keeper); /* the courier is gone */
/* The account that a command names. */
MUST_USE enum status manage_account(struct task *task, struct slice address, struct account **out_account);
void manage_end_leases(struct keeper *keeper, uint32_t account, uint32_t device); /* device 0: all of them */
void serve_account_add(struct task *task);
void serve_account_list(struct task *task);
void serve_account_password(struct task *task);
void serve_account_set(struct task *task);
void serve_account_remove(struct task *task);
void serve_device_add(struct task *task);
void serve_device_list(struct task *task);
void serve_device_revoke(struct task *task);
void serve_alias_add(struct task *task);
void serve_alias_list(struct task *task);
void serve_alias_remove(struct task *task);
void serve_domain_add(struct task *task);
void serve_domain_list(struct task *task);
void serve_domain_remove(struct task *task);
void serve_lease_list(struct task *task);
void serve_lease_revoke(struct task *task);
void serve_queue_list(struct task *task);
void serve_queue_show(struct task *task);
void serve_queue_change(struct task *task);
void serve_status(struct task *task);
void serve_refused(struct task *task);
void serve_why(struct task *task);
void serve_check(struct task *task);
void serve_repair(struct task *task);
void serve_bodies(struct task *task);
void serve_export(struct task *task);
void serve_snapshot(struct task *task);
void snapshot_release(struct keeper *keeper, const struct client *client); /* he is gone */

/* ---- notice.c: mail to an account's owner; never waits, and says nothing where it must not ---- */
/* A password came in clear, and was refused unchecked; `code` is the refusal's. */
void notice_cleartext(struct keeper *keeper, struct slice name, struct ip peer, uint8_t protocol, uint32_t code);
/* The first lease at an address that is new to the account. */
void notice_new_place(struct keeper *keeper, const struct account *account, const struct device *device, struct ip peer,
    uint8_t protocol);
void notice_forget(struct keeper *keeper, msec now);
void notice_done(struct keeper *keeper);

/* ---- keeper.c ---- */
/* Opens the store and starts pools and timers: the loop has to be run then.  With or without a control, with or without
 * a jail. */
MUST_USE enum status keeper_open(
    struct keeper *keeper, const char *store_dir, struct settings *settings, struct slice key, struct buf *why);
void keeper_stop(struct keeper *keeper); /* on the loop thread: finishes what was asked, stops the loop */
void keeper_close(struct keeper *keeper);

/* ---- core.c ---- */
msec keeper_now(struct keeper *keeper);
/* The parts that a server and the command line have in common: memory, directory, disk.  The writer's connection is
 * open. */
MUST_USE enum status keeper_init(struct keeper *keeper, struct settings *settings, struct slice key);
void keeper_done(struct keeper *keeper);
void keeper_soon(struct keeper *keeper); /* delayed logins or late answers have to be looked at */
MUST_USE enum status keeper_make_dummy(uint32_t cost, char out_verifier[VAULT_VERIFIER]); /* takes its time */
void keeper_take_dummy(struct keeper *keeper, uint32_t cost, const char verifier[VAULT_VERIFIER]);
/* ---- upkeep.c ---- */
void upkeep_tick(struct keeper *keeper);                      /* once a second */
void upkeep_last(struct keeper *keeper);                      /* before the end: the pools are closed */
bool keeper_has_room(struct keeper *keeper, uint64_t octets); /* on the disk, above the reserve */
/* An address as typed, as the key under which it is found; out_domain may be NULL. */
MUST_USE enum status keeper_key(
    struct slice text, struct arena *arena, struct slice *out_key, struct slice *out_domain);
