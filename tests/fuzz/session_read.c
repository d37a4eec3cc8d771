/* Design note. What the core sends must be what PROTOCOL.md allows: whole frames, publications
 * under a DELIVERY, numbers without holes, chunks in one piece, descriptors alone and within the
 * window of their receiver. */
#include "tests/fuzz/session_play.h"

#include <string.h>

struct reading {
        struct client *client;
        const struct core_packet *packet;
        struct msg_delivery delivery; /* seq 0: none yet */
        size_t n_pubs, n_others;
};

static void read_delivery(struct reading *r, const struct frame *f)
{
        struct client *c = r->client;

        must(message_decode_delivery(f, &r->delivery) == 0);
        must(r->delivery.seq == c->last_seq + 1);
        if (r->delivery.token)
                c->token = r->delivery.token;
}

static void read_fds(struct client *c, size_t n_fds)
{
        size_t sum = n_fds;

        must(c->n_flying < WIRE_FD_WINDOW);
        for (size_t i = 0; i < c->n_flying; i++)
                sum += c->flying[i];
        must(!c->n_flying || sum <= WIRE_FD_WINDOW);
        c->flying[c->n_flying++] = n_fds;
}

/* PUB and BEGIN. */
static void read_pub(struct reading *r, const struct frame *f)
{
        struct client *c = r->client;
        struct message m;

        must(message_decode(f, &m) == 0);
        must(r->delivery.seq > 0 && !c->is_chunked);
        must(m.pub.n_fds - r->delivery.withheld == r->packet->n_fds);
        must(m.type == WIRE_BEGIN || m.pub.payload.data || r->packet->n_fds > 0);
        if (r->packet->n_fds)
                read_fds(c, r->packet->n_fds);
        c->last_seq++;
        r->n_pubs++;
        c->is_chunked = m.type == WIRE_BEGIN;
        c->chunked = 0;
        c->left = m.pub.size;
        must(!c->is_chunked || c->left > 0);
}

static void read_chunk(struct reading *r, struct slice data)
{
        struct client *c = r->client;

        must(c->is_chunked && data.len > 0 && data.len <= c->left);
        must(r->packet->fill_len == data.len && r->packet->fill_at == c->chunked);
        c->chunked += data.len;
        c->left -= data.len;
}

static void read_other(struct reading *r, const struct frame *f)
{
        struct client *c = r->client;
        struct message m;

        must(message_decode(f, &m) == 0);
        r->n_others++;
        if (m.type == WIRE_CHUNK) {
                read_chunk(r, m.chunk);
        } else if (m.type == WIRE_END) {
                must(c->is_chunked && (m.number || !c->left));
                c->is_chunked = false;
        } else if (m.type == WIRE_GAP) {
                must(m.gap.seq == c->last_seq + 1 && m.gap.count > 0);
        }
}

void play_read(struct client *c, const uint8_t *at, size_t len, const struct core_packet *packet)
{
        struct reading r = {.client = c, .packet = packet};
        const uint8_t *end = at + len;
        struct frame f;

        must(len > 0 && len <= WIRE_PACKET_BYTES);
        while (at < end) {
                must(scan_frame(&at, end, &f) == 0);
                if (f.type == WIRE_DELIVERY)
                        read_delivery(&r, &f);
                else if (f.type == WIRE_PUB || f.type == WIRE_BEGIN)
                        read_pub(&r, &f);
                else
                        read_other(&r, &f);
        }
        must(!packet->n_fds || (r.n_pubs == 1 && r.n_others == 0));
}
