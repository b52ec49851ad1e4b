/* session.h - one shape for every protocol engine.
 *
 * A session eats bytes and answers and gives out wishes.  It owns no socket, no clock, no randomness and no thread: the same calls always
 * give the same wishes, however the bytes were cut on the wire.  Wishes come in order; SEND comes before ASK.
 *
 * The driver's loop:  feed -> while (next) carry the wish out -> feed again.  While an ASK or TLS wish is open, feed eats nothing: that is
 * the back-pressure, there is no other. */
#pragma once

#include "ask/ask.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/settings.h"

enum wish_kind {
    WISH_SEND,  /* put .bytes on the wire */
    WISH_ASK,   /* put .ask to another process; reply with session_answer(), unless the ask is silent */
    WISH_BODY,  /* append .bytes to the body that is arriving; the driver keeps it until the next ASK_DELIVER or ASK_RESET took it */
    WISH_TLS,   /* send what is due, drop what was received in plain text, begin TLS; then session_secured() */
    WISH_CLOSE, /* flush, then hang up; no wish follows */
    WISH_NOTE,  /* .note: something for the log; the driver adds session id and peer */
};

/* Engines never log: they say what happened, and the driver writes the line. */
struct note {
    const char *event;               /* "smtp.refused" */
    bool warning;
    struct { const char *key; struct slice value; } fields[6]; /* key NULL ends */
};

struct wish {                        /* valid until the next call on this session */
    enum wish_kind kind;
    union {
        struct slice bytes;
        const struct ask *ask;
        const struct note *note;
    };
};

struct tls_facts {
    struct slice version, cipher;    /* "TLSv1.3", "TLS_AES_256_GCM_SHA384" */
    struct slice sni, alpn;          /* may be empty */
    bool resumed;
    bool outdated;                   /* TLS 1.0 or 1.1 (RFC 8996): as good as none for a person's password */
    /* Channel bindings; empty where this connection has none that is safe.  Octets. */
    struct slice exporter;           /* tls-exporter: RFC 9266 */
    struct slice (*export)(void *context); /* makes it where it is wanted, since it is dear and seldom is; NULL: what stands above */
    void *context;                   /* lives as long as the session, as what export() returns does */
    struct slice unique;             /* tls-unique: RFC 5929 3, only TLS 1.2 with the extended master secret (RFC 7627) */
    struct slice end_point;          /* tls-server-end-point: RFC 5929 4 */
    struct slice peer_key;           /* SHA-256 of the public key that the client proved to hold; empty: none */
};

/* What a listener is for. */
enum service {
    SERVICE_MX = 1, SERVICE_SUBMISSION, SERVICE_SUBMISSIONS, SERVICE_POP3, SERVICE_POP3S,
    /* The same for devices in legacy.networks alone, with whatever TLS they have. */
    SERVICE_LEGACY_SUBMISSION, SERVICE_LEGACY_SUBMISSIONS, SERVICE_LEGACY_POP3, SERVICE_LEGACY_POP3S,
    SERVICES
};
/* True for those of the last line. */
bool service_is_legacy(enum service service);

struct session_env {                 /* all that a session will ever know of the world */
    struct settings *settings;       /* the session holds on to it until it is closed */
    struct ip peer, local;
    uint16_t peer_port;
    enum service service;
    uint64_t id;                     /* unique while the server runs; the upper 16 bits are the worker's number */
    uint64_t seed[2];                /* its only randomness: 128 bits, for what nobody may foresee (C085) */
    uint32_t offers;                 /* set of 1 << enum mechanism that credentials name (answer_offers) */
    wall started;                    /* wall time at `now`; later wall times are started + (now - opened) */
    bool early;                      /* the peer's first octets were there before it was let in: it does not wait for a greeting */
    bool crowded;                    /* the per-address or total limit is reached: say 421 / -ERR and close */
};

struct session;
struct protocol;

/* `tls`: facts where TLS is up from the first octet, else NULL.  Never NULL. */
struct session *session_open(const struct protocol *protocol, const struct session_env *env, const struct tls_facts *tls, msec now);
/* Eats a prefix of the wire and says how long it was.  The driver calls it again, possibly with nothing new, whenever
 * wishes were drained: so a long listing goes on where it stopped for a slow reader. */
size_t session_feed(struct session *s, struct slice wire, msec now);
void session_answer(struct session *s, const struct answer *answer, msec now);
void session_secured(struct session *s, const struct tls_facts *facts, msec now);
void session_tick(struct session *s, msec now);    /* the deadline has passed */
void session_hangup(struct session *s, msec now);  /* the peer is gone: only silent asks may follow */
void session_stop(struct session *s, msec now);    /* the server stops: 421 as soon as no command is under way */
bool session_next(struct session *s, struct wish *out_wish);
msec session_deadline(const struct session *s);    /* when session_tick() is due */
bool session_is_waiting(const struct session *s);  /* an ASK or TLS wish is open */
bool session_is_closed(const struct session *s);   /* WISH_CLOSE was given out */
void session_close(struct session *s);
struct slice session_name(const struct session *s); /* "u0-1a": for logs, asks and Received */

/* Protocols of this house: proto/smtp/smtp.h, proto/pop3/pop3.h */
extern const struct protocol smtp_protocol, pop3_protocol;
