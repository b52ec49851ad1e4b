/* init_cert.h - the small CA and the first certificate that `ekirei init` makes: EC P-256, signed with SHA-256. */
#pragma once

#include "base/buf.h"

struct init_cert {
    struct buf ca, ca_key, cert, key; /* PEM; the two keys must be wiped once they are written */
};

/* A CA named after `domain`, good for ten years, and a certificate for `hostname`, localhost, 127.0.0.1 and ::1, good
 * for 825 days (no client takes a longer one). IO: OpenSSL failed. */
MUST_USE enum status init_cert_make(struct slice domain, struct slice hostname, struct init_cert *out_cert);
void init_cert_done(struct init_cert *cert);
/* Does this key belong to this certificate (the first in the text), and when does the certificate end?  MALFORMED: not
 * PEM; DENIED: they do not belong together. */
MUST_USE enum status init_cert_check(struct slice cert, struct slice key, int64_t *out_seconds_left);
