#include "mail/header.h"

#include <stdio.h>
#include <time.h>

#include "base/limits.h"
#include "base/testing.h"

/* Addresses that a list gives, each followed by '|'. */
static enum status gather(void *context, struct slice address)
{
    TRY(buf_put(context, address));
    return buf_put_byte(context, '|');
}

static enum status addresses_of(struct slice value, struct buf *out)
{
    struct arena a = ARENA(4 << 20);
    char *copy = exactly(value);
    enum status status = header_addresses((struct slice){ copy, value.len }, &a, gather, out);
    free(copy);
    arena_done(&a);
    return status;
}

static void lists(const char *const rows[][2], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct buf b = BUF(1000);
        assert_ok(addresses_of(slice_of(rows[i][0]), &b));
        assert_octets(buf_slice(&b), slice_of(rows[i][1]));
        buf_done(&b);
    }
}

static void address_lists_of_rfc_5322(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        { "John Doe <jdoe@machine.example>", "jdoe@machine.example|" }, /* A.1.1 */
        { "\"Joe Q. Public\" <john.q.public@example.com>", "john.q.public@example.com|" },
        { "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>", "mary@x.test|jdoe@example.org|one@y.test|" },
        { "<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>",
            "boss@nil.test|sysservices@example.net|" },
        { "A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
            "c@a.test|joe@where.test|jdoe@one.test|" }, /* A.1.3 */
        { "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "pete@silly.test|" }, /* A.5 */
        { "A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n joe@example.org,\r\n  John "
          "<jdoe@one.test> (my dear friend); (the end of the group)",
            "c@public.example|joe@example.org|jdoe@one.test|" },
        { "Joe Q. Public <john.q.public@example.com>", "john.q.public@example.com|" }, /* A.6.1 */
        { "Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example", "mary@example.net|jdoe@test.example|" },
        { "<@a.test , @b.test:c@d.test>", "c@d.test|" },
        { "a <b@c>, d@e (x)", "b@c|d@e|" },
        { "\"a b\"@c.test", "\"a b\"@c.test|" },
        { "a . b @ c . d", "a.b@c.d|" },
        { "u@[192.0.2.1], v <u@[IPv6:::1]>", "u@[192.0.2.1]|u@[IPv6:::1]|" },
        { "[list] name <a@b>", "a@b|" },
        { "\"ceo@corp.example\" <me@x>", "me@x|" },
        { "(ceo@corp.example) me@x", "me@x|" },
        { "\xe3\x81\x88\xe3\x81\x8d <a@b>", "a@b|" },
        { "a@b,", "a@b|" },
        { ",,a@b,,", "a@b|" },
        { "((((a))((b)(c)))) a@b", "a@b|" },
    };
    lists(rows, COUNT(rows));
}

static void C029_empty_lists_and_groups(void **state)
{
    (void)state;
    static const char *const rows[][2] = { { "", "" }, { " \r\n ", "" }, { "group:;", "" }, { "undisclosed-recipients: ;", "" },
        { "(nobody)", "" }, { "a:;, b:;", "" }, { "g: ,, ;", "" }, { "g:;, a@b", "a@b|" } };
    lists(rows, COUNT(rows));
    struct buf b = BUF(1);
    struct arena a = ARENA(100);
    assert_ok(header_addresses(NO_SLICE, &a, gather, &b));
    arena_done(&a);
}

