/* ask.h - the questions that processes may put to one another, and their answers: the one interface file (with ask.c).
 *
 * Each question is a struct, its answer another; ask.c has the row that says which fields travel, which roles may ask it, and
 * when.  The keeper checks role, moment and binding before a handler sees anything: after a login the account comes from the binding of
 * (channel, session), never from a field.
 *
 * All slices borrow from whoever made the message.  Wall times are Unix milliseconds. */
#pragma once

#include "ask/ask_ctl.h"
#include "ask/field.h"
#include "base/clock.h"
#include "base/limits.h"

/* Who may ask: a set. */
enum role {
    ROLE_NONE = 0,
    ROLE_MX = 1,          /* gate pool for strangers' mail */
    ROLE_USER = 2,        /* gate pool for submission and mailboxes */
    ROLE_COURIER = 4,
    ROLE_CTL = 8,         /* the command line, through the control socket or in its own process */
    ROLE_KEEPER = 16,
    ROLE_SUPERVISOR = 32,
    ROLE_POLICY = 64,     /* `ekirei policy`: beside other servers, and asks nobody */
};
const char *role_name(enum role role); /* "mx", "user", ... */

enum ask_when { ASK_ANY_TIME, ASK_BEFORE_LOGIN, ASK_AFTER_LOGIN };

/* An answer comes for each, but for those that ask.c calls silent. */
enum ask_kind {
    ASK_NONE = 0,
    /* gates */
    ASK_LOGIN,          /* is this the password? */
    ASK_LOGIN_DIGEST,   /* APOP, CRAM-MD5: is this the digest? */
    ASK_SCRAM,          /* SCRAM's first half: salt, rounds and a nonce for this name */
    ASK_LOGIN_SCRAM,    /* its second half: is this the proof? */
    ASK_LOGIN_TOKEN,    /* OAUTHBEARER, XOAUTH2: whose token is this? */
    ASK_LOGIN_KEY,      /* EXTERNAL: whose key is this? */
    ASK_OFFERS,         /* which mechanisms credentials call for; answered when that differs from what the asker knows */
    ASK_REFUSED,        /* a gate refused by itself: to be remembered for `ekirei why` (no answer) */
    ASK_MAIL,           /* submission: may this session send as this sender? */
    ASK_RCPT,           /* is there such a recipient, and may this session write to him? */
    ASK_STAGE,          /* lend a descriptor for a body that is too large for a frame */
    ASK_DELIVER,        /* take this message: OK means it is on disk */
    ASK_RESET,          /* the transaction is over without a message: give reservations back */
    ASK_END_SESSION,    /* the session is gone (no answer) */
    ASK_DROP_LIST,      /* POP3: the maildrop, a page at a time */
    ASK_FETCH,          /* bodies, as stored, read ahead */
    ASK_EXPUNGE,        /* POP3 QUIT: remove these */
    /* courier */
    ASK_CLAIM,          /* a message that is due; answered when there is one */
    ASK_QUEUE_BODY,     /* the next stored frames of a claimed message */
    ASK_SETTLE,         /* what became of its recipients */
    ASK_ERRAND,         /* something to fetch over HTTPS for the keeper; answered when there is one */
    ASK_ERRAND_DONE,    /* what came of it (no answer) */
    /* command line */
    ASK_ACCOUNT_ADD, ASK_ACCOUNT_LIST, ASK_ACCOUNT_PASSWORD, ASK_ACCOUNT_SET, ASK_ACCOUNT_REMOVE,
    ASK_DEVICE_ADD, ASK_DEVICE_LIST, ASK_DEVICE_REVOKE,
    ASK_ALIAS_ADD, ASK_ALIAS_LIST, ASK_ALIAS_REMOVE,
    ASK_DOMAIN_ADD, ASK_DOMAIN_LIST, ASK_DOMAIN_REMOVE,
    ASK_LEASE_LIST, ASK_LEASE_REVOKE,
    ASK_QUEUE_LIST, ASK_QUEUE_SHOW, ASK_QUEUE_CHANGE,
    ASK_STATUS, ASK_WHY,
    ASK_CHECK, ASK_REPAIR, ASK_BODIES, ASK_EXPORT, ASK_SNAPSHOT,
    ASK_KINDS
};

