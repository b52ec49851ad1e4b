#include "mail/trace.h"

#include "base/limits.h"
#include "base/testing.h"

static struct trace sample(void)
{
    struct trace trace = {
        .helo = S("client.example"),
        .host = S("mail.example.org"),
        .id = S("u1-2f"),
        .recipient = S("ann@example.org"),
        .tls = S("TLSv1.3 TLS_AES_256_GCM_SHA384"),
        .esmtp = true,
        .authenticated = true,
        .when = 1795428245000,
    };
    assert_ok(ip_parse(S("192.0.2.7"), &trace.peer));
    return trace;
}

static void check(const struct trace *trace, const char *wanted)
{
    struct buf b = BUF(LIMIT_PREFIX);
    assert_ok(trace_received(&b, trace));
    assert_octets(buf_slice(&b), slice_of(wanted));
    for (size_t max = 0; max < b.len; max += 13) { /* whole or not at all */
        struct buf small = BUF(max);
        assert_status(trace_received(&small, trace), STATUS_TOO_BIG);
        assert_int_equal(small.len, 0);
        buf_done(&small);
    }
    buf_done(&b);
}

static void received(void **state)
{
    (void)state;
    struct trace trace = sample();
    check(&trace, "Received: from client.example ([192.0.2.7])\r\n\tby mail.example.org (ekirei) with ESMTPSA id u1-2f\r\n"
                  "\t(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384)\r\n"
                  "\tfor <ann@example.org>; Mon, 23 Nov 2026 10:04:05 +0000\r\n");
    trace.recipient = trace.tls = NO_SLICE;
    trace.authenticated = false;
    trace.helo = S("[IPv6:2001:db8::1]");
    assert_ok(ip_parse(S("2001:db8::1"), &trace.peer));
    check(&trace, "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n"
                  "\tby mail.example.org (ekirei) with ESMTP id u1-2f; Mon, 23 Nov 2026 10:04:05 +0000\r\n");
}

static void keywords_of_rfc_3848_and_6531(void **state)
{
    (void)state;
    static const struct row {
        bool esmtp, tls, authenticated, utf8;
        const char *word;
    } rows[] = {
        { false, false, false, false, " with SMTP id " },
        { false, true, false, false, " with SMTP id " },
        { true, false, false, false, " with ESMTP id " },
        { true, false, true, false, " with ESMTPA id " },
        { true, true, false, false, " with ESMTPS id " },
        { true, true, true, false, " with ESMTPSA id " },
        { true, false, false, true, " with UTF8SMTP id " },
        { true, false, true, true, " with UTF8SMTPA id " },
        { true, true, false, true, " with UTF8SMTPS id " },
        { true, true, true, true, " with UTF8SMTPSA id " },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct trace trace = sample();
        struct buf b = BUF(LIMIT_PREFIX);
        trace.esmtp = rows[i].esmtp;
        trace.authenticated = rows[i].authenticated;
        trace.utf8 = rows[i].utf8;
        if (!rows[i].tls)
            trace.tls = NO_SLICE;
        assert_ok(trace_received(&b, &trace));
        assert_true(slice_has(buf_slice(&b), slice_of(rows[i].word)));
        buf_done(&b);
    }
}

static void C111_a_lease_is_named_and_is_no_authentication(void **state)
{
    (void)state;
    struct trace trace = sample();
    trace.authenticated = false;
    trace.lease = S("L123");
    trace.tls = NO_SLICE;
    check(&trace, "Received: from client.example ([192.0.2.7])\r\n\tby mail.example.org (ekirei) with ESMTP id u1-2f\r\n"
                  "\t(lease L123)\r\n\tfor <ann@example.org>; Mon, 23 Nov 2026 10:04:05 +0000\r\n");
}

