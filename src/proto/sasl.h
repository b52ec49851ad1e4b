/* sasl.h - SASL mechanisms as steps: text in, challenge or credentials out (RFC 4422).
 *
 * A small engine inside the others: SMTP and POP3 (later IMAP) carry its base64 lines.  Mechanisms are rows of a table: name, whether they show the
 * secret to a listener, first challenge, step.  A new exchange is a new struct sasl (C080). */
#pragma once

#include "ask/ask.h"
#include "base/secret.h"
#include "base/settings.h"

struct sasl;

enum sasl_outcome {
    SASL_CHALLENGE,   /* send `challenge` (base64 already), wait for a line */
    SASL_READY,       /* `name`, `secret`, `authzid` are complete: ask the keeper */
    SASL_MALFORMED,   /* 501 5.5.2: not base64, wrong fields (C078, C086, C087) */
    SASL_CANCELLED,   /* the client sent "*" */
};

struct sasl_mechanism {
    const char *name;            /* "PLAIN" */
    enum mechanism kind;
    bool shows_secret;           /* needs TLS or a listed network */
    enum sasl_outcome (*step)(struct sasl *sasl, struct slice line);
};

struct sasl {
    const struct sasl_mechanism *mechanism;
    uint8_t stage;
    struct slice challenge;      /* base64; may be empty: "334 " */
    struct slice name, authzid;
    struct secret secret;        /* wiped by sasl_done() */
    struct arena *arena;         /* of_command of the session */
};

const struct sasl_mechanism *sasl_find(struct slice name);      /* NULL: unknown */
const struct sasl_mechanism *sasl_each(size_t index);           /* NULL past the end: the order in which they are announced */
/* `initial`: the initial response, base64 or "=" for empty; NO_SLICE (ptr NULL) where there was none. */
enum sasl_outcome sasl_start(struct sasl *sasl, const struct sasl_mechanism *mechanism, struct slice initial, struct arena *arena);
enum sasl_outcome sasl_step(struct sasl *sasl, struct slice line);
void sasl_done(struct sasl *sasl);

/* May a secret be shown on this connection, and which kind?  The one rule of SMTP and POP3 (and IMAP). */
enum password_lane { LANE_CLOSED, LANE_OPEN, LANE_DEVICES_ONLY };
enum password_lane password_lane(const struct settings *settings, struct ip peer, bool encrypted);
