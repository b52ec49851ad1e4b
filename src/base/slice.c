#include "base/slice.h"

#include <string.h>

#include "base/must.h"

struct slice slice_of(const char *text)
{
    return text ? (struct slice){ text, strlen(text) } : NO_SLICE;
}

struct slice slice_from(struct slice s, size_t at)
{
    if (at > s.len)
        at = s.len;
    /* NULL + 0 is undefined in C, and NO_SLICE is an ordinary guest here. */
    return at == 0 ? s : (struct slice){ s.ptr + at, s.len - at };
}

struct slice slice_upto(struct slice s, size_t len)
{
    return (struct slice){ s.ptr, len < s.len ? len : s.len };
}

bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    return a.len == b.len && slice_starts_nocase(a, b);
}

int slice_compare(struct slice a, struct slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.ptr, b.ptr, common) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_equal(slice_upto(s, prefix.len), prefix);
}

bool slice_starts_nocase(struct slice s, struct slice prefix)
{
    if (s.len < prefix.len)
        return false;
    for (size_t i = 0; i < prefix.len; i++)
        if (octet_lower(s.ptr[i]) != octet_lower(prefix.ptr[i]))
            return false;
    return true;
}

bool slice_ends_nocase(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len && slice_starts_nocase(slice_from(s, s.len - suffix.len), suffix);
}

size_t slice_find(struct slice s, char octet)
{
    const char *hit = s.len > 0 ? memchr(s.ptr, octet, s.len) : NULL;
    return hit ? (size_t)(hit - s.ptr) : s.len;
}

size_t slice_find_last(struct slice s, char octet)
{
    const char *hit = s.len > 0 ? memrchr(s.ptr, octet, s.len) : NULL;
    return hit ? (size_t)(hit - s.ptr) : s.len;
}

bool slice_has(struct slice s, struct slice needle)
{
    return needle.len == 0 || (s.len > 0 && memmem(s.ptr, s.len, needle.ptr, needle.len) != NULL);
}

static bool is_blank(char octet) { return octet == ' ' || octet == '\t'; }

struct slice slice_trim(struct slice s)
{
    size_t start = 0, end = s.len;
    while (start < end && is_blank(s.ptr[start]))
        start++;
    while (end > start && is_blank(s.ptr[end - 1]))
        end--;
    return slice_from(slice_upto(s, end), start);
}

bool slice_cut(struct slice *rest, char separator, struct slice *out_piece)
{
    if (rest->len == 0)
        return false;
    size_t end = slice_find(*rest, separator);
    *out_piece = slice_upto(*rest, end);
    *rest = slice_from(*rest, end + 1);
    return true;
}

bool slice_word(struct slice *rest, struct slice *out_word)
{
    size_t start = 0;
    while (start < rest->len && rest->ptr[start] == ' ')
        start++;
    *rest = slice_from(*rest, start);
    if (rest->len == 0)
        return false;
    size_t end = slice_find(*rest, ' ');
    *out_word = slice_upto(*rest, end);
    *rest = slice_from(*rest, end);
    return true;
}

enum status slice_number(struct slice s, uint64_t max, uint64_t *out_number)
{
    uint64_t number = 0;
    bool too_big = false;
    if (s.len == 0)
        return STATUS_MALFORMED;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return STATUS_MALFORMED;
        /* Reading goes on after an overflow: "99999999999999999999x" is malformed, not big. */
        too_big = too_big || __builtin_mul_overflow(number, UINT64_C(10), &number) ||
                  __builtin_add_overflow(number, (uint64_t)(s.ptr[i] - '0'), &number);
    }
    if (too_big || number > max)
        return STATUS_TOO_BIG;
    *out_number = number;
    return STATUS_OK;
}

bool slice_equal_secret(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    /* volatile keeps the compiler from leaving the loop early. */
    volatile unsigned char difference = 0;
    for (size_t i = 0; i < a.len; i++)
        difference = (unsigned char)(difference | (unsigned char)(a.ptr[i] ^ b.ptr[i]));
    return difference == 0;
}

/* Octets of the UTF-8 sequence at `at`, or 0: RFC 3629 4, which leaves out overlong forms, surrogates and all above
 * U+10FFFF by narrowing the second octet. */
static size_t utf8_sequence(const unsigned char *at, size_t left)
{
    unsigned char first = at[0], low = 0x80, high = 0xbf;
    size_t len = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (len < 2 || len > left)
        return len > left ? 0 : len;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool slice_is_utf8(struct slice s)
{
    const unsigned char *octets = (const unsigned char *)s.ptr;
    for (size_t at = 0; at < s.len;) {
        size_t len = utf8_sequence(octets + at, s.len - at);
        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

size_t slice_utf8_prefix(struct slice s)
{
    return s.len == 0 ? 0 : utf8_sequence((const unsigned char *)s.ptr, s.len);
}

bool slice_is_ascii(struct slice s)
{
    /* Eight octets at a time: whole bodies are looked at. */
    uint64_t word, words = 0;
    unsigned char rest = 0;
    size_t at = 0;
    for (; at + sizeof word <= s.len; at += sizeof word) {
        memcpy(&word, s.ptr + at, sizeof word);
        words |= word;
    }
    for (; at < s.len; at++)
        rest = (unsigned char)(rest | (unsigned char)s.ptr[at]);
    return (words & UINT64_C(0x8080808080808080)) == 0 && rest < 0x80;
}

bool slice_has_control(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return true;
    return false;
}
