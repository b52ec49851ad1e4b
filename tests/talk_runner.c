/* talk_runner - plays a transcript against an engine: as it is written, cut at every octet, with each ask answered BUSY once, and
 * with a hang-up after every step.  The test is the keeper. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "proto/session.h"
#include "talk_scene.h"

#define MOST_OCTETS (64u << 20)
#define NEVER       SIZE_MAX
#define COPIED_OCTETS 4096u

struct plan {
    size_t cut;      /* octets that arrive together; NEVER: all that the script says */
    size_t busy_at;  /* which ask is answered BUSY; NEVER: none.  From there on only survival is checked */
    size_t hangup_at; /* the step before which the client is gone; NEVER: none */
};

struct seen_ask {
    enum ask_kind kind;
    struct slice text;
};

struct player {
    struct script *script;
    const struct step *step;
    struct plan plan;
    struct session *s;
    struct arena arena;
    msec now;
    struct tls_facts facts;
    struct buf wire;          /* said by the client; eaten up to wire_at */
    size_t wire_at;
    struct buf lines;         /* said by the server; compared up to lines_at */
    size_t lines_at;
    struct buf body, prefix, return_path;
    struct seen_ask asks[64]; /* asked, not compared yet */
    size_t ask_first, ask_count, asks_answered;
    enum ask_kind open;       /* an answer is due */
    bool loose;               /* the script does not hold any more */
    bool wants_tls, is_closed, has_asked, reserved;
};

#define CHECK(p, condition, ...)                             \
    do {                                                     \
        if (!(condition))                                    \
            script_fail((p)->script, (p)->step, __VA_ARGS__); \
    } while (0)

static void put(struct player *p, struct buf *out, struct slice s)
{
    CHECK(p, buf_put(out, s) == STATUS_OK, "too much");
}

/* ---- wishes ----------------------------------------------------------------------------------------------------------- */

/* The keeper's view of a transaction: what may be reserved for it must be given back, or end in a delivery. */
static void keep_reservations(struct player *p, const struct ask *ask)
{
    switch (ask->kind) {
    case ASK_MAIL:
    case ASK_RCPT:
    case ASK_STAGE:
        p->reserved = true;
        break;
    case ASK_DELIVER:
    case ASK_RESET:
        p->reserved = false;
        break;
    default:
        break;
    }
}

static void take_ask(struct player *p, const struct ask *ask)
{
    struct buf text = BUF(MOST_OCTETS), wire = BUF(LIMIT_FRAME);
    struct frame frame = { .session = 1, .ask = *ask };
    CHECK(p, frame_put(&wire, &frame) == STATUS_OK, "the ask does not fit its own table");
    CHECK(p, ask_print(&text, ask) == STATUS_OK, "the ask cannot be printed");
    CHECK(p, p->open == ASK_NONE || ask_defs[ask->kind].silent, "an ask while another one is open: %s", ask_defs[ask->kind].name);
    keep_reservations(p, ask);
    if (ask->kind != ASK_REFUSED)
        p->has_asked = ask->kind != ASK_END_SESSION;
    if (ask->kind == ASK_DELIVER) {
        buf_clear(&p->prefix);
        buf_clear(&p->return_path);
        put(p, &p->prefix, ask->deliver.prefix);
        put(p, &p->return_path, ask->deliver.return_path);
    }
    if (!ask_defs[ask->kind].silent)
        p->open = ask->kind;
    if (ask->kind != ASK_END_SESSION && !p->loose) {
        CHECK(p, p->ask_count < 64, "too many asks");
        struct slice copy = NO_SLICE;
        CHECK(p, arena_copy(&p->arena, buf_slice(&text), &copy) == STATUS_OK, "no room");
        p->asks[p->ask_count++] = (struct seen_ask){ ask->kind, copy };
    }
    buf_done(&text);
    buf_done(&wire);
}

static void take_wishes(struct player *p)
{
    struct wish wish;
    while (session_next(p->s, &wish)) {
        CHECK(p, !p->is_closed, "a wish after CLOSE");
        switch (wish.kind) {
        case WISH_SEND:
            put(p, &p->lines, wish.bytes);
            break;
        case WISH_ASK:
            take_ask(p, wish.ask);
            break;
        case WISH_BODY:
            put(p, &p->body, wish.bytes);
            break;
        case WISH_TLS:
            p->wants_tls = true;
            break;
        case WISH_CLOSE:
            p->is_closed = true;
            break;
        case WISH_NOTE:
            CHECK(p, wish.note->event && wish.note->event[0], "a note without a name");
            break;
        }
    }
}

