#include "mail/date.h"

#include <stdio.h>
#include <time.h>

#include "base/testing.h"

static void known_dates(void **state)
{
    (void)state;
    static const struct row {
        wall when;
        const char *message, *log;
    } rows[] = {
        { 0, "Thu, 01 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00Z" },
        { 951782399999, "Mon, 28 Feb 2000 23:59:59 +0000", "2000-02-28T23:59:59Z" },
        { 951782400000, "Tue, 29 Feb 2000 00:00:00 +0000", "2000-02-29T00:00:00Z" },
        { 1795428245000, "Mon, 23 Nov 2026 10:04:05 +0000", "2026-11-23T10:04:05Z" },
        { 4107542400000, "Mon, 01 Mar 2100 00:00:00 +0000", "2100-03-01T00:00:00Z" },
        { 4107542399000, "Sun, 28 Feb 2100 23:59:59 +0000", "2100-02-28T23:59:59Z" },
        { 253402300799999, "Fri, 31 Dec 9999 23:59:59 +0000", "9999-12-31T23:59:59Z" },
        { UINT64_MAX, "Fri, 31 Dec 9999 23:59:59 +0000", "9999-12-31T23:59:59Z" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf b = BUF(31), small = BUF(30);
        assert_ok(date_print(&b, rows[i].when));
        assert_octets(buf_slice(&b), slice_of(rows[i].message));
        buf_clear(&b);
        assert_ok(date_print_iso(&b, rows[i].when));
        assert_octets(buf_slice(&b), slice_of(rows[i].log));
        assert_status(date_print(&small, rows[i].when), STATUS_TOO_BIG);
        buf_done(&b);
        buf_done(&small);
    }
}

/* Every day up to 2400, and some seconds of it, against the C library. */
static void the_calendar_agrees_with_the_library(void **state)
{
    (void)state;
    for (uint64_t day = 0; day < 157000; day++) {
        time_t second = (time_t)(day * 86400 + day * 7919 % 86400);
        struct tm tm;
        gmtime_r(&second, &tm);
        struct civil c = civil_of((wall)second * 1000 + 7);
        assert_true(c.year == (uint32_t)tm.tm_year + 1900 && c.month == tm.tm_mon + 1 && c.day == tm.tm_mday);
        assert_true(c.hour == tm.tm_hour && c.minute == tm.tm_min && c.second == tm.tm_sec);
        assert_true(c.weekday == tm.tm_wday && c.millisecond == 7);
        wall back;
        assert_true(civil_wall(&c, &back));
        assert_true(back == (wall)second * 1000 + 7);
    }
}

static void reading(void **state)
{
    (void)state;
    wall when;
    assert_ok(date_parse_iso(S("2026-11-23T10:04:05Z"), &when));
    assert_true(when == 1795428245000);
    assert_ok(date_parse_iso(S("2026-11-23"), &when));
    assert_true(when == 1795392000000);
    assert_ok(date_parse_iso(S("9999-12-31T23:59:59Z"), &when));
    assert_true(when == 253402300799000);
    when = 7;
    static const char *const wrong[] = { "", "2026", "2026-11-2", "2026-11-233", "2026-11-23T10:04:05", "2026-11-23t10:04:05z",
        "2026-11-23T10:04:05+", "2026-11-23 10:04:05Z", "2026-13-01", "2026-00-01", "2026-01-00", "2026-02-29",
        "2100-02-29", "2026-04-31", "1969-12-31", "2026-11-23T24:00:00Z", "2026-11-23T10:60:00Z",
        "2026-11-23T10:00:60Z", "2026/11/23", "-026-11-23", "2026-1a-23", "2026-11-23T10:04:05ZZ", "202 -11-23" };
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_status(date_parse_iso(slice_of(wrong[i]), &when), STATUS_MALFORMED);
    assert_int_equal(when, 7);
    assert_ok(date_parse_iso(S("2000-02-29"), &when));
    assert_ok(date_parse_iso(S("2400-02-29"), &when));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_dates),
        cmocka_unit_test(the_calendar_agrees_with_the_library),
        cmocka_unit_test(reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
