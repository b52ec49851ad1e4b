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

/* For a library that handles secrets and leaves copies behind: memory that is wiped whenever it is given back, as malloc(3), realloc(3) and free(3) otherwise. */
void *secret_take(size_t size);
void *secret_resize(void *memory, size_t size);
void secret_give_back(void *memory);
