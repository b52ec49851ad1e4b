/* fuzz.h - what the fuzz targets share: reading an input octet by octet, and what the heap holds. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/must.h"
#include "base/random.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at, *end;
};

static inline uint8_t take_octet(struct input *in) { return in->at < in->end ? *in->at++ : 0; }

static inline uint64_t take_number(struct input *in, int octets)
{
    uint64_t number = 0;
    while (octets-- > 0)
        number = number << 8 | take_octet(in);
    return number;
}

static inline struct slice take_octets(struct input *in, size_t len)
{
    size_t left = (size_t)(in->end - in->at);
    struct slice s = { (const char *)in->at, len < left ? len : left };
    in->at += s.len;
    return s;
}

static inline void is_fine(enum status status) { must(status == STATUS_OK); }

/* A secret made from the input, so that no input can hold it.  12 octets: so many of base64, too, whatever groups of three stand before it. */
#define CANARY_OCTETS 12u
struct canary {
    char text[CANARY_OCTETS + 1];
};
static inline struct canary make_canary(struct slice in)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!%";
    struct random_stream stream = { in.len, 0, 0 };
    struct canary canary = { "" };
    for (size_t i = 0; i < in.len; i++)
        stream.high = stream.high * 31 + (uint8_t)in.ptr[i];
    for (size_t i = 0; i < CANARY_OCTETS; i++)
        canary.text[i] = letters[random_next(&stream) % 64];
    return canary;
}

/* Where pieces of the same octets are cut in another run: often one octet, now and then a long piece. */
static inline size_t next_cut(struct random_stream *cuts)
{
    uint64_t drawn = random_next(cuts);
    return 1 + (size_t)((drawn >> 8) & ((1u << (drawn % 13)) - 1));
}

/* AddressSanitizer's own account; without it (the build that measures coverage) nothing is known. */
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));
static inline size_t heap_octets(void)
{
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0;
}