static void drop_wire(struct player *p, size_t len)
{
    p->wire_at += len;
    if (p->wire_at == p->wire.len) {
        buf_clear(&p->wire);
        p->wire_at = 0;
    }
}

/* The driver's loop: feed, carry the wishes out, feed again. */
static void pump(struct player *p)
{
    take_wishes(p);
    for (;;) {
        struct slice wire = slice_from(buf_slice(&p->wire), p->wire_at);
        struct slice piece = slice_upto(wire, p->plan.cut < wire.len ? p->plan.cut : wire.len);
        struct buf exact = BUF(MOST_OCTETS); /* of exactly this size: AddressSanitizer sees any look behind the end */
        if (piece.len <= COPIED_OCTETS) {
            put(p, &exact, piece);
            piece = buf_slice(&exact);
        }
        size_t eaten = session_feed(p->s, piece, p->now);
        bool was_waiting = session_is_waiting(p->s);
        size_t said = p->lines.len + p->body.len + p->ask_count;
        take_wishes(p);
        buf_done(&exact);
        drop_wire(p, eaten);
        bool stuck = eaten == 0 && said == p->lines.len + p->body.len + p->ask_count;
        if (was_waiting || session_is_closed(p->s) || stuck)
            return;
    }
}

static struct slice unread(const struct player *p) { return slice_from(buf_slice(&p->lines), p->lines_at); }

static void drop_lines(struct player *p, size_t len)
{
    p->lines_at += len;
    if (p->lines_at == p->lines.len) {
        buf_clear(&p->lines);
        p->lines_at = 0;
    }
}

/* ---- steps ------------------------------------------------------------------------------------------------------------ */

static bool matches(const struct step *step, struct slice text)
{
    return step->is_prefix ? slice_starts(text, step->text) : slice_equal(text, step->text);
}

static void expect_line(struct player *p)
{
    for (uint32_t i = 0; i < p->step->repeat; i++) {
        struct slice seen = unread(p);
        size_t end = slice_find(seen, '\n');
        CHECK(p, end < seen.len && end > 0 && seen.ptr[end - 1] == '\r', "wanted \"%.*s\", nothing came%s",
            (int)p->step->text.len, p->step->text.ptr, p->ask_first < p->ask_count ? " but an ask" : "");
        struct slice line = slice_upto(seen, end - 1);
        CHECK(p, matches(p->step, line), "wanted \"%.*s\"\n  came \"%.*s\"", (int)p->step->text.len, p->step->text.ptr,
            (int)line.len, line.ptr);
        drop_lines(p, end + 1);
    }
}

/* Refusals that the keeper is told of are compared where the script names them. */
static void pass_told(struct player *p)
{
    while (p->ask_first < p->ask_count && p->asks[p->ask_first].kind == ASK_REFUSED)
        p->ask_first++;
    if (p->ask_first == p->ask_count)
        p->ask_first = p->ask_count = 0;
}

static void expect_ask(struct player *p)
{
    if (slice_starts(p->step->text, S("end-session"))) {
        CHECK(p, !p->has_asked, "no end-session came");
        return;
    }
    if (!slice_starts(p->step->text, S("refused ")))
        pass_told(p);
    CHECK(p, p->ask_first < p->ask_count, "wanted the ask \"%.*s\", none came; the server said \"%.*s\"",
        (int)p->step->text.len, p->step->text.ptr, (int)unread(p).len, unread(p).ptr);
    struct slice seen = p->asks[p->ask_first++].text;
    if (p->ask_first == p->ask_count)
        p->ask_first = p->ask_count = 0;
    CHECK(p, matches(p->step, seen), "wanted the ask \"%.*s\"\n          came \"%.*s\"", (int)p->step->text.len,
        p->step->text.ptr, (int)seen.len, seen.ptr);
}

static void give_answer(struct player *p, struct answer *answer)
{
    p->open = ASK_NONE;
    if (answer->kind == ASK_DELIVER && (answer->status != STATUS_OK || answer->deliver.verdict != MAIL_OK))
        p->reserved = true; /* it may never have reached the keeper */
    p->asks_answered++;
    session_answer(p->s, answer, p->now);
    take_wishes(p);
    if (answer->kind == ASK_DELIVER)
        buf_clear(&p->body);
}

