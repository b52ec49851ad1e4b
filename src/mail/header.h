/* header.h - the header section of a message, read once while it passes by (RFC 5322 2.2, 3.6).
 *
 * header_scan eats the octets of a message as they arrive, cut anywhere, and keeps what the house must know:
 * which fields are there, how many Received (C208), the authors (C092, C167), whether a line is out of form (C017).  Memory is bounded
 * by LIMIT_HEADER_FIELD; time is linear. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

enum header_flaw {
    HEADER_FINE,
    HEADER_LEADING_SPACE, /* the first line starts with white space (C017) */
    HEADER_NUL,           /* NUL in the header section (C168) */
    HEADER_TOO_LONG,      /* more than LIMIT_HEADER octets */
    HEADER_TWO_FROM,      /* From or Sender twice (C167) */
    HEADER_BAD_AUTHORS,   /* From, Sender or a Resent- one that cannot be read, or more than LIMIT_AUTHORS */
};

struct header_scan {
    struct arena *arena;       /* kept values and authors live here */
    struct buf field;          /* the field being collected, only if its name is one we read */
    uint64_t octets;           /* of the header section, its empty line included */
    uint32_t received;         /* Received fields */
    uint8_t from, sender, date, message_id; /* how often each stood there, at most 255 */
    uint8_t state;             /* of the line scanner; header.c */
    bool first_line;           /* nothing but (a part of) the first line was seen */
    bool ended;                /* the empty line, or the end of the message, was seen */
    enum header_flaw flaw;     /* the first one */
    size_t resent_octets;      /* of the values of Resent-From and Resent-Sender */
    struct slice *authors;     /* addr-specs of From, Sender, Resent-From and Resent-Sender, canonical (address_print form) */
    size_t author_count;
    uint8_t name_len;
    char name[32];
};

void header_scan_init(struct header_scan *scan, struct arena *arena);
void header_scan_feed(struct header_scan *scan, struct slice octets); /* a no-op once ended */
void header_scan_end(struct header_scan *scan);                       /* the message is over */
void header_scan_done(struct header_scan *scan);

/* The addr-specs of an address list field body: names, comments, groups and obsolete routes are skipped,
 * encoded words are never decoded (C166).  Calls `each` once an address; MALFORMED where it cannot be read. */
MUST_USE enum status header_addresses(struct slice value, struct arena *a,
    enum status (*each)(void *context, struct slice address), void *context);
