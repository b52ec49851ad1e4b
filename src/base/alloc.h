/* alloc.h - the only door to malloc for objects with a life of their own (a connection, a job, a binding).
 *
 * Running out of memory is must(): the role is restarted.  What has a shared lifetime comes from an arena instead. */
#pragma once

#include <stddef.h>

void *alloc(size_t size);                         /* zeroed; never NULL */
void release(void *memory);                       /* NULL is fine */
void alloc_trim(void);                            /* gives what is free back to the system: after many have gone; takes milliseconds */
