#include "mail/dot.h"

#include "base/limits.h"
#include "base/random.h"
#include "base/testing.h"

struct result {
    struct buf plain;
    struct dot_decode decode;
    size_t eaten;
};

static struct dot_decode fresh; /* as every decoding of a test begins */

/* Decodes `wire`, cut after `first` octets and from there on into pieces of `step`. */
static struct result decode_cut(struct slice wire, size_t first, size_t step)
{
    struct result r = { .plain = BUF(4 << 20), .decode = fresh };
    for (size_t len = first; !r.decode.ended && r.eaten < wire.len; len = step) {
        struct slice piece = slice_upto(slice_from(wire, r.eaten), len);
        char *copy = exactly(piece);
        struct buf part = BUF((fresh.repairs_lf ? 2 * piece.len : piece.len) + 4);
        size_t eaten = dot_decode(&r.decode, (struct slice){ copy, piece.len }, &part);
        assert_true(eaten == piece.len || r.decode.ended);
        assert_ok(buf_put(&r.plain, buf_slice(&part)));
        r.eaten += eaten;
        buf_done(&part);
        free(copy);
    }
    return r;
}

/* However the wire is cut, the result is the same. */
static void check_decode(struct slice wire, struct slice plain, bool ended, size_t eaten, enum dot_flaw flaw)
{
    for (size_t first = 0; first <= wire.len; first++) {
        /* The first round goes octet by octet. */
        struct result r = decode_cut(wire, first == 0 ? 1 : first, first == 0 ? 1 : wire.len);
        assert_octets(buf_slice(&r.plain), plain);
        assert_int_equal(r.decode.ended, ended);
        assert_int_equal(r.eaten, eaten);
        assert_int_equal(r.decode.flaw, flaw);
        buf_done(&r.plain);
    }
}

#define ENDS(wire, plain)             check_decode(S(wire), S(plain), true, sizeof(wire) - 1, DOT_FINE)
#define GOES_ON(wire, plain, flaw)    check_decode(S(wire), S(plain), false, sizeof(wire) - 1, (flaw))
#define NEXT                          "x\r\nMAIL FROM:<b@b.example>\r\n"

static void the_end_mark(void **state)
{
    (void)state;
    ENDS("a\r\n.\r\n", "a\r\n");
    ENDS("\r\n.\r\n", "\r\n");
    ENDS(".\r\n", ""); /* RFC 5321 4.1.1.4: the CRLF of the DATA line is the first of the mark */
    check_decode(S("a\r\n.\r\nQUIT\r\n"), S("a\r\n"), true, 6, DOT_FINE);
    check_decode(S(".\r\nQUIT\r\n"), S(""), true, 3, DOT_FINE);
    struct dot_decode decode = { .ended = true };
    struct buf out = BUF(10);
    assert_int_equal(dot_decode(&decode, S("x"), &out), 0);
    assert_int_equal(out.len, 0);
}

static void C001_lf_dot_lf_is_no_end(void **state)
{
    (void)state;
    GOES_ON("a\n.\n" NEXT, "a\n.\n" NEXT, DOT_BARE_LF);
}

static void C002_lf_dot_crlf_is_no_end(void **state)
{
    (void)state;
    GOES_ON("a\n.\r\n" NEXT, "a\n.\r\n" NEXT, DOT_BARE_LF);
    GOES_ON("\n.\r\n" NEXT, "\n.\r\n" NEXT, DOT_BARE_LF);
}

static void C003_crlf_dot_lf_is_no_end(void **state)
{
    (void)state;
    GOES_ON("a\r\n.\n" NEXT, "a\r\n\n" NEXT, DOT_BARE_LF);
    GOES_ON(".\n" NEXT, "\n" NEXT, DOT_BARE_LF);
}

static void C004_cr_dot_cr_is_no_end(void **state)
{
    (void)state;
    GOES_ON("a\r.\r" NEXT, "a\r.\r" NEXT, DOT_BARE_CR);
    GOES_ON("a\r\n.\r" NEXT, "a\r\n\r" NEXT, DOT_BARE_CR);
    GOES_ON("a\r.\r\n" NEXT, "a\r.\r\n" NEXT, DOT_BARE_CR);
    GOES_ON("a\r\n.\r.\r\n" NEXT, "a\r\n\r.\r\n" NEXT, DOT_BARE_CR);
}

