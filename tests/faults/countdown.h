/* countdown.h - what the test and the processes of a faulty server share: which event of which role fails, and how often it came.
 *
 * A file of this form is named by EKIREI_COUNTDOWN; each process maps it before it enters its jail.  countdown.py writes the plan and reads the counts; the order of
 * the names there is the order here. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

enum faulty_role { FAULTY_SUPERVISOR, FAULTY_KEEPER, FAULTY_MX, FAULTY_USER, FAULTY_COURIER, FAULTY_ROLES };

enum event {
    EVENT_STATEMENT, /* a step of an SQL statement */
    EVENT_PREPARE,   /* SQL beside the steps: prepare, exec, blobs, checkpoints */
    EVENT_DB_WRITE,  /* SQLite writes its files */
    EVENT_DB_SYNC,
    EVENT_DB_FILE,   /* SQLite opens, removes, cuts, enlarges */
    EVENT_WRITE,     /* bodies, boot messages, pid files; not the log */
    EVENT_SYNC,
    EVENT_FILE,      /* open, read a body, rename, unlink, mkdir, and whatever else makes a descriptor */
    EVENT_SENDMSG,   /* a piece of a frame, or a word of the supervisor's line, goes out */
    EVENT_PUT,       /* a frame is queued on a channel */
    EVENT_OPEN,      /* a frame that came is decoded */
    EVENT_SEND,      /* to a client */
    EVENT_POOL,      /* a job is given to a pool */
    EVENT_LIMIT,     /* arena and buf: the first times from each place that calls them */
    EVENTS
};

enum manner {
    MANNER_IO,   /* EIO; SQLITE_IOERR; MALFORMED for a frame; TOO_BIG for a limit */
    MANNER_FULL, /* ENOSPC, with half of it written; SQLITE_FULL; EMFILE where there is a descriptor to be made */
    MANNER_BUSY, /* EAGAIN; SQLITE_BUSY; BUSY */
    MANNER_CUT,  /* half of it goes out, and then EPIPE */
    MANNER_LIE,  /* it says that it was done.  Only to show that the test would notice */
};

struct countdown {
    uint32_t role, event, manner, for_ever;
    uint64_t at;                /* the first that fails, counted from 1; 0: none */
    atomic_uint_fast64_t failed;
    atomic_uint_fast64_t counts[FAULTY_ROLES][EVENTS];
    char place[128];            /* where it failed first: SQL, or an address in the program */
};
