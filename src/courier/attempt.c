#include "courier/settle.h"

#include <netinet/in.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/must.h"
#include "courier/courier_impl.h"
#include "mail/pack.h"

/* ATTEMPT_ROUTE -> CONNECT -> TALK -> (BOUNCE) -> SETTLE -> over.  One ask is under way at most. */
enum stage { ATTEMPT_ROUTE, ATTEMPT_CONNECT, ATTEMPT_TALK, ATTEMPT_BOUNCE, ATTEMPT_SETTLE };

struct attempt {
    struct list node;
    struct courier *courier;
    struct settings *settings;
    struct arena arena;
    struct answer_claim claim;      /* copied into the arena */
    struct client_job job;
    struct client *client;
    struct tls *tls;
    enum stage stage;
    struct dns_answer route;
    size_t address;                 /* index into route */
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connecting;
    bool has_tcp, securing, over;
    int closing;                    /* handles that are not closed yet */
    uint32_t ask_number;
    /* the body on its way: stored frames of one page, given to the client one at a time */
    struct buf page, plain, wire;
    size_t page_at;
    uint64_t next;                  /* of the page after this; 0 with has_body: none */
    uint32_t skip;
    bool has_body;
    bool has_dsn;                   /* the next hop offered DSN */
    struct slice tls_version;
};

static void pump(struct attempt *a);
static void connect_next(struct attempt *a);
static void finish(struct attempt *a);

struct attempt *attempt_of(struct list *node) { return list_element(node, struct attempt, node); }

static struct slice keep(struct attempt *a, struct slice s)
{
    struct slice copy;
    must(arena_copy(&a->arena, s, &copy) == STATUS_OK);
    return copy;
}

static msec now_of(struct attempt *a) { return loop_now(&a->courier->loop); }

/* ---- the end ------------------------------------------------------------------------------------------------------- */

static void release_attempt(struct attempt *a)
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

static void handle_closed(uv_handle_t *handle)
{
    struct attempt *a = handle->data;
    if (--a->closing == 0 && a->over)
        release_attempt(a);
}

static void close_socket(struct attempt *a)
{
    if (a->has_tcp)
        uv_close((uv_handle_t *)&a->tcp, handle_closed);
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
    close_socket(a);
    if (a->client != NULL)
        client_close(a->client);
    a->client = NULL;
    list_remove(&a->node);
    uv_close((uv_handle_t *)&a->timer, handle_closed);
}

void attempt_abort(struct attempt *a)
{
    LOG(LOG_WARNING, "courier.aborted", LOG_NUMBER("queue", a->claim.id));
    end(a);
}

/* Puts the attempt's ask; a keeper that is gone has given the claim back already. */
static void put(struct attempt *a, const struct ask *ask)
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
        LOG(rcpt->outcome == SETTLE_DELIVERED ? LOG_INFO : LOG_WARNING, events[rcpt->outcome], LOG_NUMBER("queue", a->claim.id),
            LOG_TEXT("sender", a->claim.sender), LOG_TEXT("recipient", rcpt->address), LOG_TEXT("route", a->settings->smarthost_host),
            LOG_TEXT("tls", a->tls_version), LOG_TEXT("reply", rcpt->reply));
    }
}

