#include "base/map.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/random.h"

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

static inline uint64_t rotate(uint64_t x, unsigned bits) { return (x << bits) | (x >> (64 - bits)); }

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

/* SipHash-2-4 (Aumasson and Bernstein, 2012).  Octets are read in the machine's order: the hash never leaves it. */
static uint64_t sip_hash(struct slice key, const uint64_t k[2])
{
    uint64_t v[4] = { k[0] ^ 0x736f6d6570736575u, k[1] ^ 0x646f72616e646f6du, k[0] ^ 0x6c7967656e657261u,
        k[1] ^ 0x7465646279746573u };
    size_t at = 0;
    for (; key.len - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, key.ptr + at, 8);
        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)key.len << 56;
    for (size_t i = 0; at + i < key.len; i++)
        last |= (uint64_t)(unsigned char)key.ptr[at + i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

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
