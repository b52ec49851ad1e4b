/* refusal.h - why anybody is refused: a number for each cause, which stands behind the text of the reply ("[EK-17]"), and what it
 * means for whoever gets it.
 *
 * A number is for ever: users read it to their administrator, and manuals name it.  A new cause gets a new number; one that is no
 * longer used is not given to another.  The same cause has the same number in every protocol.  docs/refusals.md is made from these rows. */
#pragma once

#include "base/slice.h"

enum language { LANGUAGE_EN, LANGUAGE_JA, LANGUAGES };

enum refusal {
    REFUSAL_NONE = 0,
    /* login */
    REFUSAL_LOGIN = 1,           /* unknown name, wrong secret, disabled, not permitted this way: one for all (C073) */
    REFUSAL_NEEDS_TLS = 2,       /* a secret may not be shown without TLS */
    REFUSAL_LOGIN_BUSY = 3,
    REFUSAL_MANY_LOGINS = 4,
    REFUSAL_LOGIN_SOON = 5,
    REFUSAL_LOGIN_FORM = 6,      /* not base64, or not what the mechanism wants */
    REFUSAL_CANCELLED = 7,
    REFUSAL_MECHANISM = 8,
    REFUSAL_STAMP_USED = 9,
    REFUSAL_REVOKED = 10,
    REFUSAL_DEVICES_ONLY = 11,   /* a port for the devices of listed networks */
    /* the right to send */
    REFUSAL_PROVE_YOURSELF = 17, /* neither login nor lease */
    REFUSAL_LEASE_OVER = 18,
    REFUSAL_LEASE_USED_UP = 19,
    REFUSAL_OTHER_ADDRESS = 20,  /* the mail was checked by the other family of addresses */
    REFUSAL_OTHER_HELO = 21,
    REFUSAL_TLS_FIRST = 22,      /* sending without TLS */
    REFUSAL_SENDER = 23,         /* the envelope sender is somebody else's */
    REFUSAL_AUTHOR = 24,         /* From or Sender is somebody else's */
    REFUSAL_RELAYING = 25,
    REFUSAL_INTERNAL_ONLY = 26,
    /* addresses */
    REFUSAL_NO_SUCH_USER = 30,
    REFUSAL_DISABLED = 31,
    REFUSAL_ALIAS_TARGETS = 32,
    REFUSAL_NOT_QUALIFIED = 33,
    REFUSAL_MANY_RECIPIENTS = 34,
    REFUSAL_BAD_ADDRESS = 35,
    REFUSAL_UTF8_ADDRESS = 36,
    REFUSAL_NO_RECIPIENT = 37,
    /* messages */
    REFUSAL_TOO_LARGE = 40,
    REFUSAL_LINE_ENDS = 41,
    REFUSAL_NUL = 42,
    REFUSAL_BODY_LINE = 43,
    REFUSAL_LOOP = 44,
    REFUSAL_HEADER = 45,
    REFUSAL_CHUNKS = 46,
    REFUSAL_ENDLESS = 47,
    /* the server, and the connection */
    REFUSAL_CROWDED = 50,
    REFUSAL_STOPPING = 51,
    REFUSAL_TOO_SLOW = 52,
    REFUSAL_MANY_ERRORS = 53,
    REFUSAL_MANY_MESSAGES = 54,
    REFUSAL_DISK_FULL = 55,
    REFUSAL_TEMPORARY = 56,
    REFUSAL_HTTP = 57,
    REFUSAL_EARLY_TALK = 58,
    /* commands */
    REFUSAL_COMMAND = 60,
    REFUSAL_LINE_LENGTH = 61,
    REFUSAL_ARGUMENT = 62,
    REFUSAL_SEQUENCE = 63,
    REFUSAL_LANGUAGE = 64,
    /* the maildrop */
    REFUSAL_NO_SUCH_MESSAGE = 70,
    REFUSAL_GONE = 71,
    REFUSAL_CORRUPT = 72,
    REFUSAL_NOT_REMOVED = 73,
    REFUSAL_END = 100            /* all are below this */
};

struct refusal_text {
    const char *happened, *remedy; /* whole sentences in UTF-8 */
};
struct refusal_row {
    enum refusal number;
    const char *word;              /* for logs and programs: as lasting as the number */
    struct refusal_text text[LANGUAGES];
};
const struct refusal_row *refusal_find(uint32_t number); /* any number; NULL: there is none */
const struct refusal_row *refusal_each(size_t index);    /* by ascending number; NULL: no more */
#define REFUSAL_DIGITS 2
struct slice refusal_digits(uint32_t number, char room[REFUSAL_DIGITS]); /* "17", for logs */
