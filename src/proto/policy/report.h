/* report.h - how a mailbox server beside us tells who has just proved who he is.
 *
 *   server  EKIREI-REPORT 1 NONCE                          32 hex digits, another one for each connection
 *   client  LOGIN SEQ PROTOCOL PEER LOCAL NAME MAC         or FAIL ...: a wrong password
 *   server  OK lease=ID seconds=N messages=N               or OK, or NO REASON
 *
 * Lines end with LF.  SEQ is decimal and grows within the connection; PROTOCOL is pop3 or imap; PEER is the client's
 * address and LOCAL the server's, or "-"; NAME is the login name, %XX for every octet that is not printable ASCII and
 * for "%". MAC is HMAC-SHA256 in hex, under a key that both ends have, of the nonce, one space, and the line up to the
 * space in front of MAC.  So a line is good once, in one connection, and only from who has the key (C102).  What is not
 * in this form, or not by the key, ends the connection. */
#pragma once

#include "base/buf.h"
#include "base/ip.h"
#include "base/limits.h"

#define REPORT_KEY   32u /* octets */
#define REPORT_NONCE 32u /* hex digits */

enum report_kind { REPORT_LOGIN, REPORT_FAIL };

struct report {
    enum report_kind kind;
    uint64_t sequence;
    bool imap; /* else POP3 */
    bool has_local;
    struct ip peer, local;
    struct slice name; /* decoded: UTF-8 without control octets, 1 to LIMIT_LOGIN_NAME octets */
};

enum report_event {
    REPORT_MORE, /* all is eaten, and no line is whole */
    REPORT_TOLD, /* a report; its name lives until the next feed */
    REPORT_BAD,  /* `why` says what; the connection is to be closed */
};

struct reporter { /* one connection */
    char nonce[REPORT_NONCE + 1];
    struct slice key;  /* belongs to the caller */
    uint64_t sequence; /* of the last report; 0: none yet */
    struct buf line, name;
    bool is_whole;
    const char *why; /* of REPORT_BAD: "malformed", "not-authentic", "replayed", "too-long" */
};
/* `nonce`: REPORT_NONCE / 2 random octets. */
void reporter_init(struct reporter *reporter, struct slice key, struct slice nonce);
void reporter_done(struct reporter *reporter);
/* Eats a prefix of *wire: at most one line. */
enum report_event reporter_feed(struct reporter *reporter, struct slice *wire, struct report *out_report);

/* The lines of both ends. */
MUST_USE enum status report_greet(struct buf *out, const struct reporter *reporter);
/* MALFORMED: not this greeting. */
MUST_USE enum status report_greeting(struct slice line, struct slice *out_nonce);
MUST_USE enum status report_put(struct buf *out, struct slice key, struct slice nonce, const struct report *report);
