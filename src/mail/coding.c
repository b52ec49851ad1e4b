#include "mail/coding.h"

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char lower_digits[] = "0123456789abcdef";
static const char upper_digits[] = "0123456789ABCDEF";

static uint32_t octet_at(struct slice s, size_t at) { return at < s.len ? (unsigned char)s.ptr[at] : 0; }

enum status base64_encode(struct buf *out, struct slice in)
{
    char *room;
    if (in.len > out->max) /* keeps the sum below in range */
        return STATUS_TOO_BIG;
    size_t len = (in.len + 2) / 3 * 4;
    TRY(buf_reserve(out, len, &room));
    for (size_t at = 0; at < in.len; at += 3, room += 4) {
        uint32_t bits = octet_at(in, at) << 16 | octet_at(in, at + 1) << 8 | octet_at(in, at + 2);
        room[0] = base64_digits[bits >> 18];
        room[1] = base64_digits[bits >> 12 & 63];
        room[2] = at + 1 < in.len ? base64_digits[bits >> 6 & 63] : '=';
        room[3] = at + 2 < in.len ? base64_digits[bits & 63] : '=';
    }
    buf_grown(out, len);
    return STATUS_OK;
}

/* Value of a base64 digit, or 64. */
static uint32_t base64_value(char octet)
{
    if (octet >= 'A' && octet <= 'Z')
        return (uint32_t)(octet - 'A');
    if (octet >= 'a' && octet <= 'z')
        return (uint32_t)(octet - 'a') + 26;
    if (octet >= '0' && octet <= '9')
        return (uint32_t)(octet - '0') + 52;
    return octet == '+' ? 62 : octet == '/' ? 63 : 64;
}

enum status base64_decode(struct buf *out, struct slice in)
{
    char *room;
    size_t padding = 0;
    if (in.len % 4 != 0)
        return STATUS_MALFORMED;
    while (padding < 2 && padding < in.len && in.ptr[in.len - 1 - padding] == '=')
        padding++;
    size_t len = in.len / 4 * 3 - padding;
    TRY(buf_reserve(out, len, &room));
    for (size_t at = 0, done = 0; at < in.len; at += 4) {
        uint32_t bits = 0;
        for (size_t i = at; i < at + 4; i++) {
            uint32_t value = i < in.len - padding ? base64_value(in.ptr[i]) : 0;
            if (value > 63)
                return STATUS_MALFORMED;
            bits = bits << 6 | value;
        }
        for (uint32_t shift = 16; done < len && shift <= 16; shift -= 8)
            room[done++] = (char)(bits >> shift & 0xff);
        /* The bits that padding leaves over are zero in the one canonical form (RFC 4648 3.5). */
        if (at + 4 == in.len && padding > 0 && (bits & (padding == 1 ? 0xffu : 0xffffu)) != 0)
            return STATUS_MALFORMED;
    }
    buf_grown(out, len);
    return STATUS_OK;
}

enum status base64url_decode(struct buf *out, struct slice in)
{
    if (in.len / 4 > out->max) /* keeps the sum below in range */
        return STATUS_TOO_BIG;
    struct buf same = BUF(in.len + 3);
    char *room;
    TRY(buf_reserve(&same, in.len + 3, &room));
    size_t len = 0;
    bool foreign = in.len % 4 == 1;
    for (; len < in.len; len++) {
        char octet = in.ptr[len];
        foreign = foreign || octet == '+' || octet == '/' || octet == '=';
        room[len] = octet == '-' ? '+' : octet == '_' ? '/' : octet;
    }
    while (len % 4 != 0)
        room[len++] = '=';
    enum status status = foreign ? STATUS_MALFORMED : base64_decode(out, (struct slice){ room, len });
    buf_done(&same);
    return status;
}

enum status hex_encode(struct buf *out, struct slice in)
{
    char *room;
    if (in.len > out->max)
        return STATUS_TOO_BIG;
    TRY(buf_reserve(out, in.len * 2, &room));
    for (size_t i = 0; i < in.len; i++) {
        room[2 * i] = lower_digits[octet_at(in, i) >> 4];
        room[2 * i + 1] = lower_digits[octet_at(in, i) & 15];
    }
    buf_grown(out, in.len * 2);
    return STATUS_OK;
}

/* Value of an upper case hex digit, or 16. */
static unsigned hex_value(char octet)
{
    if (octet >= '0' && octet <= '9')
        return (unsigned)(octet - '0');
    return octet >= 'A' && octet <= 'F' ? (unsigned)(octet - 'A') + 10 : 16;
}

enum status hex_decode(struct buf *out, struct slice in)
{
    char *room;
    if (in.len % 2 != 0)
        return STATUS_MALFORMED;
    TRY(buf_reserve(out, in.len / 2, &room));
    for (size_t i = 0; i < in.len; i += 2) {
        char first = in.ptr[i], second = in.ptr[i + 1];
        unsigned high = hex_value(first >= 'a' && first <= 'f' ? (char)(first - 32) : first);
        unsigned low = hex_value(second >= 'a' && second <= 'f' ? (char)(second - 32) : second);
        if (high > 15 || low > 15)
            return STATUS_MALFORMED;
        room[i / 2] = (char)(high << 4 | low);
    }
    buf_grown(out, in.len / 2);
    return STATUS_OK;
}

/* xchar of RFC 3461 4. */
static bool is_xchar(char octet) { return octet >= '!' && octet <= '~' && octet != '+' && octet != '='; }

enum status xtext_encode(struct buf *out, struct slice in)
{
    char *room;
    if (in.len > out->max)
        return STATUS_TOO_BIG;
    size_t len = in.len;
    for (size_t i = 0; i < in.len; i++)
        len += is_xchar(in.ptr[i]) ? 0 : 2;
    TRY(buf_reserve(out, len, &room));
    for (size_t i = 0; i < in.len; i++) {
        if (is_xchar(in.ptr[i])) {
            *room++ = in.ptr[i];
            continue;
        }
        *room++ = '+';
        *room++ = upper_digits[octet_at(in, i) >> 4];
        *room++ = upper_digits[octet_at(in, i) & 15];
    }
    buf_grown(out, len);
    return STATUS_OK;
}

/* Takes one xchar or hexchar off *rest.  False where there is none, or none for a printable octet: a CR LF that came in
 * this way would come out as a line of a bounce (C033). */
static bool take_xtext(struct slice *rest, char *out_octet)
{
    char octet = rest->ptr[0];
    size_t len = 1;
    if (octet == '+') {
        unsigned high = rest->len < 3 ? 16 : hex_value(rest->ptr[1]), low = rest->len < 3 ? 16 : hex_value(rest->ptr[2]);
        if (high > 15 || low > 15)
            return false;
        octet = (char)(high << 4 | low);
        len = 3;
    } else if (!is_xchar(octet)) {
        return false;
    }
    *rest = slice_from(*rest, len);
    *out_octet = octet;
    return octet >= ' ' && octet <= '~';
}

enum status xtext_decode(struct buf *out, struct slice in)
{
    char *room, octet;
    size_t len = 0;
    for (struct slice rest = in; rest.len > 0; len++)
        if (!take_xtext(&rest, &octet))
            return STATUS_MALFORMED;
    TRY(buf_reserve(out, len, &room));
    for (; in.len > 0; room++)
        if (!take_xtext(&in, room))
            return STATUS_MALFORMED;
    buf_grown(out, len);
    return STATUS_OK;
}
