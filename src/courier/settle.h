/* settle.h - from the outcomes of an attempt to ASK_SETTLE: when to try again, when to give up, whom to tell.  Pure functions. */
#pragma once

#include "ask/ask.h"
#include "base/random.h"
#include "base/settings.h"
#include "mail/bounce.h"
#include "proto/smtp/smtp_client.h"

/* Pause before the attempt after number `attempts` (0: the first one just failed): first_retry, doubled each time up to max_retry, with at most 20 % of jitter. */
msec settle_pause(const struct settings *settings, uint32_t attempts, uint64_t random);

/* Turns DEFERRED into FAILED where the message has been in the queue for longer than queue.lifetime.  `rcpts` and `claimed` have the same order. */
void settle_expire(const struct settings *settings, const struct answer_claim *claim, struct client_rcpt *rcpts, struct arena *arena, wall now);

/* Is there nothing to send, since the message is delivered here already, and only its sender is to be told?  Then all outcomes are set. */
bool settle_is_notice(const struct answer_claim *claim, struct client_rcpt *rcpts);

/* Is anybody to be told (RFC 3461 5.2, 6.2)?  Never of a message from <> (C211). */
bool settle_wants_bounce(const struct answer_claim *claim, const struct client_rcpt *rcpts, bool next_hop_has_dsn);

/* `original`: plain octets of the message's beginning. */
MUST_USE enum status settle_bounce(const struct settings *settings, const struct answer_claim *claim, const struct client_rcpt *rcpts, bool next_hop_has_dsn,
    struct slice remote, struct slice original, wall now, struct arena *arena, struct buf *out);

/* Rows for ASK_SETTLE, in the arena. */
MUST_USE enum status settle_rows(const struct settings *settings, const struct answer_claim *claim, const struct client_rcpt *rcpts, wall now,
    struct random_stream *random, struct arena *arena, struct rows *out_rows);
