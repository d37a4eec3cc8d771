/* Deadlines, compared with an array that is searched from end to end. */
#include "proto/base/heap.h"

#include "tests/harness/test.h"

#include <errno.h>
#include <stdlib.h>

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
static bool realloc_fails;

void *__wrap_realloc(void *p, size_t n)
{
        return realloc_fails ? NULL : __real_realloc(p, n);
}

enum { N = 200 };

static uint64_t earliest(const struct heap_node *nodes, size_t n)
{
        uint64_t at = UINT64_MAX;

        for (size_t i = 0; i < n; i++) {
                if (nodes[i].place && nodes[i].at_ns < at)
                        at = nodes[i].at_ns;
        }
        return at;
}

static void check_places(const struct heap *h)
{
        for (size_t i = 0; i < h->n; i++) {
                CHECK_EQ(h->nodes[i]->place, i + 1);
                if (i)
                        CHECK(h->nodes[(i - 1) / 2]->at_ns <= h->nodes[i]->at_ns);
        }
}

TEST(the_earliest_is_always_in_front)
{
        struct heap h cleanup_(heap_deinit) = {0};
        struct heap_node nodes[N] = {{0}};
        uint32_t dice = 1;

        for (int step = 0; step < 20000; step++) {
                dice = dice * 1664525 + 1013904223;
                struct heap_node *node = &nodes[(dice >> 8) % N];
                if (dice >> 30)
                        CHECK_EQ(heap_set(&h, node, (dice >> 16) % 64), 0); /* also: moved */
                else
                        heap_remove(&h, node);
                check_places(&h);
                const struct heap_node *first = heap_peek(&h);
                CHECK(first ? first->at_ns == earliest(nodes, N) : h.n == 0);
        }
}

TEST(entries_come_out_in_order)
{
        struct heap h cleanup_(heap_deinit) = {0};
        struct heap_node nodes[N] = {{0}}, *first;
        uint64_t before = 0;
        size_t n = 0;

        for (size_t i = 0; i < N; i++)
                CHECK_EQ(heap_set(&h, &nodes[i], i * 7919 % 1009), 0);
        while ((first = heap_peek(&h))) {
                CHECK(first->at_ns >= before);
                before = first->at_ns;
                heap_remove(&h, first);
                CHECK_EQ(first->place, 0);
                n++;
        }
        CHECK_EQ(n, N);
}

TEST(an_entry_in_no_heap_can_be_removed)
{
        struct heap h cleanup_(heap_deinit) = {0};
        struct heap_node node = {0};

        CHECK_NULL(heap_peek(&h));
        heap_remove(&h, &node);
        CHECK_EQ(heap_set(&h, &node, 5), 0);
        heap_remove(&h, &node);
        heap_remove(&h, &node);
        CHECK_NULL(heap_peek(&h));
}

TEST(times_may_be_as_late_as_can_be)
{
        struct heap h cleanup_(heap_deinit) = {0};
        struct heap_node a = {0}, b = {0};

        CHECK_EQ(heap_set(&h, &a, UINT64_MAX), 0);
        CHECK_EQ(heap_set(&h, &b, 0), 0);
        CHECK(heap_peek(&h) == &b);
        CHECK_EQ(heap_set(&h, &b, UINT64_MAX), 0);
        CHECK_EQ(heap_set(&h, &a, 1), 0);
        CHECK(heap_peek(&h) == &a);
}

TEST(without_memory_an_entry_stays_out_and_the_others_in)
{
        struct heap h cleanup_(heap_deinit) = {0};
        struct heap_node nodes[N] = {{0}};
        size_t n = 0;

        realloc_fails = true;
        int r = heap_set(&h, &nodes[0], 1);
        realloc_fails = false;
        CHECK_EQ(r, -ENOMEM);
        CHECK_EQ(nodes[0].place, 0);
        for (; n == 0 || h.n < h.cap; n++)
                CHECK_EQ(heap_set(&h, &nodes[n], n), 0);
        realloc_fails = true;
        r = heap_set(&h, &nodes[n], 0);
        int moved = heap_set(&h, &nodes[0], 1000); /* one that is in needs no memory */
        realloc_fails = false;
        CHECK_EQ(r, -ENOMEM);
        CHECK_EQ(moved, 0);
        CHECK_EQ(nodes[n].place, 0);
        CHECK_EQ(h.n, n);
        check_places(&h);
}

TEST(of_two_with_the_same_time_the_one_set_first_is_first)
{
        enum { EACH = 50 };
        struct heap h cleanup_(heap_deinit) = {0};
        struct heap_node nodes[3 * EACH] = {{0}};

        for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
                CHECK_EQ(heap_set(&h, &nodes[i], 7 + i % 3), 0);
        CHECK_EQ(heap_set(&h, &nodes[0], 7), 0); /* again: it is the last of its kind now */
        heap_remove(&h, &nodes[3]);
        for (size_t i = 6; i < ARRAY_LEN(nodes); i += 3) {
                CHECK(heap_peek(&h) == &nodes[i]);
                heap_remove(&h, &nodes[i]);
        }
        CHECK(heap_peek(&h) == &nodes[0]);
}
