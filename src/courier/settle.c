#include "courier/settle.h"

#include "base/must.h"

msec settle_pause(const struct settings *settings, uint32_t attempts, uint64_t random)
{
    msec pause = settings->queue_first_retry;
    for (uint32_t i = 0; i < attempts && pause < settings->queue_max_retry; i++)
        pause *= 2;
    if (attempts > 0 && pause > settings->queue_max_retry)
        pause = settings->queue_max_retry;
    /* Jitter, so that a thousand messages that failed together do not come back together (C225). */
    return pause + (pause / 5 > 0 ? random % (pause / 5) : 0);
}

static struct slice words(struct arena *arena, struct slice first, struct slice second)
{
    char *text = arena_take(arena, first.len + second.len + 1);
    if (text == NULL)
        return first;
    for (size_t i = 0; i < first.len; i++)
        text[i] = first.ptr[i];
    for (size_t i = 0; i < second.len; i++)
        text[first.len + i] = second.ptr[i];
    return (struct slice){ text, first.len + second.len };
}

void settle_expire(const struct settings *settings, const struct answer_claim *claim, struct client_rcpt *rcpts, struct arena *arena, wall now)
{
    if (now < claim->arrived || now - claim->arrived < settings->queue_lifetime)
        return;
    for (uint32_t i = 0; i < claim->recipients.count; i++) {
        if (rcpts[i].outcome != SETTLE_DEFERRED)
            continue;
        rcpts[i].outcome = SETTLE_FAILED;
        /* RFC 3463 3.5: 4.4.7, delivery time expired; 5 because it is final now. */
        rcpts[i].reply = words(arena, S("5.4.7 Delivery time expired; the last answer was: "), rcpts[i].reply);
    }
}

/* RFC 3461 4.1: without NOTIFY the sender is told of failures. */
static bool wants_failure(uint8_t notify) { return notify == 0 || (notify & DSN_FAILURE) != 0; }

static const struct claim_recipient *claimed_at(const struct answer_claim *claim, uint32_t i)
{
    return row_of(struct claim_recipient, claim->recipients, i);
}

/* RFC 3461 5.2.2 (c): SUCCESS was asked for, and the next hop cannot promise it: "relayed".  5.2.3: delivered here. */
static bool wants_success(const struct claim_recipient *claimed, const struct client_rcpt *rcpt, bool next_hop_has_dsn)
{
    return rcpt->outcome == SETTLE_DELIVERED && (rcpt->notify & DSN_SUCCESS) != 0 && (claimed->delivered != DELIVERED_NO || !next_hop_has_dsn);
}

static bool is_told(const struct claim_recipient *claimed, const struct client_rcpt *rcpt, bool next_hop_has_dsn)
{
    return (rcpt->outcome == SETTLE_FAILED && wants_failure(rcpt->notify)) || wants_success(claimed, rcpt, next_hop_has_dsn);
}

bool settle_is_notice(const struct answer_claim *claim, struct client_rcpt *rcpts)
{
    if (claim->recipients.count == 0 || claimed_at(claim, 0)->delivered == DELIVERED_NO)
        return false;
    for (uint32_t i = 0; i < claim->recipients.count; i++) {
        must(claimed_at(claim, i)->delivered != DELIVERED_NO); /* ask.h */
        rcpts[i].outcome = SETTLE_DELIVERED;
    }
    return true;
}

bool settle_wants_bounce(const struct answer_claim *claim, const struct client_rcpt *rcpts, bool next_hop_has_dsn)
{
    if (claim->sender.len == 0)
        return false;
    for (uint32_t i = 0; i < claim->recipients.count; i++) {
        if (is_told(claimed_at(claim, i), &rcpts[i], next_hop_has_dsn))
            return true;
    }
    return false;
}

