/* random.h - the kernel's randomness for roles, and a seeded stream for engines. */
#pragma once

#include "base/buf.h"

void random_fill(void *out, size_t size); /* getrandom(2); must() if the kernel has none */
uint64_t random_u64(void);

/* A deterministic stream (SipHash of a counter): engines own one, seeded by the driver, so that a test repeats.  Numbers that were drawn
 * tell nothing about those that follow: challenges show some, and 128 bits of seed are never guessed. */
struct random_stream {
    uint64_t low, high; /* the seed */
    uint64_t drawn;
};
uint64_t random_next(struct random_stream *stream);
