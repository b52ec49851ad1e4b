/* codepoint.h - what a code point may be used for: the string classes of PRECIS (RFC 8264 4) and the tables of
 * stringprep (RFC 3454) that SASLprep names.
 *
 * What is unassigned, a letter or a mark, the Unicode version of libunistring says. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum codepoint_class {
    CODEPOINT_VALID,     /* in names and in passwords */
    CODEPOINT_FREE,      /* in passwords only: spaces, symbols, compatibility forms */
    CODEPOINT_CONTEXT,   /* where its neighbours permit it (RFC 5892 A) */
    CODEPOINT_DISALLOWED /* never, or not assigned yet */
};
enum codepoint_class codepoint_class(uint32_t point);
/* Is points[at], of class CONTEXT, in the right company? */
bool codepoint_fits(const uint32_t *points, size_t count, size_t at);
/* The "Bidi Rule" (RFC 5893 2), which holds of itself where nothing is written from right to left. */
bool codepoint_bidi(const uint32_t *points, size_t count);
bool codepoint_is_space(uint32_t point); /* category Zs, U+0020 included */
/* The code point in its usual width: full-width 'A' is 'A'. */
uint32_t codepoint_width(uint32_t point);

/* RFC 4013 2: what SASLprep maps to nothing, maps to a space, prohibits. */
bool codepoint_is_nothing(uint32_t point);
bool codepoint_is_other_space(uint32_t point);
bool codepoint_is_prohibited(uint32_t point);
/* RFC 3454 6: the older rule of direction. */
bool codepoint_old_bidi(const uint32_t *points, size_t count);
