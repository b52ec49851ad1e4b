/* log.h - one line per event: time, level, role, pid, event, then key=value.
 *
 *   2026-11-23T10:04:05.123Z info user[4711] pop3.login session=u1-2f account=a@b.example peer=192.0.2.7
 *
 * Values are quoted where they hold a space, quote or '='; every octet outside printable ASCII and valid UTF-8 is written as
 * \xNN, and a value is cut at LIMIT_LOG_VALUE: no peer can forge a line (C154).  struct secret has no field maker.
 * Lines go to descriptor 2 whole, so that lines of several processes do not mix: with one write(2) each, or, in a thread that gathers, with one for as
 * many as are atomic on a pipe.  A warning or error goes at once, with what waits before it; so does all that waits when must() fails.
 * base, mail and proto never log. */
#pragma once

#include <stdbool.h>

#include "base/ip.h"
#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

struct log_field {
    const char *key; /* NULL ends the list */
    enum { LOG_TEXT_VALUE, LOG_NUMBER_VALUE, LOG_IP_VALUE } kind;
    struct slice text;
    uint64_t number;
    struct ip ip;
};

#define LOG_TEXT(name, slice_value)  ((struct log_field){ .key = (name), .kind = LOG_TEXT_VALUE, .text = (slice_value) })
#define LOG_WORD(name, c_string)     LOG_TEXT(name, slice_of(c_string))
#define LOG_NUMBER(name, value)      ((struct log_field){ .key = (name), .kind = LOG_NUMBER_VALUE, .number = (uint64_t)(value) })
#define LOG_IP(name, address)        ((struct log_field){ .key = (name), .kind = LOG_IP_VALUE, .ip = (address) })
#define LOG_STATUS(status)           LOG_WORD("status", status_name(status))
#define LOG_ERRNO()                  LOG_WORD("error", log_errno())
#define LOG(level, event, ...) \
    log_event((level), (event), (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(,) { .key = NULL } })

void log_open(const char *role, enum log_level least); /* role is kept, not copied */
void log_event(enum log_level level, const char *event, const struct log_field *fields);
/* This thread gathers its lines from now on, or no longer: the loop's, which calls log_flush() before it tells anybody anything and before it sleeps.
 * At most one thread of a process.  Also before fork() and _exit(). */
void log_gather(bool on);
void log_flush(void);                                  /* writes what is gathered */
const char *log_errno(void);                           /* text of errno, until the next call */
