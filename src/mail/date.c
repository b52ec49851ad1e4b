#include "mail/date.h"

static const char weekdays[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
    "Dec" };

enum status date_print(struct buf *out, wall when)
{
    struct civil c = civil_of(when);
    return buf_print(out, "%s, %02u %s %04u %02u:%02u:%02u +0000", weekdays[c.weekday], (unsigned)c.day,
        months[c.month - 1], (unsigned)c.year, (unsigned)c.hour, (unsigned)c.minute, (unsigned)c.second);
}

enum status date_print_iso(struct buf *out, wall when)
{
    struct civil c = civil_of(when);
    return buf_print(out, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)c.year, (unsigned)c.month, (unsigned)c.day,
        (unsigned)c.hour, (unsigned)c.minute, (unsigned)c.second);
}

/* Fits the text to a form in which 'd' stands for any digit; numbers[] get the runs of digits in turn. */
static bool fits(struct slice text, const char *form, uint16_t numbers[6])
{
    size_t number = 0;
    for (size_t i = 0; i < text.len; i++) {
        char octet = text.ptr[i];
        if (form[i] != 'd') {
            if (octet != form[i])
                return false;
            continue;
        }
        if (octet < '0' || octet > '9')
            return false;
        if (i > 0 && form[i - 1] != 'd')
            number++;
        numbers[number] = (uint16_t)(numbers[number] * 10 + (octet - '0'));
    }
    return true;
}

enum status date_parse_iso(struct slice text, wall *out_when)
{
    static const char form[] = "dddd-dd-ddTdd:dd:ddZ"; /* RFC 3339 5.6, UTC only */
    uint16_t n[6] = { 0 };
    if ((text.len != 10 && text.len != sizeof form - 1) || !fits(text, form, n))
        return STATUS_MALFORMED;
    struct civil civil = {
        .year = n[0],
        .month = (uint8_t)n[1],
        .day = (uint8_t)n[2],
        .hour = (uint8_t)n[3],
        .minute = (uint8_t)n[4],
        .second = (uint8_t)n[5],
    };
    return civil_wall(&civil, out_when) ? STATUS_OK : STATUS_MALFORMED;
}