static void answer_step(struct player *p)
{
    struct answer answer;
    CHECK(p, p->open != ASK_NONE, "nothing was asked");
    script_answer(p->script, p->step, p->open, &p->arena, &answer);
    if (p->asks_answered == p->plan.busy_at) {
        answer = (struct answer){ .kind = p->open, .status = STATUS_BUSY, .fd = -1 };
        p->loose = true;
    }
    struct buf body = BUF(MOST_OCTETS); /* the next step may want to see it */
    put(p, &body, buf_slice(&p->body));
    give_answer(p, &answer);
    if (answer.kind == ASK_DELIVER)
        put(p, &p->body, buf_slice(&body));
    buf_done(&body);
}

static void expect_body(struct player *p)
{
    uint64_t octets = 0;
    struct slice text = p->step->text, word = NO_SLICE;
    if (p->step->kind == STEP_BODY_TEXT) {
        CHECK(p, slice_equal(buf_slice(&p->body), text), "the body is \"%.*s\"", (int)p->body.len, p->body.ptr);
    } else {
        CHECK(p, slice_word(&text, &word) && slice_number(word, MOST_OCTETS, &octets) == STATUS_OK, "how many octets?");
        CHECK(p, octets == p->body.len, "the body has %zu octets", p->body.len);
    }
    buf_clear(&p->body);
}

static void expect_has(struct player *p)
{
    struct slice text = p->step->text, where = buf_slice(&p->prefix);
    bool wanted = true;
    if (slice_starts(text, S("NOT "))) {
        wanted = false;
        text = slice_from(text, 4);
    } else if (slice_starts(text, S("RETURN "))) {
        where = buf_slice(&p->return_path);
        text = slice_from(text, 7);
    }
    CHECK(p, slice_has(where, text) == wanted, "it is \"%.*s\"", (int)where.len, where.ptr);
}

static void secure(struct player *p)
{
    CHECK(p, p->wants_tls, "no wish for TLS");
    p->wants_tls = false;
    drop_wire(p, p->wire.len - p->wire_at); /* what came in clear is dropped */
    session_secured(p->s, &p->facts, p->now);
    take_wishes(p);
}

static void wait_step(struct player *p)
{
    uint64_t passed = 0;
    CHECK(p, slice_number(p->step->text, DAYS(30), &passed) == STATUS_OK, "how long?");
    p->now += passed;
    if (p->now >= session_deadline(p->s))
        session_tick(p->s, p->now);
    take_wishes(p);
}

static void strict_step(struct player *p)
{
    switch (p->step->kind) {
    case STEP_CLIENT:
        for (uint32_t i = 0; i < p->step->repeat; i++)
            put(p, &p->wire, p->step->text);
        break;
    case STEP_SERVER:
        expect_line(p);
        break;
    case STEP_ASK:
        expect_ask(p);
        break;
    case STEP_ANSWER:
        answer_step(p);
        break;
    case STEP_BODY_SIZE:
    case STEP_BODY_TEXT:
        expect_body(p);
        break;
    case STEP_HAS:
        expect_has(p);
        break;
    case STEP_TLS:
        secure(p);
        break;
    case STEP_CLOSE:
        CHECK(p, p->is_closed, "the session is open");
        break;
    case STEP_HANGUP:
        session_hangup(p->s, p->now);
        take_wishes(p);
        break;
    case STEP_STOP:
        session_stop(p->s, p->now);
        break;
    case STEP_WAIT:
        wait_step(p);
        break;
    case STEP_DIRECTIVE:
        break;
    }
}

/* The script does not hold any more: say all that the client says, answer whatever is asked. */
static void loose_step(struct player *p)
{
    drop_lines(p, unread(p).len);
    if (p->wants_tls)
        secure(p);
    if (p->open != ASK_NONE)
        give_answer(p, &(struct answer){ .kind = p->open, .status = STATUS_BUSY, .fd = -1 });
    if (session_is_closed(p->s))
        return;
    if (p->step->kind == STEP_CLIENT || p->step->kind == STEP_STOP || p->step->kind == STEP_WAIT)
        strict_step(p);
}

