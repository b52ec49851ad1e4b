/* smtp_reply.h - every reply that the receiving engine can give, as rows: code, enhanced code (RFC 3463), text.
 *
 * No reply code stands in logic: a reply is chosen by its name. */
#pragma once

#include "proto/refusal.h"
#include "proto/session_impl.h"

enum smtp_reply {
    REPLY_NONE,
    /* fine */
    REPLY_GREETING,
    REPLY_HELP,
    REPLY_BYE,
    REPLY_GO_TLS,
    REPLY_LOGGED_IN,
    REPLY_HELLO,
    REPLY_OK,
    REPLY_SENDER_OK,
    REPLY_RECIPIENT_OK,
    REPLY_CHUNK_OK,
    REPLY_ACCEPTED,
    REPLY_NO_VRFY,
    REPLY_CHALLENGE,
    REPLY_GO_DATA,
    /* the session ends */
    REPLY_CROWDED,
    REPLY_STOPPING,
    REPLY_TOO_SLOW,
    REPLY_TOO_MANY_ERRORS,
    REPLY_TOO_MUCH_TALK,
    REPLY_TOO_MANY_LOGINS,
    REPLY_TOO_MANY_MESSAGES,
    REPLY_REVOKED,
    REPLY_ENDLESS,
    REPLY_NOT_HTTP,
    REPLY_EARLY_TALK,
    REPLY_EARLY_BIRD,
    REPLY_DEVICES_ONLY,
    REPLY_BAD_CHUNK,
    REPLY_HUGE_CHUNK,
    /* commands */
    REPLY_UNKNOWN,
    REPLY_BAD_LINE,
    REPLY_LONG_LINE,
    REPLY_NEEDS_ARGUMENT,
    REPLY_NO_ARGUMENT,
    REPLY_BAD_HELO,
    REPLY_NOT_HERE,
    REPLY_SEQUENCE,
    REPLY_NEEDS_EHLO,
    REPLY_NESTED_MAIL,
    REPLY_NEEDS_RCPT,
    REPLY_NEEDS_BDAT,
    REPLY_TLS_ALREADY,
    REPLY_TLS_TOO_LATE,
    /* parameters */
    REPLY_BAD_SENDER,
    REPLY_BAD_RECIPIENT,
    REPLY_SENDER_NEEDS_SMTPUTF8,
    REPLY_NEEDS_SMTPUTF8,
    REPLY_BAD_PARAMETER,
    REPLY_TWICE,
    REPLY_UNKNOWN_PARAMETER,
    /* login */
    REPLY_WRONG_LOGIN,
    REPLY_LOGIN_LATER,
    REPLY_LONG_LOGIN,
    REPLY_BAD_LOGIN,
    REPLY_NO_INITIAL,
    REPLY_CANCELLED,
    REPLY_LOGGED_IN_ALREADY,
    REPLY_LOGIN_IN_MAIL,
    REPLY_UNKNOWN_MECHANISM,
    REPLY_NEEDS_TLS,
    /* what the keeper decided */
    REPLY_PROVE_YOURSELF,
    REPLY_STARTTLS_FIRST,
    REPLY_FOREIGN_SENDER,
    REPLY_FORGED_AUTHOR,
    REPLY_NO_SUCH_USER,
    REPLY_NOT_LOCAL,
    REPLY_NOT_QUALIFIED,
    REPLY_DISABLED,
    REPLY_INTERNAL_ONLY,
    REPLY_LEASE_USED_UP,
    REPLY_TOO_MANY_TARGETS,
    REPLY_DISK_FULL,
    REPLY_STORE_FAILED,
    REPLY_TEMPORARY,
    REPLY_LEASE_OVER,
    REPLY_OTHER_ADDRESS,
    REPLY_OTHER_HELO,
    REPLY_TOO_MANY_RECIPIENTS,
    /* content */
    REPLY_TOO_LARGE,
    REPLY_BARE_CR_LF,
    REPLY_BARE_CR_LF_CHUNK,
    REPLY_NUL,
    REPLY_NUL_CHUNK,
    REPLY_LONG_BODY_LINE,
    REPLY_TOO_MANY_CHUNKS,
    REPLY_LOOP,
    REPLY_BAD_HEADER,
    REPLY_TWO_AUTHORS,
    REPLY_BAD_AUTHORS,
    REPLY_COUNT
};

struct smtp_reply_row {
    uint16_t code;
    const char *enhanced; /* "2.1.0", or "" */
    const char *text;     /* '$' stands for the argument */
    uint8_t refusal;      /* enum refusal: every 4yz and 5yz has one, which stands behind the text as "[EK-17]" */
    bool closes;          /* the session ends behind it */
    bool told;            /* we refuse by ourselves what concerns a login or a right: the keeper is told, for `ekirei why` */
};
extern const struct smtp_reply_row smtp_replies[REPLY_COUNT];

/* One line on the wire.  Octets of `argument` outside printable ASCII become '?': nothing unprintable is ever echoed. */
void smtp_say(struct session *s, enum smtp_reply reply, struct slice argument);
/* The text of a reply as it goes on the wire but for its number in brackets, for the log; in of_command. */
struct slice smtp_reply_text(struct session *s, enum smtp_reply reply, struct slice argument);
/* `lines` divided by LF become one reply of several lines under the code of `reply`. */
void smtp_say_lines(struct session *s, enum smtp_reply reply, struct slice lines);
enum smtp_reply smtp_reply_of_verdict(uint8_t verdict); /* any octet; REPLY_NONE for MAIL_OK */
enum smtp_reply smtp_reply_of_status(enum status status); /* REPLY_NONE for STATUS_OK */
