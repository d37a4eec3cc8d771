/* Design note. What the model says about payloads and descriptors: every byte in its place, in
 * whichever way it came, and all descriptors or none. */
#include "broker/core/sim_model.h"

#include "proto/base/memfile.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_BYTES = 16, PIECE_BYTES = 16384 };

void sim_payload(uint32_t counter, uint64_t at, uint8_t *to, size_t n)
{
        char number[NUMBER_BYTES + 1];

        fake_pattern(counter, at, to, n);
        snprintf(number, sizeof(number), "%-16u", counter);
        for (size_t i = 0; i < n && at + i < NUMBER_BYTES; i++)
                to[i] = (uint8_t)number[at + i];
}

static bool is_placed(const struct got *g)
{
        return g->m.type == WIRE_PUB && !g->m.pub.payload.data;
}

static uint64_t size_of(const struct got *g)
{
        if (is_placed(g))
                return g->m.pub.size;
        return g->m.type == WIRE_PUB ? g->m.pub.payload.len : g->whole.len;
}

/* Reads a part of the payload. */
static void read_part(const struct got *g, uint64_t at, uint8_t *to, size_t n)
{
        if (is_placed(g))
                CHECK_EQ(memfile_read(g->last_fd, at, to, n), 0);
        else
                memcpy(to, (g->m.type == WIRE_PUB ? g->m.pub.payload.data : g->whole.data) + at, n);
}

uint32_t sim_counter_of(const struct got *g)
{
        char number[NUMBER_BYTES + 1] = {0};
        uint64_t size = size_of(g);

        CHECK(g->m.type != WIRE_END || g->m.number == 0);
        read_part(g, 0, (uint8_t *)number, size < NUMBER_BYTES ? (size_t)size : NUMBER_BYTES);
        return (uint32_t)strtoul(number, NULL, 10);
}

static void check_bytes(const struct post *post, const struct got *g)
{
        static uint8_t got[PIECE_BYTES], want[PIECE_BYTES];

        CHECK_EQ(size_of(g), post->size);
        for (uint64_t at = 0; at < post->size; at += PIECE_BYTES) {
                uint64_t left = post->size - at;
                size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
                read_part(g, at, got, n);
                sim_payload(post->counter, at, want, n);
                CHECK_BYTES(got, want, n);
        }
}

void sim_check_large(
        struct sim *sim, const struct peer *to, const struct post *post, const struct got *g)
{
        uint64_t withheld = g->delivery.withheld;

        if (post->size) {
                sim->n_large++;
                check_bytes(post, g);
        }
        sim->n_withheld += withheld > 0;
        if (post->n_fds > to->max_fds)
                CHECK_EQ(withheld, post->n_fds);
        else
                CHECK(!withheld || (sim->was_scarce && withheld == post->n_fds));
        CHECK_EQ(g->n_fds, post->n_fds - withheld + is_placed(g));
}
