/* pop3_reply.h - all that the POP3 server ever says by itself, by name, in each of its languages (RFC 6856 3).
 *
 * '#' in a text stands for what pop3_reply_about() or pop3_reply_number() is given. */
#pragma once

#include "proto/refusal.h"
#include "proto/session_impl.h"

enum pop3_reply {
    POP3_GREETING,
    POP3_CROWDED,
    POP3_STOPPING,
    POP3_DEVICES_ONLY,
    POP3_UNKNOWN,
    POP3_WRONG_STATE,
    POP3_BAD_ARGUMENTS,
    POP3_TOO_LONG,
    POP3_BAD_LINE,
    POP3_TOO_MANY_ERRORS,
    POP3_CAPABILITIES,
    POP3_BEGIN_TLS,
    POP3_TLS_ALREADY,
    POP3_TLS_INJECTION,
    POP3_NEEDS_TLS,
    POP3_UTF8_ON,
    POP3_LANGUAGES,
    POP3_LANGUAGE_SET,
    POP3_LANGUAGE_UNKNOWN,
    POP3_SEND_PASS,
    POP3_USER_FIRST,
    POP3_MECHANISMS,
    POP3_NO_MECHANISM,
    POP3_AUTH_MALFORMED,
    POP3_AUTH_CANCELLED,
    POP3_STAMP_USED,
    POP3_LOGIN_WRONG,
    POP3_LOGIN_BUSY,
    POP3_LOGIN_TOO_SOON,
    POP3_LOGGED_IN,
    POP3_TEMPORARY,
    POP3_REVOKED,
    POP3_LISTING,
    POP3_UIDS,
    POP3_NO_SUCH_MESSAGE,
    POP3_DELETED_BEFORE,
    POP3_GONE,
    POP3_CORRUPT,
    POP3_MESSAGE,
    POP3_TOP,
    POP3_DELETED,
    POP3_RESET,
    POP3_NOTHING,
    POP3_BYE,
    POP3_NOT_REMOVED,
    POP3_REPLIES
};

struct pop3_reply_row {
    const char *status;          /* "+OK", or "-ERR" with its response code (RFC 2449 8, RFC 3206) */
    const char *text[LANGUAGES];
    uint8_t refusal;             /* enum refusal: every -ERR has one, which stands behind the text as "[EK-17]" */
    bool told;                   /* we refuse by ourselves what concerns a login: the keeper is told, for `ekirei why` */
};
extern const struct pop3_reply_row pop3_replies[POP3_REPLIES];

void pop3_reply(struct session *s, enum pop3_reply reply);
void pop3_reply_about(struct session *s, enum pop3_reply reply, struct slice what);
void pop3_reply_number(struct session *s, enum pop3_reply reply, uint64_t number);

struct language_row {
    const char *tag, *name;       /* RFC 5646 tag; the language's name in itself */
};
extern const struct language_row language_rows[LANGUAGES];
