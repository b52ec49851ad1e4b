/* ip.h - one form for all addresses: sixteen octets, IPv4 as ::ffff:a.b.c.d (C104).
 *
 * So a dual-stack socket's "::ffff:192.0.2.1" and a plain "192.0.2.1" are the same address to every lease,
 * limit and network list. */
#pragma once

#include "base/buf.h"

struct ip {
    uint8_t octets[16];
};

struct network {
    struct ip base;
    uint8_t bits; /* 0 to 128, counted in the sixteen-octet form: 192.0.2.0/24 has 120 */
};

/* A list of networks; `rows` belongs to the settings (or to the test) that made it. */
struct networks {
    const struct network *rows;
    size_t count;
};

bool ip_is_v4(struct ip ip);
bool ip_equal(struct ip a, struct ip b);
struct ip ip_prefix(struct ip ip, uint8_t bits);                 /* the octets behind `bits` cleared */
/* What counts as one place: an IPv4 address, or the /64 of an IPv6 one, which is what a household or an office has. */
struct ip ip_place(struct ip ip);
/* What is around it, and within which people's addresses change: IPv4 /24, IPv6 /64. */
struct ip ip_vicinity(struct ip ip);
MUST_USE enum status ip_parse(struct slice text, struct ip *out_ip);       /* no brackets, no zone */
/* "192.0.2.1" or "2001:db8::1" (RFC 5952): at most 45 octets. */
MUST_USE enum status ip_print(struct buf *out, struct ip ip);
#define IP_TEXT 46
size_t ip_text(struct ip ip, char out[IP_TEXT]);                 /* the same for the stack; returns the length */
/* "192.0.2.0/24", "2001:db8::/32", or a bare address; bits beyond the prefix must be zero. */
MUST_USE enum status network_parse(struct slice text, struct network *out_network);
MUST_USE enum status network_print(struct buf *out, struct network network);
bool network_has(struct network network, struct ip ip);
bool networks_have(struct networks list, struct ip ip);
