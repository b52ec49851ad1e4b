#include "mail/notice.h"

#include "base/testing.h"
#include "mail/coding.h"

static struct notice sample(enum notice_kind kind)
{
    struct notice notice = { .kind = kind, .host = S("mail.b.example"), .domain = S("b.example"), .to = S("ann@b.example"),
        .id = S("n17-4"), .protocol = S("POP3"), .when = 1795428245000 };
    assert_ok(ip_parse(S("192.0.2.7"), &notice.peer));
    return notice;
}

static struct buf written(const struct notice *notice)
{
    struct buf out = BUF(1 << 16);
    assert_ok(notice_write(&out, notice));
    return out;
}

/* Every line ends in CRLF and is short enough to be read (RFC 5322 2.1.1); no control octet stands in it; it is UTF-8. */
static void check_form(struct slice text)
{
    assert_true(slice_is_utf8(text));
    while (text.len > 0) {
        size_t end = slice_find(text, '\n');
        assert_in_range(end, 1, text.len - 1);
        assert_int_equal(text.ptr[end - 1], '\r');
        assert_in_range(end - 1, 0, 300);
        assert_false(slice_has_control(slice_upto(text, end - 1)));
        text = slice_from(text, end + 1);
    }
}

static void check_has(const struct buf *b, const char *text)
{
    if (!slice_has(buf_slice(b), slice_of(text)))
        fail_msg("'%s' is not in:\n%.*s", text, (int)b->len, b->ptr);
}

static void test_header_stops_every_answer(void **state)
{
    (void)state;
    struct notice notice = sample(NOTICE_CLEARTEXT);
    struct buf b = written(&notice);
    check_form(buf_slice(&b));
    assert_true(slice_starts(buf_slice(&b), S("Return-Path: <>\r\nFrom: <postmaster@b.example>\r\nTo: <ann@b.example>\r\nSubject: =?UTF-8?B?")));
    check_has(&b, "\r\nAuto-Submitted: auto-generated\r\n");
    check_has(&b, "\r\nDate: Mon, 23 Nov 2026 ");
    check_has(&b, "\r\nMessage-ID: <n17-4@mail.b.example>\r\n");
    check_has(&b, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
    buf_done(&b);
}

static void test_both_languages_and_all_facts(void **state)
{
    (void)state;
    for (int kind = NOTICE_CLEARTEXT; kind <= NOTICE_NEW_PLACE; kind++)
        for (int device = 0; device < 2; device++) {
            struct notice notice = sample((enum notice_kind)kind);
            notice.device = device ? S("scanner 3") : NO_SLICE;
            notice.code = 18;
            struct buf b = written(&notice);
            check_form(buf_slice(&b));
            struct slice body = buf_slice(&b), line;
            while (slice_cut(&body, '\n', &line) && line.len > 1)
                ;
            struct slice halves[2] = { slice_upto(body, 0), body };
            for (size_t at = 0; at + 8 < body.len && halves[0].len == 0; at++)
                if (slice_starts(slice_from(body, at), S("\r\n----\r\n"))) {
                    halves[0] = slice_upto(body, at);
                    halves[1] = slice_from(body, at);
                }
            assert_true(slice_is_ascii(halves[0]) && halves[0].len > 100);
            assert_false(slice_is_ascii(halves[1]));
            for (int half = 0; half < 2; half++) {
                assert_true(slice_has(halves[half], S("192.0.2.7")));
                assert_true(slice_has(halves[half], S("ann@b.example")));
                assert_true(slice_has(halves[half], S("Mon, 23 Nov 2026 ")));
                assert_true(slice_has(halves[half], S("POP3")));
                assert_true(slice_has(halves[half], S("EK-18")));
                assert_true(slice_has(halves[half], S("postmaster@b.example")));
                assert_int_equal(slice_has(halves[half], S("scanner 3")), device && kind == NOTICE_NEW_PLACE);
            }
            buf_done(&b);
        }
}

/* RFC 2047 2: at most 75 octets each, of whole characters. */
static void test_subject_is_encoded_words_of_whole_characters(void **state)
{
    (void)state;
    for (int kind = NOTICE_CLEARTEXT; kind <= NOTICE_NEW_PLACE; kind++) {
        struct notice notice = sample((enum notice_kind)kind);
        struct buf b = written(&notice), subject = BUF(1000);
        struct slice rest = buf_slice(&b), line;
        bool inside = false;
        while (slice_cut(&rest, '\n', &line) && line.len > 1) {
            bool starts = slice_starts(line, S("Subject: "));
            inside = starts || (inside && line.ptr[0] == ' ');
            if (!inside)
                continue;
            struct slice word = slice_trim(slice_upto(slice_from(line, starts ? 9 : 0), line.len - 1 - (starts ? 9 : 0)));
            assert_in_range(word.len, 13, 75);
            assert_true(slice_starts(word, S("=?UTF-8?B?")) && slice_ends_nocase(word, S("?=")));
            size_t before = subject.len;
            assert_ok(base64_decode(&subject, slice_upto(slice_from(word, 10), word.len - 12)));
            assert_true(slice_is_utf8(slice_from(buf_slice(&subject), before)));
        }
        assert_true(slice_has(buf_slice(&subject), S(" / ")));
        assert_false(slice_is_ascii(buf_slice(&subject)));
        buf_done(&subject);
        buf_done(&b);
    }
}

/* A device's name is what somebody typed: it adds no field and no line. */
static void test_names_cannot_add_lines(void **state)
{
    (void)state;
    struct notice notice = sample(NOTICE_NEW_PLACE);
    notice.device = S("x\r\nBcc: everyone@b.example\r\n\xff");
    struct buf b = written(&notice);
    check_form(buf_slice(&b));
    check_has(&b, "x??Bcc: everyone@b.example???\r\n");
    buf_done(&b);
}

static void test_no_room_leaves_nothing_half_written(void **state)
{
    (void)state;
    struct notice notice = sample(NOTICE_NEW_PLACE);
    struct buf whole = written(&notice);
    for (size_t max = 1; max < whole.len; max += 7) {
        struct buf b = BUF(max);
        assert_status(notice_write(&b, &notice), STATUS_TOO_BIG);
        assert_int_equal(b.len, 0);
        buf_done(&b);
    }
    buf_done(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_stops_every_answer),
        cmocka_unit_test(test_both_languages_and_all_facts),
        cmocka_unit_test(test_subject_is_encoded_words_of_whole_characters),
        cmocka_unit_test(test_names_cannot_add_lines),
        cmocka_unit_test(test_no_room_leaves_nothing_half_written),
    };
    return cmocka_run_group_tests_name("notice", tests, NULL, NULL);
}
