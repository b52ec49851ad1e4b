/* trace.h - the fields that we add at the top of a message: Return-Path, Received (RFC 5321 4.4), Date, Message-ID.
 *
 * Only validated text is written: a HELO that is no host name or literal appears as its hex form in a comment (C046).
 * RFC 3848 keyword: SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA, with UTF8 forms of RFC 6531; A only for SMTP AUTH, never for a lease (C111). */
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "base/ip.h"

struct trace {
    struct slice helo;          /* as the client said it */
    struct slice host;          /* our host name */
    struct slice id;            /* transaction id: letters, digits, '-' */
    struct slice recipient;     /* for <...>: only with exactly one recipient, else empty */
    struct slice tls;           /* "TLSv1.3 TLS_AES_256_GCM_SHA384", or empty without TLS */
    struct slice lease;         /* lease id where a lease paid, else empty */
    struct ip peer;
    bool esmtp, authenticated, utf8;
    wall when;
};

MUST_USE enum status trace_received(struct buf *out, const struct trace *trace);
/* sender: address_print form; empty for <> */
MUST_USE enum status trace_return_path(struct buf *out, struct slice sender);
MUST_USE enum status trace_date(struct buf *out, wall when);
MUST_USE enum status trace_message_id(struct buf *out, struct slice id, struct slice host);