static void C146_what_does_not_end_is_malformed(void **state)
{
    (void)state;
    static const char *const wrong[] = { "(abc\\", "(abc", "a@b (\\", "\"abc", "\"abc\\", "\"", "(", "\\", "a@b \\", "<a@b",
        "a <", "a@", "a@b (x", "a@[1.2.3.4", "g: a@b", "g: h: a@b;;", "a@b;", "a@b c@d", "a b@c", "a@b <c@d>", "a", "a b",
        "<>", "a <>", "<a>", "@b", "<@b>", "<@b:>", "<@b:c>", "<a@b> <c@d>", "<a@b> x", "a..b@", "a@b@c", "<a@b@c>", ":a@b",
        "a@b.", "a.@b", "a@.b", "\"a\"b@c", ")", "a@b)", "a\x01@b", "a\x7f@b", "<a@\"b\">", "<@a,b:c@d>", "a@b\x1b" };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct buf b = BUF(1000);
        assert_status(addresses_of(slice_of(wrong[i]), &b), STATUS_MALFORMED);
        buf_done(&b);
    }
    struct buf b = BUF(1000);
    char deep[200];
    memset(deep, '(', 100);
    memset(deep + 100, ')', 100);
    assert_status(addresses_of((struct slice){ deep, 200 }, &b), STATUS_MALFORMED);
    buf_done(&b);
}

static void C166_encoded_words_are_never_decoded(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        { "=?utf-8?q?a=40b?=c@host", "=?utf-8?q?a=40b?=c@host|" },
        { "=?utf-8?q?ceo=40corp.example?= <me@x>", "me@x|" },
        { "=?utf-8?q?=3Cceo=40corp.example=3E?= <me@x>", "me@x|" },
    };
    lists(rows, COUNT(rows));
}

static void a_refusing_reader_ends_the_list(void **state)
{
    (void)state;
    struct buf b = BUF(5);
    assert_status(addresses_of(S("a@b, c@d, e@f"), &b), STATUS_TOO_BIG);
    assert_buf(b, "a@b|");
    buf_done(&b);
    struct arena a = ARENA(3);
    assert_status(header_addresses(S("a@bc"), &a, gather, &b), STATUS_TOO_BIG);
    arena_done(&a);
}

static enum status count_them(void *context, struct slice address)
{
    (void)address;
    ++*(size_t *)context;
    return STATUS_OK;
}

static double seconds_for(struct slice value, size_t wanted)
{
    struct arena a = ARENA(64 << 20);
    size_t count = 0;
    clock_t start = clock();
    assert_ok(header_addresses(value, &a, count_them, &count));
    assert_int_equal(count, wanted);
    arena_done(&a);
    return (double)(clock() - start) / CLOCKS_PER_SEC;
}

static void C157_half_a_million_addresses_take_linear_time(void **state)
{
    (void)state;
    struct buf b = BUF(16 << 20);
    for (size_t i = 0; i < 500000; i++)
        assert_ok(buf_put(&b, S("(x) a <a@b.example>, ")));
    assert_true(seconds_for(buf_slice(&b), 500000) < 5.0); /* quadratic would be hours */
    buf_clear(&b);
    for (size_t i = 0; i < 2000000; i++)
        assert_ok(buf_put(&b, S(" \"a\"")));
    assert_ok(buf_put(&b, S("<a@b>")));
    assert_true(seconds_for(buf_slice(&b), 1) < 5.0);
    buf_done(&b);
}

/* What a scan says of a message, on one line. */
static void describe(const struct header_scan *scan, struct buf *out)
{
    static const char *const flaws[] = { "fine", "leading-space", "nul", "too-long", "two-from", "bad-authors" };
    assert_ok(buf_print(out, "%llu r%u f%u s%u d%u m%u %s %s", (unsigned long long)scan->octets, scan->received, scan->from,
        scan->sender, scan->date, scan->message_id, scan->ended ? "ended" : "open", flaws[scan->flaw]));
    for (size_t i = 0; i < scan->author_count; i++)
        assert_ok(buf_print(out, " %.*s", (int)scan->authors[i].len, scan->authors[i].ptr));
}

/* Scans `message`, cut after `first` octets and from there on into pieces of `step`. */
static void scan_cut(struct slice message, size_t first, size_t step, struct buf *out)
{
    struct arena a = ARENA(1 << 20);
    struct header_scan scan;
    header_scan_init(&scan, &a);
    for (size_t at = 0, len = first; at < message.len; at += len, len = step) {
        struct slice piece = slice_upto(slice_from(message, at), len);
        char *copy = exactly(piece);
        header_scan_feed(&scan, (struct slice){ copy, piece.len });
        free(copy);
    }
    header_scan_end(&scan);
    describe(&scan, out);
    header_scan_done(&scan);
    arena_done(&a);
}

