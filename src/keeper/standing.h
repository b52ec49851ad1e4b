/* standing.h - the facts on which proto/relay.h decides, gathered from what the keeper knows of a session. */
#pragma once

#include "keeper/binding.h"
#include "proto/relay.h"

struct task;

struct standing {
    struct relay_facts facts;
    struct account *account; /* who is logged in, or whose lease it is; NULL: nobody, or a listed network */
    const struct lease *lease;
    const struct lease *other; /* what facts.other_address speaks of; at MAIL only */
};
struct standing standing_of(struct task *task, const struct binding *binding);
