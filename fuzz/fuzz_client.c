/* fuzz_client.c - the courier's side: another server says anything to our sending engine.  The first octets choose the job; then come moves: replies,
 * pieces of the body, TLS, time.  What must hold is must():
 *
 *   - the same replies cut elsewhere give the same outcomes, and the same commands up to the end;
 *   - commands are in form, whatever stands in envelope and replies: no line of ours can be cut in two;
 *   - the message goes out as it is, dots doubled, with one end;
 *   - at the end every recipient has an outcome, with a reply of one printable line. */
#include "fuzz.h"

#include "mail/dot.h"
#include "proto/smtp/smtp_client.h"

#define RECIPIENTS 4
#define BODY       S("From: a@b.example\r\n\r\n.one\r\n..two\nthree\rfour\r\n.\r\nfive")

struct talk {
    struct input in;
    struct arena arena;
    struct client_job job;
    struct client_rcpt rcpts[RECIPIENTS];
    struct client *client;
    struct random_stream *cuts;
    struct buf wire, said; /* of the other side, not eaten; all that we said */
    struct slice body;     /* what is left of it */
    size_t data_at;        /* in `said`: where the content begins; SIZE_MAX: not yet */
    bool is_done;
    msec now;
};

static struct slice take_text(struct talk *t, size_t most)
{
    struct slice text = take_octets(&t->in, take_octet(&t->in) % (most + 1));
    return slice_has_control(text) ? NO_SLICE : text;
}

/* As the queue holds it: what our own receiving engine let through. */
static void take_job(struct talk *t)
{
    uint8_t way = take_octet(&t->in), more = take_octet(&t->in);
    t->job = (struct client_job){ .helo = S("mx.here.example"), .rcpts = t->rcpts, .rcpt_count = 1 + way % RECIPIENTS, .tls = (uint8_t)(way >> 2 & 3) % 3,
        .implicit_tls = (way & 48) == 48, .utf8 = way >> 6 & 1, .ret = more % 3, .body_type = (uint8_t)(more >> 2 & 3), .size = BODY.len };
    t->job.sender = more & 128 ? take_text(t, 60) : S("sender@here.example");
    t->job.envid = take_text(t, 30);
    for (size_t i = 0; i < t->job.rcpt_count; i++) {
        t->rcpts[i].address = more & 64 ? take_text(t, 60) : S("recipient@there.example");
        t->rcpts[i].notify = take_octet(&t->in) % 16;
        t->rcpts[i].orcpt = more & 32 ? S("utf-8;\xe6\x97\xa5@there.example") : more & 16 ? S("rfc822;a+b c=d@there.example") : NO_SLICE;
    }
}

/* ---- what we say ------------------------------------------------------------------------------------------------------ */

static void check_command(struct slice line)
{
    static const struct slice verbs[] = { S("EHLO "), S("HELO "), S("STARTTLS"), S("MAIL FROM:<"), S("RCPT TO:<"), S("DATA"), S("QUIT") };
    bool known = false;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        known = known || slice_starts(line, verbs[i]);
    must(known && !slice_has_control(line) && line.len + 2 <= LIMIT_SMTP_LINE);
    if (slice_starts(line, S("MAIL")) || slice_starts(line, S("RCPT")))
        must(slice_find(line, '>') < line.len); /* more brackets may stand in a quoted local part (RFC 5321 4.1.2) */
}

/* Command lines up to the content, which is looked at in the end. */
static void check_commands(struct slice said)
{
    struct slice line;
    while (slice_cut(&said, '\n', &line)) {
        must(line.len > 0 && line.ptr[line.len - 1] == '\r');
        check_command(slice_upto(line, line.len - 1));
    }
}

/* Behind "DATA" and its 354: the encoded body, whole or cut short, with one end at most. */
static void check_data(const struct talk *t)
{
    struct dot_encode encode = { 0 };
    struct buf wire = BUF(1024);
    struct slice sent = slice_from(buf_slice(&t->said), t->data_at);
    is_fine(dot_encode(&encode, BODY, &wire));
    is_fine(dot_encode_end(&encode, &wire));
    if (sent.len >= wire.len) {
        must(slice_starts(sent, buf_slice(&wire)));
        check_commands(slice_from(sent, wire.len));
    } else {
        size_t same = 0; /* cut short: only by the end of the connection, or by QUIT where the other side refused amid the data */
        while (same < sent.len && sent.ptr[same] == wire.ptr[same])
            same++;
        must(same == sent.len);
    }
    buf_done(&wire);
}

static void take_wishes(struct talk *t)
{
    struct slice bytes;
    enum client_wish wish;
    while ((wish = client_next(t->client, &bytes)) == CLIENT_SEND) {
        must(bytes.len > 0);
        is_fine(buf_put(&t->said, bytes));
    }
    if (wish == CLIENT_BODY && t->data_at == SIZE_MAX)
        t->data_at = t->said.len;
    t->is_done = wish == CLIENT_DONE;
    must(wish == CLIENT_DONE || (client_deadline(t->client) > 0 && client_deadline(t->client) <= t->now + LIMIT_WAIT_FINAL));
}

