/* impl.h - what the files of this room share. */
#pragma once

#include "base/log.h"
#include "net/loop.h"
#include "policy/policy.h"
#include "proto/policy/book.h"

enum trade { TRADE_POLICY, TRADE_REPORT, TRADES };

struct desk;

/* A listening socket. */
struct door {
    struct desk *desk;
    uv_poll_t poll;
    enum trade trade;
    int fd;
    uint32_t inside;
};

struct desk {
    struct loop loop;
    const struct policy_plan *plan;
    struct book book;
    struct door doors[TRADES];
    struct list guests;
    uv_timer_t timer;
    uv_signal_t term, interrupt, tell;
    msec swept;
};

/* guest.c */
void guest_take(struct door *door, int fd); /* takes over the descriptor */
void guests_tick(struct desk *desk, msec now);
void guests_close(struct desk *desk);
