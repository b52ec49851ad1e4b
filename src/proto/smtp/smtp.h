/* smtp.h - what the files of the receiving SMTP engine share (RFC 5321, RFC 6409).
 *
 * smtp.c reads lines and holds the command table, smtp_events.c begins and ends sessions, smtp_envelope.c does MAIL and RCPT, smtp_data.c DATA and BDAT, smtp_login.c AUTH.
 * A transaction ends in smtp_reset() and nowhere else (C018 to C020). */
#pragma once

#include "mail/dot.h"
#include "mail/header.h"
#include "proto/line.h"
#include "proto/sasl.h"
#include "proto/smtp/smtp_reply.h"

/* Octets of addresses, parameters and their framing in one DELIVER: with the body inside, the frame stays below LIMIT_FRAME. */
_Static_assert(LIMIT_INLINE_BODY + 2 * LIMIT_PREFIX + LIMIT_RECIPIENTS_OCTETS + LIMIT_AUTHORS_OCTETS + 4096 <= LIMIT_FRAME,
    "a DELIVER fits into a frame");

/* States: a set, for the command table. */
enum smtp_state {
    SMTP_START = 1,  /* before EHLO or HELO */
    SMTP_READY = 2,  /* no transaction */
    SMTP_MAIL = 4,   /* MAIL was accepted, no recipient yet */
    SMTP_RCPT = 8,   /* at least one recipient */
    SMTP_CHUNKS = 16, /* BDAT was begun */
};

/* What the next octets are. */
enum smtp_reading {
    READ_COMMAND,
    READ_LOGIN,
    READ_DATA,
    READ_CHUNK,
    READ_NOTHING, /* the greeting is held back: who speaks now is no mail server (C015) */
};

struct smtp_transaction {
    bool submitted;                 /* the sender proved himself: fields may be added, authors are checked */
    struct slice sender, envid;          /* canonical; in of_transaction, like all here */
    struct deliver_recipient *recipients;
    uint32_t recipient_count, recipient_cap;
    struct deliver_recipient asked;      /* the one that the keeper is asked about */
    size_t recipients_octets;            /* of addresses and parameters, for the frame */
    uint64_t announced;                  /* SIZE=, or 0 */
    uint32_t lease;
    uint8_t proof, body_type, utf8, ret;
    bool has_asked;                      /* the keeper may hold reservations for it */
    /* content */
    bool has_content;                    /* DATA or BDAT was begun: scan is alive */
    struct header_scan scan;
    struct dot_decode dot;
    struct dot_strays strays;
    msec began;                          /* the content: DATA, or the first BDAT */
    uint64_t wire;                       /* octets received, dots and all */
    uint64_t octets;                     /* plain octets that were handed on */
    bool staged;                         /* they go into a descriptor by now */
    enum smtp_reply failure;             /* what the end of the data will be answered with; nothing is stored any more */
    uint64_t chunk_left, chunk_octets;
    uint32_t chunks;
    bool chunk_is_last;
};

struct smtp {
    struct line line;
    enum smtp_state state;
    enum smtp_reading reading;
    bool esmtp, stopping;
    bool submission; /* this listener and peer may submit: AUTH is offered, MAIL is asked; what a message is, its `submitted` says */
    bool is_device;                      /* of legacy.networks: its habits are put up with, here and nowhere else (D56 to D59) */
    bool more_behind;                    /* input waits behind the line that is being read */
    char helo[LIMIT_DOMAIN];
    uint16_t helo_len;
    const char *verb;                    /* of the command under way, for the log */
    struct slice account;                /* logged in as; empty: nobody */
    struct sasl *sasl;                   /* an exchange under way, in of_command */
    struct slice typed;                  /* the name in an AUTH that is being refused */
    uint32_t errors, junk, login_failures, transactions;
    struct smtp_transaction mail;
};

static inline struct smtp *smtp_of(struct session *s) { return s->state; }
static inline struct slice smtp_helo(const struct smtp *smtp) { return (struct slice){ smtp->helo, smtp->helo_len }; }

/* A refusal: says it, notes it, counts it, and closes where the row or the number of errors demands it.  NO_SLICE: no argument. */
void smtp_refuse(struct session *s, enum smtp_reply reply, struct slice argument);
/* Ends the transaction, whatever became of it; the keeper is told unless it knows. */
void smtp_reset(struct session *s);
/* Behind every answered command: counts, renews the deadline, closes if the server stops. */
void smtp_command_over(struct session *s);

/* What `reply` says, and no more. */
void smtp_close_with(struct session *s, enum smtp_reply reply);
void smtp_renew_deadline(struct session *s);
size_t smtp_feed(struct session *s, struct slice wire);

/* Is AUTH offered on this connection at all, whatever the encryption?  Not to strangers' servers. */
bool smtp_has_login(const struct session *s);
enum password_lane smtp_lane(const struct session *s);
struct sasl_scene smtp_scene(struct session *s);

/* Command handlers, by file.  `argument` is what stands behind the verb, without the white space between. */
void smtp_cmd_mail(struct session *s, struct slice argument);
void smtp_cmd_rcpt(struct session *s, struct slice argument);
void smtp_mail_answer(struct session *s, const struct answer *answer);
void smtp_rcpt_answer(struct session *s, const struct answer *answer);
/* EHLO keywords of the parameters' rows, one a line. */
MUST_USE enum status smtp_parameter_keywords(struct session *s, struct buf *out);

void smtp_cmd_data(struct session *s, struct slice argument);
void smtp_cmd_bdat(struct session *s, struct slice argument);
size_t smtp_feed_data(struct session *s, struct slice wire);
size_t smtp_feed_chunk(struct session *s, struct slice wire);
/* When a peer that sends no more octets is too slow on average (C228), or SESSION_NEVER outside of content. */
msec smtp_content_deadline(const struct session *s);
void smtp_stage_answer(struct session *s, const struct answer *answer);
void smtp_deliver_answer(struct session *s, const struct answer *answer);

void smtp_cmd_auth(struct session *s, struct slice argument);
void smtp_refuse_cleartext(struct session *s, struct slice argument);
void smtp_login_line(struct session *s);
void smtp_login_answer(struct session *s, const struct answer *answer);
void smtp_login_drop(struct session *s);
