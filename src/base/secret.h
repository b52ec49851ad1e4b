/* secret.h - bytes that must not leak: passwords, keys, tokens.
 *
 * A secret has no printer: neither log.h nor field_print() takes one.  It is wiped by secret_wipe(), which the
 * compiler may not remove. */
#pragma once

#include "base/limits.h"
#include "base/slice.h"

struct secret {
    uint16_t len;
    char bytes[LIMIT_SECRET];
};

MUST_USE enum status secret_set(struct secret *out, struct slice from); /* TOO_BIG beyond LIMIT_SECRET */
struct slice secret_slice(const struct secret *s);
void secret_wipe(struct secret *s);
void wipe(void *memory, size_t size); /* for any other memory that held a secret */
