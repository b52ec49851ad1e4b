#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ask/field.h"

struct point {
    struct slice label;
    uint32_t x;
};
struct drawing {
    struct slice title, picture, key;
    struct rows points;
    struct ip from;
    uint64_t when;
    uint32_t width;
    uint8_t depth;
};
static const struct field point_fields[] = { F_TEXT(point, label, 8), F_U32(point, x), { .kind = FIELD_END } };
static const struct field drawing_fields[] = { F_TEXT(drawing, title, 16), F_BYTES(drawing, picture, 32),
    F_SECRET(drawing, key), F_ROWS(drawing, points, point, point_fields, 4), F_IP(drawing, from), F_U64(drawing, when),
    F_U32(drawing, width), F_U8(drawing, depth), { .kind = FIELD_END } };

static const struct point points[] = { { S("a"), 1 }, { S("bc"), 0xfffffffe }, { S(""), 3 } };

static struct drawing sample(void)
{
    struct drawing d = { .title = S("a house"), .picture = S("\r\n\0x"), .key = S("hidden"), .points = { points, 3 },
        .when = 0x0102030405060708, .width = 70000, .depth = 255 };
    d.from.octets[15] = 1;
    return d;
}

static void put_and_get_give_the_same(void **state)
{
    (void)state;
    struct drawing in = sample(), out = { 0 };
    struct buf wire = BUF(1000);
    struct arena arena = ARENA(4096);
    assert_int_equal(field_put(&wire, drawing_fields, &in), STATUS_OK);
    assert_int_equal(field_get(buf_slice(&wire), drawing_fields, &arena, &out), STATUS_OK);
    assert_true(slice_equal(out.title, in.title) && slice_equal(out.picture, in.picture) && slice_equal(out.key, in.key));
    assert_int_equal(out.points.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(slice_equal(row_of(struct point, out.points, i)->label, points[i].label));
        assert_int_equal(row_of(struct point, out.points, i)->x, points[i].x);
    }
    assert_true(ip_equal(out.from, in.from) && out.when == in.when && out.width == in.width && out.depth == in.depth);
    buf_done(&wire);
    arena_done(&arena);
}

static void octets_are_little_endian_without_padding(void **state)
{
    (void)state;
    struct point p = { S("ab"), 0x01020304 };
    struct buf wire = BUF(100);
    assert_int_equal(field_put(&wire, point_fields, &p), STATUS_OK);
    assert_int_equal(wire.len, 10);
    assert_memory_equal(wire.ptr, "\2\0\0\0ab\4\3\2\1", 10);
    buf_done(&wire);
}

static void every_cut_and_every_extra_octet_is_refused(void **state)
{
    (void)state;
    struct drawing in = sample(), out;
    struct buf wire = BUF(1000);
    struct arena arena = ARENA(4096);
    assert_int_equal(field_put(&wire, drawing_fields, &in), STATUS_OK);
    for (size_t len = 0; len < wire.len; len++)
        assert_int_equal(field_get(slice_upto(buf_slice(&wire), len), drawing_fields, &arena, &out), STATUS_MALFORMED);
    assert_int_equal(buf_put_byte(&wire, 0), STATUS_OK);
    assert_int_equal(field_get(buf_slice(&wire), drawing_fields, &arena, &out), STATUS_MALFORMED);
    buf_done(&wire);
    arena_done(&arena);
}

