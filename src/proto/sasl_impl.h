/* sasl_impl.h - what the files of the SASL engine share. */
#pragma once

#include "proto/sasl.h"

enum sasl_needs {
    NEEDS_SECRECY,  /* TLS, or a listed network */
    NEEDS_BINDING,  /* TLS with a channel binding */
    NEEDS_KEY,      /* TLS in which the client proved a key, and auth.client_certificates */
    NEEDS_OAUTH,    /* TLS, and somebody to ask about tokens */
    NEEDS_STAMP,    /* APOP: also in clear where auth.apop_without_tls says so */
};

struct sasl_mechanism {
    enum mechanism kind;
    enum sasl_needs needs;
    uint8_t protocols;           /* set of 1 << enum protocol_kind */
    uint32_t listed_for;         /* set of 1 << enum mechanism in scene.offers for which it is announced; 0: always */
    uint8_t hash;                /* SCRAM: octets of the hash */
    bool binds;                  /* SCRAM: a -PLUS */
    enum mechanism plus;         /* SCRAM: the same with channel binding */
    /* NULL: the client speaks first.  Else: the server's first challenge. */
    enum sasl_outcome (*greet)(struct sasl *sasl);
    bool takes_initial;          /* all the same, an initial response is taken */
    enum sasl_outcome (*step)(struct sasl *sasl, struct slice message); /* NULL: a command of its own, not for AUTH */
    /* The keeper's word about the login; NULL: that is the end. */
    enum sasl_outcome (*settle)(struct sasl *sasl, const struct answer_login *answer);
};



/* Stages that are the same for all; a mechanism's own begin at 0. */
enum { STAGE_BOUND = 254 /* only an empty response is left */, STAGE_FAILED = 255 /* whatever comes is the end: RFC 7628 3.2.3 */ };

bool sasl_keep(struct sasl *sasl, struct slice from, struct slice *out_copy); /* false: the arena is full */
bool sasl_keep_name(struct sasl *sasl, struct slice name);
bool sasl_keep_authzid(struct sasl *sasl, struct slice authzid);             /* empty: fine */
/* "=2C" and "=3D" (RFC 5801 4) off; false also where what comes out is no name. */
bool sasl_keep_saslname(struct sasl *sasl, struct slice from, struct slice *out_name);
enum sasl_outcome sasl_challenge(struct sasl *sasl, struct slice plain);     /* MALFORMED where there is no room */
enum sasl_outcome sasl_ask(struct sasl *sasl, enum ask_kind kind);
enum sasl_outcome sasl_fail(struct sasl *sasl, const char *why);             /* LOGIN_WRONG without the keeper */
enum sasl_outcome sasl_busy(struct sasl *sasl);                              /* the keeper's answer makes no sense */

enum sasl_outcome sasl_step_plain(struct sasl *sasl, struct slice message);
enum sasl_outcome sasl_greet_login(struct sasl *sasl);
enum sasl_outcome sasl_step_login(struct sasl *sasl, struct slice message);
enum sasl_outcome sasl_greet_cram(struct sasl *sasl);
enum sasl_outcome sasl_step_cram(struct sasl *sasl, struct slice message);
enum sasl_outcome sasl_step_scram(struct sasl *sasl, struct slice message);
enum sasl_outcome sasl_answer_scram(struct sasl *sasl, const struct answer_scram *answer);
enum sasl_outcome sasl_settle_scram(struct sasl *sasl, const struct answer_login *answer);
enum sasl_outcome sasl_step_oauthbearer(struct sasl *sasl, struct slice message);
enum sasl_outcome sasl_step_xoauth2(struct sasl *sasl, struct slice message);
enum sasl_outcome sasl_settle_token(struct sasl *sasl, const struct answer_login *answer);
enum sasl_outcome sasl_step_external(struct sasl *sasl, struct slice message);

/* "n,", "y," or "p=name,", then "a=name," or "," (RFC 5801 4), cut off *rest. */
struct gs2 {
    struct slice whole;      /* with its last comma */
    char flag;               /* 'n', 'y', 'p' */
    struct slice binding;    /* after "p=" */
    struct slice authzid;    /* still quoted; empty: none */
};
bool sasl_take_gs2(struct slice *rest, struct gs2 *out_gs2);
