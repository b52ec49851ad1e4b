#include "mail/coding.h"

#include "base/random.h"
#include "base/testing.h"

typedef enum status coder(struct buf *out, struct slice in);

static void check(coder *code, struct slice in, struct slice wanted)
{
    char *copy = exactly(in);
    in.ptr = copy;
    for (size_t spare = 0; spare <= wanted.len; spare++) { /* a maximum that is too small is told, and holds */
        struct buf b = BUF(3 + wanted.len - spare);
        assert_ok(buf_put(&b, S("...")));
        if (spare > 0) {
            assert_status(code(&b, in), STATUS_TOO_BIG);
            assert_buf(b, "...");
        } else {
            assert_ok(code(&b, in));
            assert_octets(slice_from(buf_slice(&b), 3), wanted);
        }
        buf_done(&b);
    }
    free(copy);
}

static void refuse(coder *code, struct slice in)
{
    char *copy = exactly(in);
    struct buf b = BUF(100);
    assert_ok(buf_put(&b, S("...")));
    assert_status(code(&b, (struct slice){ copy, in.len }), STATUS_MALFORMED);
    assert_buf(b, "...");
    buf_done(&b);
    free(copy);
}

static void base64_of_rfc_4648(void **state)
{
    (void)state;
    static const char *const rows[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } }; /* section 10 */
    for (size_t i = 0; i < COUNT(rows); i++) {
        check(base64_encode, slice_of(rows[i][0]), slice_of(rows[i][1]));
        check(base64_decode, slice_of(rows[i][1]), slice_of(rows[i][0]));
    }
    check(base64_encode, S("\xfb\xff\xfe\0"), S("+//+AA=="));
    check(base64_decode, S("+//+AA=="), S("\xfb\xff\xfe\0"));
}

static void C078_base64_is_strict(void **state)
{
    (void)state;
    static const char *const wrong[] = { "Z", "Zg", "Zg=", "Zm8", "Zm9vY", "Zm9vYmE", "====", "=", "A===", "=AAA",
        "Z=g=", "Zg==Zg==", "Zm8=Zm8=", "Zm9v\r\n", "Zm 9", " Zm9", "Zm9-", "Zm9_", "Zm9v====", "Zm9vYg==\n",
        "Zh==", "Zm9=", "Zm9\xff" };
    for (size_t i = 0; i < COUNT(wrong); i++)
        refuse(base64_decode, slice_of(wrong[i]));
    refuse(base64_decode, S("Zg\0="));
    /* Each octet in each place: digits are taken, and nothing else. */
    for (int octet = 0; octet < 256; octet++)
        for (size_t at = 0; at < 4; at++) {
            char text[4] = { 'A', 'A', 'A', 'A' };
            text[at] = (char)octet;
            struct buf b = BUF(3);
            bool digit = (octet >= '0' && octet <= '9') || (octet >= 'A' && octet <= 'Z') ||
                         (octet >= 'a' && octet <= 'z') || octet == '+' || octet == '/' || (octet == '=' && at == 3);
            assert_status(base64_decode(&b, (struct slice){ text, 4 }), digit ? STATUS_OK : STATUS_MALFORMED);
            buf_done(&b);
        }
}

static void hex(void **state)
{
    (void)state;
    check(hex_encode, S("\0\x7f\xff"), S("007fff"));
    check(hex_decode, S("007fFF"), S("\0\x7f\xff"));
    check(hex_decode, S(""), S(""));
    static const char *const wrong[] = { "0", "0g", "g0", "0x", " 0", "0 ", "000", ":0", "@0", "`0", "G0" };
    for (size_t i = 0; i < COUNT(wrong); i++)
        refuse(hex_decode, slice_of(wrong[i]));
}

static void xtext(void **state)
{
    (void)state;
    check(xtext_encode, S("a+b=c d"), S("a+2Bb+3Dc+20d"));
    check(xtext_decode, S("a+2Bb+3Dc+20d"), S("a+b=c d"));
    check(xtext_encode, S("\xe3\n~!"), S("+E3+0A~!"));
    check(xtext_decode, S("rfc822;Bob@big-bucks.com"), S("rfc822;Bob@big-bucks.com"));
}

static void C033_xtext_injects_nothing(void **state)
{
    (void)state;
    static const char *const wrong[] = { "+0D+0ABcc:+20x", "+00", "rfc822;+00", "+7F", "+80", "+FF", "+0a", "+2b", "+", "+2",
        "a+", "a+2", "+G0", "+0G", "a=b", "a b", "\x7f", "\xc3\xa9", "a\r\n", "++2B", "+1F", "LLLLLLLLLLLLLLLLLLLLLLLLLLLL++" };
    for (size_t i = 0; i < COUNT(wrong); i++)
        refuse(xtext_decode, slice_of(wrong[i]));
    refuse(xtext_decode, S("a\0b"));
}

static void round_trips(void **state)
{
    (void)state;
    static coder *const coders[][2] = { { base64_encode, base64_decode }, { hex_encode, hex_decode },
        { xtext_encode, xtext_decode } };
    struct random_stream random = { 1 };
    for (size_t round = 0; round < 3000; round++) {
        char text[40];
        size_t len = random_next(&random) % sizeof text;
        for (size_t i = 0; i < len; i++)
            text[i] = (char)(round % 3 == 2 ? ' ' + random_next(&random) % 95 : random_next(&random));
        struct buf coded = BUF(200), back = BUF(len);
        assert_ok(coders[round % 3][0](&coded, (struct slice){ text, len }));
        assert_ok(coders[round % 3][1](&back, buf_slice(&coded)));
        assert_octets(buf_slice(&back), (struct slice){ text, len });
        buf_done(&coded);
        buf_done(&back);
    }
}

static void C089_base64url_has_one_form(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct slice octets;
    } right[] = { { "", { "", 0 } }, { "AA", { "\0", 1 } }, { "AAE", { "\0\1", 2 } }, { "-_-_", { "\xfb\xff\xbf", 3 } },
        { "eyJhbGciOiJSUzI1NiJ9", { "{\"alg\":\"RS256\"}", 15 } } };
    for (size_t i = 0; i < COUNT(right); i++) {
        struct buf out = BUF(20);
        assert_ok(base64url_decode(&out, slice_of(right[i].text)));
        assert_octets(buf_slice(&out), right[i].octets);
        buf_done(&out);
    }
    static const char *const wrong[] = { "A", "AAAAA", "AB", "AAF", "AA==", "AA=", "+/+/", "A A", "AA\r\n", "AA\n", "AAA.", "=", "====", "A-=" };
    for (size_t i = 0; i < COUNT(wrong); i++)
        refuse(base64url_decode, slice_of(wrong[i]));
    struct buf small = BUF(2);
    assert_status(base64url_decode(&small, S("AAAA")), STATUS_TOO_BIG);
    buf_done(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_of_rfc_4648),
        cmocka_unit_test(C078_base64_is_strict),
        cmocka_unit_test(C089_base64url_has_one_form),
        cmocka_unit_test(hex),
        cmocka_unit_test(xtext),
        cmocka_unit_test(C033_xtext_injects_nothing),
        cmocka_unit_test(round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
