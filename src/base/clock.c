#include "base/clock.h"

#include <time.h>

#include "base/must.h"

#define LAST_MOMENT (UINT64_C(253402300800000) - 1) /* 9999-12-31T23:59:59.999Z */

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;
    int failed = clock_gettime(id, &now);
    must(!failed && now.tv_sec >= 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

msec clock_now(void) { return read_clock(CLOCK_BOOTTIME); }

wall clock_wall(void) { return read_clock(CLOCK_REALTIME); }

/* Days are counted from 0000-03-01, so that the leap day is the last day of a year and every month's start is a
 * linear function of its number: (153 * month + 2) / 5. */
#define DAYS_TO_1970 719468u
#define DAYS_IN_ERA  146097u /* 400 years */

struct civil civil_of(wall when)
{
    if (when > LAST_MOMENT)
        when = LAST_MOMENT;
    uint32_t days = (uint32_t)(when / DAYS(1)), of_day = (uint32_t)(when % DAYS(1));
    uint32_t shifted = days + DAYS_TO_1970;
    uint32_t era = shifted / DAYS_IN_ERA, of_era = shifted % DAYS_IN_ERA;
    uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint32_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint32_t month = (5 * of_year + 2) / 153; /* 0 is March */
    return (struct civil){
        .year = era * 400 + year + (month >= 10),
        .month = (uint8_t)(month < 10 ? month + 3 : month - 9),
        .day = (uint8_t)(of_year - (153 * month + 2) / 5 + 1),
        .hour = (uint8_t)(of_day / 3600000),
        .minute = (uint8_t)(of_day / 60000 % 60),
        .second = (uint8_t)(of_day / 1000 % 60),
        .weekday = (uint8_t)((days + 4) % 7), /* 1970-01-01 was a Thursday */
        .millisecond = (uint16_t)(of_day % 1000),
    };
}

static uint32_t days_in_month(uint32_t year, uint32_t month)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (uint32_t)(month == 2 && leap);
}

bool civil_wall(const struct civil *civil, wall *out_when)
{
    if (civil->year < 1970 || civil->year > 9999 || civil->month < 1 || civil->month > 12 || civil->day < 1 ||
        civil->day > days_in_month(civil->year, civil->month) || civil->hour > 23 || civil->minute > 59 ||
        civil->second > 59 || civil->millisecond > 999)
        return false;
    uint32_t year = civil->year - (civil->month <= 2);
    uint32_t month = civil->month > 2 ? civil->month - 3u : civil->month + 9u;
    uint32_t of_era = year % 400;
    uint32_t of_year = (153 * month + 2) / 5 + civil->day - 1;
    uint32_t days = year / 400 * DAYS_IN_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_TO_1970;
    *out_when = DAYS(days) + MINUTES(civil->hour * 60u + civil->minute) + SECONDS(civil->second) + civil->millisecond;
    return true;
}
