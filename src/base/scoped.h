/* scoped.h - the closed list of cleanup attributes, for floors 4 to 6 only.
 *
 *   scoped_fd int fd = open(...);      closes at the end of the block
 *   scoped_lock pthread_mutex_t *held = lock(&mutex);
 * The third, for SQLite statements, stands in store/sqlite/, the only room that knows them. */
#pragma once

#include <pthread.h>
#include <unistd.h>

static inline void scoped_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define scoped_fd __attribute__((cleanup(scoped_close)))

static inline pthread_mutex_t *lock(pthread_mutex_t *mutex)
{
    pthread_mutex_lock(mutex);
    return mutex;
}
static inline void scoped_unlock(pthread_mutex_t **held)
{
    pthread_mutex_unlock(*held);
}
#define scoped_lock __attribute__((cleanup(scoped_unlock), unused)) /* clang: the name itself is never read */
