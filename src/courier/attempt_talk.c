#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/must.h"
#include "courier/attempt.h"
#include "mail/pack.h"

static void pump(struct attempt *a);

static void lost(struct attempt *a, const char *what, const char *why)
{
    struct buf text = BUF(LIMIT_REPLY_LINE);
    must(buf_print(&text, "4.4.2 %s: %s", what, why) == STATUS_OK);
    client_lost(a->client, buf_slice(&text), attempt_now(a));
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
        attempt_put(a, &(struct ask){ .kind = ASK_QUEUE_BODY, .fd = -1, .queue_body = { .id = a->claim.id, .at = a->next } });
        return false;
    }
    buf_clear(&a->plain);
    if (pack_frame(rest, &len) != STATUS_OK || unpack_frame(&a->plain, slice_upto(rest, len)) != STATUS_OK) {
        LOG(LOG_ERROR, "courier.body-corrupt", LOG_NUMBER("queue", a->claim.id));
        client_lost(a->client, S("4.3.0 The stored message cannot be read"), attempt_now(a));
        return true;
    }
    a->page_at += len;
    struct slice plain = buf_slice(&a->plain);
    size_t skipped = plain.len < a->skip ? plain.len : a->skip;
    a->skip -= (uint32_t)skipped;
    client_body(a->client, slice_from(plain, skipped), a->page_at == a->page.len && a->next == 0, attempt_now(a));
    return true;
}

static void on_timer(uv_timer_t *timer) { lost(timer->data, "timeout", "no answer in time"); }

static void arm(struct attempt *a)
{
    msec deadline = client_deadline(a->client), now = attempt_now(a);
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
            attempt_finish(a);
            return;
        }
    }
}

static void secure(struct attempt *a)
{
    if (!a->securing || !tls_is_ready(a->tls))
        return;
    a->securing = false;
    a->tls_version = attempt_keep(a, tls_view(a->tls).version);
    client_secured(a->client, attempt_now(a));
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
        (void)client_feed(a->client, octets, attempt_now(a));
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

void attempt_talk(struct attempt *a)
{
    a->stage = ATTEMPT_TALK;
    a->client = client_open(&a->job, &a->arena, attempt_now(a));
    uv_read_start((uv_stream_t *)&a->tcp, on_room, on_read);
    if (a->job.implicit_tls)
        begin_tls(a);
    pump(a);
}

void attempt_take_page(struct attempt *a, const struct answer *answer)
{
    buf_clear(&a->page);
    a->page_at = 0;
    if (answer->status != STATUS_OK || answer->queue_body.frames.len == 0 || buf_put(&a->page, answer->queue_body.frames) != STATUS_OK) {
        client_lost(a->client, S("4.3.0 The stored message cannot be read"), attempt_now(a));
    } else {
        if (!a->has_body)
            a->skip = answer->queue_body.skip;
        a->has_body = true;
        a->next = answer->queue_body.next;
    }
    pump(a);
}
