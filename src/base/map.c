#include "base/map.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/random.h"
#include "base/sip.h"

#define FIRST_CAP 16u /* a power of two, as every later one */

/* Open addressing with linear probing.  A removed entry stays as a grave, so that a walk may remove what it visits and
 * no other entry moves; graves go when the table is rebuilt. */
struct map_entry {
    char *key; /* NULL: never used; grave: removed */
    size_t key_len;
    uint64_t hash;
    void *value;
};

static char grave[1];
static uint64_t seed[2];
static pthread_once_t seeded = PTHREAD_ONCE_INIT;

static void make_seed(void) { random_fill(seed, sizeof seed); }

static uint64_t hash_of(struct slice key)
{
    pthread_once(&seeded, make_seed);
    return sip_hash(key, seed);
}

static bool is_live(const struct map_entry *entry) { return entry->key && entry->key != grave; }

static struct map_entry *find(const struct map *m, struct slice key, uint64_t hash)
{
    if (m->count == 0)
        return NULL;
    /* A quarter of the table is always unused, so the walk ends. */
    for (size_t at = (size_t)hash & (m->cap - 1);; at = (at + 1) & (m->cap - 1)) {
        struct map_entry *entry = &m->entries[at];
        if (!entry->key)
            return NULL;
        if (entry->hash == hash && is_live(entry) &&
            slice_equal((struct slice){ entry->key, entry->key_len }, key))
            return entry;
    }
}

static void rebuild(struct map *m)
{
    size_t cap = FIRST_CAP;
    while (cap / 2 <= m->count)
        cap *= 2;
    struct map_entry *entries = calloc(cap, sizeof *entries);
    must(entries);
    for (size_t i = 0; i < m->cap; i++) {
        if (!is_live(&m->entries[i]))
            continue;
        size_t at = (size_t)m->entries[i].hash & (cap - 1);
        while (entries[at].key)
            at = (at + 1) & (cap - 1);
        entries[at] = m->entries[i];
    }
    free(m->entries);
    m->entries = entries;
    m->cap = cap;
    m->used = m->count;
}

void map_done(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++)
        if (is_live(&m->entries[i]))
            free(m->entries[i].key);
    free(m->entries);
    *m = (struct map){ 0 };
}

void *map_find(const struct map *m, struct slice key)
{
    if (m->count == 0)
        return NULL;
    struct map_entry *entry = find(m, key, hash_of(key));
    return entry ? entry->value : NULL;
}

void map_put(struct map *m, struct slice key, void *value)
{
    must(value);
    uint64_t hash = hash_of(key);
    struct map_entry *entry = find(m, key, hash);
    if (entry) {
        entry->value = value;
        return;
    }
    if (m->used >= m->cap / 4 * 3)
        rebuild(m);
    size_t at = (size_t)hash & (m->cap - 1);
    while (m->entries[at].key)
        at = (at + 1) & (m->cap - 1);
    char *copy = malloc(key.len + 1);
    must(copy);
    if (key.len > 0)
        memcpy(copy, key.ptr, key.len);
    m->entries[at] = (struct map_entry){ copy, key.len, hash, value };
    m->count++;
    m->used++;
}

void *map_take(struct map *m, struct slice key)
{
    struct map_entry *entry = m->count == 0 ? NULL : find(m, key, hash_of(key));
    if (!entry)
        return NULL;
    void *value = entry->value;
    free(entry->key);
    *entry = (struct map_entry){ .key = grave };
    m->count--;
    /* No chain runs on through the last entry of a chain: tables that come and go need no rebuilding. */
    size_t at = (size_t)(entry - m->entries);
    if (!m->entries[(at + 1) & (m->cap - 1)].key) {
        entry->key = NULL;
        m->used--;
    }
    return value;
}

bool map_each(const struct map *m, size_t *at, struct slice *out_key, void **out_value)
{
    while (*at < m->cap) {
        const struct map_entry *entry = &m->entries[(*at)++];
        if (!is_live(entry))
            continue;
        *out_key = (struct slice){ entry->key, entry->key_len };
        *out_value = entry->value;
        return true;
    }
    return false;
}
