/* bounce.h - writes a delivery status notification (RFC 3461, 3462, 3464; RFC 6533 where utf8), in English and Japanese. */
#pragma once

#include "base/clock.h"
#include "base/buf.h"

enum bounce_action { BOUNCE_FAILED, BOUNCE_DELAYED, BOUNCE_RELAYED, BOUNCE_DELIVERED, BOUNCE_EXPANDED };

struct bounce_recipient {
    struct slice address;       /* the recipient as queued */
    struct slice orcpt;         /* decoded "type;address", or empty */
    enum bounce_action action;
    struct slice status;        /* "5.1.1" */
    struct slice remote;        /* host that refused, or empty */
    struct slice diagnostic;    /* its reply on one line, or our own words; cleaned here of anything unprintable */
};

struct bounce {
    struct slice host;          /* our host name: MAILER-DAEMON@host, Reporting-MTA */
    struct slice to;            /* envelope sender of the original: the one recipient */
    struct slice id;            /* makes Message-ID and boundary; letters, digits, '-' */
    struct slice envid;         /* decoded, or empty */
    const struct bounce_recipient *recipients;
    size_t recipient_count;
    struct slice original;      /* the original message, or its beginning */
    bool full;                  /* RET=FULL: return it up to LIMIT_BOUNCE_ORIGINAL; else its header only */
    bool utf8;
    wall arrived, now;
};

MUST_USE enum status bounce_write(struct buf *out, const struct bounce *bounce);