static void settle(struct attempt *a, struct slice bounce)
{
    struct ask ask = { .kind = ASK_SETTLE, .fd = -1, .settle = { .id = a->claim.id, .bounce = bounce } };
    struct random_stream random = { random_u64() };
    must(settle_rows(a->settings, &a->claim, a->job.rcpts, clock_wall(), &random, &a->arena, &ask.settle.recipients) == STATUS_OK);
    a->stage = ATTEMPT_SETTLE;
    put(a, &ask);
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
static void finish(struct attempt *a)
{
    close_socket(a);
    settle_expire(a->settings, &a->claim, a->job.rcpts, &a->arena, clock_wall());
    log_outcomes(a);
    if (!settle_wants_bounce(&a->claim, a->job.rcpts, a->has_dsn)) {
        settle(a, NO_SLICE);
        return;
    }
    a->stage = ATTEMPT_BOUNCE;
    put(a, &(struct ask){ .kind = ASK_QUEUE_BODY, .fd = -1, .queue_body = { .id = a->claim.id } });
}

static void defer_all(struct attempt *a, struct slice reason)
{
    for (uint32_t i = 0; i < a->claim.recipients.count; i++) {
        if (a->job.rcpts[i].outcome == 0) {
            a->job.rcpts[i].outcome = SETTLE_DEFERRED;
            a->job.rcpts[i].reply = keep(a, reason);
        }
    }
    finish(a);
}

/* ---- the conversation ---------------------------------------------------------------------------------------------- */

static void lost(struct attempt *a, const char *what, const char *why)
{
    struct buf text = BUF(LIMIT_REPLY_LINE);
    must(buf_print(&text, "4.4.2 %s: %s", what, why) == STATUS_OK);
    client_lost(a->client, buf_slice(&text), now_of(a));
    buf_done(&text);
    pump(a);
}

struct pending_write {
    uv_write_t write;
    struct attempt *attempt;
    size_t len;
    char octets[];
};

static void written(uv_write_t *write, int status)
{
    struct pending_write *pending = list_element(write, struct pending_write, write);
    struct attempt *a = pending->attempt;
    release(pending);
    if (status == UV_ECANCELED || a->over || a->stage != ATTEMPT_TALK)
        return;
    if (status < 0)
        lost(a, "connection lost", uv_strerror(status));
    else
        pump(a);
}

static void flush(struct attempt *a)
{
    uv_buf_t out = uv_buf_init(a->wire.ptr, (unsigned)a->wire.len);
    if (a->wire.len == 0)
        return;
    int done = uv_try_write((uv_stream_t *)&a->tcp, &out, 1);
    size_t at = done > 0 ? (size_t)done : 0;
    if (at < a->wire.len) {
        struct pending_write *pending = alloc(sizeof(*pending) + a->wire.len - at);
        pending->attempt = a;
        pending->len = a->wire.len - at;
        memcpy(pending->octets, a->wire.ptr + at, pending->len);
        out = uv_buf_init(pending->octets, (unsigned)pending->len);
        /* A broken connection shows in the read as well. */
        if (uv_write(&pending->write, (uv_stream_t *)&a->tcp, &out, 1, written) != 0)
            release(pending);
    }
    buf_clear(&a->wire);
}

static void put_wire(struct attempt *a, struct slice octets)
{
    enum status status = a->tls != NULL ? tls_write(a->tls, octets, &a->wire) : buf_put(&a->wire, octets);
    if (status != STATUS_OK)
        LOG(LOG_WARNING, "courier.send-failed", LOG_NUMBER("queue", a->claim.id), LOG_STATUS(status));
    flush(a);
}

static void begin_tls(struct attempt *a)
{
    a->tls = tls_open_client(a->courier->tls, a->settings->smarthost_host);
    a->securing = true;
    buf_clear(&a->plain);
    if (tls_feed(a->tls, NO_SLICE, &a->plain, &a->wire) != STATUS_OK)
        LOG(LOG_WARNING, "courier.tls-failed", LOG_NUMBER("queue", a->claim.id), LOG_WORD("reason", tls_problem(a->tls)));
    flush(a);
}

/* Gives the client the next frame of the page, or asks for the next page.  False: an ask is under way. */
static bool give_body(struct attempt *a)
{
    struct slice rest = slice_from(buf_slice(&a->page), a->page_at);
    size_t len;
    if (rest.len == 0) {
        must(!a->has_body || a->next != 0);
        put(a, &(struct ask){ .kind = ASK_QUEUE_BODY, .fd = -1, .queue_body = { .id = a->claim.id, .at = a->next } });
        return false;
    }
    buf_clear(&a->plain);
    if (pack_frame(rest, &len) != STATUS_OK || unpack_frame(&a->plain, slice_upto(rest, len)) != STATUS_OK) {
        LOG(LOG_ERROR, "courier.body-corrupt", LOG_NUMBER("queue", a->claim.id));
        client_lost(a->client, S("4.3.0 The stored message cannot be read"), now_of(a));
        return true;
    }
    a->page_at += len;
    struct slice plain = buf_slice(&a->plain);
    size_t skipped = plain.len < a->skip ? plain.len : a->skip;
    a->skip -= (uint32_t)skipped;
    client_body(a->client, slice_from(plain, skipped), a->page_at == a->page.len && a->next == 0, now_of(a));
    return true;
}

static void on_timer(uv_timer_t *timer)
{
    struct attempt *a = timer->data;
    if (a->stage == ATTEMPT_CONNECT) {
        close_socket(a);
        connect_next(a);
    } else if (a->stage == ATTEMPT_TALK) {
        lost(a, "timeout", "no answer in time");
    }
}

static void arm(struct attempt *a)
{
    msec deadline = client_deadline(a->client), now = now_of(a);
    uv_timer_start(&a->timer, on_timer, deadline > now ? deadline - now : 0, 0);
}

/* Carries out the client's wishes until it waits for octets, for the keeper or for a slow reader. */
static void pump(struct attempt *a)
{
    struct slice octets;
    while (a->stage == ATTEMPT_TALK && !a->over) {
        switch (client_next(a->client, &octets)) {
        case CLIENT_SEND:
            put_wire(a, octets);
            break;
        case CLIENT_TLS:
            if (!a->securing)
                begin_tls(a);
            arm(a);
            return;
        case CLIENT_BODY:
            arm(a);
            if (a->ask_number != 0 || uv_stream_get_write_queue_size((uv_stream_t *)&a->tcp) > 0 || !give_body(a))
                return;
            break;
        case CLIENT_READ:
            arm(a);
            return;
        case CLIENT_DONE:
            a->has_dsn = client_has_dsn(a->client);
            finish(a);
            return;
        }
    }
}

static void secure(struct attempt *a)
{
    if (!a->securing || !tls_is_ready(a->tls))
        return;
    a->securing = false;
    a->tls_version = keep(a, tls_view(a->tls).version);
    client_secured(a->client, now_of(a));
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct attempt *a = stream->data;
    if (a->stage != ATTEMPT_TALK)
        return;
    if (count < 0) {
        lost(a, "connection lost", uv_strerror((int)count));
        return;
    }
    struct slice octets = { buffer->base, (size_t)count };
    struct buf plain = BUF(2 * LIMIT_INLINE_BODY);
    if (a->tls != NULL) {
        enum status status = tls_feed(a->tls, octets, &plain, &a->wire);
        flush(a);
        if (status != STATUS_OK) {
            buf_done(&plain);
            lost(a, "TLS failed", tls_problem(a->tls));
            return;
        }
        octets = buf_slice(&plain);
        secure(a);
    }
    /* What the client does not eat came at a moment when nothing may come; it decides what that means. */
    if (octets.len > 0)
        (void)client_feed(a->client, octets, now_of(a));
    buf_done(&plain);
    pump(a);
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *out_buffer)
{
    static char room[65536];
    (void)handle;
    (void)wanted;
    *out_buffer = uv_buf_init(room, sizeof(room));
}

/* ---- the way there ------------------------------------------------------------------------------------------------- */

static void on_connect(uv_connect_t *connecting, int status)
{
    struct attempt *a = connecting->data;
    if (status == UV_ECANCELED || a->over)
        return;
    if (status != 0) {
        LOG(LOG_INFO, "courier.unreachable", LOG_NUMBER("queue", a->claim.id), LOG_IP("peer", a->route.addresses[a->address]),
            LOG_WORD("reason", uv_strerror(status)));
        close_socket(a);
        connect_next(a);
        return;
    }
    uv_tcp_nodelay(&a->tcp, 1);
    uv_timer_stop(&a->timer);
    a->stage = ATTEMPT_TALK;
    a->client = client_open(&a->job, &a->arena, now_of(a));
    uv_read_start((uv_stream_t *)&a->tcp, on_room, on_read);
    if (a->job.implicit_tls)
        begin_tls(a);
    pump(a);
}

static void connect_to(struct attempt *a, struct ip ip)
{
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)a->settings->smarthost_port) };
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = six.sin6_port };
    memcpy(&six.sin6_addr, ip.octets, 16);
    memcpy(&four.sin_addr, ip.octets + 12, 4);
    const struct sockaddr *to = ip_is_v4(ip) ? (const struct sockaddr *)&four : (const struct sockaddr *)&six;
    uv_tcp_init(&a->courier->loop.uv, &a->tcp);
    a->tcp.data = a;
    a->has_tcp = true;
    a->closing++;
    a->connecting.data = a;
    if (uv_tcp_connect(&a->connecting, &a->tcp, to, on_connect) != 0) {
        close_socket(a);
        connect_next(a);
        return;
    }
    /* RFC 5321 4.5.3.2 leaves the connect to TCP; thirty seconds an address are enough. */
    uv_timer_start(&a->timer, on_timer, SECONDS(30), 0);
}

