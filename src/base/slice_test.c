#include "base/slice.h"

#include "base/testing.h"

static void pieces(void **state)
{
    (void)state;
    assert_text(slice_from(S("abc"), 1), "bc");
    assert_text(slice_from(S("abc"), 3), "");
    assert_text(slice_from(S("abc"), 99), "");
    assert_text(slice_from(NO_SLICE, 5), "");
    assert_text(slice_upto(S("abc"), 2), "ab");
    assert_text(slice_upto(S("abc"), 99), "abc");
    assert_text(slice_of(NULL), "");
    assert_text(slice_of("x"), "x");
    assert_text(slice_trim(S(" \t a b\t ")), "a b");
    assert_text(slice_trim(S(" \t ")), "");
    assert_text(slice_trim(NO_SLICE), "");
    assert_text(slice_trim(S("\r\n")), "\r\n");
}

static void comparing(void **state)
{
    (void)state;
    assert_true(slice_equal(NO_SLICE, S("")));
    assert_true(slice_equal(S("a\0b"), S("a\0b")));
    assert_false(slice_equal(S("a\0b"), S("a\0c")));
    assert_true(slice_equal_nocase(S("RcPt"), S("rCpT")));
    assert_false(slice_equal_nocase(S("a"), S("ab")));
    /* Octets that differ by 32 and are no letters: folding must not join them. */
    assert_false(slice_equal_nocase(S("@["), S("`{")));
    assert_false(slice_equal_nocase(S("\xc3\x84"), S("\xc3\xa4")));
    assert_true(slice_compare(S("a"), S("b")) < 0);
    assert_true(slice_compare(S("ab"), S("a")) > 0);
    assert_true(slice_compare(S("\x7f"), S("\x80")) < 0);
    assert_int_equal(slice_compare(NO_SLICE, S("")), 0);
    assert_true(slice_starts(S("abc"), S("ab")) && slice_starts(S("abc"), NO_SLICE));
    assert_false(slice_starts(S("ab"), S("abc")));
    assert_true(slice_starts_nocase(S("IPv6:::1"), S("ipV6:")));
    assert_true(slice_ends_nocase(S("a.EXAMPLE"), S(".example")));
    assert_false(slice_ends_nocase(S("le"), S(".example")));
}

static void finding(void **state)
{
    (void)state;
    assert_int_equal(slice_find(S("a.b.c"), '.'), 1);
    assert_int_equal(slice_find_last(S("a.b.c"), '.'), 3);
    assert_int_equal(slice_find(S("abc"), '.'), 3);
    assert_int_equal(slice_find_last(S("abc"), '.'), 3);
    assert_int_equal(slice_find(NO_SLICE, '.'), 0);
    assert_true(slice_has(S("x\0yz"), S("\0y")));
    assert_true(slice_has(S("x"), NO_SLICE));
    assert_false(slice_has(NO_SLICE, S("x")));
}

static void cutting(void **state)
{
    (void)state;
    static const char *const wanted[] = { "a", "", "b" };
    struct slice rest = S("a,,b,"), piece;
    size_t count = 0;
    while (slice_cut(&rest, ',', &piece)) {
        assert_in_range(count, 0, 2);
        assert_true(slice_equal(piece, slice_of(wanted[count++])));
    }
    assert_int_equal(count, 3);
    rest = S("");
    assert_false(slice_cut(&rest, ',', &piece));
    rest = S("  one   two ");
    assert_true(slice_word(&rest, &piece));
    assert_text(piece, "one");
    assert_true(slice_word(&rest, &piece));
    assert_text(piece, "two");
    assert_false(slice_word(&rest, &piece));
}

