#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

_Noreturn void must_failed(const char *condition, const char *file, int line)
{
    char text[512];
    log_flush(); /* what led to this */
    int len = snprintf(text, sizeof text, "ekirei[%d]: must(%s) failed at %s:%d\n", (int)getpid(), condition, file, line);
    if (len > (int)sizeof text - 1)
        len = (int)sizeof text - 1;
    /* One write, like a log line; a failure of it changes nothing about what must follow. */
    ssize_t written = len > 0 ? write(2, text, (size_t)len) : 0;
    (void)written;
    abort();
}
