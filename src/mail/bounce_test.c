#include "mail/bounce.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/testing.h"

#define ORIGINAL "From: ann@b.example\r\nSubject: hello\r\n\r\nThe text.\r\n"

static struct bounce_recipient failed(void)
{
    return (struct bounce_recipient){
        .address = S("bob@c.example"),
        .orcpt = S("rfc822;bob@alias.example"),
        .action = BOUNCE_FAILED,
        .status = S("5.1.1"),
        .remote = S("mx.c.example"),
        .diagnostic = S("550 5.1.1 no such mailbox"),
    };
}

static struct bounce sample(const struct bounce_recipient *recipients, size_t count)
{
    return (struct bounce){
        .host = S("mail.b.example"),
        .to = S("ann@b.example"),
        .id = S("k1-7"),
        .envid = S("QQ314159"),
        .recipients = recipients,
        .recipient_count = count,
        .original = S(ORIGINAL),
        .full = true,
        .arrived = 1795428245000,
        .now = 1795428246000,
    };
}

/* Every line ends in CRLF, none is too long, and no control octet stands in it. */
static void check_form(struct slice text)
{
    while (text.len > 0) {
        size_t end = slice_find(text, '\n');
        assert_in_range(end, 1, text.len - 1);
        assert_int_equal(text.ptr[end - 1], '\r');
        struct slice line = slice_upto(text, end - 1);
        assert_in_range(line.len, 0, 998);
        for (size_t i = 0; i < line.len; i++)
            assert_true((unsigned char)line.ptr[i] >= ' ' || line.ptr[i] == '\t');
        text = slice_from(text, end + 1);
    }
}

/* Quoted-printable taken back, for what stands in the first part; the rest is nearly as it was. */
static struct buf unquoted(struct slice text)
{
    struct buf b = BUF(1 << 20);
    for (size_t i = 0; i < text.len; i++) {
        unsigned octet = (unsigned char)text.ptr[i];
        char hex[3] = { 0 };
        if (octet == '=' && i + 2 < text.len)
            memcpy(hex, text.ptr + i + 1, 2);
        if (strcmp(hex, "\r\n") == 0) {
            i += 2;
            continue;
        }
        if (strspn(hex, "0123456789ABCDEF") == 2 && sscanf(hex, "%2X", &octet) == 1)
            i += 2;
        assert_ok(buf_put_byte(&b, (char)octet));
    }
    return b;
}

static struct buf written(const struct bounce *bounce)
{
    struct buf b = BUF(4 << 20);
    assert_ok(bounce_write(&b, bounce));
    return b;
}

static bool has(const struct buf *b, const char *text) { return slice_has(buf_slice(b), slice_of(text)); }

static void a_failure_in_two_languages(void **state)
{
    (void)state;
    struct bounce_recipient recipient = failed();
    struct bounce bounce = sample(&recipient, 1);
    struct buf b = written(&bounce), text = unquoted(buf_slice(&b));
    check_form(buf_slice(&b));
    assert_true(slice_is_ascii(buf_slice(&b)));
    assert_true(slice_starts(buf_slice(&b),
        S("From: Mail Delivery System <MAILER-DAEMON@mail.b.example>\r\nTo: <ann@b.example>\r\nSubject: Undelivered mail\r\n"
          "Date: Mon, 23 Nov 2026 10:04:06 +0000\r\nMessage-ID: <k1-7@mail.b.example>\r\nAuto-Submitted: auto-replied\r\n"
          "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n"
          "\tboundary=\"=_k1-7_0\"\r\n\r\n--=_k1-7_0\r\nContent-Type: text/plain; charset=utf-8\r\n")));
    assert_true(has(&text, "Your message could not be delivered to:\r\n\r\n  <bob@c.example>\r\n    550 5.1.1 no such mailbox\r\n"));
    assert_true(has(&text, "次の宛先にメールを届けることができませんでした。\r\n\r\n  <bob@c.example>\r\n"));
    assert_true(has(&b, "\r\n--=_k1-7_0\r\nContent-Type: message/delivery-status\r\n\r\n"
                        "Original-Envelope-Id: QQ314159\r\nReporting-MTA: dns; mail.b.example\r\n"
                        "Arrival-Date: Mon, 23 Nov 2026 10:04:05 +0000\r\n\r\n"
                        "Original-Recipient: rfc822;bob@alias.example\r\nFinal-Recipient: rfc822; bob@c.example\r\n"
                        "Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.c.example\r\n"
                        "Diagnostic-Code: smtp; 550 5.1.1 no such mailbox\r\n\r\n--=_k1-7_0\r\n"));
    assert_true(slice_ends_nocase(buf_slice(&b),
        S("--=_k1-7_0\r\nContent-Type: message/rfc822\r\n\r\n" ORIGINAL "\r\n--=_k1-7_0--\r\n")));
    buf_done(&b);
    buf_done(&text);
}

