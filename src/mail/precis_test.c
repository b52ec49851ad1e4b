#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "mail/precis.h"

struct pair {
    const char *typed, *prepared; /* prepared NULL: refused */
};

static void check(enum status status, const struct pair *pair, struct slice got)
{
    if (!pair->prepared && status != STATUS_MALFORMED)
        fail_msg("'%s' was not refused: %s", pair->typed, status_name(status));
    if (pair->prepared && (status != STATUS_OK || !slice_equal(got, slice_of(pair->prepared))))
        fail_msg("'%s' gave %s '%.*s'", pair->typed, status_name(status), (int)got.len, got.ptr);
}

static void check_name(const struct pair *pair)
{
    struct arena arena = ARENA(16384);
    struct slice got = NO_SLICE, again;
    enum status status = precis_name(slice_of(pair->typed), &arena, &got);
    check(status, pair, got);
    if (status == STATUS_OK) { /* RFC 8264 7: the result stays as it is */
        assert_int_equal(precis_name(got, &arena, &again), STATUS_OK);
        assert_true(slice_equal(got, again));
    }
    arena_done(&arena);
}

static void check_secret(enum status (*prepare)(struct slice, struct secret *), const struct pair *pair)
{
    struct secret got = { 0 }, again = { 0 };
    enum status status = prepare(slice_of(pair->typed), &got);
    check(status, pair, secret_slice(&got));
    if (status == STATUS_OK) {
        assert_int_equal(prepare(secret_slice(&got), &again), STATUS_OK);
        assert_true(slice_equal(secret_slice(&got), secret_slice(&again)));
    }
}

/* What a Japanese keyboard makes of an address and of a name: full-width letters, digits, at sign and full stops. */
static void test_full_width_names(void **state)
{
    static const struct pair pairs[] = {
        { "Ａｌｉｃｅ＠ｅｘａｍｐｌｅ．ｊｐ", "alice@example.jp" },
        { "ａｌｉｃｅ＠ｅｘａｍｐｌｅ。ｊｐ", "alice@example.jp" },
        { "ａｌｉｃｅ＠ｅｘａｍｐｌｅ｡ｊｐ", "alice@example.jp" },
        { "ｓｃａｎ．２＠Example.JP", "scan.2@example.jp" },
        { "ＡＬＩＣＥ", "alice" },
        { "\u3000alice\u3000", "alice" },
        { "ﾔﾏﾀﾞ", "ヤマダ" }, /* half-width katakana with its mark */
        { "alice@例え.テスト", "alice@xn--r8jz45g.xn--zckzah" },
        { "ａｌｉｃｅ＠例え．テスト", "alice@xn--r8jz45g.xn--zckzah" },
    };
    (void)state;
    for (size_t at = 0; at < sizeof pairs / sizeof pairs[0]; at++)
        check_name(&pairs[at]);
}

