/* fuzz_session.c - the first door: a stranger talks to an engine.  The first two octets choose service, network and settings; then come moves: octets
 * on the wire, answers of a keeper that says anything, time, TLS, the end.  What must hold is must():
 *
 *   - the same octets cut elsewhere give the same replies, asks, notes and body;
 *   - replies are in form (replies.h), asks fit their tables, nothing but silent asks comes behind a hang-up, nothing at all behind a close;
 *   - whoever says nothing any more meets a deadline; after a hang-up the session is over;
 *   - a password or token that the client shows is in no reply, note or printed ask;
 *   - a session never holds more than SESSION_OCTETS. */
#include "fuzz.h"

#include <stdio.h>

#include "config.h"
#include "mail/coding.h"
#include "mail/pack.h"
#include "proto/session.h"
#include "replies.h"
#include "scene.h"

/* The arenas' caps, the buffers' with their growth (a buf doubles), a piece of wire that became body, a page of packed frames and what is read ahead. */
#define SESSION_OCTETS (LIMIT_SESSION_ARENA + LIMIT_TRANSACTION_ARENA + LIMIT_COMMAND_ARENA + 65536u + 2 * (2 * LIMIT_SEND_BUFFER) + 4 * LIMIT_FRAME + (512u << 10))
#define PIECE          65536u /* octets of wire in one feed, as the driver has them */

/* Bodies that were delivered: how much of one that is refused was handed on before is nobody's business. */
struct trace {
    struct buf sent, body, notes, asks;
};

struct run {
    struct session *s;
    struct input in;
    struct arena arena;
    struct buf wire;    /* said */
    size_t eaten;       /* of it */
    enum ask_kind open; /* an answer is due */
    bool wants_tls, is_closed, is_gone, reserved, has_asked;
    bool amid_line;     /* the wire's last octet was no LF */
    struct buf body;    /* since the last DELIVER or RESET */
    uint64_t steps;     /* wishes so far */
    size_t heap, held;  /* before a call; of the session */
    msec now;
    struct tls_facts facts;
    struct replies replies;
    struct canary canary; /* what a client's password is here */
    struct random_stream *cuts; /* NULL: as it comes */
    struct trace trace;
};

static void enter(struct run *run) { run->heap = heap_octets(); }

static void leave(struct run *run)
{
    run->held += heap_octets() - run->heap;
    must(run->held <= SESSION_OCTETS);
}

/* ---- what an engine may wish ------------------------------------------------------------------------------------------ */

static void check_ask(struct run *run, const struct ask *ask)
{
    struct buf wire = BUF(LIMIT_FRAME), text = BUF(16u << 20);
    struct frame frame = { .session = 1, .number = 1, .ask = *ask };
    is_fine(frame_put(&wire, &frame)); /* whatever a stranger says, the ask fits its table */
    must(run->open == ASK_NONE || ask_defs[ask->kind].silent);
    must(!run->is_gone || ask_defs[ask->kind].silent);
    is_fine(ask_print(&text, ask));
    must(!slice_has(buf_slice(&text), slice_of(run->canary.text)));
    is_fine(buf_print(&run->trace.asks, "%zu ", run->trace.sent.len));
    is_fine(buf_put(&run->trace.asks, buf_slice(&wire)));
    buf_done(&wire);
    buf_done(&text);
    if (ask->kind == ASK_REFUSED) /* it binds nothing */
        return;
    run->has_asked = ask->kind != ASK_END_SESSION;
    if (ask->kind == ASK_MAIL || ask->kind == ASK_RCPT || ask->kind == ASK_STAGE)
        run->reserved = true;
    if (ask->kind == ASK_DELIVER) {
        must(ask->deliver.recipients.count > 0 && ask->deliver.prefix.len > 0);
        must(ask->deliver.staged == 0 ? run->body.len <= LIMIT_INLINE_BODY : run->body.len == ask->deliver.staged);
        is_fine(buf_put(&run->trace.body, buf_slice(&run->body)));
    }
    if (ask->kind == ASK_DELIVER || ask->kind == ASK_RESET) {
        run->reserved = false;
        buf_clear(&run->body);
    }
    if (!ask_defs[ask->kind].silent)
        run->open = ask->kind;
}

static void check_note(struct run *run, const struct note *note)
{
    must(note->event);
    is_fine(buf_print(&run->trace.notes, "%s", note->event));
    for (size_t i = 0; i < sizeof note->fields / sizeof *note->fields && note->fields[i].key; i++) {
        is_fine(buf_print(&run->trace.notes, " %s=", note->fields[i].key));
        is_fine(buf_put(&run->trace.notes, note->fields[i].value));
    }
    is_fine(buf_put_byte(&run->trace.notes, '\n'));
}

