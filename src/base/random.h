/* random.h - the kernel's randomness for roles, and a seeded stream for engines. */
#pragma once

#include "base/buf.h"

void random_fill(void *out, size_t size); /* getrandom(2); must() if the kernel has none */
uint64_t random_u64(void);

/* A deterministic stream (SplitMix64): engines own one, seeded by the driver, so that a test repeats. */
struct random_stream {
    uint64_t state;
};
uint64_t random_next(struct random_stream *stream);