static void check_scan(struct slice message, const char *wanted)
{
    for (size_t first = 0; first <= message.len; first++) {
        struct buf b = BUF(10000);
        scan_cut(message, first == 0 ? 1 : first, first == 0 ? 1 : message.len, &b);
        assert_octets(buf_slice(&b), slice_of(wanted));
        buf_done(&b);
    }
}

static void an_ordinary_header(void **state)
{
    (void)state;
    check_scan(S("Received: a\r\n\tb\r\nReceived: c\r\nDate: x\r\nFrom: A\r\n <a@B.example>,\r\n\tc@d.example\r\n"
                 "Sender: s@t.example\r\nMessage-ID: <x>\r\nSubject: From: no@body\r\n\r\nFrom: body@b.example\r\n"),
        "143 r2 f1 s1 d1 m1 ended fine a@b.example c@d.example s@t.example");
    check_scan(S("From: a@b\r\n"), "11 r0 f1 s0 d0 m0 ended fine a@b");
    check_scan(S("From: a@b"), "9 r0 f1 s0 d0 m0 ended fine a@b");
    check_scan(S("From: a@b\r"), "10 r0 f1 s0 d0 m0 ended fine a@b");
    check_scan(S("From"), "0 r0 f0 s0 d0 m0 ended fine");
    check_scan(S("X: y\r\nFrom"), "10 r0 f0 s0 d0 m0 ended fine");
    check_scan(S("X: y\r\nFrom "), "11 r0 f0 s0 d0 m0 ended fine");
}

static void C017_the_start_of_the_header(void **state)
{
    (void)state;
    check_scan(S(" Subject: x\r\nFrom: a@b\r\n\r\nbody"), "26 r0 f1 s0 d0 m0 ended leading-space a@b");
    check_scan(S("\tFrom: a@b\r\n\r\n"), "14 r0 f0 s0 d0 m0 ended leading-space");
    check_scan(S("\r\nFrom: a@b\r\n\r\n"), "2 r0 f0 s0 d0 m0 ended fine");
    check_scan(S("\r\n"), "2 r0 f0 s0 d0 m0 ended fine");
    check_scan(S(""), "0 r0 f0 s0 d0 m0 ended fine");
    check_scan(S("Hello,\r\nFrom: a@b\r\n\r\n"), "0 r0 f0 s0 d0 m0 ended fine");
    check_scan(S("Hello world: x\r\nFrom: a@b\r\n\r\n"), "0 r0 f0 s0 d0 m0 ended fine");
    check_scan(S(": x\r\nFrom: a@b\r\n\r\n"), "0 r0 f0 s0 d0 m0 ended fine");
}

static void C092_no_author_hides_behind_a_line_that_is_no_field(void **state)
{
    (void)state;
    check_scan(S("X: y\r\njunk\r\n more\r\nFrom: a@b\r\n\r\n"), "32 r0 f1 s0 d0 m0 ended fine a@b");
    check_scan(S("From: a@b\r\njunk\r\n c@d\r\n\r\n"), "25 r0 f1 s0 d0 m0 ended fine a@b");
    /* What dot_encode() makes a line of is a line here. */
    check_scan(S("X: y\rFrom: a@b\r\n\r\n"), "18 r0 f1 s0 d0 m0 ended fine a@b");
    check_scan(S("X: y\nFrom: a@b\n\nbody"), "16 r0 f1 s0 d0 m0 ended fine a@b");
    check_scan(S("From: a@b\r\rFrom: c@d\r\n"), "11 r0 f1 s0 d0 m0 ended fine a@b");
    check_scan(S("From: a@b\r\r\nFrom: c@d\r\n"), "12 r0 f1 s0 d0 m0 ended fine a@b");
}

