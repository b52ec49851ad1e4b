/* map.h - hash map from bytes to a pointer, keyed per process against flooding (SipHash-2-4).
 *
 * The map copies its keys and does not own its values.  Finding is constant time; each map_each step is in
 * no useful order, and nothing may be put while it runs (removing the entry just visited is allowed). */
#pragma once

#include "base/slice.h"

struct map_entry;

struct map {
    struct map_entry *entries;
    size_t count, cap, used;
};

void map_done(struct map *m);
void *map_find(const struct map *m, struct slice key);                 /* NULL where there is none */
void map_put(struct map *m, struct slice key, void *value);            /* value not NULL; replaces */
void *map_take(struct map *m, struct slice key);                       /* removes and returns, or NULL */
/* for (size_t at = 0; map_each(&m, &at, &key, &value); ) */
bool map_each(const struct map *m, size_t *at, struct slice *out_key, void **out_value);
#define map_key(object) ((struct slice){ (const char *)&(object), sizeof(object) })
