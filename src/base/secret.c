#include "base/secret.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

enum status secret_set(struct secret *out, struct slice from)
{
    if (from.len > LIMIT_SECRET) /* C088 */
        return STATUS_TOO_BIG;
    wipe(out->bytes, sizeof out->bytes);
    if (from.len > 0)
        memcpy(out->bytes, from.ptr, from.len);
    out->len = (uint16_t)from.len;
    return STATUS_OK;
}

struct slice secret_slice(const struct secret *s)
{
    must(s->len <= LIMIT_SECRET);
    return (struct slice){ s->bytes, s->len };
}

void secret_wipe(struct secret *s) { wipe(s, sizeof *s); }

void wipe(void *memory, size_t size)
{
    if (size > 0)
        explicit_bzero(memory, size);
}

void *secret_take(size_t size) { return malloc(size); }

void *secret_resize(void *memory, size_t size)
{
    size_t had = memory ? malloc_usable_size(memory) : 0;
    if (had >= size && size > 0)
        return memory;
    void *other = size > 0 ? malloc(size) : NULL; /* realloc(3) would leave what it moved */
    if (other && had > 0)
        memcpy(other, memory, had);
    if (other || size == 0)
        secret_give_back(memory);
    return other;
}

void secret_give_back(void *memory)
{
    if (memory)
        wipe(memory, malloc_usable_size(memory));
    free(memory);
}
