#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ask/ask.h"
#include "base/random.h"

/* Fills any message through its own table: so a field that is forgotten here cannot exist. */
static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";

static uint64_t draw(struct random_stream *random, uint64_t below) { return random_next(random) % below; }

static void fill(const struct field *fields, void *message, struct arena *arena, struct random_stream *random)
{
    for (const struct field *f = fields; f && f->kind != FIELD_END; f++) {
        char *at = (char *)message + f->at;
        uint64_t number = random_next(random);
        struct rows rows = { NULL, (uint32_t)draw(random, 4) };
        char *made;
        switch (f->kind) {
        case FIELD_U8:
            memcpy(at, &number, 1);
            break;
        case FIELD_U32:
            memcpy(at, &number, 4);
            break;
        case FIELD_U64:
            memcpy(at, &number, 8);
            break;
        case FIELD_IP:
            memcpy(at, &number, 8);
            break;
        case FIELD_TEXT:
        case FIELD_BYTES:
        case FIELD_SECRET:
            *(struct slice *)(void *)at = slice_upto((struct slice){ letters, 36 }, draw(random, f->max < 36 ? f->max : 36));
            break;
        case FIELD_ROWS:
            made = arena_take_rows(arena, rows.count, f->row_size);
            assert_non_null(made);
            for (uint32_t i = 0; i < rows.count; i++)
                fill(f->rows, made + (size_t)i * f->row_size, arena, random);
            rows.at = made;
            *(struct rows *)(void *)at = rows;
            break;
        case FIELD_END:
            break;
        }
    }
}

static struct frame make(enum ask_kind kind, bool is_answer, struct arena *arena, struct random_stream *random)
{
    struct frame frame = { .session = random_next(random), .number = (uint32_t)random_next(random), .is_answer = is_answer };
    if (is_answer) {
        frame.answer.kind = kind;
        frame.answer.fd = -1;
        fill(ask_defs[kind].answer, &frame.answer.login, arena, random);
    } else {
        frame.ask.kind = kind;
        frame.ask.fd = -1;
        fill(ask_defs[kind].ask, &frame.ask.login, arena, random);
    }
    return frame;
}

/* Calls `check` with the octets of every kind of ask and answer. */
static void each_kind(void (*check)(struct slice wire, struct arena *arena, struct random_stream *random))
{
    struct random_stream random = { 7 };
    struct arena arena = ARENA(1u << 20);
    struct buf wire = BUF(LIMIT_FRAME);
    for (int kind = ASK_NONE + 1; kind < ASK_KINDS; kind++) {
        for (int side = 0; side < (ask_defs[kind].silent ? 1 : 2); side++) {
            struct frame frame = make((enum ask_kind)kind, side == 1, &arena, &random);
            buf_clear(&wire);
            assert_int_equal(frame_put(&wire, &frame), STATUS_OK);
            check(buf_slice(&wire), &arena, &random);
            arena_reset(&arena);
        }
    }
    buf_done(&wire);
    arena_done(&arena);
}

static void check_round_trip(struct slice wire, struct arena *arena, struct random_stream *random)
{
    (void)random;
    struct frame out;
    struct buf again = BUF(LIMIT_FRAME), text = BUF(LIMIT_FRAME);
    assert_int_equal(frame_get(wire, arena, &out), STATUS_OK);
    assert_int_equal(out.is_answer ? out.answer.fd : out.ask.fd, -1);
    assert_int_equal(frame_put(&again, &out), STATUS_OK);
    assert_true(slice_equal(buf_slice(&again), wire));
    assert_int_equal(out.is_answer ? answer_print(&text, &out.answer) : ask_print(&text, &out.ask), STATUS_OK);
    assert_true(text.len > 0 && !slice_has_control(buf_slice(&text)));
    buf_done(&again);
    buf_done(&text);
}

static void check_cuts(struct slice wire, struct arena *arena, struct random_stream *random)
{
    (void)random;
    struct frame out;
    for (size_t len = 0; len < wire.len; len++) {
        /* A copy of exactly this length, so that AddressSanitizer sees any look behind the end. */
        struct buf cut = BUF(LIMIT_FRAME);
        assert_int_equal(buf_put(&cut, slice_upto(wire, len)), STATUS_OK);
        assert_int_equal(frame_get(buf_slice(&cut), arena, &out), STATUS_MALFORMED);
        buf_done(&cut);
    }
}

static void check_mutations(struct slice wire, struct arena *arena, struct random_stream *random)
{
    struct buf changed = BUF(LIMIT_FRAME), again = BUF(LIMIT_FRAME);
    for (int round = 0; round < 300; round++) {
        struct frame out;
        buf_clear(&changed);
        assert_int_equal(buf_put(&changed, wire), STATUS_OK);
        for (uint64_t flips = draw(random, 4) + 1; flips > 0; flips--)
            changed.ptr[draw(random, changed.len)] = (char)random_next(random);
        changed.len -= draw(random, 8) == 0 ? draw(random, changed.len) : 0;
        arena_reset(arena);
        if (frame_get(buf_slice(&changed), arena, &out) != STATUS_OK)
            continue;
        buf_clear(&again); /* whatever is taken for a frame must be one */
        assert_int_equal(frame_put(&again, &out), STATUS_OK);
        assert_true(slice_equal(buf_slice(&again), buf_slice(&changed)));
    }
    buf_done(&changed);
    buf_done(&again);
}

static void all_kinds_make_the_round_trip(void **state)
{
    (void)state;
    each_kind(check_round_trip);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    each_kind(check_cuts);
}

