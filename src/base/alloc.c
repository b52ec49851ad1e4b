#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

void *alloc(size_t size)
{
    void *memory = calloc(1, size);
    must(memory != NULL);
    return memory;
}

void *alloc_again(void *old, size_t old_size, size_t new_size)
{
    char *memory = realloc(old, new_size);
    must(memory != NULL);
    if (new_size > old_size)
        memset(memory + old_size, 0, new_size - old_size);
    return memory;
}

void release(void *memory)
{
    free(memory);
}