/* The handle of the last address must be closed before it is used again. */
static void connect_later(uv_timer_t *timer)
{
    struct attempt *a = timer->data;
    if (a->closing > 1)
        uv_timer_start(&a->timer, connect_later, 1, 0);
    else
        connect_to(a, a->route.addresses[a->address]);
}

static void connect_next(struct attempt *a)
{
    a->address = a->stage == ATTEMPT_ROUTE ? 0 : a->address + 1;
    a->stage = ATTEMPT_CONNECT;
    if (a->address < a->route.count) {
        uv_timer_start(&a->timer, connect_later, 0, 0);
        return;
    }
    struct buf text = BUF(LIMIT_REPLY_LINE);
    must(buf_print(&text, "4.4.1 No connection to %.*s port %u", (int)a->settings->smarthost_host.len, a->settings->smarthost_host.ptr,
        a->settings->smarthost_port) == STATUS_OK);
    defer_all(a, buf_slice(&text));
    buf_done(&text);
}

static void on_route(void *context, const struct dns_answer *answer)
{
    struct attempt *a = context;
    if (a->over) {
        /* Aborted while the name was looked up: this was the last reference. */
        a->closing--;
        if (a->closing == 0)
            release_attempt(a);
        return;
    }
    a->closing--;
    a->route = *answer;
    if (answer->status == STATUS_OK)
        connect_next(a);
    else
        defer_all(a, answer->status == STATUS_NOT_FOUND ? S("4.4.3 The smarthost's name has no address") : S("4.4.3 The smarthost's name could not be looked up"));
}

