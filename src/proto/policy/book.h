/* book.h - who may send through the server beside us: reported logins in, verdicts on Postfix's questions out.
 *
 * The leases are those of proto/lease.h, with its rules and settings; an account is a login name, numbered in memory.
 * An account owns the address that is its login name, that address with +tag, and what policy.senders lists.  Pure
 * logic. Numbers of accounts are forgotten when no lease and no crowd can hold on to them, and are never given again.
 *
 * A message is reserved at its first RCPT and a recipient at each.  Nothing is given back: Postfix does not say that a
 * transaction was given up, so what may have been sent counts as sent.  END-OF-MESSAGE settles it at once, where
 * Postfix is set up to ask then; else LIMIT_POLICY_TRANSACTION does. */
#pragma once

#include "proto/lease.h"
#include "proto/pin.h"
#include "proto/policy/policy.h"
#include "proto/policy/policy_reply.h"
#include "proto/policy/report.h"

struct book {
    struct leases leases;      /* ended, context: the owner's */
    struct settings *settings; /* the owner's */
    struct pins pins;          /* of accounts */
    struct map names;          /* key of a login name -> struct account */
    struct map numbers;        /* uint32_t -> the same */
    struct map senders;        /* login key, NUL, address key or @domain -> itself */
    struct map transactions;   /* client, instance and sender -> struct transaction */
    struct list under_way;     /* the same, the oldest first */
    uint32_t last_account;
};
void book_init(struct book *book, struct settings *settings);
void book_done(struct book *book);

/* Lines "LOGIN ADDRESS...", empty ones, and # comments.  On failure *out_line is where.  MALFORMED, TOO_BIG. */
MUST_USE enum status book_senders(struct book *book, struct slice text, uint32_t *out_line);

/* What became of a reported login. */
struct book_login {
    const struct lease *lease; /* NULL: none */
    bool renewed;
    const char *refusal; /* where there is none: a word; "" where nobody would expect one */
};
struct book_login book_login(struct book *book, const struct report *report, msec now);
/* A wrong password. */
void book_failed(struct book *book, const struct report *report, msec now);

/* The verdict, and what it was founded on. */
struct book_verdict {
    enum policy_action action;
    uint32_t lease;       /* 0: none */
    struct slice account; /* whose lease it is; lives until the account is forgotten */
    bool is_new;          /* something was counted: worth a line in the log */
    uint32_t messages_left, recipients_left;
};
struct book_verdict book_judge(struct book *book, const struct policy_query *query, msec now);

/* Name of an account, for logs; empty if it is forgotten. */
struct slice book_name(const struct book *book, uint32_t account);
/* To be called now and then: what is over is freed. */
void book_sweep(struct book *book, msec now);
