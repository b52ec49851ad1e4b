#include "proto/policy/report.h"

#include "base/testing.h"

#define KEY   S("0123456789abcdef0123456789abcdef")
#define OTHER S("0123456789abcdef0123456789abcdeg")
#define NONCE S("fedcba9876543210")

struct bench {
    struct reporter reporter;
    struct report report;
    struct buf line;
};

static void open_bench(struct bench *b)
{
    *b = (struct bench){ .line = BUF(65536) };
    reporter_init(&b->reporter, KEY, NONCE);
}

static void close_bench(struct bench *b)
{
    reporter_done(&b->reporter);
    buf_done(&b->line);
}

static struct report make(uint64_t sequence, struct slice name)
{
    struct report report = { .kind = REPORT_LOGIN, .sequence = sequence, .name = name };
    assert_ok(ip_parse(S("192.0.2.7"), &report.peer));
    return report;
}

/* Feeds it in pieces; the last event. */
static enum report_event feed(struct bench *b, struct slice octets, size_t piece)
{
    enum report_event event = REPORT_MORE;
    while (octets.len > 0 && event == REPORT_MORE) {
        struct slice wire = slice_upto(octets, piece);
        char *copy = exactly(wire);
        wire.ptr = copy;
        octets = slice_from(octets, wire.len);
        event = reporter_feed(&b->reporter, &wire, &b->report);
        assert_true(event != REPORT_MORE || wire.len == 0);
        free(copy);
    }
    return event;
}

static enum report_event tell(struct bench *b, const struct report *report, struct slice key, size_t piece)
{
    buf_clear(&b->line);
    assert_ok(report_put(&b->line, key, slice_of(b->reporter.nonce), report));
    return feed(b, buf_slice(&b->line), piece);
}

/* Computed with another program: openssl dgst -sha256 -hmac. */
static void test_vector(void **state)
{
    struct bench b;
    struct report report = make(1, S("alice@acc.test"));
    (void)state;
    open_bench(&b);
    assert_string_equal(b.reporter.nonce, "66656463626139383736353433323130");
    assert_ok(report_put(&b.line, KEY, slice_of(b.reporter.nonce), &report));
    assert_buf(b.line, "LOGIN 1 pop3 192.0.2.7 - alice@acc.test "
                       "85696d818c21313e091ea6e634bbd4bf7e2623dc39dd0892251ed5d107994c1f\n");
    close_bench(&b);
}

static void test_both_ends(void **state)
{
    static const char name[] = "J\xc3\xbcrgen %x@acc.test";
    (void)state;
    for (size_t piece = 1; piece < 200; piece++) {
        struct bench b;
        struct report report = make(7, slice_of(name));
        open_bench(&b);
        report.kind = REPORT_FAIL;
        report.imap = report.has_local = true;
        assert_ok(ip_parse(S("2001:db8::1"), &report.local));
        assert_int_equal(tell(&b, &report, KEY, piece), REPORT_TOLD);
        assert_true(b.report.kind == REPORT_FAIL && b.report.imap && b.report.has_local && b.report.sequence == 7);
        assert_true(ip_equal(b.report.peer, report.peer) && ip_equal(b.report.local, report.local));
        assert_octets(b.report.name, slice_of(name));
        close_bench(&b);
    }
}

static void test_C102_replay(void **state)
{
    struct bench b;
    struct report report = make(5, S("a"));
    (void)state;
    open_bench(&b);
    assert_int_equal(tell(&b, &report, KEY, 999), REPORT_TOLD);
    report.sequence = 6;
    assert_int_equal(tell(&b, &report, KEY, 999), REPORT_TOLD);
    assert_int_equal(tell(&b, &report, KEY, 999), REPORT_BAD);
    assert_string_equal(b.reporter.why, "replayed");
    report.sequence = 7; /* it is over */
    assert_int_equal(tell(&b, &report, KEY, 999), REPORT_BAD);
    close_bench(&b);
    open_bench(&b);
    report.sequence = 0;
    assert_int_equal(tell(&b, &report, KEY, 999), REPORT_BAD);
    assert_string_equal(b.reporter.why, "replayed");
    close_bench(&b);
}