static void C005_crlf_dot_cr_crlf_is_no_end(void **state)
{
    (void)state;
    GOES_ON("a\r\n.\r\r\n" NEXT, "a\r\n\r\r\n" NEXT, DOT_BARE_CR);
    GOES_ON("a\r\r\n.\n" NEXT, "a\r\r\n\n" NEXT, DOT_BARE_CR);
}

static void C006_nul_and_padding_are_no_end(void **state)
{
    (void)state;
    GOES_ON("a\r\n\0.\r\n" NEXT, "a\r\n\0.\r\n" NEXT, DOT_NUL);
    GOES_ON("a\r\n.\0\r\n" NEXT, "a\r\n\0\r\n" NEXT, DOT_NUL);
    GOES_ON("a\r\n.\r\0\n" NEXT, "a\r\n\r\0\n" NEXT, DOT_BARE_CR);
    GOES_ON("a\r\n.\x0b\r\n" NEXT, "a\r\n\x0b\r\n" NEXT, DOT_FINE);
    GOES_ON("a\r\n .\r\n" NEXT, "a\r\n .\r\n" NEXT, DOT_FINE);
    GOES_ON("a\r\n. \r\n" NEXT, "a\r\n \r\n" NEXT, DOT_FINE);
}

static void after_a_flaw_the_true_end_is_found(void **state)
{
    (void)state;
    check_decode(S("a\n.\nb\r\n.\r\nQUIT"), S("a\n.\nb\r\n"), true, 10, DOT_BARE_LF);
    check_decode(S("\r.\r\r\n.\r\n"), S("\r.\r\r\n"), true, 8, DOT_BARE_CR);
    check_decode(S("\0\n\r\r\n.\r\n"), S("\0\n\r\r\n"), true, 8, DOT_NUL);
}

static void C011_one_leading_dot_is_taken(void **state)
{
    (void)state;
    ENDS("..\r\n.\r\n", ".\r\n");
    ENDS("...\r\n..a\r\n.b\r\n.\t\r\na.b\r\n.\r\n", "..\r\n.a\r\nb\r\n\t\r\na.b\r\n");
    GOES_ON("\n..X\n", "\n..X\n", DOT_BARE_LF);
}

static void C011_dots_at_buffer_edge(void **state)
{
    (void)state;
    static const struct slice ends[] = { S("\r\n.\r\n"), S("\r\n..\r\n.\r\n"), S("\r\n.x\r\n.\r\n") };
    for (size_t i = 0; i < COUNT(ends); i++)
        for (size_t pad = 4080; pad <= 4100; pad++) {
            struct buf wire = BUF(8192), plain = BUF(8192);
            for (size_t n = 0; n < pad; n++)
                assert_ok(buf_put_byte(&wire, 'a'));
            assert_ok(buf_put(&plain, buf_slice(&wire)));
            assert_ok(buf_put(&wire, ends[i]));
            assert_ok(buf_put(&plain, i == 0 ? S("\r\n") : i == 1 ? S("\r\n.\r\n") : S("\r\nx\r\n")));
            for (size_t step = 4095; step <= 4097; step++) {
                struct result r = decode_cut(buf_slice(&wire), step, step);
                assert_octets(buf_slice(&r.plain), buf_slice(&plain));
                assert_true(r.decode.ended && r.decode.flaw == DOT_FINE);
                buf_done(&r.plain);
            }
            buf_done(&wire);
            buf_done(&plain);
        }
}

static void C014_long_lines_are_noted(void **state)
{
    (void)state;
    struct buf wire = BUF(3 << 20);
    char *room;
    assert_ok(buf_reserve(&wire, LIMIT_BODY_LINE + 10, &room));
    memset(room, 'a', LIMIT_BODY_LINE + 1);
    memcpy(room + LIMIT_BODY_LINE - 2, "\r\n.\r\n", 5);
    buf_grown(&wire, LIMIT_BODY_LINE + 3);
    struct result r = decode_cut(buf_slice(&wire), 1000, 70000);
    assert_true(r.decode.ended && r.decode.flaw == DOT_FINE);
    buf_done(&r.plain);
    memcpy(room + LIMIT_BODY_LINE - 2, "aaa\r\n.\r\n", 8);
    buf_grown(&wire, 3);
    r = decode_cut(buf_slice(&wire), 1000, 70000);
    assert_true(r.decode.ended && r.decode.flaw == DOT_LONG_LINE);
    buf_done(&r.plain);
    buf_done(&wire);
}