/* ---- login -------------------------------------------------------------------------------------------------------- */

enum protocol_kind { PROTOCOL_SMTP = 1, PROTOCOL_POP3 = 2, PROTOCOL_IMAP = 3 };
const char *protocol_name(uint8_t protocol); /* "SMTP", as people write it; "?" for what is none */
/* The numbers are kept in the store, as sets of 1 << mechanism: they never change. */
enum mechanism {
    MECHANISM_PASSWORD = 1, /* USER/PASS, IMAP's LOGIN command */
    MECHANISM_PLAIN, MECHANISM_LOGIN, MECHANISM_APOP, MECHANISM_CRAM_MD5,
    MECHANISM_SCRAM_SHA_1, MECHANISM_SCRAM_SHA_256, MECHANISM_SCRAM_SHA_1_PLUS, MECHANISM_SCRAM_SHA_256_PLUS,
    MECHANISM_OAUTHBEARER, MECHANISM_XOAUTH2, MECHANISM_EXTERNAL,
    MECHANISM_COUNT
};
#define MECHANISMS_ALL ((1u << MECHANISM_COUNT) - 2u)
const char *mechanism_name(enum mechanism mechanism); /* "PASS", "PLAIN", "SCRAM-SHA-256-PLUS"; "none" for no mechanism */

/* Rights of a credential: a set.  A person's password has all but RIGHT_INTERNAL_ONLY, which takes away. */
enum right { RIGHT_SMTP = 1, RIGHT_POP3 = 2, RIGHT_IMAP = 4, RIGHT_LEASE = 8, RIGHT_INTERNAL_ONLY = 16 };
#define RIGHTS_ALL (RIGHT_SMTP | RIGHT_POP3 | RIGHT_IMAP | RIGHT_LEASE)

enum login_verdict {
    LOGIN_OK = 1,
    LOGIN_WRONG,    /* unknown name, wrong secret, disabled, not permitted this way: one text for all (C073) */
    LOGIN_BUSY,     /* the hash pool is full: temporary */
    LOGIN_TOO_SOON, /* POP3 LOGIN-DELAY: told only after the right password (D72) */
};

/* Whence a login comes: the same for every kind. */
struct login_from {
    struct slice session;        /* session id for the log: "u0-1a" */
    struct ip peer, local;
    uint8_t protocol, mechanism;
    uint8_t encrypted;           /* 1: TLS is up, and new enough for anybody's password */
    uint8_t device_only;         /* 1: the legacy lane: people's passwords are not tried */
};

struct ask_login {
    struct slice name, secret;   /* UTF-8; name may be an address, a login name or a local part */
    struct slice authzid;        /* empty, or must name the same account (C086); so in all of these */
    struct login_from from;
};
struct ask_login_digest {
    struct slice name;
    struct slice challenge;      /* as it was sent, with its angle brackets */
    struct slice digest;         /* 16 octets; APOP: MD5 (RFC 1939 7), CRAM-MD5: HMAC-MD5 (RFC 2195 2) */
    struct login_from from;
};

struct ask_scram {
    struct slice name, authzid;
    struct login_from from;
};
/* The same for names that do not exist: nothing here tells (C075). */
struct answer_scram {
    struct slice salt;           /* octets */
    struct slice nonce;          /* the server's part; the keeper remembers it for this session, for one proof (C085) */
    uint32_t rounds;
};
struct ask_login_scram {
    struct slice name, authzid;
    struct slice message;        /* AuthMessage: RFC 5802 3 */
    struct slice proof;          /* 20 or 32 octets */
    struct login_from from;
};

struct ask_login_token {
    struct slice name, token;    /* OAUTHBEARER: name may be empty, then the token says who */
    struct login_from from;
};
struct ask_login_key {
    struct slice authzid;        /* empty: the key says who */
    struct slice key;            /* SHA-256 of the client's public key (SubjectPublicKeyInfo): 32 octets */
    struct login_from from;
};
struct answer_login {
    struct slice address;        /* the account's canonical address, for the log and Received */
    struct slice signature;      /* SCRAM: the server's; else empty */
    uint32_t account;
    uint8_t verdict;             /* enum login_verdict */
    uint8_t lease;               /* 1: a lease was opened or renewed */
};