static void mark(struct run *run, char what) { is_fine(buf_print(&run->trace.asks, "%c%zu,%zu", what, run->trace.sent.len, run->trace.body.len)); }

static bool next_wish(struct run *run, struct wish *out_wish)
{
    enter(run);
    bool has = session_next(run->s, out_wish);
    leave(run);
    return has;
}

static void take_wishes(struct run *run)
{
    struct wish wish;
    while (next_wish(run, &wish)) {
        run->steps++;
        must(!run->is_closed && (!run->is_gone || wish.kind == WISH_ASK || wish.kind == WISH_NOTE));
        switch (wish.kind) {
        case WISH_SEND:
            must(wish.bytes.len > 0 && wish.bytes.len <= LIMIT_SEND_BUFFER);
            is_fine(buf_put(&run->trace.sent, wish.bytes));
            replies_feed(&run->replies, wish.bytes);
            break;
        case WISH_ASK:
            check_ask(run, wish.ask);
            break;
        case WISH_BODY:
            is_fine(buf_put(&run->body, wish.bytes));
            must(run->open == ASK_NONE);
            break;
        case WISH_TLS:
            mark(run, 'T');
            must(replies_are_whole(&run->replies));
            run->wants_tls = true;
            break;
        case WISH_CLOSE:
            mark(run, 'C');
            run->is_closed = true;
            break;
        case WISH_NOTE:
            check_note(run, wish.note);
            break;
        }
    }
    must(run->is_closed || run->is_gone || run->open != ASK_NONE || run->wants_tls || session_deadline(run->s) != UINT64_MAX);
}

/* ---- a keeper that answers from the input ------------------------------------------------------------------------------- */

static uint64_t take_value(struct run *run)
{
    uint8_t octet = take_octet(&run->in);
    return octet < 224 ? octet : UINT64_MAX >> (octet % 32 * 2); /* small, or absurd */
}

static void fill(struct run *run, const struct field *fields, void *message)
{
    for (const struct field *f = fields; f && f->kind != FIELD_END; f++) {
        char *at = (char *)message + f->at;
        if (f->kind == FIELD_ROWS) {
            uint32_t most = f->max < 40 ? f->max : 40;
            struct rows rows = { NULL, take_octet(&run->in) % (most + 1) };
            char *made = arena_take_rows(&run->arena, rows.count, f->row_size);
            must(made || rows.count == 0);
            for (uint32_t i = 0; i < rows.count; i++)
                fill(run, f->rows, made + (size_t)i * f->row_size);
            rows.at = made;
            memcpy(at, &rows, sizeof rows);
        } else if (f->kind == FIELD_U8 || f->kind == FIELD_U32 || f->kind == FIELD_U64) {
            uint64_t number = f->kind == FIELD_U8 ? take_octet(&run->in) % 20 : take_value(run);
            memcpy(at, &number, f->kind == FIELD_U8 ? 1 : f->kind == FIELD_U32 ? 4 : 8);
        } else if (f->kind != FIELD_IP) {
            struct slice text = take_octets(&run->in, take_octet(&run->in) % 33); /* 32: a signature of SCRAM-SHA-256 */
            bool fits = f->kind != FIELD_TEXT || !slice_has_control(text);          /* as the codec lets it through */
            text = fits ? slice_upto(text, f->max) : NO_SLICE;
            memcpy(at, &text, sizeof text);
        }
    }
}

/* Bodies have to be packed to be of any use; now and then they are not. */
static void pack_bodies(struct run *run, struct answer *answer)
{
    if (answer->kind != ASK_FETCH || take_octet(&run->in) % 8 == 0)
        return;
    for (uint32_t i = 0; i < answer->fetch.rows.count; i++) {
        struct fetch_row *row = &((struct fetch_row *)(uintptr_t)answer->fetch.rows.at)[i];
        struct buf packed = BUF(65536);
        is_fine(pack(&packed, row->frames));
        is_fine(arena_copy(&run->arena, buf_slice(&packed), &row->frames));
        buf_done(&packed);
    }
}

static void answer_open(struct run *run)
{
    struct answer answer = { .kind = run->open, .fd = -1 };
    uint8_t way = take_octet(&run->in);
    arena_reset(&run->arena);
    if (way % 8 == 7) {
        answer.status = (enum status)(way / 8 % STATUS_COUNT);
    } else {
        fill(run, ask_defs[answer.kind].answer, &answer.login);
        pack_bodies(run, &answer);
    }
    if (way % 32 == 31)
        answer.kind = ASK_STATUS; /* not what was asked */
    if (run->open == ASK_DELIVER && (answer.kind != ASK_DELIVER || answer.status != STATUS_OK || answer.deliver.verdict != MAIL_OK))
        run->reserved = true;
    run->open = ASK_NONE;
    enter(run);
    session_answer(run->s, &answer, run->now);
    leave(run);
}

