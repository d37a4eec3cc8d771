/* Design note. What the core says, as a client reads it: decoded into records, and checked for what
 * must hold in every packet. */
#include "broker/core/fake.h"

#include "tests/harness/test.h"

#include <stdlib.h>
#include <string.h>

static void record(struct client *c, struct got got, const struct frame *frame)
{
        struct got *g = calloc(1, sizeof(*g) + frame->len + 1);
        struct frame copy;
        const uint8_t *at;

        if (!g)
                abort();
        *g = got;
        g->packet = c->n_packets;
        g->len = frame->len;
        memcpy(g->bytes, frame->data, frame->len);
        at = g->bytes;
        CHECK_EQ(scan_frame(&at, g->bytes + g->len, &copy), 0);
        CHECK_EQ(message_decode(&copy, &g->m), 0);
        if (c->last)
                c->last->next = g;
        else
                c->first = g;
        c->last = g;
}

/* A packet as it is read. */
struct reading {
        struct client *client;
        const int *fds;
        size_t n_fds;
        bool has_delivery, is_first; /* behind a DELIVERY */
        struct msg_delivery delivery;
        size_t n_pubs, n_others;
};

/* The window that PROTOCOL.md part 6 gives every receiver of descriptors. */
static void note_fds(struct client *c, size_t n_fds)
{
        size_t sum = n_fds;

        CHECK(c->n_flying < WIRE_FD_WINDOW);
        for (size_t i = 0; i < c->n_flying; i++)
                sum += c->flying[i];
        CHECK(!c->n_flying || sum <= WIRE_FD_WINDOW);
        c->flying[c->n_flying++] = n_fds;
}

/* PUB and BEGIN. */
static void read_pub(struct reading *r, const struct frame *frame)
{
        struct client *c = r->client;
        struct message m;

        CHECK(r->has_delivery);
        CHECK(!c->is_chunked);
        CHECK_EQ(message_decode(frame, &m), 0);
        CHECK_EQ(r->delivery.seq, c->last_seq + 1);
        CHECK_EQ(m.pub.n_fds - r->delivery.withheld, r->n_fds);
        if (m.type == WIRE_PUB && m.pub.size)
                CHECK(r->n_fds > 0);
        struct got got = {
                .leads = r->is_first,
                .delivery = r->delivery,
                .n_fds = r->n_fds,
                .fd = r->n_fds ? r->fds[0] : -1,
                .last_fd = r->n_fds ? r->fds[r->n_fds - 1] : -1,
        };
        record(c, got, frame);
        if (r->n_fds)
                note_fds(c, r->n_fds);
        c->is_chunked = m.type == WIRE_BEGIN;
        if (c->is_chunked) {
                CHECK(m.pub.size > 0); /* the broker has all of it */
                c->coming = (struct coming){.delivery = got.delivery,
                        .n_fds = got.n_fds,
                        .fd = got.fd,
                        .last_fd = got.last_fd,
                        .left = m.pub.size};
        }
        c->last_seq = r->delivery.seq++;
        r->is_first = false;
        r->n_pubs++;
}

static void read_chunk(struct client *c, struct slice data)
{
        struct coming *coming = &c->coming;

        CHECK(c->is_chunked && data.len > 0 && data.len <= coming->left);
        coming->left -= data.len;
        coming->n_chunks++;
        if (buf_push(&coming->whole, data.data, data.len) < 0)
                abort();
}

static void read_end(struct client *c, uint64_t status, const struct frame *frame)
{
        const struct coming *coming = &c->coming;

        CHECK(c->is_chunked && (status || !coming->left));
        c->is_chunked = false;
        record(c,
                (struct got){
                        .delivery = coming->delivery,
                        .n_fds = coming->n_fds,
                        .fd = coming->fd,
                        .last_fd = coming->last_fd,
                        .whole = coming->whole,
                        .n_chunks = coming->n_chunks,
                },
                frame);
        c->coming = (struct coming){.left = 0};
}

static void read_other(struct reading *r, const struct frame *frame)
{
        struct client *c = r->client;
        struct message m;

        CHECK_EQ(message_decode(frame, &m), 0);
        r->n_others++;
        if (m.type == WIRE_CHUNK) {
                read_chunk(c, m.chunk);
                return;
        }
        if (m.type == WIRE_END) {
                read_end(c, m.number, frame);
                return;
        }
        if (m.type == WIRE_GAP)
                CHECK_EQ(m.gap.seq, c->last_seq + 1);
        if (m.type == WIRE_WELCOME) {
                c->number = m.welcome.session;
                c->window = m.welcome.window;
        }
        if (m.type == WIRE_CREDIT) {
                CHECK_EQ(m.credit.what, WIRE_CREDIT_PUBLISH);
                c->credited += m.credit.amount;
                c->n_credits++;
                return;
        }
        record(c, (struct got){.fd = -1, .last_fd = -1}, frame);
}

void fake_read(struct client *c, const uint8_t *at, size_t len, const int *fds, size_t n_fds)
{
        struct reading r = {.client = c, .fds = fds, .n_fds = n_fds};
        const uint8_t *end = at + len;
        struct frame frame;

        CHECK(len > 0 && len <= WIRE_PACKET_BYTES);
        c->n_packets++;
        while (at < end) {
                CHECK_EQ(scan_frame(&at, end, &frame), 0);
                if (frame.type == WIRE_DELIVERY) {
                        CHECK_EQ(message_decode_delivery(&frame, &r.delivery), 0);
                        CHECK(!r.is_first); /* the one before had its publication */
                        r.has_delivery = r.is_first = true;
                } else if (frame.type == WIRE_PUB || frame.type == WIRE_BEGIN) {
                        read_pub(&r, &frame);
                } else {
                        read_other(&r, &frame);
                }
        }
        CHECK(!r.is_first);
        if (n_fds)
                CHECK(r.n_pubs == 1 && r.n_others == 0);
}
