/* Design note. The textbook heap. `place` is 1-based so that an entry in zeroed memory is "in no
 * heap", and every move of a pointer writes it back: that is the invariant heap_remove relies on.
 */
#include "proto/base/heap.h"

#include <errno.h>
#include <stdlib.h>

void heap_deinit(struct heap *h)
{
        free(h->nodes);
        *h = (struct heap){0};
}

/* Which comes first. */
static bool is_before(const struct heap_node *a, const struct heap_node *b)
{
        return a->at_ns == b->at_ns ? a->set < b->set : a->at_ns < b->at_ns;
}

static void put(struct heap *h, size_t i, struct heap_node *node)
{
        h->nodes[i] = node;
        node->place = i + 1;
}

static void sift_up(struct heap *h, struct heap_node *node)
{
        size_t i = node->place - 1;

        while (i > 0 && is_before(node, h->nodes[(i - 1) / 2])) {
                put(h, i, h->nodes[(i - 1) / 2]);
                i = (i - 1) / 2;
        }
        put(h, i, node);
}

static void sift_down(struct heap *h, struct heap_node *node)
{
        size_t i = node->place - 1;

        for (;;) {
                size_t child = 2 * i + 1;
                if (child >= h->n)
                        break;
                if (child + 1 < h->n && is_before(h->nodes[child + 1], h->nodes[child]))
                        child++;
                if (!is_before(h->nodes[child], node))
                        break;
                put(h, i, h->nodes[child]);
                i = child;
        }
        put(h, i, node);
}

static int grow(struct heap *h)
{
        size_t cap = h->cap ? h->cap * 2 : 16;
        struct heap_node **nodes = realloc(h->nodes, cap * sizeof(struct heap_node *));

        if (!nodes)
                return -ENOMEM;
        h->nodes = nodes;
        h->cap = cap;
        return 0;
}

int heap_set(struct heap *h, struct heap_node *node, uint64_t at_ns)
{
        if (!node->place) {
                if (h->n == h->cap) {
                        int r = grow(h);
                        if (r < 0)
                                return r;
                }
                put(h, h->n++, node);
        }
        node->at_ns = at_ns;
        node->set = h->n_set++;
        sift_up(h, node);
        sift_down(h, node);
        return 0;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
        if (!node->place)
                return;
        size_t i = node->place - 1;
        struct heap_node *last = h->nodes[--h->n];
        node->place = 0;
        if (last == node)
                return;
        put(h, i, last);
        sift_up(h, last);
        sift_down(h, last);
}

struct heap_node *heap_peek(const struct heap *h)
{
        return h->n ? h->nodes[0] : NULL;
}
