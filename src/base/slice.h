/* slice.h - borrowed bytes.
 *
 * A slice never owns: it is valid as long as what it points into.  It may hold any octet, NUL
 * included, and is not NUL-terminated.  Comparison without case folds ASCII only (RFC 5321 2.4). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct slice {
    const char *ptr;
    size_t len;
};

/* ASCII only, whatever the locale: protocol words, and names that are compared octet by octet. */
static inline char octet_lower(char octet)
{
    if (octet >= 'A' && octet <= 'Z')
        return (char)(octet | 0x20);
    return octet;
}

#define S(literal) ((struct slice){ (literal), sizeof(literal) - 1 })
#define NO_SLICE   ((struct slice){ NULL, 0 })

struct slice slice_of(const char *text); /* of a NUL-terminated string; NULL gives NO_SLICE */
struct slice slice_from(struct slice s, size_t at);          /* at past the end gives an empty slice */
struct slice slice_upto(struct slice s, size_t len);         /* at most len octets */
bool slice_equal(struct slice a, struct slice b);
bool slice_equal_nocase(struct slice a, struct slice b);
int slice_compare(struct slice a, struct slice b);           /* octet order, as memcmp */
bool slice_starts(struct slice s, struct slice prefix);
bool slice_starts_nocase(struct slice s, struct slice prefix);
bool slice_ends_nocase(struct slice s, struct slice suffix);
/* Index of the first or last octet, or s.len where there is none. */
size_t slice_find(struct slice s, char octet);
size_t slice_find_last(struct slice s, char octet);
bool slice_has(struct slice s, struct slice needle);
struct slice slice_trim(struct slice s);                     /* SP and HTAB off both ends */
/* Cuts the next piece up to `separator` off *rest; false once *rest is used up.  "a,,b" gives three, "a," one, "" none. */
bool slice_cut(struct slice *rest, char separator, struct slice *out_piece);
/* Cuts the next word off *rest, words being divided by runs of SP. */
bool slice_word(struct slice *rest, struct slice *out_word);
/* Decimal, digits only, no sign, no space; MALFORMED, or TOO_BIG above `max`. */
MUST_USE enum status slice_number(struct slice s, uint64_t max, uint64_t *out_number);
/* Equal in a time that depends on the lengths only: for every secret, digest and token. */
bool slice_equal_secret(struct slice a, struct slice b);
bool slice_is_utf8(struct slice s);                          /* strict: RFC 3629, no surrogates */
size_t slice_utf8_prefix(struct slice s);                    /* octets of the one character in front, or 0 */
bool slice_is_ascii(struct slice s);                         /* all octets below 128 */
bool slice_has_control(struct slice s);                      /* any octet below 32, or 127 */
