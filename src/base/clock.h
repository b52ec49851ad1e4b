/* clock.h - time as the house knows it.
 *
 * msec is monotonic and has no zero that means anything: deadlines, windows, throttles.  wall is Unix time in
 * milliseconds: what is stored, and what is written into messages.  Only floors 4 to 6 read clocks; engines
 * are told. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t msec;
typedef uint64_t wall;

#define SECONDS(n) ((msec)(n)*1000)
#define MINUTES(n) ((msec)(n)*60000)
#define DAYS(n)    ((msec)(n)*86400000)

msec clock_now(void);  /* CLOCK_BOOTTIME: a suspended machine's leases do age */
wall clock_wall(void);

/* A moment in the Gregorian calendar, UTC.  Our own arithmetic: gmtime(3) opens files, which no jail allows. */
struct civil {
    uint32_t year;           /* 1970 to 9999 */
    uint8_t month, day;      /* from 1 */
    uint8_t hour, minute, second;
    uint8_t weekday;         /* 0 is Sunday */
    uint16_t millisecond;
};

struct civil civil_of(wall when);                            /* what lies beyond the year 9999 is its last millisecond */
bool civil_wall(const struct civil *civil, wall *out_when);  /* false if there is no such moment; weekday is not read */