/* Encodes `plain`, cut after `first` octets and from there on into pieces of `step`. */
static void encode_cut(struct slice plain, size_t first, size_t step, struct slice wire)
{
    struct dot_encode encode = { 0 };
    struct dot_strays strays = { 0 };
    struct dot_decode decode = { 0 };
    struct buf out = BUF(1000), back = BUF(1000);
    struct slice rest = plain;
    for (size_t len = first; rest.len > 0; len = step) {
        struct slice piece = slice_upto(rest, len);
        char *copy = exactly(piece);
        assert_ok(dot_encode(&encode, (struct slice){ copy, piece.len }, &out));
        dot_strays_feed(&strays, (struct slice){ copy, piece.len });
        free(copy);
        rest = slice_from(rest, len);
    }
    assert_ok(dot_encode_end(&encode, &out));
    assert_octets(buf_slice(&out), wire);
    /* What LIST tells is the length of what a reader has when he took the dots away (C151). */
    assert_int_equal(dot_decode(&decode, buf_slice(&out), &back), out.len);
    assert_true(decode.ended && decode.flaw == DOT_FINE);
    assert_int_equal(back.len, plain.len + dot_strays_end(&strays));
    buf_done(&out);
    buf_done(&back);
}

static void check_encode(struct slice plain, struct slice wire)
{
    encode_cut(plain, 1, 1, wire);
    for (size_t first = 0; first <= plain.len; first++)
        encode_cut(plain, first, plain.len + 1, wire);
}

static void encoding(void **state)
{
    (void)state;
    check_encode(S(""), S(".\r\n"));
    check_encode(S("a"), S("a\r\n.\r\n"));
    check_encode(S("a\r\n"), S("a\r\n.\r\n"));
    check_encode(S("\r\n"), S("\r\n.\r\n"));
    check_encode(S(".\r\n..\r\na.\r\n"), S("..\r\n...\r\na.\r\n.\r\n"));
    check_encode(S("a\r\n.b"), S("a\r\n..b\r\n.\r\n"));
}

static void C007_strays_become_crlf(void **state)
{
    (void)state;
    check_encode(S("a\rb"), S("a\r\nb\r\n.\r\n"));
    check_encode(S("a\nb"), S("a\r\nb\r\n.\r\n"));
    check_encode(S("a\r"), S("a\r\n.\r\n"));
    check_encode(S("a\n"), S("a\r\n.\r\n"));
    check_encode(S("a\r\r\nb"), S("a\r\n\r\nb\r\n.\r\n"));
    check_encode(S("a\n\r\nb"), S("a\r\n\r\nb\r\n.\r\n"));
    check_encode(S("a\n\rb"), S("a\r\n\r\nb\r\n.\r\n"));
    check_encode(S("a\n.\nb\r.\r\n.\r\n"), S("a\r\n..\r\nb\r\n..\r\n..\r\n.\r\n"));
    check_encode(S("a\0b\r\n\0"), S("a\x80"
                                    "b\r\n\x80\r\n.\r\n"));
    check_encode(S("\0.\r\n"), S("\x80.\r\n.\r\n"));
    check_encode(S("\r\r\r\n\n"), S("\r\n\r\n\r\n\r\n.\r\n"));
}

static void C008_every_split_of_an_end_mark_is_stuffed(void **state)
{
    (void)state;
    check_encode(S("a\r\n.\r\nMAIL FROM:<x@x.example>\r\n"), S("a\r\n..\r\nMAIL FROM:<x@x.example>\r\n.\r\n"));
    check_encode(S("\r\n.\r\n.\r\n"), S("\r\n..\r\n..\r\n.\r\n"));
}