/* ---- one run ---------------------------------------------------------------------------------------------------------- */

static void check_end(struct player *p)
{
    if (!p->loose) {
        pass_told(p);
        CHECK(p, unread(p).len == 0, "and then the server said \"%.*s\"", (int)unread(p).len, unread(p).ptr);
        CHECK(p, p->ask_first == p->ask_count, "and then it asked \"%s\"", p->asks[p->ask_first].text.ptr);
        CHECK(p, p->wire.len == p->wire_at || session_is_closed(p->s), "%zu octets were not read", p->wire.len - p->wire_at);
    }
    session_hangup(p->s, p->now);
    take_wishes(p);
    struct wish wish;
    CHECK(p, session_feed(p->s, S("NOOP\r\n"), p->now) == 0 && !session_next(p->s, &wish), "it lives on after the hang-up");
    CHECK(p, !p->reserved, "the keeper was not told that the transaction is over");
    CHECK(p, !p->has_asked, "the keeper was not told that the session is over");
}

static void open_session(struct player *p)
{
    struct talk_scene scene;
    talk_scene_read(p->script, &scene);
    p->facts = scene.facts;
    p->s = session_open(scene.is_pop3 ? &pop3_protocol : &smtp_protocol, &scene.env, scene.tls ? &p->facts : NULL, p->now);
    settings_release(scene.env.settings);
}

/* Returns how many asks were answered. */
static size_t play(struct script *script, struct plan plan)
{
    struct player p = { .script = script, .plan = plan, .now = 1000, .arena = ARENA(MOST_OCTETS), .wire = BUF(MOST_OCTETS),
        .lines = BUF(MOST_OCTETS), .body = BUF(MOST_OCTETS), .prefix = BUF(LIMIT_PREFIX), .return_path = BUF(LIMIT_PREFIX) };
    p.step = &script->steps[0];
    open_session(&p);
    for (size_t i = 0; i < script->count && i < plan.hangup_at; i++) {
        p.step = &script->steps[i];
        bool together = p.step->kind == STEP_CLIENT && i + 1 < script->count && script->steps[i + 1].kind == STEP_CLIENT;
        if (p.loose)
            loose_step(&p);
        else
            strict_step(&p);
        if (!together)
            pump(&p);
    }
    p.loose = p.loose || plan.hangup_at != NEVER;
    check_end(&p);
    size_t answered = p.asks_answered;
    session_close(p.s);
    buf_done(&p.wire);
    buf_done(&p.lines);
    buf_done(&p.body);
    buf_done(&p.prefix);
    buf_done(&p.return_path);
    arena_done(&p.arena);
    return answered;
}

static bool is_whole(const struct script *script)
{
    for (size_t i = 0; i < script->count; i++)
        if (script->steps[i].kind == STEP_DIRECTIVE && slice_equal(script->steps[i].text, S("whole")))
            return true;
    return false;
}

/* Long scripts are cut into larger pieces, or the runs would take minutes. */
static bool is_long(const struct script *script)
{
    uint64_t octets = 0;
    for (size_t i = 0; i < script->count; i++)
        octets += script->steps[i].kind == STEP_CLIENT ? script->steps[i].text.len * script->steps[i].repeat : 0;
    return octets > 100000;
}

int main(int argc, char **argv)
{
    struct script script;
    if (argc != 2) {
        fprintf(stderr, "usage: talk_runner FILE.talk\n");
        return 2;
    }
    script_read(&script, argv[1]);
    size_t answered = play(&script, (struct plan){ NEVER, NEVER, NEVER });
    bool is_big = is_long(&script);
    if (!is_whole(&script)) {
        static const size_t cuts[] = { 1, 2, 3, 7, 100 }, coarse[] = { 997, 4096, 65536 };
        for (size_t i = 0; i < (is_big ? 3 : 5); i++)
            play(&script, (struct plan){ is_big ? coarse[i] : cuts[i], NEVER, NEVER });
    }
    for (size_t i = 0; i < answered && i < 50; i++)
        play(&script, (struct plan){ NEVER, i, NEVER });
    for (size_t i = 0; i <= script.count; i++)
        if (!is_big || i + 10 > script.count)
            play(&script, (struct plan){ is_big ? NEVER : 11, NEVER, i });
    script_done(&script);
    return 0;
}
