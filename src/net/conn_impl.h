/* conn_impl.h - the inside of a connection: conn.c has the socket and the clock, conn_talk.c the session and TLS. */
#pragma once

#include "net/arriving.h"
#include "net/conn.h"
#include "net/conn_log.h"

/* clang-format off */
#define CONN_READ_ROOM   65536u                      /* octets of one read; shared by all connections of the process */
#define CONN_PLAIN_ROOM  (CONN_READ_ROOM + 32768u)   /* what one read decrypts to: a record may have begun before it */
#define CONN_OUT_ROOM    (4u * LIMIT_SEND_BUFFER)    /* feeding stops far below; an answer and TLS come on top */
#define CONN_SMALL       1024u                       /* octets that fill no packet */
/* clang-format on */

enum conn_phase {
    TALKING,
    CLOSING,   /* what waits is written, then it is over */
    LINGERING, /* all is said; the peer still sends: a reset now would take our last reply from it */
    OVER,      /* to be freed at the end of this pass */
};

struct conn {
    struct conn_host host;
    uv_poll_t poll;
    uv_timer_t timer;
    struct loop_flush flush;
    const struct protocol *protocol;
    struct session_env *env; /* until the session is there */
    struct tls_context *tls_context;
    struct session *session; /* NULL during the handshake of implicit TLS */
    struct tls *tls;
    struct buf in;  /* plain octets that the session could not take yet */
    struct buf out; /* what is due on the wire */
    struct arriving body;
    enum ask_kind asked; /* ASK_NONE: no answer is due */
    enum status refused; /* why the host did not take that ask: session_answer() is due; or OK */
    enum service service;
    struct ip peer;
    uint64_t octets_in, octets_out;
    msec deadline;      /* of the handshake or of lingering */
    msec blocked_since; /* when the socket last took something of what waits; 0: nothing waits for the peer */
    msec timer_at;      /* 0: not armed */
    const char *why;    /* reason of the end, for the log */
    int fd, watched, handles;
    enum conn_phase phase;
    bool ended;   /* the peer says no more */
    bool broken;  /* nothing can be said to it any more */
    bool paused;  /* not read from, until `in` is used up */
    bool stalled; /* not fed, until the peer has read */
    bool driving;
};

/* conn_talk.c */
struct conn_mark conn_mark(const struct conn *conn);
msec conn_now(const struct conn *conn);
void conn_break(struct conn *conn, const char *why); /* nothing more can be said to the peer */
void conn_open_session(struct conn *conn, const struct tls_facts *facts);
void conn_begin_tls(struct conn *conn);
void conn_carry_out(struct conn *conn);               /* all wishes of the session */
void conn_take(struct conn *conn, struct slice wire); /* what was read; `in` is empty */
void conn_resume(struct conn *conn); /* after an answer, or when the peer has read: `in` may be wanted now */

/* conn.c */
void conn_timer_fired(struct conn *conn);