static void a_full_buffer_takes_nothing(void **state)
{
    (void)state;
    static const struct slice plain = S("x\r.\n.\r\n.a\0b");
    struct buf whole = BUF(100);
    struct dot_encode encode = { 0 };
    assert_ok(dot_encode(&encode, plain, &whole));
    for (size_t max = 0; max < whole.len; max++) {
        struct buf out = BUF(max);
        encode = (struct dot_encode){ 0 };
        assert_status(dot_encode(&encode, plain, &out), STATUS_TOO_BIG);
        assert_int_equal(out.len, 0);
        assert_int_equal(encode.state, 0);
        out.max = whole.len;
        assert_ok(dot_encode(&encode, plain, &out));
        assert_octets(buf_slice(&out), buf_slice(&whole));
        buf_done(&out);
    }
    struct buf out = BUF(4);
    assert_status(dot_encode_end(&encode, &out), STATUS_TOO_BIG);
    assert_int_equal(out.len, 0);
    buf_done(&whole);
}

/* The simplest reading of the rules, to compare with. */
static void slow_encode(struct slice plain, struct buf *wire)
{
    bool start = true;
    for (size_t i = 0; i < plain.len; i++) {
        char octet = plain.ptr[i];
        if (octet == '\n' && i > 0 && plain.ptr[i - 1] == '\r')
            continue;
        if (start && octet == '.')
            assert_ok(buf_put_byte(wire, '.'));
        start = octet == '\r' || octet == '\n';
        assert_ok(start ? buf_put(wire, S("\r\n")) : buf_put_byte(wire, octet == '\0' ? (char)0x80 : octet));
    }
    assert_ok(buf_put(wire, start ? S(".\r\n") : S("\r\n.\r\n")));
}

static void C011_round_trips_of_random_octets(void **state)
{
    (void)state;
    struct random_stream random = { 11 };
    static const char letters[] = { '\r', '\n', '.', 'a', '\0' };
    for (int round = 0; round < 3000; round++) {
        char text[24];
        size_t len = random_next(&random) % sizeof text;
        for (size_t i = 0; i < len; i++)
            text[i] = letters[random_next(&random) % sizeof letters];
        struct buf wire = BUF(1000);
        slow_encode((struct slice){ text, len }, &wire);
        check_encode((struct slice){ text, len }, buf_slice(&wire));
        buf_done(&wire);
    }
}

static void C151_the_size_of_every_kind_of_end(void **state)
{
    (void)state;
    static const struct row {
        struct slice plain;
        uint64_t growth;
    } rows[] = { { S(""), 0 }, { S("a"), 2 }, { S("a\r\n"), 0 }, { S("a\n"), 1 }, { S("a\r"), 1 },
        { S("a\r\nb\r\n"), 0 }, { S("\n\n\n"), 3 }, { S("\r\r\n"), 1 }, { S(".\r\n.."), 2 } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct dot_strays strays = { 0 };
        for (size_t at = 0; at < rows[i].plain.len; at++)
            dot_strays_feed(&strays, slice_upto(slice_from(rows[i].plain, at), 1));
        assert_int_equal(dot_strays_end(&strays), rows[i].growth);
        assert_int_equal(dot_strays_end(&strays), rows[i].growth);
    }
}

/* ---- devices that know no better: D57 ------------------------------------------------------------------------------ */

static int begin_device(void **state)
{
    (void)state;
    fresh = (struct dot_decode){ .repairs_lf = true };
    return 0;
}

static int begin_lf_device(void **state)
{
    (void)state;
    fresh = (struct dot_decode){ .repairs_lf = true, .ends_by_lf = true };
    return 0;
}

static int end_device(void **state)
{
    (void)state;
    fresh = (struct dot_decode){ 0 };
    return 0;
}

