/* pop3.h - the POP3 server's engine, as its own files see it (RFC 1939, 2449, 2595, 3206, 5034, 6856).
 *
 * pop3.c has the command table and the loop that reads it; pop3_login.c the way from AUTHORIZATION to TRANSACTION; pop3_drop.c
 * the listing and what is done with it; pop3_fetch.c RETR and TOP.
 *
 * A maildrop is a snapshot: message numbers never change within a session, whatever other sessions do (C150), and nothing
 * locks them out.  Messages are removed only at QUIT (C149). */
#pragma once

#include "mail/dot.h"
#include "proto/line.h"
#include "proto/pop3/pop3_reply.h"
#include "proto/sasl.h"

enum pop3_state { POP3_AUTHORIZATION = 1, POP3_TRANSACTION = 2, POP3_UPDATE = 4 };

/* What is under way; commands are read only at POP3_READY. */
enum pop3_work {
    POP3_READY,
    POP3_SASL,      /* the next line belongs to AUTH */
    POP3_LOGIN,     /* the keeper looks at the password */
    POP3_LOADING,   /* pages of the maildrop arrive */
    POP3_WRITING,   /* LIST or UIDL goes out as the reader takes it */
    POP3_FETCHING,  /* a page of a message is asked for */
    POP3_SENDING,   /* a message goes out as the reader takes it */
    POP3_EXPUNGING, /* QUIT */
};

/* One message, or the part of it, that a fetch brought. */
struct pop3_piece {
    uint32_t uid;
    uint32_t at, len; /* in pop3_fetch.packed */
    uint64_t begin;   /* stored offset of its first frame; 0: the start of the message */
    uint64_t next;    /* as in struct fetch_row */
};

/* TOP: the header section, its empty line, then so many lines. */
struct pop3_top {
    bool on, in_header, line_is_empty, after_cr, done;
    uint64_t lines;
};

struct pop3_fetch {
    struct buf packed;        /* stored frames: of this message, and read ahead */
    struct buf pieces;        /* struct pop3_piece */
    struct slice frames;      /* of this message, not unpacked yet; in `packed` */
    struct buf plain;         /* one frame unpacked */
    size_t plain_at;
    uint64_t asked_at;        /* stored offset of the page that is asked for */
    uint64_t next;            /* offset of the rest of this message; 0: none */
    uint32_t uid, index;      /* of this message */
    uint32_t expected;        /* index that would go on in order; reading ahead begins with the second in a row */
    bool in_order;            /* this message is the second in a row, or a later one */
    bool started;             /* +OK was said: a failure now can only be told by closing */
    struct dot_encode encode;
    struct pop3_top top;
};

struct pop3 {
    enum pop3_state state;
    enum pop3_work work;
    enum language language;
    bool utf8;                /* RFC 6856 2.1 */
    bool stopping;
    bool line_is_last;        /* nothing stands behind the present line in this piece of wire */
    struct line line;
    uint32_t errors, failures, idle_commands;
    msec idle_until;          /* RFC 1939 3: the autologout timer */

    /* login */
    struct slice stamp;       /* "<...>" of the greeting; in of_session */
    bool stamp_used;
    char name[LIMIT_LOGIN_NAME];
    size_t name_len;          /* 0: USER was not said */
    struct sasl *sasl;        /* an exchange under way, in of_command */
    enum mechanism mechanism; /* of the login, for the log */
    struct slice account;     /* address, in of_session */
    bool lease;

    /* maildrop */
    struct buf rows;          /* struct drop_row: message n is row n - 1 */
    struct buf marks;         /* a bit a message: deleted; empty until the first DELE */
    uint32_t count, deleted;
    uint64_t octets;          /* of those that are not deleted */
    uint32_t uidvalidity, until;
    uint32_t at;              /* POP3_WRITING, POP3_EXPUNGING: next row */
    bool writes_uids;

    struct pop3_fetch fetch;
    uint32_t retrieved;
    uint64_t octets_sent;
    uint32_t removed;
};

struct pop3_args {
    struct slice at[2];
    size_t count;
};

static inline struct pop3 *pop3_of(struct session *s) { return s->state; }

/* pop3.c */
void pop3_enter(struct pop3 *p, enum pop3_state state);
void pop3_error(struct session *s, enum pop3_reply reply);        /* counts towards LIMIT_SESSION_ERRORS */
void pop3_fail(struct session *s, enum status status);            /* an ask failed: says so, and closes if REVOKED */
void pop3_note(struct session *s, const char *event, bool warning, const char *key, struct slice value);

/* pop3_login.c */
void pop3_make_stamp(struct session *s);
enum password_lane pop3_lane(const struct session *s);
void pop3_refuse_cleartext(struct session *s);
void pop3_refuse_cleartext_user(struct session *s, struct slice name);
void pop3_cmd_user(struct session *s, const struct pop3_args *args);
void pop3_cmd_pass(struct session *s, const struct pop3_args *args);
void pop3_cmd_apop(struct session *s, const struct pop3_args *args);
void pop3_cmd_auth(struct session *s, const struct pop3_args *args);
void pop3_announce_user(struct session *s, const char *name);
void pop3_announce_sasl(struct session *s, const char *name);
void pop3_sasl_line(struct session *s);
void pop3_sasl_bad_line(struct session *s, enum pop3_reply reply);
void pop3_login_answer(struct session *s, const struct answer *answer);
void pop3_forget_login(struct session *s);

/* pop3_drop.c */
void pop3_load(struct session *s);
void pop3_load_answer(struct session *s, const struct answer *answer);
void pop3_write_on(struct session *s);
const struct drop_row *pop3_row(const struct pop3 *p, uint32_t index);
bool pop3_find(struct session *s, struct slice number, uint32_t *out_index); /* false: refused already */
void pop3_cmd_stat(struct session *s, const struct pop3_args *args);
void pop3_cmd_list(struct session *s, const struct pop3_args *args);
void pop3_cmd_uidl(struct session *s, const struct pop3_args *args);
void pop3_cmd_dele(struct session *s, const struct pop3_args *args);
void pop3_cmd_rset(struct session *s, const struct pop3_args *args);
void pop3_cmd_quit(struct session *s, const struct pop3_args *args);
void pop3_expunge_answer(struct session *s, const struct answer *answer);

/* pop3_fetch.c */
void pop3_cmd_retr(struct session *s, const struct pop3_args *args);
void pop3_cmd_top(struct session *s, const struct pop3_args *args);
void pop3_fetch_answer(struct session *s, const struct answer *answer);
void pop3_send_on(struct session *s);
bool pop3_fetch_holds(const struct pop3 *p);                       /* memory that an idle session should not keep */
void pop3_fetch_release(struct pop3 *p);