struct ask_offers {
    uint32_t known;              /* serial of the last answer; 0: none yet, answered at once */
};
struct answer_offers {
    uint32_t serial;             /* never 0 */
    uint32_t mechanisms;         /* set of 1 << enum mechanism that some credential names (proto/sasl.h says what becomes of it) */
};

struct ask_refused {
    struct slice name;           /* what was typed: a login name or an address; empty: none */
    struct slice session;
    struct ip peer;
    uint32_t code;               /* enum refusal (proto/refusal.h) */
    uint8_t protocol;
};

/* ---- sending ------------------------------------------------------------------------------------------------------ */

/* What becomes of a sender or recipient.  Each is a row of proto/smtp/smtp_reply.c. */
enum mail_verdict {
    MAIL_OK = 1,
    MAIL_PROVE_YOURSELF,    /* 530: neither login nor lease */
    MAIL_FOREIGN_SENDER,    /* 553: the envelope sender is not the account's */
    MAIL_FORGED_AUTHOR,     /* 550: From or Sender is not the account's */
    MAIL_NO_SUCH_USER,      /* 550 5.1.1 */
    MAIL_NOT_LOCAL,         /* 550 5.7.1: relaying denied */
    MAIL_DISABLED,          /* 550 5.2.1 */
    MAIL_INTERNAL_ONLY,     /* 550 5.7.1: this device may write to our own domains only */
    MAIL_LEASE_USED_UP,     /* 452 4.7.1 */
    MAIL_TOO_MANY_TARGETS,  /* 550 5.4.6: alias expansion has no end */
    MAIL_DISK_FULL,         /* 452 4.3.1 */
    MAIL_TEMPORARY,         /* 451 4.3.0 */
    MAIL_LEASE_OVER,        /* 530: the lease died between RCPT and the end of data */
    MAIL_NOT_QUALIFIED,     /* 554 5.1.2: a domain elsewhere without a dot (RFC 6409 4.2) */
    MAIL_OTHER_ADDRESS,     /* 530: the mail was checked by the other family of addresses (C104) */
    MAIL_OTHER_HELO,        /* 530: the lease is pinned to another EHLO name */
};

/* How the right to send was proved; goes to the log and into Received. */
enum proof { PROOF_NONE, PROOF_LOGIN, PROOF_LEASE, PROOF_NETWORK };

struct ask_mail {
    struct slice sender;         /* canonical address; empty for <> */
    struct slice helo;
    struct slice session;
    struct ip peer;
    uint8_t encrypted;           /* a lease outside the listed networks works only over TLS (DESIGN 8) */
    uint8_t submission;          /* 1: port 587, 465 or a listed device network */
};
struct answer_mail {
    struct ip other;             /* OTHER_ADDRESS: where the mail was checked from; else all zero */
    uint32_t lease;              /* id of the lease that pays, or 0 */
    uint8_t verdict, proof;
};

struct ask_rcpt {
    struct slice recipient;      /* canonical address; "postmaster" without domain is allowed */
};
struct answer_rcpt {
    uint8_t verdict;
    uint8_t local;               /* 1: an account or alias of ours */
};

/* The answer carries a descriptor: an empty file, to be written from 0 and handed back with ASK_DELIVER. */
struct ask_stage {
    uint64_t announced;          /* SIZE=, or 0: refused where the disk has no room for it */
};
struct answer_stage {
    uint8_t verdict;
};

struct deliver_recipient {
    struct slice address;        /* canonical, as accepted at RCPT */
    struct slice orcpt;          /* decoded, "type;address", or empty */
    uint8_t notify;              /* set of DSN_*; 0: not given */
};
enum { DSN_NEVER = 1, DSN_SUCCESS = 2, DSN_FAILURE = 4, DSN_DELAY = 8 };
enum { BODY_7BIT = 0, BODY_8BIT = 1, BODY_BINARY = 2 };
enum { RET_NONE = 0, RET_FULL = 1, RET_HDRS = 2 };

struct deliver_author {
    struct slice address;
};

