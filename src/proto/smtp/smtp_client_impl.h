/* smtp_client_impl.h - the sending engine, as its own two files see it: smtp_client.c decides, smtp_client_say.c writes commands. */
#pragma once

#include "mail/dot.h"
#include "proto/line.h"
#include "proto/smtp/smtp_client.h"

/* RFC 5321 4.5.3.2 */

/* What is awaited. */
enum client_phase {
    PHASE_HANDSHAKE, /* client_secured() */
    PHASE_GREETING,
    PHASE_EHLO,
    PHASE_HELO,
    PHASE_STARTTLS,
    PHASE_MAIL,
    PHASE_RCPT,
    PHASE_DATA,
    PHASE_BODY,      /* client_body() */
    PHASE_CHUNK,     /* the reply to a BDAT that was not the last */
    PHASE_FINAL,
    PHASE_DONE,
};

/* What EHLO offered. */
struct client_offers {
    bool pipelining, eightbit, utf8, dsn, starttls, chunking, binary, has_size;
    uint64_t size; /* 0: no limit was named */
};

struct client {
    const struct client_job *job;
    struct arena *arena;
    enum client_phase phase;
    bool secured, out_given, uses_chunks;
    struct client_offers offers;
    struct line line;
    struct buf out;
    msec now, deadline;
    struct dot_encode encode;
    /* the reply that is being read */
    struct buf reply;          /* its lines, joined */
    uint32_t reply_lines;
    uint16_t code;
    /* recipients are told and answered in order */
    size_t told, answered;
};

void client_await(struct client *c, enum client_phase phase, msec wait);
void client_say(struct client *c, struct slice text);
void client_say_hello(struct client *c, bool extended);
void client_say_mail(struct client *c);
void client_say_rcpts(struct client *c);
void client_say_chunk(struct client *c, struct slice plain, bool last);
