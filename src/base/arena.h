/* arena.h - memory with one lifetime and a cap.
 *
 * What is taken from an arena is never freed alone: arena_reset() ends the lifetime of all of it, and
 * keeps one chunk so that the next command needs no malloc.  Reaching the cap gives NULL (callers turn
 * it into STATUS_TOO_BIG); running out of memory is must().  Lifetimes: process, session, transaction,
 * command. */
#pragma once

#include "base/slice.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks;
    size_t used, cap; /* octets handed out; the most that may be */
};

#define ARENA(maximum) ((struct arena){ .cap = (maximum) })

void arena_reset(struct arena *a);
void arena_done(struct arena *a);
/* Zeroed, aligned for any type; NULL beyond the cap. */
void *arena_take(struct arena *a, size_t size);
void *arena_take_rows(struct arena *a, size_t count, size_t size); /* overflow-checked */
/* A copy that lives as long as the arena, NUL-terminated behind its length. */
MUST_USE enum status arena_copy(struct arena *a, struct slice s, struct slice *out_copy);