struct ask_deliver {
    struct slice sender;             /* canonical; empty for <> */
    struct rows recipients;          /* struct deliver_recipient */
    struct rows authors;             /* struct deliver_author: From and Sender; only for submission */
    struct slice return_path;        /* the Return-Path line, which only final delivery gets */
    struct slice prefix;             /* Received, and Date and Message-ID where they were missing */
    struct slice body;               /* what was received; empty if it travels by descriptor */
    struct slice envid;
    struct slice id;                 /* the transaction's id, as Received shows it */
    uint64_t staged;                 /* octets written to the descriptor; 0: the body travels in the frame */
    uint64_t growth;                 /* octets that POP3 adds for stray CR and LF and a missing final CRLF (mail/dot.h) */
    uint8_t body_type, utf8, ret;
};
struct answer_deliver {
    uint8_t verdict;
};

/* ---- POP3 --------------------------------------------------------------------------------------------------------- */

struct drop_row {
    uint32_t uid;
    uint32_t size;               /* octets as RETR will send them, dots not counted (RFC 1939 11) */
};
struct ask_drop_list {
    uint32_t after;              /* UIDs above this one; 0 for the first page */
    uint32_t until;              /* UIDs up to this one; 0: open, the snapshot begins now */
};
struct answer_drop_list {
    struct rows rows;            /* struct drop_row, UID ascending, at most LIMIT_ROWS */
    uint32_t uidvalidity;
    uint32_t until;              /* highest UID of the snapshot */
    uint8_t more;
};

struct fetch_row {
    struct slice frames;         /* whole zstd frames as stored (mail/pack.h) */
    uint64_t next;               /* offset at which the rest begins; 0: this was the end */
    uint32_t uid;
};
struct ask_fetch {
    uint32_t uid;
    uint32_t until;              /* read ahead: also the messages behind it up to this UID, while the frame has room; 0: none */
    uint64_t at;                 /* stored offset to begin at, as `next` said; 0: the start */
};
struct answer_fetch {
    struct rows rows;            /* struct fetch_row; the first is `uid`; status NOT_FOUND where that is gone */
};

struct uid_range {
    uint32_t first, last;
};
struct ask_expunge {
    struct rows ranges;          /* struct uid_range */
};
struct answer_expunge {
    uint32_t removed;            /* what was gone already does not count, and is no error */
};

/* ---- courier ------------------------------------------------------------------------------------------------------ */

enum queue_state { QUEUE_WAITING = 0, QUEUE_HELD = 1 };
/* What became of a recipient here, before the courier sees it: only a notification is left to write (RFC 3461 5.2.7). */
enum delivered { DELIVERED_NO = 0, DELIVERED_HERE = 1, DELIVERED_EXPANDED = 2 };

struct claim_recipient {
    struct slice address, orcpt, last_reply;
    uint32_t id;                 /* number of the recipient within the message */
    uint32_t attempts;           /* made before this one */
    uint8_t notify;
    uint8_t delivered;           /* enum delivered; in one claim all are DELIVERED_NO, or none is */
};
struct answer_claim {
    struct slice sender, envid;
    struct rows recipients;      /* struct claim_recipient: those that are due, at most 100 */
    uint64_t id;                 /* queue id */
    uint64_t size;               /* plain octets to send, trace fields included */
    wall arrived;
    uint8_t body_type, utf8, ret;
};
struct ask_queue_body {
    uint64_t id;
    uint64_t at;                 /* stored offset; 0: the start */
};
struct answer_queue_body {
    struct slice frames;
    uint64_t next;               /* 0: this was the end */
    uint32_t skip;               /* plain octets to leave out at the start: the Return-Path line, which is for final delivery only */
};

enum settle_outcome { SETTLE_DELIVERED = 1, SETTLE_FAILED, SETTLE_DEFERRED };
struct settle_recipient {
    struct slice reply;          /* of the remote host, or our own words, one line */
    uint32_t id;
    wall next;                   /* DEFERRED: when to try again */
    uint8_t outcome;
};
struct ask_settle {
    uint64_t id;
    struct rows recipients;      /* struct settle_recipient */
    struct slice bounce;         /* a whole message to the sender, stored in the same transaction; empty: none */
};
struct answer_settle {
    uint8_t done;                /* 1: no recipient is left, the message left the queue */
};

