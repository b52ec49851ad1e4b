#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"

static const char *role = "ekirei";
static enum log_level least = LOG_INFO;

/* A line that is being written: what does not fit is dropped whole, and its place is kept for the mark and the LF. */
struct line {
    char octets[LIMIT_LOG_LINE];
    size_t len;
    bool full;
};

#define LINE_END " ...\n"

/* Lines that wait to be written together; LIMIT_LOG_LINE is PIPE_BUF, so that no other process's line gets between them. */
static char gathered[LIMIT_LOG_LINE];
static atomic_size_t gathered_len; /* whole lines: must() in another thread may look */
static _Thread_local bool gathers;

static void put(struct line *line, struct slice s)
{
    if (line->full || s.len > sizeof line->octets - sizeof LINE_END - line->len) {
        line->full = true;
        return;
    }
    if (s.len > 0)
        memcpy(line->octets + line->len, s.ptr, s.len);
    line->len += s.len;
}

static bool needs_quotes(struct slice value)
{
    static const char special[] = { ' ', '"', '=' };
    for (size_t i = 0; i < sizeof special; i++)
        if (slice_find(value, special[i]) < value.len)
            return true;
    return value.len == 0;
}

/* Octets at the front that may stand in a log as they are: one printable character.  The C1 controls are valid UTF-8,
 * and yet they steer terminals. */
static size_t printable(struct slice s)
{
    unsigned char first = (unsigned char)s.ptr[0];
    if (first < 0x80)
        return first >= 0x20 && first != 0x7f;
    size_t len = slice_utf8_prefix(s);
    return first == 0xc2 && len == 2 && (unsigned char)s.ptr[1] < 0xa0 ? 0 : len;
}

static void put_value(struct line *line, struct slice value)
{
    bool cut = value.len > LIMIT_LOG_VALUE;
    value = slice_upto(value, LIMIT_LOG_VALUE);
    bool quoted = needs_quotes(value);
    if (quoted)
        put(line, S("\""));
    while (value.len > 0) {
        size_t len = printable(value);
        if (len == 0) {
            char hex[5];
            snprintf(hex, sizeof hex, "\\x%02x", (unsigned)(unsigned char)value.ptr[0]);
            put(line, (struct slice){ hex, 4 });
            len = 1;
        } else {
            if (value.ptr[0] == '"' || value.ptr[0] == '\\')
                put(line, S("\\"));
            put(line, slice_upto(value, len));
        }
        value = slice_from(value, len);
    }
    if (cut)
        put(line, S("..."));
    if (quoted)
        put(line, S("\""));
}

static void put_field(struct line *line, const struct log_field *field)
{
    char number[24], octets[IP_TEXT];
    put(line, S(" "));
    put(line, slice_of(field->key));
    put(line, S("="));
    switch (field->kind) {
    case LOG_TEXT_VALUE:
        put_value(line, field->text);
        break;
    case LOG_NUMBER_VALUE:
        snprintf(number, sizeof number, "%llu", (unsigned long long)field->number);
        put(line, slice_of(number));
        break;
    case LOG_IP_VALUE:
        put(line, (struct slice){ octets, ip_text(field->ip, octets) });
        break;
    }
}

void log_open(const char *name, enum log_level at_least)
{
    role = name;
    least = at_least;
}

/* A log that cannot be written is not worth a role's life. */
static void write_out(struct slice octets)
{
    while (write(2, octets.ptr, octets.len) < 0 && errno == EINTR)
        continue;
}

static void gather(struct slice line, bool now)
{
    if (line.len > sizeof gathered - atomic_load(&gathered_len))
        log_flush();
    size_t len = atomic_load(&gathered_len);
    memcpy(gathered + len, line.ptr, line.len);
    atomic_store(&gathered_len, len + line.len);
    if (now)
        log_flush();
}

void log_event(enum log_level level, const char *event, const struct log_field *fields)
{
    static const char *const levels[] = { "debug", "info", "warning", "error" };
    if (level < least)
        return;
    int saved = errno;
    struct line line;
    struct civil now = civil_of(clock_wall());
    line.full = false;
    int len = snprintf(line.octets, 512, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ %s %.64s[%d] %.128s", now.year,
        (unsigned)now.month, (unsigned)now.day, (unsigned)now.hour, (unsigned)now.minute, (unsigned)now.second,
        (unsigned)now.millisecond, levels[level], role, (int)getpid(), event);
    line.len = len > 0 ? (size_t)len : 0;
    for (; fields->key; fields++) {
        size_t before = line.len;
        put_field(&line, fields);
        if (line.full) { /* no half field: a half value reads like a whole one */
            line.len = before;
            break;
        }
    }
    struct slice end = line.full ? S(LINE_END) : S("\n");
    memcpy(line.octets + line.len, end.ptr, end.len);
    line.len += end.len;
    if (gathers)
        gather((struct slice){ line.octets, line.len }, level >= LOG_WARNING);
    else
        write_out((struct slice){ line.octets, line.len });
    errno = saved;
}

void log_flush(void)
{
    size_t len = atomic_load(&gathered_len);
    if (len == 0)
        return;
    int saved = errno;
    write_out((struct slice){ gathered, len });
    atomic_store(&gathered_len, 0);
    errno = saved;
}

void log_gather(bool on)
{
    log_flush();
    gathers = on;
}

const char *log_errno(void) { return strerror(errno); }