static void headers_only(void **state)
{
    (void)state;
    struct bounce_recipient recipient = failed();
    struct bounce bounce = sample(&recipient, 1);
    bounce.full = false;
    struct buf b = written(&bounce);
    assert_true(has(&b, "Content-Type: text/rfc822-headers\r\n\r\nFrom: ann@b.example\r\nSubject: hello\r\n\r\n--=_k1-7_0--\r\n"));
    assert_false(has(&b, "The text."));
    buf_done(&b);
    static const char *const originals[] = { "\r\nFrom: body", "", "A: b", "A: b\r\n" };
    for (size_t i = 0; i < COUNT(originals); i++) {
        bounce.original = slice_of(originals[i]);
        b = written(&bounce);
        check_form(buf_slice(&b));
        assert_int_equal(has(&b, "A: b\r\n\r\n--=_k1-7_0--"), i >= 2);
        assert_false(has(&b, "From: body"));
        buf_done(&b);
    }
}

static void the_gravest_action_gives_the_subject(void **state)
{
    (void)state;
    static const struct row {
        enum bounce_action action;
        const char *subject, *word;
    } rows[] = { { BOUNCE_DELIVERED, "Delivered mail", "delivered" }, { BOUNCE_EXPANDED, "Delivered mail", "expanded" },
        { BOUNCE_RELAYED, "Mail passed on", "relayed" }, { BOUNCE_DELAYED, "Delayed mail", "delayed" },
        { BOUNCE_FAILED, "Undelivered mail", "failed" } };
    struct bounce_recipient recipients[COUNT(rows)];
    for (size_t i = 0; i < COUNT(rows); i++) {
        char wanted[64];
        recipients[i] = (struct bounce_recipient){ .address = S("x@y"), .status = S("2.0.0"), .action = rows[i].action };
        struct bounce bounce = sample(recipients, i + 1);
        struct buf b = written(&bounce);
        check_form(buf_slice(&b));
        snprintf(wanted, sizeof wanted, "\r\nSubject: %s\r\n", rows[i].subject);
        assert_true(has(&b, wanted));
        for (size_t done = 0; done <= i; done++) {
            snprintf(wanted, sizeof wanted, "\r\nAction: %s\r\n", rows[done].word);
            assert_true(has(&b, wanted));
        }
        assert_false(has(&b, "Diagnostic-Code"));
        assert_false(has(&b, "Remote-MTA"));
        buf_done(&b);
    }
}

static void utf8_uses_the_global_types(void **state)
{
    (void)state;
    struct bounce_recipient recipient = failed();
    recipient.address = S("えき@c.example");
    recipient.diagnostic = S("550 宛先 \xff\xe3\x81");
    struct bounce bounce = sample(&recipient, 1);
    bounce.utf8 = true;
    struct buf b = written(&bounce);
    assert_true(has(&b, "\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--=_k1-7_0\r\n"));
    assert_true(has(&b, "Content-Type: message/global-delivery-status\r\n"));
    assert_true(has(&b, "Final-Recipient: utf-8; えき@c.example\r\n"));
    assert_true(has(&b, "Diagnostic-Code: smtp; 550 宛先 ???\r\n"));
    assert_true(has(&b, "Content-Type: message/global\r\n\r\n"));
    buf_done(&b);
    bounce.full = false;
    b = written(&bounce);
    assert_true(has(&b, "Content-Type: message/global-headers\r\n\r\n"));
    buf_done(&b);
    bounce.utf8 = false; /* nothing above ASCII in a field then */
    b = written(&bounce);
    assert_true(slice_is_ascii(buf_slice(&b)));
    buf_done(&b);
}

