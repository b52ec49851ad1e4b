/* impl.h - what the files of the gate share. */
#pragma once

#include "base/log.h"
#include "gate/door.h"
#include "gate/gate.h"
#include "net/channel.h"
#include "net/conn.h"
#include "net/control.h"

enum scope { SCOPE_MX, SCOPE_SUBMISSION, SCOPE_POP3, SCOPE_LEGACY_SUBMISSION, SCOPE_LEGACY_POP3, SCOPES };

/* What new connections get; those that are there keep what they began with. */
struct house {
    struct settings *settings;
    struct tls_context *contexts[SCOPES]; /* NULL: not this pool's, or no certificate */
};

struct service_row; /* visitor.c */

struct listener {
    struct list node;
    struct gate *gate;
    uv_poll_t poll;
    int fd;
    const struct service_row *service; /* never NULL */
};

/* One connection, as the gate sees it. */
struct visitor {
    struct list node;      /* gate.visitors */
    struct list asks;      /* struct pending: answers that are due */
    struct gate *gate;
    struct conn *conn;
    uint64_t id;
    struct ip ip;
    uint32_t line;         /* number of the keeper's channel when it came */
    bool counted;          /* by the door */
    bool is_leaving;       /* in gate.leaving */
    struct list place;     /* in gate.silent, gate.leaving, or in neither: logged in */
    bool owes_end;         /* the keeper knows its session */
};

/* An ask under way.  Its number on the channel is its place in the table, and above that how often the place was taken. */
struct pending {
    struct list node;
    struct visitor *visitor; /* NULL: it left before the answer came */
    enum ask_kind kind;
    uint16_t turn, next_free;
    bool taken;
};

struct gate {
    struct loop loop;
    struct control *control;
    struct role_start *start;
    enum role role;
    struct house house;
    struct list listeners, visitors;
    struct list silent;           /* visitors who are counted and have not logged in, those silent for longest first (crowd.c) */
    struct list leaving;          /* visitors who were told to go */
    uint32_t leaving_count;
    uint32_t visitor_count, visitor_most, visitor_peak; /* peak: since memory was given back last */
    uv_timer_t trim;
    struct door door;
    uint64_t first_id, taken;     /* connections of this worker's life */
    struct channel *keeper;       /* NULL: away */
    uint32_t line;                /* number of its channel */
    struct answer_offers offers;  /* the keeper's last word; 0 until there is one */
    struct pending *pending;      /* LIMIT_ASKS places */
    uint32_t pending_used;        /* places that were ever taken */
    int32_t pending_free;         /* first of those that are free again, or -1 */
    uv_timer_t timer;             /* of the stop, or of a pause in accepting */
    bool complete, told_ready, listening, pausing, retiring, stopping, cut;
};

/* house.c */
MUST_USE enum status house_open(enum role role, const struct boot *boot, struct settings *settings, struct house *out_house, struct buf *why);
void house_close(struct house *house);

/* visitor.c */
void listener_open(struct gate *gate, int fd, enum service service);
void listeners_watch(struct gate *gate);      /* on or off, as the gate's state wants it; tells READY the first time */
void listeners_close(struct gate *gate);
void visitors_each(struct gate *gate, void (*call)(struct conn *conn));

/* crowd.c: who makes room where all places are taken */
void crowd_init(struct gate *gate);
void crowd_enter(struct visitor *visitor);    /* counts it, if it may come in; its conn is not there yet */
void crowd_heard(struct visitor *visitor);
void crowd_known(struct visitor *visitor);    /* it has logged in */
void crowd_leave(struct visitor *visitor);    /* it is gone */

/* post.c: the keeper's channel.  One ask of the gate's own is always under way: what mechanisms credentials name (ASK_OFFERS). */
void post_open(struct gate *gate, int fd);
void post_lose(struct gate *gate, const char *why);
enum status post_ask(void *visitor, struct conn *conn, const struct ask *ask);
void post_forget(struct visitor *visitor);

/* gate.c */
void gate_look_if_done(struct gate *gate);    /* after a visitor has left */
void gate_retire(struct gate *gate);
