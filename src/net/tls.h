/* tls.h - TLS as a pipe: cipher octets in, plain octets out, and the other way round.  OpenSSL stays in tls.c.
 *
 * One function builds every context (min version, ALPN, SNI, tickets, no renegotiation, no compression), so a context chosen by SNI never lacks what the
 * default has.  Names are looked up in a fixed table, nothing is cached on a miss (C063); one trailing dot is dropped, case is folded (C064); unknown names get
 * the default certificate.  ALPN present without a protocol of ours ends the handshake (C062). */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"

struct tls_context;
struct tls;

/* Certificate chain; PEM text, because a gate cannot open files.  Its key is with the signer (tls_key.h). */
struct tls_pair {
    struct slice certificate;
};
#define TLS_TICKET_KEY 80u /* octets: name, MAC key and cipher key, as SSL_CTX_set_tlsext_ticket_keys() takes them */
struct tls_plan {
    const struct tls_pair *pairs; /* the first is the default; below TLS 1.2 the first with an RSA key, if any has one */
    size_t pair_count;
    uint32_t min_version;         /* 0x0301 to 0x0304; below 0x0303 old ciphers and signatures come along */
    bool asks_for_key;            /* clients are asked for a certificate.  Any is good, and none: it is only a key (C067) */
    struct slice ticket_key;      /* 80 octets, shared by the workers of a pool */
    struct slice ticket_scope;    /* "mx", "submission", "pop3": a ticket of one service is no good for another (C066), nor where certificates or asks_for_key differ */
    struct slice alpn;            /* protocols in wire form: "\x04pop3"; empty: any is accepted and none is named */
};
MUST_USE enum status tls_context_open(const struct tls_plan *plan, struct tls_context **out_context, struct buf *why);
struct tls_context *tls_context_hold(struct tls_context *context);
void tls_context_release(struct tls_context *context);    /* sessions keep it alive */
/* For connecting out: no verification (opportunistic), until the courier's own issue brings policies. */
MUST_USE enum status tls_context_open_client(struct tls_context **out_context);

struct tls_view { struct slice version, cipher, sni, alpn; bool resumed; };

/* Channel bindings of a server's connection that is ready; those without octets it does not have (proto/session.h). */
#define TLS_BINDING_OCTETS 64u
struct tls_binding {
    uint8_t len;
    char octets[TLS_BINDING_OCTETS];
};
struct tls_bindings {
    bool has_exporter;           /* tls-exporter (RFC 9266): TLS 1.3, or 1.2 with the extended master secret; tls_exporter() makes it */
    struct tls_binding unique;   /* tls-unique (RFC 5929 3): TLS 1.2 with the extended master secret */
    struct tls_binding end_point; /* tls-server-end-point (RFC 5929 4) */
    struct tls_binding peer_key; /* SHA-256 of the public key that the client proved to hold */
    bool outdated;               /* older than TLS 1.2 */
};

struct tls *tls_open(struct tls_context *context);
struct tls *tls_open_client(struct tls_context *context, struct slice server_name);
/* Feeds cipher octets (none: a client says its first word); appends plain octets to `plain` and what must go on the wire to `wire`.  MALFORMED: the session is broken, `wire` may hold an alert. */
MUST_USE enum status tls_feed(struct tls *tls, struct slice cipher, struct buf *plain, struct buf *wire);
MUST_USE enum status tls_write(struct tls *tls, struct slice plain, struct buf *wire); /* only once ready */
void tls_shutdown(struct tls *tls, struct buf *wire);     /* close_notify */
bool tls_is_ready(const struct tls *tls);                 /* the handshake is done */
bool tls_is_ended(const struct tls *tls);                 /* close_notify came (C068) */
struct tls_view tls_view(const struct tls *tls);
struct tls_bindings tls_bindings(const struct tls *tls);
struct slice tls_exporter(struct tls *tls);               /* made at the first call, there until tls_close(); empty where there is none */
const char *tls_problem(const struct tls *tls);           /* words for the log */
void tls_close(struct tls *tls);
