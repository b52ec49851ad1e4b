#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

#define ALIGNMENT   16u
#define FIRST_CHUNK 480u   /* octets: with its head 512; twenty thousand sessions hold one of these each */
#define LAST_CHUNK  65536u /* chunks double up to this */
#define KEPT_CHUNK  8192u  /* octets that an idle arena may hold on to */

struct arena_chunk {
    struct arena_chunk *next;
    size_t size, used;
    _Alignas(ALIGNMENT) char octets[];
};

void arena_reset(struct arena *a)
{
    struct arena_chunk *kept = NULL;
    for (struct arena_chunk *chunk = a->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        if (!kept && chunk->size <= KEPT_CHUNK)
            kept = chunk;
        else
            free(chunk);
    }
    if (kept) {
        kept->next = NULL;
        kept->used = 0;
    }
    a->chunks = kept;
    a->used = 0;
}

void arena_done(struct arena *a)
{
    arena_reset(a);
    free(a->chunks);
    a->chunks = NULL;
}

static struct arena_chunk *add_chunk(struct arena *a, size_t size)
{
    size_t room = FIRST_CHUNK;
    if (a->chunks)
        room = a->chunks->size < LAST_CHUNK / 2 ? a->chunks->size * 2 : LAST_CHUNK;
    if (room < size)
        room = size;
    struct arena_chunk *chunk = malloc(sizeof *chunk + room);
    must(chunk);
    *chunk = (struct arena_chunk){ .next = a->chunks, .size = room };
    a->chunks = chunk;
    return chunk;
}

void *arena_take(struct arena *a, size_t size)
{
    must(a->used <= a->cap);
    if (size > a->cap - a->used)
        return NULL;
    size_t rounded = size == 0 ? ALIGNMENT : (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct arena_chunk *chunk = a->chunks;
    if (!chunk || rounded > chunk->size - chunk->used)
        chunk = add_chunk(a, rounded);
    void *taken = chunk->octets + chunk->used;
    chunk->used += rounded;
    /* What rounding adds at the very end of the cap is ours to give. */
    a->used = rounded > a->cap - a->used ? a->cap : a->used + rounded;
    return memset(taken, 0, rounded);
}

void *arena_take_rows(struct arena *a, size_t count, size_t size)
{
    size_t total;
    return __builtin_mul_overflow(count, size, &total) ? NULL : arena_take(a, total);
}

enum status arena_copy(struct arena *a, struct slice s, struct slice *out_copy)
{
    if (s.len == SIZE_MAX)
        return STATUS_TOO_BIG;
    char *copy = arena_take(a, s.len + 1);
    if (!copy)
        return STATUS_TOO_BIG;
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    *out_copy = (struct slice){ copy, s.len };
    return STATUS_OK;
}