static void maxima_hold_in_both_directions(void **state)
{
    (void)state;
    struct buf wire = BUF(1000);
    struct arena arena = ARENA(4096), small = ARENA(64);
    struct drawing d = sample(), out;
    d.title = S("seventeen octets!");
    assert_int_equal(field_put(&wire, drawing_fields, &d), STATUS_TOO_BIG);
    d = sample();
    d.points.count = 5;
    assert_int_equal(field_put(&wire, drawing_fields, &d), STATUS_TOO_BIG);
    assert_int_equal(wire.len, 0);
    struct slice title_of_17 = S("\x11\0\0\0seventeen octets!");
    assert_int_equal(field_get(title_of_17, drawing_fields, &arena, &out), STATUS_TOO_BIG);
    d = sample();
    assert_int_equal(field_put(&wire, drawing_fields, &d), STATUS_OK);
    assert_int_equal(field_get(buf_slice(&wire), drawing_fields, &small, &out), STATUS_TOO_BIG);
    struct buf narrow = BUF(20);
    assert_int_equal(field_put(&narrow, drawing_fields, &d), STATUS_TOO_BIG);
    assert_int_equal(narrow.len, 0);
    buf_done(&wire);
    buf_done(&narrow);
    arena_done(&arena);
    arena_done(&small);
}

static void a_count_that_the_input_cannot_hold_takes_no_memory(void **state)
{
    (void)state;
    static const struct field many[] = { F_ROWS(drawing, points, point, point_fields, UINT32_MAX), { .kind = FIELD_END } };
    struct arena arena = ARENA(1u << 30);
    struct drawing out;
    assert_int_equal(field_get(S("\xff\xff\xff\x01zzzz"), many, &arena, &out), STATUS_MALFORMED);
    assert_int_equal(arena.used, 0);
    arena_done(&arena);
}

/* C040 */
static void C040_text_holds_no_line_end_and_no_nul(void **state)
{
    (void)state;
    struct arena arena = ARENA(4096);
    struct buf wire = BUF(100);
    struct point out;
    static const struct slice bad[] = { S("a\nb"), S("a\r"), S("\0") };
    for (size_t i = 0; i < 3; i++) {
        struct point in = { bad[i], 1 };
        assert_int_equal(field_put(&wire, point_fields, &in), STATUS_MALFORMED);
    }
    assert_int_equal(field_get(S("\3\0\0\0a\nb\1\0\0\0"), point_fields, &arena, &out), STATUS_MALFORMED);
    assert_int_equal(field_get(S("\3\0\0\0a\rb\1\0\0\0"), point_fields, &arena, &out), STATUS_MALFORMED);
    assert_int_equal(field_get(S("\3\0\0\0a\0b\1\0\0\0"), point_fields, &arena, &out), STATUS_MALFORMED);
    assert_int_equal(field_get(S("\3\0\0\0a.b\1\0\0\0"), point_fields, &arena, &out), STATUS_OK);
    buf_done(&wire);
    arena_done(&arena);
}

static void printing_hides_secrets_and_quotes(void **state)
{
    (void)state;
    struct drawing d = sample();
    d.title = S("a \"b\"\x1b");
    d.from.octets[10] = d.from.octets[11] = 255;
    struct buf text = BUF(1000);
    assert_int_equal(field_print(&text, drawing_fields, &d), STATUS_OK);
    struct slice wanted = S(" title=\"a \\\"b\\\"\\x1b\" picture=(4 octets) key=***"
                            " points=[ label=a x=1 ][ label=bc x=4294967294 ][ x=3 ]"
                            " from=0.0.0.1 when=72623859790382856 width=70000 depth=255");
    assert_int_equal(text.len, wanted.len);
    assert_memory_equal(text.ptr, wanted.ptr, wanted.len);
    struct drawing empty = { 0 };
    buf_clear(&text);
    assert_int_equal(field_print(&text, drawing_fields, &empty), STATUS_OK);
    assert_int_equal(text.len, 0);
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_and_get_give_the_same),
        cmocka_unit_test(octets_are_little_endian_without_padding),
        cmocka_unit_test(every_cut_and_every_extra_octet_is_refused),
        cmocka_unit_test(maxima_hold_in_both_directions),
        cmocka_unit_test(a_count_that_the_input_cannot_hold_takes_no_memory),
        cmocka_unit_test(C040_text_holds_no_line_end_and_no_nul),
        cmocka_unit_test(printing_hides_secrets_and_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
