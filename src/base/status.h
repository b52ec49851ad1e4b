/* status.h - the one list of ways in which the world can fail us.
 *
 * Three kinds of failure are never mixed (ARCHITECTURE.md, "Failure"): a bug of ours is must(), a
 * refusal that a peer reads is a row of a reply table, and everything else is one of these values.
 * No text travels with a status: whoever knows the cause logs it, once. */
#pragma once

#define MUST_USE __attribute__((warn_unused_result))

enum status {
    STATUS_OK = 0,
    STATUS_TOO_BIG,   /* a limit from limits.h was reached */
    STATUS_MALFORMED, /* the bytes do not have the form they must have */
    STATUS_NOT_FOUND, /* no such thing */
    STATUS_EXISTS,    /* such a thing is there already */
    STATUS_DENIED,    /* this asker may not do that, or not now */
    STATUS_FULL,      /* no room on the disk */
    STATUS_IO,        /* the disk or the kernel failed */
    STATUS_CORRUPT,   /* what we stored is not what we read */
    STATUS_BUSY,      /* try again later: a queue or table is full for now */
    STATUS_AWAY,      /* the process that should answer is not there */
    STATUS_REVOKED,   /* the account or its password changed under this session */
    STATUS_COUNT
};

/* A word for logs and test transcripts: "ok", "too-big", ... */
const char *status_name(enum status status);

/* Carries a failure upward: TRY(buf_put(out, x)); */
#define TRY(expression)                      \
    do {                                     \
        enum status try_status = (expression); \
        if (try_status != STATUS_OK)         \
            return try_status;               \
    } while (0)
