/* smtp_client.h - sending one message to another server: the courier's engine, sans I/O like all engines (RFC 5321 3.3).
 *
 * Not a `session`: here we speak first and the wishes are fewer.  Dot encoding, SIZE, 8BITMIME, SMTPUTF8, PIPELINING, DSN and STARTTLS are used as
 * the other side offers them.  Bounds on its replies: LIMIT_REPLY_LINES, LIMIT_REPLY_LINE (C047).  Octets behind the 220 of STARTTLS end the
 * attempt (C055).  A binary body that the other side cannot take is a failure 5.6.3, never altered. */
#pragma once

#include "ask/ask.h"
#include "base/settings.h"

struct client_rcpt {
    struct slice address, orcpt;
    uint8_t notify;
    /* outcome, filled in as replies come */
    uint8_t outcome;           /* enum settle_outcome; 0: not known yet */
    struct slice reply;        /* one line, in the arena */
};

struct client_job {
    struct slice helo;         /* our host name */
    struct slice sender, envid;
    struct client_rcpt *rcpts;
    size_t rcpt_count;
    uint64_t size;
    uint8_t body_type, utf8, ret;
    uint8_t tls;               /* enum tls_wish */
    bool implicit_tls;
};

/* With implicit_tls the first wish is CLIENT_TLS.  Octets that client_feed() leaves may be dropped.  DONE: every recipient has an outcome; QUIT
 * was said, and its reply is not waited for, so that settling is not either. */
enum client_wish { CLIENT_READ, CLIENT_SEND, CLIENT_TLS, CLIENT_BODY /* give more plain octets with client_body() */, CLIENT_DONE };

struct client;
struct client *client_open(const struct client_job *job, struct arena *arena, msec now);
size_t client_feed(struct client *c, struct slice wire, msec now);
void client_body(struct client *c, struct slice plain, bool last, msec now); /* at most 1 MiB a call */
void client_secured(struct client *c, msec now);
/* Connection refused, reset, timed out, or the deadline passed: recipients without a final outcome become DEFERRED with `reason`. */
void client_lost(struct client *c, struct slice reason, msec now);
enum client_wish client_next(struct client *c, struct slice *out_bytes); /* SEND: bytes, valid until the next call */
bool client_has_dsn(const struct client *c);       /* the other side offered DSN: it answers for NOTIFY from here on (RFC 3461 5.2) */
msec client_deadline(const struct client *c);  /* RFC 5321 4.5.3.2: 5 min a command, 10 min after the final dot */
void client_close(struct client *c);