/* Of a device that says DATA CRLF: lines are repaired, and there is one end mark. */
static void D57_bare_lf_is_repaired_and_ends_nothing(void **state)
{
    (void)state;
    ENDS("a\nb\n\nc\r\n.\r\n", "a\r\nb\r\n\r\nc\r\n");
    ENDS("..a\n..\n.b\r\n.\r\n", ".a\r\n.\r\nb\r\n");
    GOES_ON("a\n.\n" NEXT, "a\r\n.\r\n" NEXT, DOT_FINE);         /* C001 */
    GOES_ON("a\n.\r\n" NEXT, "a\r\n.\r\n" NEXT, DOT_FINE);       /* C002 */
    GOES_ON("\n.\r\n" NEXT, "\r\n.\r\n" NEXT, DOT_FINE);
    GOES_ON("a\r\n.\n" NEXT, "a\r\n.\r\n" NEXT, DOT_FINE);       /* C003 */
    GOES_ON(".\n" NEXT, ".\r\n" NEXT, DOT_FINE);
    GOES_ON("a\r.\r" NEXT, "a\r.\r" NEXT, DOT_BARE_CR);          /* C004 */
    GOES_ON("a\r\n.\r" NEXT, "a\r\n\r" NEXT, DOT_BARE_CR);
    GOES_ON("a\n.\r" NEXT, "a\r\n\r" NEXT, DOT_BARE_CR);
    GOES_ON("a\r\n.\r\r\n" NEXT, "a\r\n\r\r\n" NEXT, DOT_BARE_CR); /* C005 */
    GOES_ON("a\n\0.\n" NEXT, "a\r\n\0.\r\n" NEXT, DOT_NUL);     /* C006 */
}

/* Of a device that says DATA LF: LF . LF is the end until the first CRLF. */
static void D57_who_speaks_lf_alone_ends_by_it(void **state)
{
    (void)state;
    ENDS("a\nb\n.\n", "a\r\nb\r\n");
    ENDS(".\n", "");
    ENDS("..a\n..\n.\n", ".a\r\n.\r\n");
    ENDS("a\r\n.\r\n", "a\r\n");
    ENDS("a\nb\r\n.\r\n", "a\r\nb\r\n");
    check_decode(S("a\n.\nQUIT\n"), S("a\r\n"), true, 4, DOT_FINE);
    GOES_ON("a\n.\r\n" NEXT, "a\r\n.\r\n" NEXT, DOT_FINE);                   /* C002 */
    GOES_ON("a\n.\r\nb\n.\n" NEXT, "a\r\n.\r\nb\r\n.\r\n" NEXT, DOT_FINE); /* and then it is too late */
    GOES_ON("a\r\nb\n.\n" NEXT, "a\r\nb\r\n.\r\n" NEXT, DOT_FINE);         /* C001 */
    GOES_ON("a\r\n.\n" NEXT, "a\r\n.\r\n" NEXT, DOT_FINE);                   /* C003 */
    GOES_ON("a\n.\r" NEXT, "a\r\n\r" NEXT, DOT_BARE_CR);                      /* C004 */
}

/* Every octet an LF: the most that output can grow. */
static void D57_nothing_but_lf(void **state)
{
    (void)state;
    char wire[70], plain[140];
    for (size_t i = 0; i < sizeof wire; i++) {
        wire[i] = '\n';
        plain[2 * i] = '\r';
        plain[2 * i + 1] = '\n';
    }
    check_decode((struct slice){ wire, sizeof wire }, (struct slice){ plain, sizeof plain }, false, sizeof wire, DOT_FINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_mark),
        cmocka_unit_test(C001_lf_dot_lf_is_no_end),
        cmocka_unit_test(C002_lf_dot_crlf_is_no_end),
        cmocka_unit_test(C003_crlf_dot_lf_is_no_end),
        cmocka_unit_test(C004_cr_dot_cr_is_no_end),
        cmocka_unit_test(C005_crlf_dot_cr_crlf_is_no_end),
        cmocka_unit_test(C006_nul_and_padding_are_no_end),
        cmocka_unit_test(after_a_flaw_the_true_end_is_found),
        cmocka_unit_test(C011_one_leading_dot_is_taken),
        cmocka_unit_test(C011_dots_at_buffer_edge),
        cmocka_unit_test(C014_long_lines_are_noted),
        cmocka_unit_test(encoding),
        cmocka_unit_test(C007_strays_become_crlf),
        cmocka_unit_test(C008_every_split_of_an_end_mark_is_stuffed),
        cmocka_unit_test(a_full_buffer_takes_nothing),
        cmocka_unit_test(C011_round_trips_of_random_octets),
        cmocka_unit_test(C151_the_size_of_every_kind_of_end),
        cmocka_unit_test_setup_teardown(D57_bare_lf_is_repaired_and_ends_nothing, begin_device, end_device),
        cmocka_unit_test_setup_teardown(D57_who_speaks_lf_alone_ends_by_it, begin_lf_device, end_device),
        cmocka_unit_test_setup_teardown(D57_nothing_but_lf, begin_lf_device, end_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
