/* testing.h - what the unit tests share.  Only x_test.c files include it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/slice.h"

#define assert_status(expression, expected) \
    assert_string_equal(status_name(expression), status_name(expected))
#define assert_ok(expression) assert_status((expression), STATUS_OK)

#define assert_octets(slice_value, ...) \
    do { \
        struct slice octets_got = (slice_value), octets_wanted = (__VA_ARGS__); \
        assert_int_equal(octets_got.len, octets_wanted.len); \
        if (octets_wanted.len > 0) \
            assert_memory_equal(octets_got.ptr, octets_wanted.ptr, octets_wanted.len); \
    } while (0)

#define assert_text(slice_value, literal) assert_octets((slice_value), S(literal))
#define assert_buf(buffer, literal)       assert_octets(buf_slice(&(buffer)), S(literal))

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A copy that ends where its memory ends, so that AddressSanitizer sees each octet read behind it. */
static inline char *exactly(struct slice s)
{
    char *copy = malloc(s.len > 0 ? s.len : 1);
    assert_non_null(copy);
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return copy;
}
