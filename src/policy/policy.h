/* policy.h - `ekirei policy`: safe POP before SMTP beside other people's servers.
 *
 * One process, in a jail of its own, with neither store nor keeper: it answers Postfix (proto/policy/policy.h) from
 * leases that logins open which a Dovecot or Courier reports (proto/policy/report.h).  What it knows is in memory; its
 * end ends all leases (C107). */
#pragma once

#include "base/settings.h"

struct policy_plan {
    struct settings *settings;
    struct slice key;     /* REPORT_KEY octets, which both ends of the report protocol have */
    struct slice senders; /* text of the file that policy.senders names, or nothing */
};
/* Runs until SIGTERM or SIGINT; gives the exit status.  Prints "ready" once it listens.  The process is jailed from
 * then on: it can do nothing else but end. */
int policy_run(const struct policy_plan *plan);
