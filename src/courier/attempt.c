#include "courier/attempt.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/must.h"
#include "courier/settle.h"
#include "mail/pack.h"

struct attempt *attempt_of(struct list *node) { return list_element(node, struct attempt, node); }

struct slice attempt_keep(struct attempt *a, struct slice s)
{
    struct slice copy;
    must(arena_copy(&a->arena, s, &copy) == STATUS_OK);
    return copy;
}

msec attempt_now(struct attempt *a) { return loop_now(&a->courier->loop); }

/* ---- the end ------------------------------------------------------------------------------------------------------- */

void attempt_release(struct attempt *a)
{
    buf_done(&a->page);
    buf_done(&a->plain);
    buf_done(&a->wire);
    arena_done(&a->arena);
    settings_release(a->settings);
    struct courier *courier = a->courier;
    release(a);
    courier_ended(courier);
}

void attempt_handle_closed(uv_handle_t *handle)
{
    struct attempt *a = handle->data;
    if (--a->closing == 0 && a->over)
        attempt_release(a);
}

void attempt_close_socket(struct attempt *a)
{
    if (a->has_tcp)
        uv_close((uv_handle_t *)&a->tcp, attempt_handle_closed);
    a->has_tcp = false;
    if (a->tls != NULL)
        tls_close(a->tls);
    a->tls = NULL;
    a->securing = false;
    uv_timer_stop(&a->timer);
}

static void end(struct attempt *a)
{
    must(!a->over);
    a->over = true;
    attempt_close_socket(a);
    if (a->client != NULL)
        client_close(a->client);
    a->client = NULL;
    list_remove(&a->node);
    uv_close((uv_handle_t *)&a->timer, attempt_handle_closed);
}

void attempt_abort(struct attempt *a)
{
    LOG(LOG_WARNING, "courier.aborted", LOG_NUMBER("queue", a->claim.id));
    end(a);
}

/* Puts the attempt's ask; a keeper that is gone has given the claim back already. */
void attempt_put(struct attempt *a, const struct ask *ask)
{
    a->ask_number = courier_ask(a->courier, ask);
    if (a->ask_number == 0)
        end(a);
}

/* ---- settling ------------------------------------------------------------------------------------------------------ */

static void log_outcomes(struct attempt *a)
{
    static const char *const events[] = { [SETTLE_DELIVERED] = "courier.delivered", [SETTLE_FAILED] = "courier.failed", [SETTLE_DEFERRED] = "courier.deferred" };
    for (uint32_t i = 0; i < a->claim.recipients.count; i++) {
        const struct client_rcpt *rcpt = &a->job.rcpts[i];
        if (row_of(struct claim_recipient, a->claim.recipients, i)->delivered != DELIVERED_NO) {
            LOG(LOG_INFO, "courier.notice", LOG_NUMBER("queue", a->claim.id), LOG_TEXT("sender", a->claim.sender), LOG_TEXT("recipient", rcpt->address));
            continue;
        }
        LOG(rcpt->outcome == SETTLE_DELIVERED ? LOG_INFO : LOG_WARNING, events[rcpt->outcome], LOG_NUMBER("queue", a->claim.id),
            LOG_TEXT("sender", a->claim.sender), LOG_TEXT("recipient", rcpt->address), LOG_TEXT("route", a->settings->smarthost_host),
            LOG_TEXT("tls", a->tls_version), LOG_TEXT("reply", rcpt->reply));
    }
}

static void settle(struct attempt *a, struct slice bounce)
{
    struct ask ask = { .kind = ASK_SETTLE, .fd = -1, .settle = { .id = a->claim.id, .bounce = bounce } };
    struct random_stream random = { random_u64(), random_u64(), 0 };
    must(settle_rows(a->settings, &a->claim, a->job.rcpts, clock_wall(), &random, &a->arena, &ask.settle.recipients) == STATUS_OK);
    a->stage = ATTEMPT_SETTLE;
    attempt_put(a, &ask);
}

/* The first stored frame holds the header and more of the original than a bounce returns. */
static void bounce_with(struct attempt *a, const struct answer *answer)
{
    struct buf bounce = BUF(LIMIT_INLINE_BODY);
    size_t len = 0;
    buf_clear(&a->plain);
    struct slice original = NO_SLICE;
    if (answer->status == STATUS_OK && pack_frame(answer->queue_body.frames, &len) == STATUS_OK
        && unpack_frame(&a->plain, slice_upto(answer->queue_body.frames, len)) == STATUS_OK)
        original = slice_from(buf_slice(&a->plain), answer->queue_body.skip);
    enum status status = settle_bounce(a->settings, &a->claim, a->job.rcpts, a->has_dsn, a->settings->smarthost_host, original, clock_wall(), &a->arena, &bounce);
    if (status == STATUS_TOO_BIG) {
        /* Huge header: the notice itself matters more. */
        buf_clear(&bounce);
        status = settle_bounce(a->settings, &a->claim, a->job.rcpts, a->has_dsn, a->settings->smarthost_host, NO_SLICE, clock_wall(), &a->arena, &bounce);
    }
    if (status != STATUS_OK)
        LOG(LOG_ERROR, "courier.bounce-failed", LOG_NUMBER("queue", a->claim.id), LOG_STATUS(status));
    settle(a, buf_slice(&bounce));
    buf_done(&bounce);
}

