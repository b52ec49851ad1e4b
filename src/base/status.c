#include "base/status.h"

#include <stddef.h>

static const char *const names[STATUS_COUNT] = {
    [STATUS_OK] = "ok",
    [STATUS_TOO_BIG] = "too-big",
    [STATUS_MALFORMED] = "malformed",
    [STATUS_NOT_FOUND] = "not-found",
    [STATUS_EXISTS] = "exists",
    [STATUS_DENIED] = "denied",
    [STATUS_FULL] = "full",
    [STATUS_IO] = "io",
    [STATUS_CORRUPT] = "corrupt",
    [STATUS_BUSY] = "busy",
    [STATUS_AWAY] = "away",
    [STATUS_REVOKED] = "revoked",
};

const char *status_name(enum status status)
{
    size_t at = (size_t)status;
    /* A status may have come through a channel: a strange one is named, not followed. */
    return at < STATUS_COUNT ? names[at] : "unknown";
}
