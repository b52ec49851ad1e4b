/* precis.h - names and passwords in the one form in which they are compared (RFC 8265), and SASLprep (RFC 4013).
 *
 * The same text typed on two keyboards gives the same octets: width, case and composition are evened out.  What comes
 * out stays as it is when prepared again (but for addresses whose local part needs quotes: the key has none).  Input beyond LIMIT_SECRET octets, and output beyond LIMIT_SECRET or four times the input,
 * is TOO_BIG; what the profile forbids, invalid UTF-8, and what comes out empty is MALFORMED. */
#pragma once

#include "base/arena.h"
#include "base/secret.h"

/* A login name (RFC 8265 3.3, UsernameCaseMapped): width mapped, lower case, NFC, blanks at the ends dropped; words
 * divided by spaces are taken one by one (3.1).  With an '@' it is an address: its local part is treated that way, its
 * domain becomes A-labels in lower case, and the result has the form of address_key().  MALFORMED does not mean that
 * there is no such account: it may have a name of another kind, which then only fits as it is. */
MUST_USE enum status precis_name(struct slice typed, struct arena *a, struct slice *out_name);
/* A password (RFC 8265 4.2, OpaqueString): any space is U+0020, NFC; no controls, nothing unassigned. */
MUST_USE enum status precis_password(struct slice typed, struct secret *out_password);
/* A password as SCRAM hashes it (RFC 5802 2.2): as a query, so that code points younger than Unicode 3.2 pass. */
MUST_USE enum status precis_saslprep(struct slice typed, struct secret *out_password);
