/* attempt.h - one attempt, as its files see it: attempt.c opens, settles and ends it, attempt_route.c finds the way and connects, attempt_talk.c
 * carries out what the SMTP client wishes. */
#pragma once

#include "courier/courier_impl.h"
#include "proto/smtp/smtp_client.h"

/* ATTEMPT_ROUTE -> CONNECT -> TALK -> (BOUNCE) -> SETTLE -> over.  One ask is under way at most. */
enum stage { ATTEMPT_ROUTE, ATTEMPT_CONNECT, ATTEMPT_TALK, ATTEMPT_BOUNCE, ATTEMPT_SETTLE };

struct attempt {
    struct list node;
    struct courier *courier;
    struct settings *settings;
    struct arena arena;
    struct answer_claim claim;      /* copied into the arena */
    struct client_job job;
    struct client *client;
    struct tls *tls;
    enum stage stage;
    struct dns_answer route;
    size_t address;                 /* index into route */
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connecting;
    bool has_tcp, securing, over;
    int closing;                    /* handles that are not closed yet */
    uint32_t ask_number;
    /* the body on its way: stored frames of one page, given to the client one at a time */
    struct buf page, plain, wire;
    size_t page_at;
    uint64_t next;                  /* of the page after this; 0 with has_body: none */
    uint32_t skip;
    bool has_body;
    bool has_dsn;                   /* the next hop offered DSN */
    struct slice tls_version;
};

/* attempt.c */
struct slice attempt_keep(struct attempt *a, struct slice s);       /* a copy in the arena */
msec attempt_now(struct attempt *a);
void attempt_close_socket(struct attempt *a);
void attempt_put(struct attempt *a, const struct ask *ask);         /* puts the attempt's ask; a keeper that is gone ends the attempt */
void attempt_finish(struct attempt *a);                             /* every recipient has an outcome */
void attempt_defer_all(struct attempt *a, struct slice reason);     /* those that have none are tried again */
void attempt_handle_closed(uv_handle_t *handle);
/* Frees it; only where it is over and its last handle is closed. */
void attempt_release(struct attempt *a);

/* attempt_route.c */
void attempt_route(struct attempt *a);                              /* looks the host up, then tries its addresses */
void attempt_connect_next(struct attempt *a);

/* attempt_talk.c */
void attempt_talk(struct attempt *a);                               /* the connection stands */
void attempt_take_page(struct attempt *a, const struct answer *answer);
