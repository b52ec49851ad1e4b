/* https.h - documents over HTTPS: libcurl on the loop, for the courier.
 *
 * https only, TLS 1.2 at least, the server's certificate and name verified; no redirects, no proxies, no cookies, nothing from the environment.  A
 * name is looked up with dns.h; a reply is at most LIMIT_ERRAND octets, and all of it takes at most LIMIT_ERRAND_WAIT.  Who asks has checked whom he may ask:
 * any address is gone to, loopback too. */
#pragma once

#include "net/dns.h"

struct https;
struct https_wish {
    struct slice url;
    struct slice form;           /* application/x-www-form-urlencoded; for POST */
    struct slice user, password; /* HTTP basic authentication; user empty: none */
    bool post;
};
struct https_reply {
    uint32_t code;               /* 0: none came */
    struct slice body;
    const char *why;             /* then: words for the log */
};

/* Before the jail: it reads the system's certificates. */
struct https *https_open(struct loop *loop, struct dns *dns);
/* Whom to trust from now on: PEM; empty: the system's. */
void https_trust(struct https *https, struct slice certificates);
/* Copies.  Calls `done` once, never before this returns; the reply lives until that returns. */
void https_ask(struct https *https, const struct https_wish *wish,
    void (*done)(void *context, const struct https_reply *reply), void *context);
