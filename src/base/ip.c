#include "base/ip.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"

#define V4_BITS 96u /* of the mapped prefix ::ffff:0:0/96 (RFC 4291 2.5.5.2) */

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool ip_is_v4(struct ip ip) { return memcmp(ip.octets, mapped, sizeof mapped) == 0; }

bool ip_equal(struct ip a, struct ip b) { return memcmp(a.octets, b.octets, sizeof a.octets) == 0; }

struct ip ip_prefix(struct ip ip, uint8_t bits)
{
    must(bits <= 128);
    for (unsigned i = 0; i < 16; i++) {
        unsigned kept = bits > i * 8 ? bits - i * 8 : 0;
        if (kept < 8)
            ip.octets[i] = (uint8_t)(ip.octets[i] & (0xff00u >> kept));
    }
    return ip;
}

struct ip ip_place(struct ip ip) { return ip_is_v4(ip) ? ip : ip_prefix(ip, 64); }

struct ip ip_vicinity(struct ip ip) { return ip_prefix(ip, ip_is_v4(ip) ? 120 : 64); }

enum status ip_parse(struct slice text, struct ip *out_ip)
{
    char copy[INET6_ADDRSTRLEN];
    struct ip ip;
    if (text.len == 0 || text.len >= sizeof copy || slice_find(text, '\0') < text.len)
        return STATUS_MALFORMED;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    memcpy(ip.octets, mapped, sizeof mapped);
    /* inet_pton takes four decimal numbers without leading zeros only: no 0x7f.1, no 127.1 (C032). */
    bool fine = slice_find(text, ':') < text.len ? inet_pton(AF_INET6, copy, ip.octets) == 1
                                                 : inet_pton(AF_INET, copy, ip.octets + 12) == 1;
    if (!fine)
        return STATUS_MALFORMED;
    *out_ip = ip;
    return STATUS_OK;
}

/* The first longest run of zero groups, of two at least (RFC 5952 4.2). */
static unsigned find_zeros(const unsigned groups[8], unsigned *out_start)
{
    unsigned best = 0, run = 0;
    for (unsigned i = 0; i < 8; i++) {
        run = groups[i] == 0 ? run + 1 : 0;
        if (run > best) {
            best = run;
            *out_start = i + 1 - run;
        }
    }
    return best >= 2 ? best : 0;
}

size_t ip_text(struct ip ip, char out[IP_TEXT])
{
    const uint8_t *o = ip.octets;
    unsigned groups[8], start = 8, len = 0;
    if (ip_is_v4(ip))
        return (size_t)snprintf(out, IP_TEXT, "%u.%u.%u.%u", o[12], o[13], o[14], o[15]);
    for (unsigned i = 0; i < 8; i++)
        groups[i] = (unsigned)o[2 * i] << 8 | o[2 * i + 1];
    unsigned zeros = find_zeros(groups, &start);
    for (unsigned i = 0; i < 8; i++) {
        if (zeros > 0 && i == start) {
            len += (unsigned)snprintf(out + len, IP_TEXT - len, "::");
            i += zeros - 1;
        } else {
            const char *colon = i == 0 || (zeros > 0 && i == start + zeros) ? "" : ":";
            len += (unsigned)snprintf(out + len, IP_TEXT - len, "%s%x", colon, groups[i]);
        }
    }
    must(len < IP_TEXT);
    return len;
}

enum status ip_print(struct buf *out, struct ip ip)
{
    char text[IP_TEXT];
    size_t len = ip_text(ip, text);
    return buf_put(out, (struct slice){ text, len });
}

enum status network_parse(struct slice text, struct network *out_network)
{
    size_t slash = slice_find(text, '/');
    struct slice address = slice_upto(text, slash);
    uint64_t offset = slice_find(address, ':') < address.len ? 0 : V4_BITS, bits = 128 - offset;
    struct network network;
    TRY(ip_parse(address, &network.base));
    if (slash < text.len && slice_number(slice_from(text, slash + 1), bits, &bits) != STATUS_OK)
        return STATUS_MALFORMED;
    network.bits = (uint8_t)(bits + offset);
    /* 192.0.2.1/24 is more often a slip than a wish: say so instead of widening it. */
    if (!ip_equal(network.base, ip_prefix(network.base, network.bits)))
        return STATUS_MALFORMED;
    *out_network = network;
    return STATUS_OK;
}

enum status network_print(struct buf *out, struct network network)
{
    bool v4 = ip_is_v4(network.base) && network.bits >= V4_BITS;
    size_t before = out->len;
    enum status status = ip_print(out, network.base);
    if (status == STATUS_OK)
        status = buf_print(out, "/%u", v4 ? network.bits - V4_BITS : network.bits);
    if (status != STATUS_OK)
        out->len = before;
    return status;
}

bool network_has(struct network network, struct ip ip)
{
    return ip_equal(ip_prefix(ip, network.bits), network.base);
}

bool networks_have(struct networks list, struct ip ip)
{
    for (size_t i = 0; i < list.count; i++)
        if (network_has(list.rows[i], ip))
            return true;
    return false;
}
