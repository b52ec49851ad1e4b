/* place.h - the places from which accounts were used lately, in memory; the store keeps them (store_place).
 *
 * A place is what ip_place() says; the account's owner is told of a new one.  Who comes from what is around a known one
 * (ip_vicinity()) is not made to wait for what others do (throttle.h).  Places are forgotten LIMIT_PLACE_AGE after their
 * last use; an account has the latest LIMIT_PLACES_ACCOUNT of them. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "store/store.h"

struct places {
    struct map rows;     /* by account and place */
    struct map networks; /* how many of them are in a network, by account and network */
    struct map accounts; /* the rows of one account */
    struct list fresh;   /* rows that the store has to be told of */
};

void place_init(struct places *places);
void place_done(struct places *places);
/* A login that was right: true where it is the first one from there that is remembered. */
bool place_note(struct places *places, uint32_t account, struct ip peer, wall now);
/* Was the account used from there, or from its network? */
bool place_knows(const struct places *places, uint32_t account, struct ip peer, wall now);
/* Has the account been used from anywhere? */
bool place_has(const struct places *places, uint32_t account);
void place_put(struct places *places, const struct store_place *row, wall now); /* from the store */
void place_forget_account(struct places *places, uint32_t account);
void place_forget(struct places *places, wall now); /* those that are too old */
/* At most `most` of those that the store does not know, or not with a date of the last hour; they count as known then. */
uint32_t place_take_fresh(struct places *places, struct store_place *out_rows, uint32_t most);
