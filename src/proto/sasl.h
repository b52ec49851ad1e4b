/* sasl.h - SASL mechanisms as steps (RFC 4422): lines in, challenges and asks out.
 *
 * A small engine inside the others: SMTP and POP3 (later IMAP) carry its base64 lines and its asks, and have nothing of their own but
 * the texts of their replies.  Mechanisms are rows of a table: what they need, when they are announced, their step.  A new exchange
 * is a new struct sasl (C080).  The keeper holds every key and decides; here is only the form of things, and the channel binding. */
#pragma once

#include "base/secret.h"
#include "proto/session.h"

/* ---- where we are: what decides which mechanisms may be used --------------------------------------------------------- */

struct sasl_scene {
    const struct settings *settings;
    enum service service;
    struct ip peer, local;
    struct slice session;            /* its id, for the keeper's log */
    enum protocol_kind protocol;
    const struct tls_facts *tls;     /* NULL: no TLS */
    uint32_t offers;                 /* as in session_env */
    struct random_stream *random;    /* for challenges */
    wall now;
};
/* Borrows from the session. */
struct sasl_scene sasl_scene(struct session *s, enum protocol_kind protocol);

/* May a secret be shown on this connection, and which kind?  The one rule of SMTP and POP3 (and IMAP).  TLS 1.0 and 1.1 are as good
 * as none (RFC 8996).  On the legacy ports no TLS is good enough: they are for devices. */
enum password_lane { LANE_CLOSED, LANE_OPEN, LANE_DEVICES_ONLY };
enum password_lane password_lane(const struct settings *settings, enum service service, struct ip peer, const struct tls_facts *tls);

/* ---- the table ------------------------------------------------------------------------------------------------------ */

struct sasl_mechanism;
enum sasl_standing {
    SASL_REFUSED,     /* not usable here: no binding, no key, no settings for it, another protocol's */
    SASL_NEEDS_TLS,   /* refused for this reason alone */
    SASL_ACCEPTED,    /* taken from who insists, not announced: it could not work with a person's password */
    SASL_OFFERED,     /* announced */
};
/* The offer rule: a pure function of the scene. */
enum sasl_standing sasl_stand(const struct sasl_mechanism *mechanism, const struct sasl_scene *scene);

enum mechanism sasl_kind(const struct sasl_mechanism *mechanism);
const struct sasl_mechanism *sasl_find(struct slice name);      /* one that AUTH may name; NULL: unknown */
const struct sasl_mechanism *sasl_row(enum mechanism kind);     /* also USER/PASS and APOP; never NULL */
/* The next one that is offered, in the order of announcement; *index begins at 0.  NULL: no more. */
const struct sasl_mechanism *sasl_next(const struct sasl_scene *scene, size_t *index);

/* ---- an exchange ---------------------------------------------------------------------------------------------------- */

enum sasl_outcome {
    SASL_CHALLENGE,   /* send `challenge` (base64 already), then sasl_step() with the line that comes */
    SASL_ASK,         /* session_ask(s, asks), sasl_fill(), then sasl_answer() */
    SASL_DONE,        /* `verdict` says how it ended */
    SASL_TOO_EARLY,   /* an initial response where the server speaks first: 501 5.7.0 */
    SASL_MALFORMED,   /* 501 5.5.2: not base64, wrong fields (C078, C086, C087) */
    SASL_CANCELLED,   /* the client sent "*" */
};

struct sasl {
    const struct sasl_mechanism *mechanism;
    struct sasl_scene scene;
    struct arena *arena;         /* of_command of the session: all slices below are in it */
    uint8_t stage;
    struct slice challenge;      /* base64; may be empty: "334 " */
    enum ask_kind asks;
    struct slice name, authzid;  /* as the client gave them, checked for their form only */
    struct secret secret;        /* password, digest or proof; wiped by sasl_done() */
    struct slice token;          /* wiped by sasl_done() */
    struct slice stamp;          /* the challenge of APOP and CRAM-MD5 */
    struct { struct slice header, bound, bare, first, nonce, message; } scram; /* RFC 5802 3; bound: what c= must be */
    /* how it ended */
    enum login_verdict verdict;
    enum status status;          /* of the keeper's answer; other than OK: verdict is LOGIN_BUSY */
    const char *why;             /* for the log: RFC 5802 7's word, or NULL */
    struct slice address;        /* LOGIN_OK: never empty */
    bool lease;
    bool is_bound;               /* the keeper took this session for logged in: unless it ends in LOGIN_OK, close it */
};

/* `initial`: the initial response, base64 or "=" for empty; NO_SLICE (ptr NULL) where there was none. */
enum sasl_outcome sasl_start(struct sasl *sasl, const struct sasl_mechanism *mechanism, const struct sasl_scene *scene,
    struct slice initial, struct arena *arena);
enum sasl_outcome sasl_step(struct sasl *sasl, struct slice line);
/* POP3's commands, as exchanges that are at their ask at once. */
enum sasl_outcome sasl_password(struct sasl *sasl, const struct sasl_scene *scene, struct slice name, struct slice secret,
    struct arena *arena);
enum sasl_outcome sasl_apop(struct sasl *sasl, const struct sasl_scene *scene, struct slice name, struct slice stamp,
    struct slice hex, struct arena *arena);
/* Into the zeroed ask of kind `asks`; borrows from the exchange. */
void sasl_fill(const struct sasl *sasl, struct ask *ask);
enum sasl_outcome sasl_answer(struct sasl *sasl, const struct answer *answer);
void sasl_done(struct sasl *sasl);

bool sasl_is_name(struct slice s); /* not empty, valid UTF-8 (C087), no control octets, not long */
/* The name in an AUTH that is refused for want of TLS, so that its owner can be told; the password beside it is neither looked at nor
 * kept.  NO_SLICE: none. */
struct slice sasl_typed_name(struct slice mechanism, struct slice initial, struct arena *arena);
/* "<...>" in the form of a msg-id (RFC 1939 7, RFC 2195 2), never given twice: the session's number is unique while the server runs, the
 * time tells runs apart, and what stands between comes from the session's random seed, so that nobody foresees it (C085). */
MUST_USE enum status sasl_stamp(const struct sasl_scene *scene, struct arena *arena, struct slice *out_stamp);
