/* conn.h - the only driver: socket -> TLS -> session -> asks, for every protocol.
 *
 * A conn owns its socket, its TLS and its session.  It reads into one buffer shared by the whole loop, writes once a pass, stops reading while the
 * session waits or the peer does not read, and keeps the body that is arriving: in memory up to LIMIT_INLINE_BODY, beyond it in the descriptor that
 * the answer to ASK_STAGE lent. */
#pragma once

#include "ask/ask.h"
#include "net/loop.h"
#include "net/tls.h"
#include "proto/session.h"

struct conn;
struct conn_host {
    struct loop *loop;
    /* Puts the session's ask to the keeper; takes over ask->fd.  The answer comes back through conn_answer(), later and not from within.  Any status
     * but OK is answered by the driver itself. */
    enum status (*ask)(void *context, struct conn *conn, const struct ask *ask);
    /* The conn is over; its memory is freed after this returns.  Comes at the end of a pass, never from within the calls below. */
    void (*gone)(void *context, struct conn *conn);
    void (*heard)(void *context); /* octets came from the peer; may be NULL */
    void *context;
};
struct conn_plan {
    const struct protocol *protocol;
    struct session_env env;
    struct tls_context *tls;      /* for STARTTLS or implicit TLS; NULL: none */
    bool implicit_tls;
};
/* Takes over `fd`, a connected stream socket, and holds on to the plan's settings and TLS context. */
struct conn *conn_open(const struct conn_host *host, const struct conn_plan *plan, int fd);
void conn_answer(struct conn *conn, const struct answer *answer); /* takes over answer->fd; one that nobody waits for is dropped */
void conn_stop(struct conn *conn);      /* the server stops: let the command end, then 421 */
/* Its place is wanted: ends as if it had been silent for too long.  Not while conn_is_waiting(). */
void conn_expire(struct conn *conn);
void conn_cut(struct conn *conn);       /* ends it at once, whatever is still to be said or heard */
bool conn_is_waiting(const struct conn *conn); /* for an answer to its ask */
void conn_abort(struct conn *conn);     /* the keeper is gone: "temporary failure", close; no reply where a message or a deletion may have been done */
