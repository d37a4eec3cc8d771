/* Design note. scan.h decides what msgpack-c gets to see, so the two must agree on what a value is:
 * whatever the scan takes, msgpack-c takes, and both end at the same byte. The other way round
 * msgpack-c is never asked, for it would allocate what the bytes ask for; there the generator knows
 * the answer: it wrote a sound value of known depth, or cut one. */
#include "proto/base/buf.h"
#include "proto/wire/limits.h"
#include "proto/wire/test_bytes.h"
#include "tests/harness/test.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

enum { CASES = 100000, VALUE_BYTES_MOST = 600 };

struct gen {
        uint64_t state;
        struct buf out;
        unsigned depth, deepest; /* of containers, open now and ever */
};

/* splitmix64: the same numbers on every machine. */
static uint32_t gen_next(struct gen *g, uint32_t below)
{
        uint64_t z = g->state += 0x9e3779b97f4a7c15;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return (uint32_t)((z >> 32) % below);
}

static void gen_bytes(struct gen *g, size_t n)
{
        while (n--) {
                uint8_t byte = (uint8_t)gen_next(g, 256);
                CHECK_EQ(buf_push(&g->out, &byte, 1), 0);
        }
}

/* Writes `lead` and `n` in `width` bytes. */
static void gen_head(struct gen *g, uint8_t lead, uint32_t n, unsigned width)
{
        uint8_t head[5] = {lead};

        for (unsigned i = 0; i < width; i++)
                head[1 + i] = (uint8_t)(n >> (8 * (width - 1 - i)));
        CHECK_EQ(buf_push(&g->out, head, 1 + width), 0);
}

static void gen_value(struct gen *g);

static void gen_container(struct gen *g, bool is_map)
{
        uint32_t n = gen_next(g, 4);
        unsigned width = gen_next(g, 3);

        if (width == 0)
                gen_head(g, (uint8_t)((is_map ? 0x80 : 0x90) | n), 0, 0);
        else
                gen_head(g, (uint8_t)((is_map ? 0xde : 0xdc) + width - 1), n, 2 * width);
        g->depth++;
        if (g->depth > g->deepest)
                g->deepest = g->depth;
        for (uint32_t i = 0; i < (is_map ? 2 * n : n); i++)
                gen_value(g);
        g->depth--;
}

static void gen_str(struct gen *g)
{
        unsigned width = gen_next(g, 4);
        uint32_t n = gen_next(g, gen_next(g, 20) ? 20 : 32);

        if (width == 0)
                gen_head(g, (uint8_t)(0xa0 | n), 0, 0);
        else
                gen_head(g, (uint8_t)(0xd9 + width - 1), n, 1u << (width - 1));
        gen_bytes(g, n);
}

static void gen_bin_or_ext(struct gen *g)
{
        unsigned width = gen_next(g, 3), is_ext = gen_next(g, 2);
        uint32_t n = gen_next(g, 20);

        gen_head(g, (uint8_t)((is_ext ? 0xc7 : 0xc4) + width), n, 1u << width);
        gen_bytes(g, n + is_ext);
}

static void gen_scalar(struct gen *g)
{
        /* Lead bytes with so many bytes behind them. */
        static const uint8_t leads[][2] = {{0xc0, 0}, {0xc2, 0}, {0xc3, 0}, {0xca, 4}, {0xcb, 8},
                {0xcc, 1}, {0xcd, 2}, {0xce, 4}, {0xcf, 8}, {0xd0, 1}, {0xd1, 2}, {0xd2, 4},
                {0xd3, 8}, {0xd4, 2}, {0xd5, 3}, {0xd6, 5}, {0xd7, 9}, {0xd8, 17}};
        uint32_t which = gen_next(g, ARRAY_LEN(leads) + 4);

        if (which < ARRAY_LEN(leads)) {
                gen_head(g, leads[which][0], 0, 0);
                gen_bytes(g, leads[which][1]);
        } else {
                gen_head(g, (uint8_t)(gen_next(g, 160) - 32), 0, 0);
        }
}

static void gen_value(struct gen *g)
{
        uint32_t dice = gen_next(g, 10);

        if (dice < 5 && g->out.len < VALUE_BYTES_MOST && g->depth < WIRE_DEPTH + 2)
                gen_container(g, dice & 1);
        else if (dice < 7)
                gen_str(g);
        else if (dice < 8)
                gen_bin_or_ext(g);
        else
                gen_scalar(g);
}

/* Scans `b` and, if it is taken, unpacks it. Returns what the scan said. */
static int compare(const struct bytes *b)
{
        const uint8_t *at = b->data;
        msgpack_unpacked tree;
        size_t off = 0;

        int r = scan_value(&at, b->data + b->len, WIRE_DEPTH);
        if (r)
                return r;
        msgpack_unpacked_init(&tree);
        msgpack_unpack_return answer =
                msgpack_unpack_next(&tree, (const char *)b->data, b->len, &off);
        msgpack_unpacked_destroy(&tree);
        size_t len = (size_t)(at - b->data);
        CHECK_EQ(answer, MSGPACK_UNPACK_SUCCESS);
        CHECK_EQ(off, len);
        return 0;
}

static void gen_one(struct gen *g)
{
        buf_clear(&g->out);
        g->deepest = 0;
        gen_value(g);
}

TEST(sound_values_are_taken_by_both)
{
        struct gen g = {.state = 1};
        size_t n_deep = 0;

        for (int i = 0; i < CASES; i++) {
                gen_one(&g);
                cleanup_(bytes_deinit) struct bytes b = bytes_copy(g.out.data, g.out.len);
                bool is_deep = g.deepest > WIRE_DEPTH;
                CHECK_EQ(compare(&b), is_deep ? SCAN_E_MALFORMED : 0);
                n_deep += is_deep;
        }
        buf_deinit(&g.out);
        CHECK(n_deep > 100);
}

TEST(values_that_are_cut_are_refused)
{
        struct gen g = {.state = 2};

        for (int i = 0; i < CASES; i++) {
                gen_one(&g);
                size_t len = gen_next(&g, (uint32_t)g.out.len);
                cleanup_(bytes_deinit) struct bytes b = bytes_copy(g.out.data, len);
                CHECK_EQ(compare(&b), SCAN_E_MALFORMED);
        }
        buf_deinit(&g.out);
}

TEST(what_the_scan_takes_of_broken_values_msgpack_takes_too)
{
        struct gen g = {.state = 3};
        size_t n_taken = 0;

        for (int i = 0; i < CASES; i++) {
                gen_one(&g);
                for (uint32_t n = 1 + gen_next(&g, 4); n; n--)
                        g.out.data[gen_next(&g, (uint32_t)g.out.len)] = (uint8_t)gen_next(&g, 256);
                cleanup_(bytes_deinit) struct bytes b = bytes_copy(g.out.data, g.out.len);
                n_taken += compare(&b) == 0;
        }
        buf_deinit(&g.out);
        /* Both answers were asked for often. */
        CHECK(n_taken > CASES / 10 && n_taken < CASES - CASES / 10);
}

TEST(noise_is_treated_alike)
{
        struct gen g = {.state = 4};
        size_t n_taken = 0;

        for (int i = 0; i < CASES; i++) {
                buf_clear(&g.out);
                gen_bytes(&g, 1 + gen_next(&g, 40));
                cleanup_(bytes_deinit) struct bytes b = bytes_copy(g.out.data, g.out.len);
                n_taken += compare(&b) == 0;
        }
        buf_deinit(&g.out);
        CHECK(n_taken > CASES / 10);
}