static void test_names(void **state)
{
    static const struct pair pairs[] = {
        /* RFC 8265 3.6, table 1 */
        { "juliet@example.com", "juliet@example.com" },
        { "fussball", "fussball" },
        { "fußball", "fußball" },
        { "π", "π" },
        { "Σ", "σ" },
        { "σ", "σ" },
        { "ς", "ς" },
        { "foo bar", "foo bar" }, /* two userparts (3.1) */
        /* table 2 */
        { "", NULL },
        { "henryⅣ", NULL }, /* U+2163 has a compatibility form */
        { "∞", NULL },
        /* others */
        { "  ", NULL },
        { "Bob", "bob" },
        { "ＢＯＢ＠Example.COM.", "bob@example.com" },
        { "JOSÉ", "josé" },
        { "Jose\u0301", "josé" },
        { "a\u200bb", NULL }, /* nothing that cannot be seen */
        { "a\u00adb", NULL },
        { "a\tb", NULL },
        { "a\x7f", NULL },
        { "\xff", NULL },
        { "\xed\xa0\x80", NULL },
        { "a@b@example.com", NULL },
        { "@example.com", NULL },
        { "alice@", NULL },
        { "ア・イ", "ア・イ" }, /* RFC 5892 A.7 */
        { "a・b", NULL },
        { "l·l", "l·l" }, /* A.3 */
        { "a·l", NULL },
        /* A.1: a joiner that parts letters which join, marks between them left out; behind a virama; nowhere else */
        { "\u0646\u0627\u0645\u0647\u200c\u0627\u06cc", "\u0646\u0627\u0645\u0647\u200c\u0627\u06cc" },
        { "\u0628\u064e\u200c\u064e\u0628", "\u0628\u064e\u200c\u064e\u0628" },
        { "\u0915\u094d\u200c\u0937", "\u0915\u094d\u200c\u0937" },
        { "a\u200cb", NULL },
        { "\u0627\u200c\u0628", NULL }, /* alef does not join to what follows */
        { "\u0628\u200c", NULL },
        { "\u200c\u0628", NULL },
        { "\u05d0\u05d1\u05b8", "\u05d0\u05d1\u05b8" }, /* RFC 5893 2.3: marks may stand behind the last letter */
        { "ابجد١", "ابجد١" }, /* A.8 */
        { "ابجد١۱", NULL },
        { "אבג1", "אבג1" }, /* RFC 5893 2 */
        { "1אבג", NULL },
        { "abcאבג", NULL },
        { "\"Alice\"@example.com", "alice@example.com" },
        { "ünal@example.com", "ünal@example.com" },
        { "ÜNAL@example.com", "ünal@example.com" },
    };
    (void)state;
    for (size_t at = 0; at < sizeof pairs / sizeof pairs[0]; at++)
        check_name(&pairs[at]);
}

static void test_passwords(void **state)
{
    static const struct pair pairs[] = {
        /* RFC 8265 4.3, tables 3 and 4 */
        { "correct horse battery staple", "correct horse battery staple" },
        { "Correct Horse Battery Staple", "Correct Horse Battery Staple" },
        { "πßå", "πßå" },
        { "Jack of ♦s", "Jack of ♦s" },
        { "foo\u1680bar", "foo bar" },
        { "", NULL },
        { "my cat is a \tby", NULL },
        /* others */
        { " spaces at both ends ", " spaces at both ends " },
        { "ｐａｓｓ\u3000ｗｏｒｄ", "ｐａｓｓ ｗｏｒｄ" }, /* width stays: rule 1 */
        { "パスワード", "パスワード" },
        { "cafe\u0301", "café" },
        { "😀 secret", "😀 secret" },
        { "a\u00adb", NULL },
        { "a\u0378", NULL }, /* unassigned */
        { "a\ue000", NULL }, /* private */
        { "\xc3", NULL },
    };
    (void)state;
    for (size_t at = 0; at < sizeof pairs / sizeof pairs[0]; at++)
        check_secret(precis_password, &pairs[at]);
}

static void test_saslprep(void **state)
{
    static const struct pair pairs[] = {
        /* RFC 4013 3 */
        { "I\u00adX", "IX" },
        { "user", "user" },
        { "USER", "USER" },
        { "\u00aa", "a" },
        { "\u2168", "IX" },
        { "\x07", NULL },
        { "\u06271", NULL },
        /* others */
        { "", NULL },
        { "\u00ad", NULL },
        { "a\u00a0b\u3000c", "a b c" },
        { "a\u200bb", "a b" },
        { "ｐａｓｓ", "pass" },
        { "\u06271\u0628", "\u06271\u0628" },
        { "\u0627a\u0628", NULL },
        { "pencil", "pencil" },
        { "a\ufffdb", NULL },
        { "a\ue000b", NULL },
        { "a\ufdd0b", NULL },
        { "a\U0001fffeb", NULL },
        { "a\u2028b", NULL },
        { "a\U000e0041b", NULL },
        { "a\x7f", NULL },
        { "😀", "😀" },
        { "\x80", NULL },
    };
    (void)state;
    for (size_t at = 0; at < sizeof pairs / sizeof pairs[0]; at++)
        check_secret(precis_saslprep, &pairs[at]);
}

/* Octets of `unit`, as often as they fit into a secret. */
static struct slice many(const char *unit, char room[LIMIT_SECRET + 8])
{
    size_t len = 0, step = strlen(unit);
    for (; len + step <= LIMIT_SECRET; len += step)
        memcpy(room + len, unit, step);
    return (struct slice){ room, len };
}

