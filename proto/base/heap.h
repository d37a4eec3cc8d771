/* heap.h - deadlines: a binary min-heap of times with the position kept in the entry, so that any
 * entry can be removed or moved in O(log n). */
#ifndef BATON_BASE_HEAP_H
#define BATON_BASE_HEAP_H

#include "proto/base/defs.h"
#include <stdbool.h>
#include <stdint.h>

struct heap_node {
        uint64_t at_ns;
        uint64_t set; /* number of the setting */
        size_t place; /* 1 + index in the heap; 0 = in no heap (so zeroed memory is right) */
};

/* Zero state: all bytes zero. */
struct heap {
        struct heap_node **nodes;
        size_t n, cap;
        uint64_t n_set; /* ever */
};

void heap_deinit(struct heap *h);

/* heap_set adds `node` with the time `at_ns`, or moves it there. Returns 0 · -ENOMEM. */
BT_MUST int heap_set(struct heap *h, struct heap_node *node, uint64_t at_ns);

/* heap_remove takes `node` out, if it is in. */
void heap_remove(struct heap *h, struct heap_node *node);

/* heap_peek returns the earliest entry, of several the one that was set first; NULL if there is
 * none. */
struct heap_node *heap_peek(const struct heap *h);

#endif