static void numbers(void **state)
{
    (void)state;
    uint64_t n = 77;
    assert_ok(slice_number(S("0"), 0, &n));
    assert_int_equal(n, 0);
    assert_ok(slice_number(S("00000000000000000000000012"), 12, &n));
    assert_int_equal(n, 12);
    assert_ok(slice_number(S("18446744073709551615"), UINT64_MAX, &n));
    assert_true(n == UINT64_MAX);
    n = 77;
    assert_status(slice_number(S("18446744073709551616"), UINT64_MAX, &n), STATUS_TOO_BIG);
    assert_status(slice_number(S("99999999999999999999999"), UINT64_MAX, &n), STATUS_TOO_BIG);
    assert_status(slice_number(S("13"), 12, &n), STATUS_TOO_BIG);
    assert_status(slice_number(S("99999999999999999999999x"), UINT64_MAX, &n), STATUS_MALFORMED);
    static const char *const wrong[] = { "", "-1", "+1", " 1", "1 ", "0x1", "1.0" };
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_status(slice_number(slice_of(wrong[i]), 100, &n), STATUS_MALFORMED);
    assert_int_equal(n, 77);
}

static void C084_secrets_compare_whole(void **state)
{
    (void)state;
    assert_true(slice_equal_secret(S("abc"), S("abc")));
    assert_false(slice_equal_secret(S("abc"), S("abd")));
    assert_false(slice_equal_secret(S("xbc"), S("abc")));
    assert_false(slice_equal_secret(S("abc"), S("ab")));
    assert_true(slice_equal_secret(NO_SLICE, S("")));
}

/* RFC 3629 3 and 4, by an independent rule: what a code point is. */
static bool is_scalar(const unsigned char *o, size_t len)
{
    static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    uint32_t point = len == 1 ? o[0] : o[0] & (0xffu >> (len + 1));
    if (len == 1 ? o[0] > 0x7f : o[0] >> (7 - len) != (2 << len) - 2)
        return false;
    for (size_t i = 1; i < len; i++) {
        if ((o[i] & 0xc0) != 0x80)
            return false;
        point = point << 6 | (o[i] & 0x3f);
    }
    return point >= least[len] && point <= 0x10ffff && !(point >= 0xd800 && point <= 0xdfff);
}

static void C028_utf8_is_strict_for_every_short_sequence(void **state)
{
    (void)state;
    static const unsigned char tails[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff };
    for (unsigned first = 0; first < 256; first++)
        for (size_t i = 0; i < COUNT(tails); i++)
            for (size_t j = 0; j < COUNT(tails); j++)
                for (size_t k = 0; k < COUNT(tails); k++) {
                    unsigned char o[4] = { (unsigned char)first, tails[i], tails[j], tails[k] };
                    size_t wanted = 0;
                    for (size_t len = 1; len <= 4 && wanted == 0; len++)
                        wanted = is_scalar(o, len) ? len : 0;
                    assert_int_equal(slice_utf8_prefix((struct slice){ (char *)o, 4 }), wanted);
                    /* Cut short, it is none: not one octet behind the end is looked at. */
                    for (size_t len = 1; len < wanted; len++) {
                        char *copy = exactly((struct slice){ (char *)o, len });
                        assert_false(slice_is_utf8((struct slice){ copy, len }));
                        free(copy);
                    }
                }
    assert_true(slice_is_utf8(S("えきれい \xf0\x9f\x90\xa6")));
    assert_true(slice_is_utf8(NO_SLICE));
    assert_false(slice_is_utf8(S("abc\xc3")));
}

static void classes(void **state)
{
    (void)state;
    assert_true(slice_is_ascii(S("\x7f\x00")));
    assert_false(slice_is_ascii(S("a\x80")));
    assert_true(slice_is_ascii(NO_SLICE));
    for (size_t len = 1; len < 20; len++)
        for (size_t at = 0; at < len; at++) {
            char text[20] = "a line of nineteen.";
            assert_true(slice_is_ascii((struct slice){ text, len }));
            text[at] = (char)0x80;
            assert_false(slice_is_ascii((struct slice){ text, len }));
            assert_true(slice_is_ascii((struct slice){ text, at }));
        }
    for (int octet = 0; octet < 256; octet++) {
        char text[] = { 'a', (char)octet, 'b' };
        assert_int_equal(slice_has_control((struct slice){ text, 3 }), octet < 32 || octet == 127);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces),
        cmocka_unit_test(comparing),
        cmocka_unit_test(finding),
        cmocka_unit_test(cutting),
        cmocka_unit_test(numbers),
        cmocka_unit_test(C084_secrets_compare_whole),
        cmocka_unit_test(C028_utf8_is_strict_for_every_short_sequence),
        cmocka_unit_test(classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