/* ---- moves ------------------------------------------------------------------------------------------------------------ */

static void say(struct run *run, struct slice octets)
{
    if (octets.len == 0 || run->is_gone)
        return;
    is_fine(buf_put(&run->wire, octets));
    run->amid_line = octets.ptr[octets.len - 1] != '\n';
}

static struct slice left(const struct run *run) { return slice_from(buf_slice(&run->wire), run->eaten); }

static void forget_wire(struct run *run)
{
    buf_clear(&run->wire);
    run->eaten = 0;
}

static void secure(struct run *run)
{
    run->wants_tls = run->amid_line = false;
    forget_wire(run);
    enter(run);
    session_secured(run->s, &run->facts, run->now);
    leave(run);
}

/* What is visible of the wire: all, or up to a cut.  Never up to the end of a line that has something behind it: whether there is something is a fact
 * that STARTTLS and others look at. */
static struct slice visible(struct run *run)
{
    struct slice wire = slice_upto(left(run), PIECE);
    size_t len = run->cuts ? next_cut(run->cuts) : wire.len;
    while (len < wire.len && wire.ptr[len - 1] == '\n')
        len++;
    return slice_upto(wire, len);
}

static bool may_feed(const struct run *run) { return run->open == ASK_NONE && !run->wants_tls && !run->is_closed && !run->is_gone; }

/* Until nothing more happens; also without anything on the wire: a listing goes on. */
static void feed(struct run *run)
{
    size_t eaten, sent = SIZE_MAX;
    while (may_feed(run) && (left(run).len > 0 || sent != run->trace.sent.len)) {
        struct slice wire = visible(run);
        uint64_t before = run->steps;
        enter(run);
        eaten = session_feed(run->s, wire, run->now);
        leave(run);
        must(eaten <= wire.len);
        run->eaten += eaten;
        if (left(run).len == 0)
            forget_wire(run);
        sent = run->trace.sent.len;
        take_wishes(run);
        must(eaten > 0 || wire.len == 0 || before != run->steps || !may_feed(run)); /* it never stands still with octets before it */
    }
}

/* What a client says within a login: so that the input is about what is inside of the base64. */
static void say_base64(struct run *run)
{
    struct buf line = BUF(1024);
    is_fine(base64_encode(&line, take_octets(&run->in, take_octet(&run->in))));
    is_fine(buf_put(&line, S("\r\n")));
    say(run, buf_slice(&line));
    buf_done(&line);
}

/* A login that shows the secret, whole, at the start of a line. */
static void say_canary(struct run *run)
{
    /* What stands before the secret, in plain and within the base64: there in groups of three, so that the secret's own base64 would show. */
    static const struct {
        struct slice command, before, behind;
    } ways[] = {
        { S("PASS "), NO_SLICE, NO_SLICE },
        { S("USER u\r\nPASS "), NO_SLICE, NO_SLICE },
        { S("AUTH PLAIN "), S("\0user\0"), NO_SLICE },
        { S("AUTH OAUTHBEARER "), S("n,a=users1,\1auth=Bearer "), S("\1\1") },
        { S("AUTH XOAUTH2 "), S("user=users1\1auth=Bearer "), S("\1\1") },
        { S("AUTH LOGIN dXNlcg==\r\n"), S(""), NO_SLICE },
    };
    size_t way = take_octet(&run->in) % (sizeof ways / sizeof *ways);
    struct buf line = BUF(1024), octets = BUF(1024);
    if (run->amid_line)
        return;
    is_fine(buf_put(&octets, ways[way].before));
    is_fine(buf_put(&octets, slice_of(run->canary.text)));
    is_fine(buf_put(&octets, ways[way].behind));
    is_fine(buf_put(&line, ways[way].command));
    is_fine(ways[way].before.ptr ? base64_encode(&line, buf_slice(&octets)) : buf_put(&line, buf_slice(&octets)));
    is_fine(buf_put(&line, S("\r\n")));
    say(run, buf_slice(&line));
    buf_done(&line);
    buf_done(&octets);
}

/* Long content from a short input. */
static void say_often(struct run *run)
{
    struct slice unit = take_octets(&run->in, take_octet(&run->in) % 32);
    for (int i = 0; i < 4000 && unit.len > 0 && left(run).len < (160u << 10); i++)
        say(run, unit);
}