static void C092_who_sends_again_is_an_author(void **state)
{
    (void)state;
    check_scan(S("From: a@b\r\nResent-From: c@d\r\nRESENT-SENDER : e@f\r\nResent-From:\r\n g@h\r\nResent-To: i@j\r\n\r\n"),
        "88 r0 f1 s0 d0 m0 ended fine a@b c@d e@f g@h");
    check_scan(S("Resent-From: nobody\r\n\r\n"), "23 r0 f0 s0 d0 m0 ended bad-authors");
    struct buf message = BUF(1 << 20);
    struct arena a = ARENA(4 * LIMIT_HEADER_FIELD);
    struct header_scan scan;
    while (message.len < LIMIT_HEADER - 1000)
        assert_ok(buf_print(&message, "Resent-From: (%0900d)\r\n", 0));
    header_scan_init(&scan, &a);
    header_scan_feed(&scan, buf_slice(&message));
    assert_int_equal(scan.flaw, HEADER_BAD_AUTHORS);
    assert_true(a.used <= 2 * LIMIT_HEADER_FIELD); /* many of them leave room for the rest of the transaction */
    header_scan_done(&scan);
    arena_done(&a);
    buf_done(&message);
}

static void C092_authors_are_bounded(void **state)
{
    (void)state;
    for (size_t count = LIMIT_AUTHORS - 1; count <= LIMIT_AUTHORS + 1; count++) {
        struct buf message = BUF(10000);
        struct arena a = ARENA(1 << 20);
        struct header_scan scan;
        assert_ok(buf_put(&message, S("From: ")));
        for (size_t i = 0; i < count; i++)
            assert_ok(buf_print(&message, "a%zu@b.example,\r\n ", i));
        assert_ok(buf_put(&message, S("\r\n\r\n")));
        header_scan_init(&scan, &a);
        header_scan_feed(&scan, buf_slice(&message));
        assert_int_equal(scan.flaw, count > LIMIT_AUTHORS ? HEADER_BAD_AUTHORS : HEADER_FINE);
        assert_int_equal(scan.author_count, count > LIMIT_AUTHORS ? LIMIT_AUTHORS : count);
        header_scan_done(&scan);
        arena_done(&a);
        buf_done(&message);
    }
    check_scan(S("From: root\r\n\r\n"), "14 r0 f1 s0 d0 m0 ended bad-authors");
    check_scan(S("From: a@b (x\\\r\n\r\n"), "17 r0 f1 s0 d0 m0 ended bad-authors");
    check_scan(S("From: a@b_c\r\n\r\n"), "15 r0 f1 s0 d0 m0 ended bad-authors");
    check_scan(S("From: g:;\r\n\r\n"), "13 r0 f1 s0 d0 m0 ended fine");
    check_scan(S("From: \"a b\"@B\xc3\xbc.example\r\n\r\n"), "27 r0 f1 s0 d0 m0 ended fine \"a b\"@xn--b-eha.example");
}

static void C158_size_and_memory_are_bounded(void **state)
{
    (void)state;
    static const char *const starts[] = { "From: ", "X: ", "X" };
    for (size_t i = 0; i < COUNT(starts); i++) {
        struct arena a = ARENA(1 << 20);
        struct header_scan scan;
        char piece[5000];
        memset(piece, 'a', sizeof piece);
        header_scan_init(&scan, &a);
        header_scan_feed(&scan, slice_of(starts[i]));
        size_t fed = strlen(starts[i]);
        for (; fed + sizeof piece <= LIMIT_HEADER; fed += sizeof piece) {
            assert_int_not_equal(scan.flaw, HEADER_TOO_LONG);
            header_scan_feed(&scan, (struct slice){ piece, sizeof piece });
        }
        header_scan_feed(&scan, (struct slice){ piece, LIMIT_HEADER - fed });
        assert_int_equal(scan.flaw, i == 0 ? HEADER_BAD_AUTHORS : HEADER_FINE);
        header_scan_feed(&scan, S("x"));
        assert_int_equal(scan.flaw, i == 0 ? HEADER_BAD_AUTHORS : HEADER_TOO_LONG);
        assert_in_range(scan.field.cap, 0, LIMIT_HEADER_FIELD + 1);
        assert_in_range(a.used, 0, 100);
        header_scan_done(&scan);
        arena_done(&a);
    }
}

