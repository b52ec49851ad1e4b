#include "base/alloc.h"

#include <stdlib.h>

#include "base/must.h"

void *alloc(size_t size)
{
    void *memory = calloc(1, size);
    must(memory != NULL);
    return memory;
}

void release(void *memory)
{
    free(memory);
}