/* Every recipient has an outcome: tell the sender where he must be told, then settle. */
void attempt_finish(struct attempt *a)
{
    attempt_close_socket(a);
    settle_expire(a->settings, &a->claim, a->job.rcpts, &a->arena, clock_wall());
    log_outcomes(a);
    if (!settle_wants_bounce(&a->claim, a->job.rcpts, a->has_dsn)) {
        settle(a, NO_SLICE);
        return;
    }
    a->stage = ATTEMPT_BOUNCE;
    attempt_put(a, &(struct ask){ .kind = ASK_QUEUE_BODY, .fd = -1, .queue_body = { .id = a->claim.id } });
}

void attempt_defer_all(struct attempt *a, struct slice reason)
{
    for (uint32_t i = 0; i < a->claim.recipients.count; i++) {
        if (a->job.rcpts[i].outcome == 0) {
            a->job.rcpts[i].outcome = SETTLE_DEFERRED;
            a->job.rcpts[i].reply = attempt_keep(a, reason);
        }
    }
    attempt_finish(a);
}

/* ---- the beginning, and the keeper's answers ------------------------------------------------------------------------- */

static void copy_claim(struct attempt *a, const struct answer_claim *claim)
{
    a->claim = *claim;
    a->claim.sender = attempt_keep(a, claim->sender);
    a->claim.envid = attempt_keep(a, claim->envid);
    struct claim_recipient *rows = arena_take_rows(&a->arena, claim->recipients.count, sizeof(*rows));
    struct client_rcpt *rcpts = arena_take_rows(&a->arena, claim->recipients.count, sizeof(*rcpts));
    must(rows != NULL && rcpts != NULL);
    for (uint32_t i = 0; i < claim->recipients.count; i++) {
        rows[i] = *row_of(struct claim_recipient, claim->recipients, i);
        rows[i].address = attempt_keep(a, rows[i].address);
        rows[i].orcpt = attempt_keep(a, rows[i].orcpt);
        rows[i].last_reply = attempt_keep(a, rows[i].last_reply);
        rcpts[i] = (struct client_rcpt){ .address = rows[i].address, .orcpt = rows[i].orcpt, .notify = rows[i].notify };
    }
    a->claim.recipients.at = rows;
    a->job = (struct client_job){ .helo = a->settings->hostname, .sender = a->claim.sender, .envid = a->claim.envid, .rcpts = rcpts,
        .rcpt_count = claim->recipients.count, .size = claim->size, .body_type = claim->body_type, .utf8 = claim->utf8, .ret = claim->ret,
        .tls = (uint8_t)a->settings->smarthost_tls, .implicit_tls = a->settings->smarthost_port == 465 && a->settings->smarthost_tls != TLS_WISH_NONE };
}

void attempt_open(struct courier *courier, const struct answer_claim *claim)
{
    struct attempt *a = alloc(sizeof(*a));
    *a = (struct attempt){ .courier = courier, .settings = settings_hold(courier->settings), .arena = ARENA(2 * LIMIT_TRANSACTION_ARENA),
        .page = BUF(LIMIT_FRAME), .plain = BUF(2 * LIMIT_BODY_FRAME), .wire = BUF(2 * LIMIT_SEND_BUFFER), .closing = 1 };
    uv_timer_init(&courier->loop.uv, &a->timer);
    a->timer.data = a;
    list_append(&courier->attempts, &a->node);
    copy_claim(a, claim);
    if (settle_is_notice(&a->claim, a->job.rcpts))
        attempt_finish(a);
    else
        attempt_route(a);
}

bool attempt_answer(struct attempt *a, uint32_t number, const struct answer *answer)
{
    if (a->ask_number != number || number == 0)
        return false;
    a->ask_number = 0;
    if (a->stage == ATTEMPT_TALK) {
        attempt_take_page(a, answer);
    } else if (a->stage == ATTEMPT_BOUNCE) {
        bounce_with(a, answer);
    } else {
        if (answer->status != STATUS_OK)
            LOG(LOG_ERROR, "courier.not-settled", LOG_NUMBER("queue", a->claim.id), LOG_STATUS(answer->status));
        end(a);
    }
    return true;
}