static void C167_two_authors_fields(void **state)
{
    (void)state;
    check_scan(S("From: a@b\r\nFrom: c@d\r\n\r\n"), "24 r0 f2 s0 d0 m0 ended two-from a@b");
    check_scan(S("From: a@b\r\nfrom : c@d\r\n\r\n"), "25 r0 f2 s0 d0 m0 ended two-from a@b");
    check_scan(S("Sender: a@b\r\nX: y\r\nSender: c@d\r\n\r\n"), "34 r0 f0 s2 d0 m0 ended two-from a@b");
    check_scan(S("Date: a\r\nDate: b\r\nMessage-ID: c\r\nMessage-ID: c\r\n\r\n"), "50 r0 f0 s0 d2 m2 ended fine");
    struct buf many = BUF(10000), out = BUF(1000);
    for (size_t i = 0; i < 300; i++)
        assert_ok(buf_put(&many, S("From: a@b\r\nReceived: x\r\n")));
    scan_cut(buf_slice(&many), 1, 100, &out);
    assert_buf(out, "7200 r300 f255 s0 d0 m0 ended two-from a@b");
    buf_done(&many);
    buf_done(&out);
}

static void C168_odd_names(void **state)
{
    (void)state;
    check_scan(S("From : a@b\r\nfRoM:c@d\r\n\r\n"), "24 r0 f2 s0 d0 m0 ended two-from a@b");
    check_scan(S("From \t : a@b\r\n\r\n"), "16 r0 f1 s0 d0 m0 ended fine a@b");
    check_scan(S("From\0: a@b\r\n\r\n"), "0 r0 f0 s0 d0 m0 ended nul");
    check_scan(S("X: y\r\nFrom\0: a@b\r\n\r\n"), "20 r0 f0 s0 d0 m0 ended nul");
    check_scan(S("X: \0y\r\n\r\n"), "9 r0 f0 s0 d0 m0 ended nul");
    check_scan(S("X: y\r\nFr\xc3\xb6m: a@b\r\nFro: a@b\r\nFromm: a@b\r\nReceive: x\r\n\r\n"),
        "54 r0 f0 s0 d0 m0 ended fine");
    check_scan(S("Received: x\r\nreceived:\r\nRECEIVED : y\r\n\r\n"), "40 r3 f0 s0 d0 m0 ended fine");
    /* A name as long as the room for it, and one longer, is just another field. */
    check_scan(S("Abcdefghijklmnopqrstuvwxyz123456: y\r\nAbcdefghijklmnopqrstuvwxyz1234567: y\r\n\r\n"),
        "77 r0 f0 s0 d0 m0 ended fine");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_lists_of_rfc_5322),
        cmocka_unit_test(C029_empty_lists_and_groups),
        cmocka_unit_test(C146_what_does_not_end_is_malformed),
        cmocka_unit_test(C166_encoded_words_are_never_decoded),
        cmocka_unit_test(a_refusing_reader_ends_the_list),
        cmocka_unit_test(C157_half_a_million_addresses_take_linear_time),
        cmocka_unit_test(an_ordinary_header),
        cmocka_unit_test(C017_the_start_of_the_header),
        cmocka_unit_test(C092_no_author_hides_behind_a_line_that_is_no_field),
        cmocka_unit_test(C092_who_sends_again_is_an_author),
        cmocka_unit_test(C092_authors_are_bounded),
        cmocka_unit_test(C158_size_and_memory_are_bounded),
        cmocka_unit_test(C167_two_authors_fields),
        cmocka_unit_test(C168_odd_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
