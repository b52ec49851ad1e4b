/* session_impl.h - what engines see of a session and drivers do not. */
#pragma once

#include "proto/session.h"

struct protocol {
    const char *name;
    size_t state_size;                                   /* of the engine's own struct, zeroed */
    void (*open)(struct session *s);                     /* greeting; also after nothing but session_open */
    size_t (*feed)(struct session *s, struct slice wire);
    void (*answer)(struct session *s, const struct answer *answer);
    void (*secured)(struct session *s);                  /* facts are in s->tls */
    void (*expired)(struct session *s);
    void (*hangup)(struct session *s);
    void (*stop)(struct session *s);
    void (*close)(struct session *s);                    /* frees what the arenas do not hold */
};

struct session {
    const struct protocol *protocol;
    void *state;
    struct session_env env;
    struct tls_facts tls;        /* copies in of_session; version empty without TLS */
    bool is_secured;
    msec now, opened, deadline;
    struct random_stream random;
    struct arena of_session, of_transaction, of_command; /* of_command is reset by the engine when a command is over */
    char name[24];
    /* wishes, oldest first; bytes of SEND are joined */
    struct buf out;              /* bytes of SEND wishes */
    size_t out_given;
    struct slice body;           /* one WISH_BODY at a time: engines return from feed after giving one out */
    struct buf body_buf;
    struct ask ask;              /* one ASK at a time */
    struct note note;            /* one NOTE at a time; a second one flushes into the list below */
    uint8_t pending;             /* set of 1 << enum wish_kind; session.c */
    bool waiting, closed;
    struct { struct note note; } notes[4];
    uint8_t note_count;
};

wall session_wall(const struct session *s);
/* Wishes.  Text beyond LIMIT_SEND_BUFFER that nobody drained is must(): engines stop eating when session_is_full(). */
void session_send(struct session *s, struct slice bytes);
void session_print(struct session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool session_is_full(const struct session *s);           /* half of LIMIT_SEND_BUFFER is waiting */
struct ask *session_ask(struct session *s, enum ask_kind kind); /* zeroed; the caller fills it in; slices must outlive the wish */
void session_body(struct session *s, struct slice bytes); /* copied */
void session_want_tls(struct session *s);
void session_want_close(struct session *s);
void session_note(struct session *s, const struct note *note); /* values are copied into of_command */