enum errand_kind { ERRAND_GET = 1, ERRAND_FORM /* POST of application/x-www-form-urlencoded */ };
struct answer_errand {
    struct slice url;            /* https: only */
    struct slice form;           /* the body of a POST; it may hold a token */
    struct slice user, password; /* HTTP basic authentication; user empty: none */
    uint64_t id;
    uint8_t kind;
};
struct ask_errand_done {
    struct slice body;           /* of the reply */
    struct slice why;            /* words for the log where there was none */
    uint64_t id;
    uint32_t code;               /* HTTP status; 0: no reply came */
};

/* ---- one message of either direction ------------------------------------------------------------------------------ */

struct ask {
    enum ask_kind kind;
    int fd;                      /* a descriptor that goes along, or -1; ask_clear() closes it */
    union {
        struct ask_login login;
        struct ask_login_digest login_digest;
        struct ask_scram scram;
        struct ask_login_scram login_scram;
        struct ask_login_token login_token;
        struct ask_login_key login_key;
        struct ask_offers offers;
        struct ask_refused refused;
        struct ask_mail mail;
        struct ask_rcpt rcpt;
        struct ask_stage stage;
        struct ask_deliver deliver;
        struct ask_drop_list drop_list;
        struct ask_fetch fetch;
        struct ask_expunge expunge;
        struct ask_queue_body queue_body;
        struct ask_settle settle;
        struct ask_errand_done errand_done;
        struct ask_list list;
        struct ask_account_add account_add;
        struct ask_account_password account_password;
        struct ask_account_set account_set;
        struct ask_account account;
        struct ask_device_add device_add;
        struct ask_device_revoke device_revoke;
        struct alias_row alias;
        struct ask_domain domain;
        struct ask_lease_revoke lease_revoke;
        struct ask_queue_list queue_list;
        struct ask_queue_show queue_show;
        struct ask_queue_change queue_change;
        struct ask_why why;
        struct ask_check check;
        struct ask_bodies bodies;
        struct ask_export export;
        struct ask_snapshot snapshot;
    };
};

struct answer {
    enum ask_kind kind;
    enum status status;          /* other than OK: the fields below are not set */
    int fd;                      /* as in ask */
    union {
        struct answer_login login;
        struct answer_scram scram;
        struct answer_offers offers;
        struct answer_mail mail;
        struct answer_rcpt rcpt;
        struct answer_stage stage;
        struct answer_deliver deliver;
        struct answer_drop_list drop_list;
        struct answer_fetch fetch;
        struct answer_expunge expunge;
        struct answer_claim claim;
        struct answer_queue_body queue_body;
        struct answer_settle settle;
        struct answer_errand errand;
        struct answer_account_list account_list;
        struct answer_device_add device_add;
        struct answer_device_list device_list;
        struct answer_alias_list alias_list;
        struct answer_domain_list domain_list;
        struct answer_lease_list lease_list;
        struct answer_count count;
        struct answer_queue_list queue_list;
        struct answer_queue_show queue_show;
        struct answer_status about;
        struct answer_why why;
        struct answer_check check;
        struct answer_repair repair;
        struct answer_bodies bodies;
        struct answer_export export;
        struct answer_snapshot snapshot;
    };
};

struct ask_def {
    const char *name;            /* "login", "drop-list", ... */
    uint8_t from;                /* set of enum role */
    enum ask_when when;
    bool silent;                 /* no answer comes */
    const struct field *ask, *answer;
};
extern const struct ask_def ask_defs[ASK_KINDS];

/* Payload of a frame: kind, session, number, then (answers) status, then the fields.  The channel adds the length (net/channel.h).
 * `number` is the asker's own; the answer brings it back.  `session` is 0 where no session asks. */
struct frame {
    uint64_t session;
    uint32_t number;
    bool is_answer;
    union {
        struct ask ask;
        struct answer answer;
    };
};
MUST_USE enum status frame_put(struct buf *out, const struct frame *frame);
/* fd is left -1: descriptors travel beside the bytes.  Anything not in the form of the tables is MALFORMED. */
MUST_USE enum status frame_get(struct slice in, struct arena *arena, struct frame *out_frame);
MUST_USE enum status ask_print(struct buf *out, const struct ask *ask);        /* "login name=a@b peer=192.0.2.1 ..." */
MUST_USE enum status answer_print(struct buf *out, const struct answer *answer);