static void copy_claim(struct attempt *a, const struct answer_claim *claim)
{
    a->claim = *claim;
    a->claim.sender = keep(a, claim->sender);
    a->claim.envid = keep(a, claim->envid);
    struct claim_recipient *rows = arena_take_rows(&a->arena, claim->recipients.count, sizeof(*rows));
    struct client_rcpt *rcpts = arena_take_rows(&a->arena, claim->recipients.count, sizeof(*rcpts));
    must(rows != NULL && rcpts != NULL);
    for (uint32_t i = 0; i < claim->recipients.count; i++) {
        rows[i] = *row_of(struct claim_recipient, claim->recipients, i);
        rows[i].address = keep(a, rows[i].address);
        rows[i].orcpt = keep(a, rows[i].orcpt);
        rows[i].last_reply = keep(a, rows[i].last_reply);
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
    if (a->settings->smarthost_host.len == 0) {
        defer_all(a, S("4.4.4 No route: no smarthost is set (setting smarthost)"));
        return;
    }
    a->closing++;
    dns_find(courier->dns, a->settings->smarthost_host, on_route, a);
}

static void take_page(struct attempt *a, const struct answer *answer)
{
    buf_clear(&a->page);
    a->page_at = 0;
    if (answer->status != STATUS_OK || answer->queue_body.frames.len == 0 || buf_put(&a->page, answer->queue_body.frames) != STATUS_OK) {
        client_lost(a->client, S("4.3.0 The stored message cannot be read"), now_of(a));
    } else {
        if (!a->has_body)
            a->skip = answer->queue_body.skip;
        a->has_body = true;
        a->next = answer->queue_body.next;
    }
    pump(a);
}

bool attempt_answer(struct attempt *a, uint32_t number, const struct answer *answer)
{
    if (a->ask_number != number || number == 0)
        return false;
    a->ask_number = 0;
    if (a->stage == ATTEMPT_TALK) {
        take_page(a, answer);
    } else if (a->stage == ATTEMPT_BOUNCE) {
        bounce_with(a, answer);
    } else {
        if (answer->status != STATUS_OK)
            LOG(LOG_ERROR, "courier.not-settled", LOG_NUMBER("queue", a->claim.id), LOG_STATUS(answer->status));
        end(a);
    }
    return true;
}