static enum bounce_action action_of(const struct claim_recipient *claimed, const struct client_rcpt *rcpt)
{
    if (rcpt->outcome == SETTLE_FAILED)
        return BOUNCE_FAILED;
    if (claimed->delivered == DELIVERED_NO)
        return BOUNCE_RELAYED;
    return claimed->delivered == DELIVERED_EXPANDED ? BOUNCE_EXPANDED : BOUNCE_DELIVERED;
}

static bool is_digit(char octet) { return octet >= '0' && octet <= '9'; }

/* The enhanced status code inside a reply ("550 5.1.1 No such user"), else the class alone (RFC 3464 2.3.4). */
static struct slice status_code(struct slice reply, bool failed)
{
    struct slice rest = reply, word;
    for (int i = 0; i < 2 && slice_word(&rest, &word); i++) {
        if (word.len >= 5 && (word.ptr[0] == '5' || word.ptr[0] == '4' || word.ptr[0] == '2') && word.ptr[1] == '.' && is_digit(word.ptr[2]))
            return word;
    }
    return failed ? S("5.0.0") : S("2.0.0");
}

enum status settle_bounce(const struct settings *settings, const struct answer_claim *claim, const struct client_rcpt *rcpts, bool next_hop_has_dsn,
    struct slice remote, struct slice original, wall now, struct arena *arena, struct buf *out)
{
    struct bounce_recipient *told = arena_take_rows(arena, claim->recipients.count, sizeof(*told));
    struct buf id = BUF(64);
    if (told == NULL)
        return STATUS_TOO_BIG;
    size_t count = 0;
    bool failed = false;
    for (uint32_t i = 0; i < claim->recipients.count; i++) {
        const struct claim_recipient *claimed = claimed_at(claim, i);
        if (!is_told(claimed, &rcpts[i], next_hop_has_dsn))
            continue;
        bool is_failure = rcpts[i].outcome == SETTLE_FAILED;
        failed |= is_failure;
        told[count++] = (struct bounce_recipient){ .address = rcpts[i].address, .orcpt = rcpts[i].orcpt,
            .action = action_of(claimed, &rcpts[i]), .status = status_code(rcpts[i].reply, is_failure),
            .remote = claimed->delivered == DELIVERED_NO ? remote : NO_SLICE, .diagnostic = rcpts[i].reply };
    }
    enum status status = buf_print(&id, "bounce-%llu-%llu", (unsigned long long)claim->id, (unsigned long long)now);
    struct bounce bounce = { .host = settings->hostname, .to = claim->sender, .id = buf_slice(&id), .envid = claim->envid, .recipients = told,
        .recipient_count = count, .original = original, .full = failed && claim->ret == RET_FULL, .utf8 = claim->utf8 != 0,
        .arrived = claim->arrived, .now = now };
    if (status == STATUS_OK)
        status = bounce_write(out, &bounce);
    buf_done(&id);
    return status;
}

enum status settle_rows(const struct settings *settings, const struct answer_claim *claim, const struct client_rcpt *rcpts, wall now,
    struct random_stream *random, struct arena *arena, struct rows *out_rows)
{
    struct settle_recipient *rows = arena_take_rows(arena, claim->recipients.count, sizeof(*rows));
    if (rows == NULL)
        return STATUS_TOO_BIG;
    /* One draw for the message: its recipients stay together. */
    uint64_t draw = random_next(random);
    for (uint32_t i = 0; i < claim->recipients.count; i++) {
        const struct claim_recipient *claimed = row_of(struct claim_recipient, claim->recipients, i);
        must(rcpts[i].outcome != 0);
        rows[i] = (struct settle_recipient){ .reply = rcpts[i].reply, .id = claimed->id, .outcome = rcpts[i].outcome };
        if (rcpts[i].outcome == SETTLE_DEFERRED)
            rows[i].next = now + settle_pause(settings, claimed->attempts, draw);
    }
    *out_rows = (struct rows){ rows, claim->recipients.count };
    return STATUS_OK;
}
