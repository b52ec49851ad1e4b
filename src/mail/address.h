/* address.h - mailbox addresses: local-part@domain (RFC 5321 4.1.2, RFC 6531 3.3).
 *
 * A parsed address borrows from the text it was parsed from, unless an arena is named.  The local part is
 * kept as typed but for quoting: "a.b"@x and a.b@x give the same `local`.  There is no template, percent or
 * bang syntax (C030, C038): such octets are ordinary letters of a local part. */
#pragma once

#include "base/arena.h"
#include "base/ip.h"

struct address {
    struct slice local;  /* unquoted; may be empty only in the form ""@domain (C027) */
    struct slice domain; /* lower case A-labels, no trailing dot (C031); empty for <> and <postmaster> */
    bool is_null;        /* <> */
    bool is_literal;     /* domain is an address literal; `ip` holds it (C032) */
    bool needs_utf8;     /* the local part or the domain as typed holds octets above 127 */
    struct ip ip;
};

/* <path> of MAIL and RCPT, with its angle brackets; leading white space and source routes are skipped
 * (RFC 5321 C: routes are ignored).  *rest is moved behind it.  `utf8` permits octets above 127.
 * MALFORMED on any syntax error, control octet, invalid UTF-8; TOO_BIG beyond the limits. */
MUST_USE enum status address_path(struct slice *rest, bool utf8, struct arena *a, struct address *out_address);
/* A bare address, as typed on a command line or in a login name. */
MUST_USE enum status address_parse(struct slice text, bool utf8, struct arena *a, struct address *out_address);
/* The address as text, quoted where it must be; <> gives nothing.  Canonical: domain as in `domain`. */
MUST_USE enum status address_print(struct buf *out, const struct address *address);
/* A host name, lower-cased, A-labels, trailing dot dropped; MALFORMED if it is none (RFC 5321 4.1.2, RFC 5890). */
MUST_USE enum status domain_parse(struct slice text, bool utf8, struct arena *a, struct slice *out_domain);
/* Is this what may stand behind EHLO in a trace field: a host name or an address literal (C046)? */
bool domain_is_helo(struct slice text);
/* The key under which accounts are found: local part in lower case ASCII + '@' + domain.  All local parts of
 * ours compare without case, as every peer does. */
MUST_USE enum status address_key(const struct address *address, struct arena *a, struct slice *out_key);
