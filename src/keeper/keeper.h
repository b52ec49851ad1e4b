/* keeper.h - the one owner of everything that lasts: accounts, mail, queue, leases, secrets.
 *
 * Three laws: it never parses message content; it never hashes a password, signs or searches on its loop thread; it
 * never aborts because of what a gate said. */
#pragma once

#include "ask/ask.h"
#include "net/boot.h"

/* Returns the exit status of the process. */
int keeper_run(struct role_start *start);

/* The same handlers without a server, for the command line: opens the store (waits for its lock up to `patience`), runs
 * one CTL ask, closes. */
struct keeper_offline {
    const char *store_dir;
    const struct settings *settings;
    struct slice keeper_key; /* 32 octets */
    msec patience;
    bool create;
    bool as_is; /* what is wrong with the store stays, to be looked at */
};
struct keeper_alone;
MUST_USE enum status keeper_alone_open(
    const struct keeper_offline *plan, struct keeper_alone **out_alone, struct buf *why);
/* The answer's slices live until the next call or close. */
void keeper_alone_ask(struct keeper_alone *alone, const struct ask *ask, struct answer *out_answer);
void keeper_alone_close(struct keeper_alone *alone);
