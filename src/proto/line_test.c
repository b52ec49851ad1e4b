#include "proto/line.h"

#include "base/testing.h"

struct expected {
    const char *text;
    enum line_flaw flaw;
    bool by_lf;
};

/* The same lines, wherever the wire is cut. */
static void check(struct slice wire, bool lenient, const struct expected *expected, size_t count)
{
    for (size_t first = 0; first <= wire.len; first++) {
        struct line line;
        size_t found = 0, step = first == 0 ? 1 : first; /* the first round goes octet by octet */
        line_init(&line, 20);
        line.lenient = lenient;
        for (size_t at = 0; at < wire.len; at += step, step = first == 0 ? 1 : wire.len) {
            struct slice piece = slice_upto(slice_from(wire, at), step);
            char *copy = exactly(piece);
            struct slice rest = { copy, piece.len };
            while (line_take(&line, &rest)) {
                assert_true(found < count);
                assert_octets(line.text, slice_of(expected[found].text));
                assert_int_equal(line.flaw, expected[found].flaw);
                assert_int_equal(line.by_lf, expected[found].by_lf);
                found++;
            }
            assert_int_equal(rest.len, 0);
            free(copy);
        }
        assert_int_equal(found, count);
        line_done(&line);
    }
}

#define CHECK(wire, lenient, ...) \
    check(S(wire), lenient, (const struct expected[]){ __VA_ARGS__ }, sizeof((const struct expected[]){ __VA_ARGS__ }) / sizeof(struct expected))

static void C012_only_crlf_ends_a_line(void **state)
{
    (void)state;
    CHECK("NOOP\r\n\r\nQUIT\r\n", false, { "NOOP", LINE_FINE, false }, { "", LINE_FINE, false }, { "QUIT", LINE_FINE, false });
    CHECK("NOOP\nQUIT\r\nRSET\r\n", false, { "NOOP\nQUIT", LINE_BARE_LF, false }, { "RSET", LINE_FINE, false });
    CHECK("\nQUIT\r\n", false, { "\nQUIT", LINE_BARE_LF, false });
    CHECK("NOOP\rQUIT\r\n", false, { "NOOP\rQUIT", LINE_BARE_CR, false });
    CHECK("NOOP\r\r\n", false, { "NOOP\r", LINE_BARE_CR, false });
}

static void C014_long_lines_are_read_to_their_end(void **state)
{
    (void)state;
    CHECK("123456789012345678\r\n", false, { "123456789012345678", LINE_FINE, false });
    CHECK("1234567890123456789\r\nNOOP\r\n", false, { "", LINE_TOO_LONG, false }, { "NOOP", LINE_FINE, false });
    CHECK("1234567890\n1234567890\r\nNOOP\r\n", false, { "", LINE_TOO_LONG, false }, { "NOOP", LINE_FINE, false });
}

static void D57_a_bare_lf_ends_lines_of_devices(void **state)
{
    (void)state;
    CHECK("NOOP\nQUIT\r\n\n", true, { "NOOP", LINE_FINE, true }, { "QUIT", LINE_FINE, false }, { "", LINE_FINE, true });
    CHECK("NOOP\rQUIT\n", true, { "NOOP\rQUIT", LINE_BARE_CR, true });
    CHECK("1234567890123456789\n", true, { "1234567890123456789", LINE_FINE, true });
    CHECK("12345678901234567890\nNOOP\n", true, { "", LINE_TOO_LONG, true }, { "NOOP", LINE_FINE, true });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(C012_only_crlf_ends_a_line),
        cmocka_unit_test(C014_long_lines_are_read_to_their_end),
        cmocka_unit_test(D57_a_bare_lf_ends_lines_of_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