static void C007_a_stray_original_comes_back_in_lines(void **state)
{
    (void)state;
    struct bounce_recipient recipient = failed();
    struct bounce bounce = sample(&recipient, 1);
    static const struct row {
        struct slice original;
        const char *wanted;
    } rows[] = {
        { S("a\nb\rc\r\r\nd\0"), "\r\n\r\na\r\nb\r\nc\r\n\r\nd?\r\n\r\n--=_k1-7_0--" },
        { S("\xc3\xa9"), "Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa9\r\n\r\n--" },
        { S(""), "Content-Type: message/rfc822\r\n\r\n\r\n--=_k1-7_0--" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        bounce.original = rows[i].original;
        struct buf b = written(&bounce);
        check_form(buf_slice(&b));
        assert_true(has(&b, rows[i].wanted));
        buf_done(&b);
    }
}

static void C033_nothing_of_others_adds_a_line(void **state)
{
    (void)state;
    static const char evil[] = "x\r\nBcc: y@z\r\n\r\n--=_k1-7_0\r\n\0\x1b[2J\x7f\x80 \t end";
    struct slice text = { evil, sizeof evil - 1 };
    struct bounce_recipient recipient = { .address = text, .orcpt = text, .action = BOUNCE_FAILED, .status = text,
        .remote = text, .diagnostic = text };
    struct bounce bounce = sample(&recipient, 1);
    bounce.envid = bounce.to = text;
    struct buf b = written(&bounce);
    check_form(buf_slice(&b));
    assert_true(slice_is_ascii(buf_slice(&b)));
    assert_false(has(&b, "\nBcc"));
    size_t lines = 0;
    struct slice rest = buf_slice(&b), line;
    while (slice_cut(&rest, '\n', &line))
        lines += slice_starts(line, S("--=_k1-7_0"));
    assert_int_equal(lines, 4);
    buf_done(&b);
}

static void C212_what_comes_back_is_bounded(void **state)
{
    (void)state;
    struct bounce_recipient recipient = failed();
    struct bounce bounce = sample(&recipient, 1);
    struct buf original = BUF(1 << 20);
    for (size_t i = 0; original.len < 2 * LIMIT_BOUNCE_ORIGINAL; i++)
        assert_ok(buf_print(&original, "X-%zu: %060d\r\n", i, 7));
    bounce.original = buf_slice(&original);
    for (int full = 0; full < 2; full++) {
        bounce.full = full;
        struct buf b = written(&bounce);
        check_form(buf_slice(&b));
        assert_in_range(b.len, LIMIT_BOUNCE_ORIGINAL, LIMIT_BOUNCE_ORIGINAL + 4000);
        assert_true(slice_ends_nocase(buf_slice(&b), S("07\r\n\r\n--=_k1-7_0--\r\n"))); /* a whole line */
        buf_done(&b);
    }
    char *word = original.ptr;
    memset(word, 'x', original.len);
    recipient.diagnostic = bounce.original;
    struct buf b = written(&bounce);
    assert_in_range(b.len, LIMIT_BOUNCE_ORIGINAL, LIMIT_BOUNCE_ORIGINAL + 6000);
    buf_done(&b);
    buf_done(&original);
}

static void C162_the_boundary_is_not_in_the_original(void **state)
{
    (void)state;
    struct bounce_recipient recipient = failed();
    struct bounce bounce = sample(&recipient, 1);
    bounce.original = S("A: b\r\n\r\n--=_k1-7_0\r\n--=_k1-7_1--\r\n");
    struct buf b = written(&bounce);
    assert_true(has(&b, "boundary=\"=_k1-7_2\""));
    assert_true(slice_ends_nocase(buf_slice(&b), S("\r\n--=_k1-7_2--\r\n")));
    buf_done(&b);
    bounce.original = S(ORIGINAL);
    bounce.id = S("a-very-long-id-0123456789-0123456789-0123456789-0123456789-0123456789");
    b = written(&bounce);
    check_form(buf_slice(&b));
    buf_done(&b);
}

static void long_diagnostics_are_folded(void **state)
{
    (void)state;
    struct bounce_recipient recipient = failed();
    recipient.diagnostic = S("550-5.7.1 This is what a large provider says, in many words  with  runs of spaces, "
                             "and then gives a link https://support.example/mail/answer/0123456789 and more words");
    struct bounce bounce = sample(&recipient, 1);
    struct buf b = written(&bounce);
    struct slice rest = buf_slice(&b), line;
    check_form(rest);
    while (slice_cut(&rest, '\n', &line))
        assert_in_range(line.len, 0, 100);
    assert_true(has(&b, "Diagnostic-Code: smtp; 550-5.7.1 This"));
    buf_done(&b);
    recipient.diagnostic = S("550 no "); /* RFC 2045 6.7 (3): no space at the end of a line */
    b = written(&bounce);
    assert_true(has(&b, "    550 no=20\r\n"));
    assert_true(has(&b, "Diagnostic-Code: smtp; 550 no\r\n"));
    buf_done(&b);
}

static void a_bounce_is_whole_or_not_there(void **state)
{
    (void)state;
    struct bounce_recipient recipient = failed();
    struct bounce bounce = sample(&recipient, 1);
    struct buf whole = written(&bounce);
    for (size_t max = 1; max < whole.len; max += 7) {
        struct buf b = BUF(max);
        assert_ok(buf_put_byte(&b, '.'));
        assert_status(bounce_write(&b, &bounce), STATUS_TOO_BIG);
        assert_int_equal(b.len, 1);
        buf_done(&b);
    }
    buf_done(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_in_two_languages),
        cmocka_unit_test(headers_only),
        cmocka_unit_test(the_gravest_action_gives_the_subject),
        cmocka_unit_test(utf8_uses_the_global_types),
        cmocka_unit_test(C007_a_stray_original_comes_back_in_lines),
        cmocka_unit_test(C033_nothing_of_others_adds_a_line),
        cmocka_unit_test(C212_what_comes_back_is_bounded),
        cmocka_unit_test(C162_the_boundary_is_not_in_the_original),
        cmocka_unit_test(long_diagnostics_are_folded),
        cmocka_unit_test(a_bounce_is_whole_or_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
