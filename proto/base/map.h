/* map.h - intrusive hash map: the object embeds the node and knows its own key.
 *
 *      uint64_t hash = hash_bytes(seed, name, name_len);
 *      map_for_each(node, &m, hash) {
 *              struct thing *t = container_of(node, struct thing, node);
 *              if (t->name_len == name_len && !memcmp(t->name, name, name_len))
 *                      return t;
 *      }
 *
 * No callbacks, no allocation per entry; equal hashes are walked by the caller, who compares. */
#ifndef BATON_BASE_MAP_H
#define BATON_BASE_MAP_H

#include "proto/base/defs.h"
#include <stdint.h>

struct map_node {
        struct map_node *next;
        uint64_t hash;
};

/* Zero state: all bytes zero is an empty map that owns nothing. */
struct map {
        struct map_node **slots; /* [cap], cap a power of two */
        size_t n, cap;
};

/* map_deinit frees the table; the entries belong to the caller. */
void map_deinit(struct map *m);

/* map_add links `node` under `hash`; several entries may have the same.
 * Returns 0 · -ENOMEM, only possible while the map has no table: later a table that cannot grow is
 * merely slower. */
BT_MUST int map_add(struct map *m, struct map_node *node, uint64_t hash);

/* map_remove unlinks `node`, which must be in the map. */
void map_remove(struct map *m, struct map_node *node);

/* map_first and map_next walk the entries whose hash is `hash`; NULL at the end. */
struct map_node *map_first(const struct map *m, uint64_t hash);
struct map_node *map_next(const struct map_node *node, uint64_t hash);

/* map_any returns some entry, NULL if there is none: for emptying a map. */
struct map_node *map_any(const struct map *m);

#define map_for_each(node, m, hash) \
        for (struct map_node *node = map_first(m, hash); node; node = map_next(node, hash))

/* hash_bytes and hash_u64 mix `seed` in: a random one keeps strangers from choosing collisions
 * (it is no cryptographic promise: chains are also bounded by the tables' own limits). */
uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t n);
uint64_t hash_u64(uint64_t seed, uint64_t value);

#endif