static void random_mutations_are_refused_or_are_frames(void **state)
{
    (void)state;
    each_kind(check_mutations);
}

static void a_failed_answer_has_no_fields(void **state)
{
    (void)state;
    struct arena arena = ARENA(4096);
    struct buf wire = BUF(100), text = BUF(100);
    struct frame frame = { .is_answer = true, .number = 5, .answer = { .kind = ASK_MAIL, .status = STATUS_FULL, .fd = -1 } }, out;
    assert_int_equal(frame_put(&wire, &frame), STATUS_OK);
    assert_int_equal(frame_get(buf_slice(&wire), &arena, &out), STATUS_OK);
    assert_true(out.is_answer && out.number == 5 && out.answer.kind == ASK_MAIL && out.answer.status == STATUS_FULL);
    assert_int_equal(answer_print(&text, &out.answer), STATUS_OK);
    assert_true(slice_equal(buf_slice(&text), S("mail full")));
    assert_int_equal(buf_put_byte(&wire, 0), STATUS_OK);
    assert_int_equal(frame_get(buf_slice(&wire), &arena, &out), STATUS_MALFORMED);
    wire.len--;
    wire.ptr[wire.len - 1] = STATUS_COUNT;
    assert_int_equal(frame_get(buf_slice(&wire), &arena, &out), STATUS_MALFORMED);
    buf_done(&wire);
    buf_done(&text);
    arena_done(&arena);
}

static void a_silent_ask_has_no_answer(void **state)
{
    (void)state;
    struct arena arena = ARENA(4096);
    struct frame out;
    char wire[14] = { (char)(ASK_RESET | 0x80) };
    assert_int_equal(frame_get((struct slice){ wire, sizeof wire }, &arena, &out), STATUS_MALFORMED);
    wire[0] = ASK_RESET;
    assert_int_equal(frame_get((struct slice){ wire, 13 }, &arena, &out), STATUS_OK);
    arena_done(&arena);
}

static void every_kind_has_its_row(void **state)
{
    (void)state;
    for (int kind = ASK_NONE + 1; kind < ASK_KINDS; kind++) {
        assert_non_null(ask_defs[kind].name);
        assert_int_not_equal(ask_defs[kind].from, ROLE_NONE);
        for (int other = kind + 1; other < ASK_KINDS; other++)
            assert_string_not_equal(ask_defs[kind].name, ask_defs[other].name);
    }
    /* What reads or removes mail is for logged-in sessions of the user pool alone. */
    assert_int_equal(ask_defs[ASK_FETCH].from, ROLE_USER);
    assert_int_equal(ask_defs[ASK_FETCH].when, ASK_AFTER_LOGIN);
    assert_int_equal(ask_defs[ASK_EXPUNGE].when, ASK_AFTER_LOGIN);
    assert_int_equal(ask_defs[ASK_CLAIM].from, ROLE_COURIER);
    assert_int_equal(ask_defs[ASK_ACCOUNT_ADD].from, ROLE_CTL);
}

static void an_ask_prints_without_its_secret(void **state)
{
    (void)state;
    struct buf text = BUF(1000);
    struct ask ask = { .kind = ASK_LOGIN, .fd = -1, .login = { .name = S("joe"), .secret = S("pw"), .from.protocol = PROTOCOL_POP3,
        .from.mechanism = MECHANISM_PASSWORD } };
    assert_int_equal(ask_print(&text, &ask), STATUS_OK);
    assert_true(slice_equal(buf_slice(&text), S("login name=joe secret=*** protocol=2 mechanism=1")));
    buf_done(&text);
}

/* Behind what waits already; C040: text that would begin a line of its own goes nowhere. */
static void what_cannot_be_put_leaves_no_octet(void **state)
{
    (void)state;
    struct buf wire = BUF(60);
    struct frame frame = { .ask = { .kind = ASK_RCPT, .fd = -1, .rcpt.recipient = S("ann@our.test") } };
    assert_int_equal(frame_put(&wire, &frame), STATUS_OK);
    size_t before = wire.len;
    frame.ask.rcpt.recipient = S("an\nn@our.test");
    assert_int_equal(frame_put(&wire, &frame), STATUS_MALFORMED);
    assert_int_equal(wire.len, before);
    frame.ask.rcpt.recipient = S("somebody.with.a.longer.name@our.test");
    assert_int_equal(frame_put(&wire, &frame), STATUS_TOO_BIG);
    assert_int_equal(wire.len, before);
    buf_done(&wire);
}

static void roles_have_names(void **state)
{
    static const struct { enum role role; const char *name; } rows[] = { { ROLE_NONE, "none" }, { ROLE_MX, "mx" }, { ROLE_USER, "user" }, { ROLE_COURIER, "courier" },
        { ROLE_CTL, "ctl" }, { ROLE_KEEPER, "keeper" }, { ROLE_SUPERVISOR, "supervisor" }, { ROLE_POLICY, "policy" } };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(role_name(rows[i].role), rows[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds_make_the_round_trip),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(random_mutations_are_refused_or_are_frames),
        cmocka_unit_test(a_failed_answer_has_no_fields),
        cmocka_unit_test(a_silent_ask_has_no_answer),
        cmocka_unit_test(every_kind_has_its_row),
        cmocka_unit_test(an_ask_prints_without_its_secret),
        cmocka_unit_test(what_cannot_be_put_leaves_no_octet),
        cmocka_unit_test(roles_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