/* ---- moves ------------------------------------------------------------------------------------------------------------ */

static void feed(struct talk *t)
{
    size_t eaten = 1;
    while (t->wire.len > 0 && eaten > 0 && !t->is_done) {
        struct slice wire = buf_slice(&t->wire);
        size_t len = t->cuts ? next_cut(t->cuts) : wire.len;
        while (len < wire.len && wire.ptr[len - 1] == '\n') /* whether something stands behind a line is a fact that STARTTLS looks at */
            len++;
        eaten = client_feed(t->client, slice_upto(wire, len), t->now);
        must(eaten <= wire.len);
        buf_drop(&t->wire, eaten);
        take_wishes(t);
    }
}

static bool awaits(struct talk *t, enum client_wish wanted)
{
    struct slice bytes;
    return client_next(t->client, &bytes) == wanted;
}

static void give_body(struct talk *t, size_t len)
{
    struct slice piece = slice_upto(t->body, len);
    t->body = slice_from(t->body, piece.len);
    client_body(t->client, piece, t->body.len == 0, t->now);
}

static void move(struct talk *t)
{
    uint8_t what = take_octet(&t->in);
    if (what == 254) {
        client_lost(t->client, S("4.4.2 The connection was lost"), t->now);
    } else if (what == 253) {
        t->now += (msec)take_octet(&t->in) * 10000;
    } else if (awaits(t, CLIENT_TLS)) {
        buf_clear(&t->wire);
        client_secured(t->client, t->now);
    } else if (awaits(t, CLIENT_BODY) && what % 4 != 3) {
        give_body(t, what);
    } else if (what >= 248) {
        struct slice unit = take_octets(&t->in, take_octet(&t->in) % 32);
        for (int i = 0; i < 300; i++)
            is_fine(buf_put(&t->wire, unit));
    } else {
        is_fine(buf_put(&t->wire, take_octets(&t->in, what)));
    }
}

static void check_outcomes(const struct talk *t)
{
    for (size_t i = 0; i < t->job.rcpt_count; i++) {
        must(t->rcpts[i].outcome >= SETTLE_DELIVERED && t->rcpts[i].outcome <= SETTLE_DEFERRED);
        must(t->rcpts[i].reply.len > 0 && t->rcpts[i].reply.len <= 1000);
        for (size_t j = 0; j < t->rcpts[i].reply.len; j++)
            must(t->rcpts[i].reply.ptr[j] >= ' ' && t->rcpts[i].reply.ptr[j] <= '~');
    }
}

static void play(struct talk *t, struct slice in, struct random_stream *cuts)
{
    *t = (struct talk){ .in = { (const uint8_t *)in.ptr, (const uint8_t *)in.ptr + in.len }, .arena = ARENA(1u << 20), .cuts = cuts, .wire = BUF(4u << 20),
        .said = BUF(64u << 20), .body = BODY, .data_at = SIZE_MAX, .now = 1000 };
    take_job(t);
    t->client = client_open(&t->job, &t->arena, t->now);
    take_wishes(t);
    while (t->in.at < t->in.end && !t->is_done) {
        move(t);
        take_wishes(t);
        feed(t);
    }
    if (!t->is_done)
        client_lost(t->client, S("4.4.2 The connection was lost"), t->now);
    take_wishes(t);
    must(t->is_done);
    check_outcomes(t);
    bool chunks = t->job.body_type == BODY_BINARY;
    check_commands(t->data_at == SIZE_MAX ? buf_slice(&t->said) : slice_upto(buf_slice(&t->said), t->data_at));
    if (t->data_at != SIZE_MAX && !chunks)
        check_data(t);
    client_close(t->client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct random_stream cuts = { size, size > 2 ? data[2] : 0, 0 };
    struct talk whole, cut;
    play(&whole, (struct slice){ (const char *)data, size }, NULL);
    play(&cut, (struct slice){ (const char *)data, size }, &cuts);
    /* A 421 or nonsense takes back what was not on the wire yet: more of that is where more came at once. */
    must(slice_starts(buf_slice(&cut.said), buf_slice(&whole.said)));
    for (size_t i = 0; i < whole.job.rcpt_count; i++)
        must(whole.rcpts[i].outcome == cut.rcpts[i].outcome && slice_equal(whole.rcpts[i].reply, cut.rcpts[i].reply));
    struct talk *both[] = { &whole, &cut };
    for (size_t i = 0; i < 2; i++) {
        buf_done(&both[i]->wire);
        buf_done(&both[i]->said);
        arena_done(&both[i]->arena);
    }
    return 0;
}