/* What grows most in each form: bounded, and no more than bounded. */
static void test_C088_growth_is_bounded(void **state)
{
    static const char *const units[] = { "\ufdfa", "\U0001d160", "\u0390", "\u1fb7", "İ", "x", "\u0344", "한", "㌀",
        "\U0001f600", "Σ", "\ufb2c" };
    char room[LIMIT_SECRET + 8];
    struct secret got;
    struct arena arena = ARENA(65536);
    struct slice name;
    (void)state;
    for (size_t at = 0; at < sizeof units / sizeof units[0]; at++) {
        struct slice text = many(units[at], room);
        const enum status statuses[] = { precis_saslprep(text, &got), precis_password(text, &got),
            precis_name(text, &arena, &name) };
        for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
            assert_true(statuses[i] == STATUS_OK || statuses[i] == STATUS_TOO_BIG || statuses[i] == STATUS_MALFORMED);
        arena_reset(&arena);
    }
    assert_int_equal(precis_saslprep(many("\ufdfa", room), &got), STATUS_TOO_BIG);
    assert_int_equal(precis_saslprep(S("\ufdfa"), &got), STATUS_TOO_BIG); /* 33 octets from 3 */
    assert_int_equal(precis_saslprep(S("㌀"), &got), STATUS_OK);          /* 12 from 3 */
    assert_int_equal(precis_password(many("x", room), &got), STATUS_OK);
    assert_int_equal(got.len, LIMIT_SECRET);
    memset(room, 'x', sizeof room);
    assert_int_equal(precis_password((struct slice){ room, LIMIT_SECRET + 1 }, &got), STATUS_TOO_BIG);
    assert_int_equal(precis_name((struct slice){ room, LIMIT_SECRET + 1 }, &arena, &name), STATUS_TOO_BIG);
    arena_done(&arena);
}

/* Every code point, alone and behind a letter: nothing but the three outcomes, and never a second change. */
static void test_every_code_point(void **state)
{
    struct secret got, again;
    struct arena arena = ARENA(4096);
    struct slice name, same;
    (void)state;
    for (uint32_t point = 0x80; point < 0x30000; point++) {
        if (point >= 0xd800 && point < 0xe000)
            continue;
        char text[8];
        size_t len = 0;
        text[len++] = 'a';
        if (point < 0x800) {
            text[len++] = (char)(0xc0 | point >> 6);
        } else if (point < 0x10000) {
            text[len++] = (char)(0xe0 | point >> 12);
            text[len++] = (char)(0x80 | (point >> 6 & 0x3f));
        } else {
            text[len++] = (char)(0xf0 | point >> 18);
            text[len++] = (char)(0x80 | (point >> 12 & 0x3f));
            text[len++] = (char)(0x80 | (point >> 6 & 0x3f));
        }
        text[len++] = (char)(0x80 | (point & 0x3f));
        struct slice typed = { text, len };
        if (precis_saslprep(typed, &got) == STATUS_OK) {
            enum status status = precis_saslprep(secret_slice(&got), &again);
            if (status != STATUS_OK || !slice_equal(secret_slice(&got), secret_slice(&again)))
                fail_msg("U+%04X is not stable in SASLprep: %s", point, status_name(status));
        }
        if (precis_name(typed, &arena, &name) == STATUS_OK) {
            enum status status = precis_name(name, &arena, &same);
            if (status != STATUS_OK || !slice_equal(name, same))
                fail_msg("U+%04X is not stable in a name: %s", point, status_name(status));
        }
        arena_reset(&arena);
        if (precis_password(typed, &got) == STATUS_OK) {
            enum status status = precis_password(secret_slice(&got), &again);
            if (status != STATUS_OK || !slice_equal(secret_slice(&got), secret_slice(&again)))
                fail_msg("U+%04X is not stable in a password: %s", point, status_name(status));
        }
    }
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_width_names),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_passwords),
        cmocka_unit_test(test_saslprep),
        cmocka_unit_test(test_C088_growth_is_bounded),
        cmocka_unit_test(test_every_code_point),
    };
    return cmocka_run_group_tests_name("precis", tests, NULL, NULL);
}
