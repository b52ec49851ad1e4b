/* date.h - dates of messages (RFC 5322 3.3) and of logs (RFC 3339). */
#pragma once

#include "base/buf.h"
#include "base/clock.h"

/* "Mon, 23 Nov 2026 10:04:05 +0000", always UTC. */
MUST_USE enum status date_print(struct buf *out, wall when);
/* "2026-11-23T10:04:05Z" */
MUST_USE enum status date_print_iso(struct buf *out, wall when);
/* "2026-11-23" or "2026-11-23T10:04:05Z" on a command line; MALFORMED otherwise. */
MUST_USE enum status date_parse_iso(struct slice text, wall *out_when);
