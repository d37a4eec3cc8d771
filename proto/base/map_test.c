/* The intrusive hash map: growth, equal hashes, and no memory to grow. */
#include "proto/base/map.h"

#include "tests/harness/test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
static bool calloc_fails;

void *__wrap_calloc(size_t n, size_t size)
{
        return calloc_fails ? NULL : __real_calloc(n, size);
}

enum { N = 5000 };

struct thing {
        struct map_node node;
        uint64_t key;
        bool is_in;
};

static struct thing things[N];

static uint64_t good(uint64_t key)
{
        return hash_u64(7, key);
}

/* Only eight hashes: chains of equal ones. */
static uint64_t poor(uint64_t key)
{
        return key % 8;
}

/* All in one bucket, whatever the size of the table. */
static uint64_t aligned(uint64_t key)
{
        return key << 32;
}

static struct thing *find(const struct map *m, uint64_t key, uint64_t (*hash)(uint64_t))
{
        map_for_each (node, m, hash(key)) {
                struct thing *t = container_of(node, struct thing, node);
                CHECK_EQ(node->hash, hash(key));
                if (t->key == key)
                        return t;
        }
        return NULL;
}

static void fill_and_empty(uint64_t (*hash)(uint64_t), size_t n)
{
        struct map m cleanup_(map_deinit) = {0};

        for (size_t i = 0; i < n; i++) {
                things[i] = (struct thing){.key = i * 3};
                CHECK_EQ(map_add(&m, &things[i].node, hash(i * 3)), 0);
        }
        CHECK_EQ(m.n, n);
        for (size_t i = 0; i < n; i++) {
                CHECK(find(&m, i * 3, hash) == &things[i]);
                CHECK_NULL(find(&m, i * 3 + 1, hash));
        }
        for (size_t i = 0; i < n; i += 2)
                map_remove(&m, &things[i].node);
        for (size_t i = 0; i < n; i++)
                CHECK(find(&m, i * 3, hash) == (i % 2 ? &things[i] : NULL));
        CHECK_EQ(m.n, n / 2);
}

TEST(what_was_added_is_found_until_it_is_removed)
{
        fill_and_empty(good, N);
}

TEST(equal_hashes_are_told_apart_by_their_keys)
{
        fill_and_empty(poor, 400);
}

TEST(one_bucket_for_all_is_merely_slow)
{
        fill_and_empty(aligned, 400);
}

TEST(an_empty_map_owns_nothing)
{
        struct map m = {0};

        CHECK_NULL(map_first(&m, 1));
        CHECK_NULL(map_any(&m));
        map_deinit(&m);
        map_deinit(&m);
}

TEST(any_empties_a_map)
{
        struct map m cleanup_(map_deinit) = {0};
        size_t n = 0;

        for (size_t i = 0; i < 1000; i++)
                CHECK_EQ(map_add(&m, &things[i].node, good(i)), 0);
        for (struct map_node *node; (node = map_any(&m)); n++)
                map_remove(&m, node);
        CHECK_EQ(n, 1000);
        CHECK_EQ(m.n, 0);
}

TEST(the_table_grows_with_what_it_holds)
{
        struct map m cleanup_(map_deinit) = {0};

        for (size_t i = 0; i < N; i++) {
                CHECK_EQ(map_add(&m, &things[i].node, good(i)), 0);
                CHECK(m.n <= m.cap && (m.cap & (m.cap - 1)) == 0);
        }
}

TEST(without_memory_for_a_first_table_nothing_is_added)
{
        struct map m cleanup_(map_deinit) = {0};

        calloc_fails = true;
        int r = map_add(&m, &things[0].node, 1);
        calloc_fails = false;
        CHECK_EQ(r, -ENOMEM);
        CHECK_EQ(m.n, 0);
        CHECK_EQ(map_add(&m, &things[0].node, 1), 0);
}

TEST(a_table_that_cannot_grow_still_takes_all)
{
        struct map m cleanup_(map_deinit) = {0};

        CHECK_EQ(map_add(&m, &things[0].node, good(0)), 0);
        things[0].key = 0;
        size_t cap = m.cap;
        calloc_fails = true;
        int r = 0;
        for (size_t i = 1; i < 300; i++) {
                things[i].key = i;
                r |= map_add(&m, &things[i].node, good(i));
        }
        calloc_fails = false;
        CHECK_EQ(r, 0);
        CHECK_EQ(m.cap, cap);
        for (size_t i = 0; i < 300; i++)
                CHECK(find(&m, i, good) == &things[i]);
        CHECK_EQ(map_add(&m, &things[300].node, good(300)), 0); /* and grows when it can again */
        CHECK(m.cap > cap);
}

TEST(hashes_depend_on_seed_length_and_every_byte)
{
        char text[40] = "0123456789012345678901234567890123456789";

        for (size_t n = 1; n <= sizeof(text); n++) {
                uint64_t h = hash_bytes(1, text, n);
                CHECK(hash_bytes(2, text, n) != h);
                CHECK(hash_bytes(1, text, n - 1) != h);
                for (size_t i = 0; i < n; i++) {
                        text[i] ^= 1;
                        CHECK(hash_bytes(1, text, n) != h);
                        text[i] ^= 1;
                }
                CHECK(hash_bytes(1, text, n) == h);
        }
        CHECK(hash_bytes(1, "\0", 1) != hash_bytes(1, "\0\0", 2));
        CHECK(hash_u64(1, 5) != hash_u64(2, 5));
        CHECK(hash_u64(1, 5) != hash_u64(1, 6));
}

/* 65,536 of them thrown into as many slots: some 63 % are hit. Few would be a bad hash. */
TEST(hashes_of_similar_keys_spread_over_the_low_bits)
{
        static bool hit[2][65536];
        size_t n[2] = {0};
        char key[16] = "key.00000";

        for (unsigned i = 0; i < 65536; i++) {
                for (unsigned j = 0, d = i; j < 5; j++, d /= 10)
                        key[8 - j] = (char)('0' + d % 10);
                unsigned at[2] = {(unsigned)hash_u64(99, i) & 65535,
                        (unsigned)hash_bytes(99, key, 9) & 65535};
                for (int k = 0; k < 2; k++) {
                        n[k] += !hit[k][at[k]];
                        hit[k][at[k]] = true;
                }
        }
        CHECK(n[0] > 38000);
        CHECK(n[1] > 38000);
}
