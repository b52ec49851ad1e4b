/* policy.h - Postfix's policy delegation protocol (SMTPD_POLICY_README, check_policy_service).
 *
 * A question is lines of name=value, each ended by LF, and an empty line; the answer is action=... and an empty line.
 * Many questions come over one connection, one after another.  Names that we do not know are skipped: later versions
 * send more. */
#pragma once

#include "base/buf.h"
#include "base/ip.h"
#include "base/limits.h"

enum policy_state { POLICY_OTHER, POLICY_RCPT, POLICY_DATA, POLICY_END_OF_MESSAGE };

struct policy_query { /* slices are empty where Postfix did not say it */
    enum policy_state state;
    bool has_client;
    struct ip client;
    struct slice instance;          /* the same for all questions about one message */
    struct slice sender, recipient; /* without angle brackets; an empty sender is the null sender */
    struct slice login;             /* sasl_username */
    struct slice helo;              /* helo_name */
    bool submission;                /* policy_context=submission, as an administrator writes it for such a port */
};

enum policy_event {
    POLICY_MORE,  /* all is eaten, and no question is whole */
    POLICY_ASKED, /* a question; it lives until the next feed */
    POLICY_BAD, /* not this protocol, or beyond LIMIT_POLICY_OCTETS: to be closed without an answer, which Postfix takes
                   as a fault */
};

struct policy {
    struct buf held; /* of one question */
    size_t line;     /* where its present line begins */
    uint32_t lines;
    bool is_whole, is_bad;
};
void policy_init(struct policy *policy);
void policy_done(struct policy *policy);
/* Eats a prefix of *wire: at most one question. */
enum policy_event policy_feed(struct policy *policy, struct slice *wire, struct policy_query *out_query);
/* Has a question begun that is not whole? */
bool policy_is_amid(const struct policy *policy);
