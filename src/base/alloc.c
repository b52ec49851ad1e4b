#include "base/alloc.h"

#include <malloc.h>
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

/* By itself the allocator gives back only what lies behind the last thing that lives. */
void alloc_trim(void)
{
    malloc_trim(0);
}
