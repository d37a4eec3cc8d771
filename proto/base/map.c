/* Design note. Chained buckets with the hash kept in the node: growing re-links without touching
 * keys, and a lookup compares hashes before the caller compares keys. The table doubles when it is
 * full and is never shrunk: its size is bounded by the limit on what is put into it. */
#include "proto/base/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAP_FIRST_SLOTS = 16 };

static struct map_node **slot_of(const struct map *m, uint64_t hash)
{
        return &m->slots[hash & (m->cap - 1)];
}

static void relink(struct map *m, struct map_node **from, size_t n_from)
{
        for (size_t i = 0; i < n_from; i++) {
                struct map_node *node = from[i];
                while (node) {
                        struct map_node *next = node->next;
                        struct map_node **slot = slot_of(m, node->hash);
                        node->next = *slot;
                        *slot = node;
                        node = next;
                }
        }
}

static int grow(struct map *m)
{
        size_t old_cap = m->cap;
        size_t cap = old_cap ? old_cap * 2 : MAP_FIRST_SLOTS;
        struct map_node **slots = calloc(cap, sizeof(struct map_node *));

        if (!slots)
                return old_cap ? 0 : -ENOMEM;
        struct map_node **old = m->slots;
        m->slots = slots;
        m->cap = cap;
        relink(m, old, old_cap);
        free(old);
        return 0;
}

void map_deinit(struct map *m)
{
        free(m->slots);
        *m = (struct map){0};
}

int map_add(struct map *m, struct map_node *node, uint64_t hash)
{
        if (m->n >= m->cap) {
                int r = grow(m);
                if (r < 0)
                        return r;
        }
        struct map_node **slot = slot_of(m, hash);
        node->hash = hash;
        node->next = *slot;
        *slot = node;
        m->n++;
        return 0;
}

void map_remove(struct map *m, struct map_node *node)
{
        struct map_node **at = slot_of(m, node->hash);

        while (*at != node)
                at = &(*at)->next;
        *at = node->next;
        node->next = NULL;
        m->n--;
}

static struct map_node *skip_to(struct map_node *node, uint64_t hash)
{
        while (node && node->hash != hash)
                node = node->next;
        return node;
}

struct map_node *map_first(const struct map *m, uint64_t hash)
{
        return m->cap ? skip_to(*slot_of(m, hash), hash) : NULL;
}

struct map_node *map_next(const struct map_node *node, uint64_t hash)
{
        return skip_to(node->next, hash);
}

struct map_node *map_any(const struct map *m)
{
        for (size_t i = 0; m->n && i < m->cap; i++) {
                if (m->slots[i])
                        return m->slots[i];
        }
        return NULL;
}

/* The 64x64 -> 128 bit multiply, folded: one instruction that mixes every bit into every other. */
static uint64_t mix(uint64_t a, uint64_t b)
{
        __uint128_t product = (__uint128_t)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static const uint64_t ODD_A = 0x9e3779b97f4a7c15, ODD_B = 0xd6e8feb86659fd93;

uint64_t hash_u64(uint64_t seed, uint64_t value)
{
        return mix(value ^ ODD_A, seed ^ ODD_B);
}

uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t n)
{
        const uint8_t *p = bytes;
        uint64_t h = seed ^ mix(n ^ ODD_A, ODD_B), word;

        for (; n > 8; n -= 8, p += 8) {
                memcpy(&word, p, 8);
                h = mix(h ^ word, ODD_A);
        }
        word = 0;
        if (n)
                memcpy(&word, p, n);
        return mix(h ^ word, ODD_B);
}
