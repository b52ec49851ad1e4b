/* powercut_wrap.c - chance and time that repeat, and a log whose bounds are reached sooner: link-time wraps. */
#include <string.h>

#include <sqlite3.h>

#include "base/clock.h"
#include "base/random.h"
#include "faults/disk.h"
#include "faults/powercut_wrap.h"

#define SCALE 100 /* rest() checkpoints from 10 pages on, not 1000; a commit does from 80, not 8000 */

void __wrap_random_fill(void *out, size_t size);
wall __wrap_clock_wall(void);
void *__wrap_sqlite3_wal_hook(sqlite3 *db, int (*hook)(void *, sqlite3 *, const char *, int), void *context);
int __real_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *pages, int *copied);
int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *pages, int *copied);
void *__real_sqlite3_wal_hook(sqlite3 *db, int (*hook)(void *, sqlite3 *, const char *, int), void *context);

static uint64_t state = 1;
static wall now;
static unsigned checkpoints;
static int folder = -1;
static int (*real_hook)(void *, sqlite3 *, const char *, int);

void powercut_seed(uint64_t seed, uint64_t time)
{
    state = seed;
    now = time;
    checkpoints = 0;
    sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, (int)(seed % 1000000 + 1), (sqlite3 *)0);
    sqlite3_randomness(0, NULL);
}

void powercut_time(uint64_t time)
{
    now = time;
}

void powercut_folder(int which)
{
    folder = which;
}

unsigned powercut_checkpoints(void)
{
    return checkpoints;
}

void __wrap_random_fill(void *out, size_t size)
{
    uint8_t *octets = out;
    for (size_t i = 0; i < size; i++)
        octets[i] = (uint8_t)disk_random(&state);
    if (size == 16)
        octets[0] = folder >= 0 ? (uint8_t)folder
                                : octets[0] & 3; /* the name of a body: few folders, so that they are used again */
}

wall __wrap_clock_wall(void)
{
    return now;
}

static int scaled_hook(void *context, sqlite3 *db, const char *name, int pages)
{
    return real_hook(context, db, name, pages * SCALE);
}

void *__wrap_sqlite3_wal_hook(sqlite3 *db, int (*hook)(void *, sqlite3 *, const char *, int), void *context)
{
    real_hook = hook;
    return __real_sqlite3_wal_hook(db, scaled_hook, context);
}

int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *pages, int *copied)
{
    int code = __real_sqlite3_wal_checkpoint_v2(db, name, mode, pages, copied);
    checkpoints++;
    *pages *= SCALE;
    *copied *= SCALE;
    return code;
}