static void hang_up(struct run *run)
{
    enter(run);
    session_hangup(run->s, run->now);
    leave(run);
    run->open = ASK_NONE;
    run->wants_tls = false;
    run->is_gone = true;
    forget_wire(run);
    take_wishes(run);
    must(session_is_closed(run->s) && session_deadline(run->s) == UINT64_MAX);
    must(!run->reserved && !run->has_asked); /* the keeper was told */
}

static void pass_time(struct run *run, bool to_deadline)
{
    msec step = (msec)take_octet(&run->in), deadline = session_deadline(run->s);
    run->now += step < 250 ? step * 10000 : DAYS(step - 249);
    if (to_deadline && deadline != UINT64_MAX)
        run->now = deadline > run->now ? deadline : run->now;
    enter(run);
    session_tick(run->s, run->now);
    leave(run);
}

static void move(struct run *run)
{
    uint8_t what = take_octet(&run->in);
    if (run->open != ASK_NONE && what % 16 != 15) {
        answer_open(run);
    } else if (run->wants_tls && what != 254) {
        secure(run);
    } else if (what == 249 || what == 251) {
        pass_time(run, what == 249);
    } else if (what == 250) {
        enter(run);
        session_stop(run->s, run->now);
        leave(run);
    } else if (what == 252) {
        say_base64(run);
    } else if (what == 253) {
        say_canary(run);
    } else if (what == 254) {
        hang_up(run);
    } else if (what >= 240) {
        say_often(run);
    } else {
        say(run, take_octets(&run->in, what));
    }
}

/* ---- a whole session ---------------------------------------------------------------------------------------------------- */

static void check_secrets(const struct run *run)
{
    struct buf text = BUF(64);
    is_fine(base64_encode(&text, slice_of(run->canary.text)));
    const struct slice shapes[] = { slice_of(run->canary.text), buf_slice(&text) };
    for (size_t i = 0; i < 2; i++) {
        must(!slice_has(buf_slice(&run->trace.sent), shapes[i]));
        must(!slice_has(buf_slice(&run->trace.notes), shapes[i]));
    }
    buf_done(&text);
}

static void play(struct slice in, struct random_stream *cuts, struct trace *out_trace)
{
    struct run run = { .in = { (const uint8_t *)in.ptr, (const uint8_t *)in.ptr + in.len }, .arena = ARENA(1u << 20), .wire = BUF(64u << 20), .body = BUF(64u << 20), .now = 1000, .cuts = cuts };
    run.trace = (struct trace){ BUF(64u << 20), BUF(64u << 20), BUF(64u << 20), BUF(64u << 20) };
    struct scene scene;
    run.canary = make_canary(in);
    uint8_t service = take_octet(&run.in);
    scene_make(&scene, service, take_octet(&run.in));
    run.facts = scene.facts;
    replies_init(&run.replies, scene.is_pop3 ? REPLIES_POP3 : REPLIES_SMTP);
    enter(&run);
    run.s = scene_open(&scene, run.now);
    leave(&run);
    take_wishes(&run);
    while (run.in.at < run.in.end && !run.is_closed && !run.is_gone) {
        move(&run);
        take_wishes(&run);
        feed(&run);
        must(scene.is_pop3 || replies_are_whole(&run.replies));
    }
    if (!run.is_gone)
        hang_up(&run);
    must(session_feed(run.s, S("NOOP\r\n"), run.now) == 0);
    session_close(run.s);
    replies_done(&run.replies);
    buf_done(&run.wire);
    buf_done(&run.body);
    arena_done(&run.arena);
    check_secrets(&run);
    *out_trace = run.trace;
}

static void same(const char *what, struct buf *a, struct buf *b)
{
    size_t at = 0;
    while (at < a->len && at < b->len && a->ptr[at] == b->ptr[at])
        at++;
    size_t from = at > 100 ? at - 100 : 0;
    if (a->len != b->len || at < a->len) /* for whoever mends it */
        fprintf(stderr, "%s differ at %zu of %zu and %zu:\n%.*s\n----\n%.*s\n", what, at, a->len, b->len, (int)(a->len - from < 200 ? a->len - from : 200),
            a->ptr + from, (int)(b->len - from < 200 ? b->len - from : 200), b->ptr + from);
    must(slice_equal(buf_slice(a), buf_slice(b)));
    buf_done(a);
    buf_done(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size };
    struct random_stream cuts = { size, size > 2 ? data[2] : 0, 0 };
    struct trace whole, cut;
    if (size < 2)
        return 0;
    play(in, NULL, &whole);
    play(in, &cuts, &cut);
    same("replies", &whole.sent, &cut.sent);
    same("bodies", &whole.body, &cut.body);
    same("asks", &whole.asks, &cut.asks);
    same("notes", &whole.notes, &cut.notes);
    return 0;
}
