/* session_impl.h - what engines see of a session and drivers do not.
 *
 * Wishes wait in the order NOTE, SEND, BODY, ASK, TLS, CLOSE.  An engine's feed goes on from command to command until its input is used up or
 * session_is_stopped(): an ask, a body piece, TLS or the end is wished for, or too many replies or notes wait. */
#pragma once

#include "proto/session.h"

struct protocol {
    const char *name;
    size_t state_size;                                   /* of the engine's own struct, zeroed */
    void (*open)(struct session *s);                     /* greeting; also after nothing but session_open */
    size_t (*feed)(struct session *s, struct slice wire);
    void (*answer)(struct session *s, const struct answer *answer); /* of the kind that was asked */
    void (*secured)(struct session *s);                  /* facts are in s->tls */
    void (*expired)(struct session *s);
    void (*hangup)(struct session *s);                   /* only silent asks may be wished for; END_SESSION comes by itself */
    void (*stop)(struct session *s);
    void (*close)(struct session *s);                    /* frees what the arenas do not hold; may be NULL */
    /* Between two commands: of what lies in of_command only wishes are left.  NULL: never. */
    bool (*rests)(const struct session *s);
};

#define SESSION_ASKS 4 /* waiting at once: one with an answer, the silent ones around it, and a refusal that is told */

struct queued_note;

struct session {
    const struct protocol *protocol;
    void *state;
    struct session_env env;
    struct tls_facts tls;        /* copies in of_session; version empty without TLS */
    bool is_secured;
    msec now, opened;
    msec deadline;               /* set by the engine; starts as `never` */
    struct random_stream random;
    struct arena of_session, of_transaction, of_command; /* the last two are reset by the engine */
    char name[32];

    /* The rest belongs to session.c. */
    struct arena of_notes;
    struct queued_note *notes, *last_note;
    uint8_t note_count;
    uint8_t ask_first, ask_count, told;
    struct ask asks[SESSION_ASKS];
    struct buf out, body;
    bool out_given, body_given, ask_given;
    enum ask_kind waiting_for;   /* ASK_NONE: no answer is due */
    bool wants_tls, awaits_tls, wants_close, closed, gone, has_asked;
};

#define SESSION_NEVER ((msec)UINT64_MAX)

wall session_wall(const struct session *s);
/* The peer is a device of legacy.networks: what it does not know better is put up with (PITFALLS D56 to D59). */
bool session_is_device(const struct session *s);
/* A port for devices alone, and the peer is none: it is turned away at once. */
bool session_is_misplaced(const struct session *s);
/* Wishes.  Text beyond LIMIT_SEND_BUFFER that nobody drained is must(): engines stop eating when session_is_full(). */
void session_send(struct session *s, struct slice bytes);
void session_print(struct session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct buf *session_out(struct session *s);              /* what session_send() appends to, for encoders that write into a buf */
bool session_is_full(const struct session *s);           /* half of LIMIT_SEND_BUFFER is waiting, or many notes */
/* Room for replies of which each is at most a few lines: false where feed has to return and be called again. */
bool session_is_stopped(const struct session *s);
/* Zeroed; the caller fills it in; what its slices point at must outlive the wish.  The secret of a login is
 * overwritten in place once the driver has had it. */
struct ask *session_ask(struct session *s, enum ask_kind kind);
/* The keeper is told of a refusal of ours, for `ekirei why`; at most LIMIT_SESSION_TOLD a session.  `name`: what was typed, or the
 * account's; copied, and left out where it is no name. */
void session_tell(struct session *s, uint32_t refusal, struct slice name);
/* The body piece that goes out next: engines append to it; it is empty at every call of feed. */
struct buf *session_body(struct session *s);
/* After a message: a large body piece's memory goes back. */
void session_body_over(struct session *s);
void session_want_tls(struct session *s);
void session_want_close(struct session *s);
bool session_wants_close(const struct session *s);
void session_note(struct session *s, const struct note *note); /* copies the values */
