/* courier_impl.h - what the files of this room share. */
#pragma once

#include "base/settings.h"
#include "net/channel.h"
#include "net/control.h"
#include "net/dns.h"
#include "net/loop.h"
#include "net/tls.h"

struct courier {
    struct loop loop;
    struct role_start *start;
    struct settings *settings;
    struct control *control;
    struct channel *keeper;        /* NULL: not there at the moment */
    struct dns *dns;
    struct tls_context *tls;
    struct list attempts;          /* struct attempt */
    uint32_t attempt_count;
    uint32_t last_number;          /* of an ask */
    uint32_t claim_number;         /* of the ASK_CLAIM under way; 0: none */
    struct https *https;
    uint32_t errand_number;        /* of the ASK_ERRAND under way; 0: none */
    uint32_t errand_count;         /* errands that we are on */
    uint32_t keepers;              /* how many there have been */
    bool stopping;
};

struct attempt;
/* One try to hand a claimed message over; ends by itself, after ASK_SETTLE was answered. */
void attempt_open(struct courier *courier, const struct answer_claim *claim);
/* The answer to the attempt's ask, if `number` is its; false: not this attempt's. */
bool attempt_answer(struct attempt *attempt, uint32_t number, const struct answer *answer);
/* The keeper is gone: the claim ends there by itself, nothing is settled. */
void attempt_abort(struct attempt *attempt);
struct attempt *attempt_of(struct list *node);

/* Puts an ask to the keeper; returns its number, 0 where the keeper is not there. */
uint32_t courier_ask(struct courier *courier, const struct ask *ask);

/* ---- errand.c ---- */
void errand_next(struct courier *courier); /* asks for an errand, where there is room for one */
/* The answer to that, if `number` is its; false: it is not. */
bool errand_answer(struct courier *courier, uint32_t number, const struct answer *answer);

void courier_ended(struct courier *courier); /* an attempt is over: room for the next claim */
