/* policy_reply.h - all that Postfix is ever answered: one table. */
#pragma once

#include "base/buf.h"

enum policy_action {
    POLICY_DUNNO,   /* no opinion: the next restriction decides */
    POLICY_OK,      /* may relay */
    POLICY_USED_UP, /* owns a lease, and has sent enough */
    POLICY_OVER,    /* the lease ended within the transaction */
    POLICY_PROVE,   /* submission: neither login nor lease */
    POLICY_FOREIGN, /* submission: there is a lease at that address, and the sender is not its account's */
    POLICY_HELO,    /* submission: the lease's account is pinned to another EHLO name (pop_before_smtp.pin_helo) */
    POLICY_FAMILY,  /* submission: the sender's account has a lease at an address of the other family */
    POLICY_ACTIONS,
};
/* "action=...", an empty line. */
MUST_USE enum status policy_put(struct buf *out, enum policy_action action);
/* A word for logs. */
const char *policy_action_name(enum policy_action action);
