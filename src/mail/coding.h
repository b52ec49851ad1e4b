/* coding.h - base64 (RFC 4648 4), base64url (RFC 4648 5), hex, xtext (RFC 3461 4).  All strict: exact padding, no white space (C078). */
#pragma once

#include "base/buf.h"

MUST_USE enum status base64_encode(struct buf *out, struct slice in);
MUST_USE enum status base64_decode(struct buf *out, struct slice in);
/* RFC 7515 2: the other alphabet, no padding. */
MUST_USE enum status base64url_decode(struct buf *out, struct slice in);
MUST_USE enum status hex_encode(struct buf *out, struct slice in);            /* lower case */
MUST_USE enum status hex_decode(struct buf *out, struct slice in);            /* either case */
MUST_USE enum status xtext_encode(struct buf *out, struct slice in);
/* MALFORMED also where a decoded octet is not printable ASCII (C033). */
MUST_USE enum status xtext_decode(struct buf *out, struct slice in);