static void C046_a_forged_helo_appears_in_hex(void **state)
{
    (void)state;
    struct trace trace = sample();
    trace.tls = trace.recipient = NO_SLICE;
    trace.helo = S("x) by trusted (");
    check(&trace, "Received: from [192.0.2.7]\r\n\t(HELO in hex 782920627920747275737465642028)\r\n"
                  "\tby mail.example.org (ekirei) with ESMTPA id u1-2f; Mon, 23 Nov 2026 10:04:05 +0000\r\n");
    trace.helo = NO_SLICE;
    check(&trace, "Received: from [192.0.2.7]\r\n"
                  "\tby mail.example.org (ekirei) with ESMTPA id u1-2f; Mon, 23 Nov 2026 10:04:05 +0000\r\n");
    for (int octet = 0; octet < 256; octet++) {
        char helo[] = { 'a', (char)octet, 'b' };
        struct buf b = BUF(LIMIT_PREFIX);
        trace.helo = (struct slice){ helo, 3 };
        assert_ok(trace_received(&b, &trace));
        assert_int_equal(slice_has(buf_slice(&b), trace.helo), octet == '-' || octet == '.' || octet == 'b' ||
            (octet >= '0' && octet <= '9') || (octet >= 'A' && octet <= 'Z') || (octet >= 'a' && octet <= 'z'));
        buf_done(&b);
    }
}

static void C026_lines_stay_short_with_the_longest_of_everything(void **state)
{
    (void)state;
    static char long_text[5000];
    struct trace trace = sample();
    memset(long_text, '_', sizeof long_text);
    trace.helo = (struct slice){ long_text, sizeof long_text };
    trace.host = (struct slice){ long_text, LIMIT_DOMAIN };
    trace.recipient = (struct slice){ long_text, LIMIT_ADDRESS };
    struct buf b = BUF(LIMIT_PREFIX);
    assert_ok(trace_received(&b, &trace));
    struct slice rest = buf_slice(&b), line;
    while (slice_cut(&rest, '\n', &line))
        assert_in_range(line.len, 2, 998);
    buf_done(&b);
}

static void utf8_recipients_need_a_utf8_session(void **state)
{
    (void)state;
    struct trace trace = sample();
    struct buf b = BUF(LIMIT_PREFIX);
    trace.recipient = S("\xe3\x81\x88@example.org");
    assert_ok(trace_received(&b, &trace));
    assert_true(slice_is_ascii(buf_slice(&b)));
    buf_clear(&b);
    trace.utf8 = true;
    assert_ok(trace_received(&b, &trace));
    assert_true(slice_has(buf_slice(&b), S("for <\xe3\x81\x88@example.org>;")));
    buf_done(&b);
}

static void the_other_fields(void **state)
{
    (void)state;
    struct buf b = BUF(1000), small = BUF(15);
    assert_ok(trace_return_path(&b, S("a@b.example")));
    assert_ok(trace_return_path(&b, NO_SLICE));
    assert_ok(trace_date(&b, 1795428245000));
    assert_ok(trace_message_id(&b, S("u1-2f"), S("mail.example.org")));
    assert_buf(b, "Return-Path: <a@b.example>\r\nReturn-Path: <>\r\nDate: Mon, 23 Nov 2026 10:04:05 +0000\r\n"
                  "Message-ID: <u1-2f@mail.example.org>\r\n");
    assert_status(trace_return_path(&small, S("a@b.example")), STATUS_TOO_BIG);
    assert_status(trace_date(&small, 0), STATUS_TOO_BIG);
    assert_status(trace_message_id(&small, S("a"), S("b.example")), STATUS_TOO_BIG);
    assert_int_equal(small.len, 0);
    buf_done(&small);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(received),
        cmocka_unit_test(keywords_of_rfc_3848_and_6531),
        cmocka_unit_test(C111_a_lease_is_named_and_is_no_authentication),
        cmocka_unit_test(C046_a_forged_helo_appears_in_hex),
        cmocka_unit_test(C026_lines_stay_short_with_the_longest_of_everything),
        cmocka_unit_test(utf8_recipients_need_a_utf8_session),
        cmocka_unit_test(the_other_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
