/* refusals.h - who was refused lately, and why: what `ekirei why` tells.
 *
 * In memory only, and bounded: a row is a cause, of an account from a place, or of a stranger's name and address; the next
 * refusal of the same kind counts in the same row.  What was typed by strangers, what a gate told, and what the keeper
 * itself knows of accounts each have a part of their own: none of them can push out what is in another.  Of one account
 * there are at most REFUSAL_PLACES rows of a cause, so that whoever guesses at one pushes out no other's. */
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "base/ip.h"
#include "base/list.h"
#include "base/map.h"
#include "ask/ask_ctl.h"

#define REFUSAL_PLACES 16u

struct task;
struct account;
struct binding;
struct keeper;

enum refusals_part { REFUSALS_OF_ACCOUNTS, REFUSALS_TOLD, REFUSALS_OF_STRANGERS, REFUSALS_PARTS };

struct refusals {
    struct map entries;
    struct list aged[REFUSALS_PARTS]; /* the oldest first */
    uint32_t counts[REFUSALS_PARTS];
};

/* All slices are copied; what is too long, or no text, is left out. */
struct refused {
    struct slice name;    /* what was typed, who sent, or as whom somebody wanted to; empty: none */
    struct slice session;
    struct slice detail;  /* a word for the true reason, or what it was about */
    struct ip peer;
    uint32_t code;        /* enum refusal */
    uint32_t account;     /* 0: nobody's */
    uint8_t protocol;
    bool told;            /* by a gate */
};

struct refusals_query {
    struct slice name;             /* as it was typed; empty: any */
    const uint32_t *accounts;      /* that the name stands for */
    size_t account_count;
    struct ip peer;
    bool by_peer;                  /* this address, or its /64 */
    uint32_t code;                 /* 0: any */
};

void refusals_init(struct refusals *refusals);
void refusals_done(struct refusals *refusals);
void refusals_note(struct refusals *refusals, const struct refused *refused, wall now);
void refusals_forget(struct refusals *refusals, wall now);
/* The latest first, at most `most`; TOO_BIG beyond the arena. */
MUST_USE enum status refusals_find(const struct refusals *refusals, const struct refusals_query *query, uint32_t most,
    struct arena *arena, struct rows *out_rows); /* of struct why_row */

/* The keeper's own refusal of a message; `account` NULL: whose the sender is. */
void refusals_of_mail(struct task *task, const struct binding *binding, const struct account *account, uint8_t verdict,
    struct slice about);