static void test_C102_every_octet_counts(void **state)
{
    struct report report = make(5, S("alice"));
    struct bench b;
    size_t len;
    (void)state;
    open_bench(&b);
    assert_int_equal(tell(&b, &report, KEY, 999), REPORT_TOLD);
    len = b.line.len;
    close_bench(&b);
    for (size_t at = 0; at + 1 < len; at++) {
        open_bench(&b);
        assert_ok(report_put(&b.line, KEY, slice_of(b.reporter.nonce), &report));
        b.line.ptr[at] ^= 1;
        assert_int_equal(feed(&b, buf_slice(&b.line), 999), REPORT_BAD);
        close_bench(&b);
    }
}

static void test_C102_other_key_and_nonce(void **state)
{
    struct bench b;
    struct report report = make(1, S("alice"));
    (void)state;
    open_bench(&b);
    assert_int_equal(tell(&b, &report, OTHER, 999), REPORT_BAD);
    assert_string_equal(b.reporter.why, "not-authentic");
    close_bench(&b);
    open_bench(&b);
    assert_ok(report_put(&b.line, KEY, S("66656463626139383736353433323131"), &report));
    assert_int_equal(feed(&b, buf_slice(&b.line), 999), REPORT_BAD);
    assert_string_equal(b.reporter.why, "not-authentic");
    close_bench(&b);
}

static void test_C100_names(void **state)
{
    static const struct slice bad[] = { { "", 0 }, { "a\nb", 3 }, { "a\0b", 3 }, { "\xff", 1 }, { "a\x7f", 2 },
        { "\xed\xa0\x80", 3 } };
    static char longest[LIMIT_LOGIN_NAME];
    struct bench b;
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct report report = make(1, bad[i]);
        open_bench(&b);
        assert_int_equal(tell(&b, &report, KEY, 999), REPORT_BAD);
        assert_string_equal(b.reporter.why, "malformed");
        close_bench(&b);
    }
    /* The longest name, every octet of it escaped, fits into a line. */
    memset(longest, ' ', sizeof longest);
    struct report report = make(UINT64_MAX, (struct slice){ longest, sizeof longest });
    report.has_local = true;
    assert_ok(ip_parse(S("2001:db8:1111:2222:3333:4444:5555:6666"), &report.local));
    report.peer = report.local;
    open_bench(&b);
    assert_int_equal(tell(&b, &report, KEY, 9999), REPORT_TOLD);
    assert_int_equal(b.report.name.len, sizeof longest);
    close_bench(&b);
}

static void test_too_long(void **state)
{
    struct bench b;
    struct buf text = BUF(65536);
    (void)state;
    for (size_t i = 0; i <= LIMIT_REPORT_OCTETS; i++)
        assert_ok(buf_put_byte(&text, 'x'));
    open_bench(&b);
    assert_int_equal(feed(&b, buf_slice(&text), 100), REPORT_BAD);
    assert_string_equal(b.reporter.why, "too-long");
    close_bench(&b);
    buf_done(&text);
}

static void test_greeting(void **state)
{
    struct bench b;
    struct slice nonce;
    (void)state;
    open_bench(&b);
    assert_ok(report_greet(&b.line, &b.reporter));
    assert_ok(report_greeting(slice_upto(buf_slice(&b.line), b.line.len - 1), &nonce));
    assert_octets(nonce, slice_of(b.reporter.nonce));
    assert_status(report_greeting(S("EKIREI-REPORT 2 66656463626139383736353433323130"), &nonce), STATUS_MALFORMED);
    assert_status(report_greeting(S("EKIREI-REPORT 1 6665646362613938373635343332313"), &nonce), STATUS_MALFORMED);
    assert_status(report_greeting(S("EKIREI-REPORT 1 6665646362613938373635343332313x"), &nonce), STATUS_MALFORMED);
    assert_status(report_greeting(S("220 mail.acc.test ESMTP"), &nonce), STATUS_MALFORMED);
    assert_status(report_greeting(S(""), &nonce), STATUS_MALFORMED);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_vector), cmocka_unit_test(test_both_ends),
        cmocka_unit_test(test_C102_replay), cmocka_unit_test(test_C102_every_octet_counts),
        cmocka_unit_test(test_C102_other_key_and_nonce), cmocka_unit_test(test_C100_names),
        cmocka_unit_test(test_too_long), cmocka_unit_test(test_greeting) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
