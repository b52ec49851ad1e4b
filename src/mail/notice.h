/* notice.h - mail to the owner of an account about a login of his, in English and Japanese in one text.
 *
 * It is for final delivery on this server: it begins with Return-Path: <>, and says Auto-Submitted: auto-generated (RFC 3834 5), so that nothing
 * answers it.  The body is UTF-8, 8bit. */
#pragma once

#include "base/clock.h"
#include "base/ip.h"

enum notice_kind {
    NOTICE_CLEARTEXT, /* a password came without encryption, and was not looked at */
    NOTICE_NEW_PLACE, /* mail was checked from an address not used before, and may be sent from there now */
};

struct notice {
    enum notice_kind kind;
    struct slice host;      /* our host name */
    struct slice domain;    /* the account's: the sender is its postmaster */
    struct slice to;        /* the account's address */
    struct slice id;        /* makes Message-ID; letters, digits, '-' */
    struct slice device;    /* NEW_PLACE: whose password it was; empty: the account's own */
    struct slice protocol;  /* "POP3" */
    struct ip peer;
    uint32_t code;          /* of `ekirei why`; 0: none */
    wall when;
};

MUST_USE enum status notice_write(struct buf *out, const struct notice *notice);
