/* Design note. How a publication becomes frames: whether it travels inline, placed or in chunks,
 * what it costs of the window, what header frame must stand before it. The frame is written once,
 * straight into the packet; only an inline payload is in it. */
#include "client/handle.h"
#include "client/kept.h"

#include "proto/wire/format.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* ---------------------------------------------------------------- sizes and costs */

static size_t bin_head_len(size_t n)
{
        return n <= UINT8_MAX ? 2 : 3;
}

static unsigned number_width(uint64_t n)
{
        if (n <= MP_FIXINT_MAX)
                return 0;
        return n <= UINT8_MAX ? 1 : n <= UINT16_MAX ? 2 : n <= UINT32_MAX ? 4 : 8;
}

uint64_t out_cost(const struct baton *b, size_t frame_len, size_t n_fds, uint64_t payload_bytes)
{
        uint64_t more = n_fds * WIRE_FD_COST + payload_bytes / WIRE_PLACED_DIVISOR;
        uint64_t most = b->facts.window / WIRE_EXTRA_DIVISOR;

        return frame_len + (more < most ? more : most);
}

static int refuse_size(struct baton *b, const struct post *p, size_t inline_len)
{
        uint64_t most = b->facts.payload_bytes;

        if (p->payload_len > most && most != WIRE_FRAME_BYTES)
                return large_refuse_size(b, p->payload_len);
        if (inline_len > WIRE_FRAME_BYTES && most <= WIRE_FRAME_BYTES)
                return handle_fail_here(b, -EMSGSIZE,
                        "payload of %zu bytes: with topic and headers %d are the limit "
                        "(frame_bytes)",
                        p->payload_len, WIRE_FRAME_BYTES);
        return 0;
}

/* What fits a frame and cannot be placed stays inline, however low the threshold is. */
static enum post_form choose_form(const struct baton *b, const struct post *p, size_t inline_len)
{
        bool fits = inline_len <= WIRE_FRAME_BYTES;

        if (fits && p->payload_len <= large_threshold(b))
                return POST_INLINE;
        if (large_may_place(b))
                return POST_PLACED;
        return fits ? POST_INLINE : POST_CHUNKED;
}

/* All but what is short, or has descriptors. */
static __attribute__((noinline)) int measure_slowly(struct baton *b, struct post *p)
{
        size_t rest = p->prefix_len + (p->headers.len ? p->headers.len : 1);
        /* A payload near SIZE_MAX must not wrap. */
        size_t inline_len = p->payload_len > WIRE_FRAME_BYTES
                                    ? WIRE_FRAME_BYTES + 1
                                    : rest + bin_head_len(p->payload_len) + p->payload_len;
        int r = refuse_size(b, p, inline_len);

        if (r < 0)
                return r;
        p->form = choose_form(b, p, inline_len);
        p->size = p->payload_len;
        post_weigh(b, p);
        return 0;
}

int post_measure(struct baton *b, struct post *p)
{
        if (p->payload_len >= b->out.short_bytes || p->n_fds)
                return measure_slowly(b, p);
        p->form = POST_INLINE;
        p->cost = p->frame_len = p->prefix_len + (p->headers.len ? p->headers.len : 1) +
                                 bin_head_len(p->payload_len) + p->payload_len;
        return 0;
}

void post_weigh(const struct baton *b, struct post *p)
{
        bool placed = p->form == POST_PLACED;
        size_t payload = p->form == POST_INLINE ? bin_head_len(p->payload_len) + p->payload_len
                                                : 1 + number_width(p->size);

        p->frame_len = p->prefix_len + (p->headers.len ? p->headers.len : 1) + payload;
        p->cost = out_cost(b, p->frame_len, p->n_fds + placed, placed ? p->size : 0);
}

/* ---------------------------------------------------------------- room */

static bool has_room(const struct out *o, const struct post *p)
{
        return p->cost <= o->window && out_fits(o, p->frame_len + OUT_HEAD_BYTES);
}

static bool may_go(const struct baton *b, const struct post *p)
{
        return b->link && !b->leaving && !b->out.broken && has_room(&b->out, p);
}

int post_make_room(struct baton *b, const struct post *p)
{
        struct out *o = &b->out;

        for (;;) {
                int r = handle_check(b);
                if (r < 0)
                        return r;
                if (has_room(o, p))
                        return 0;
                if ((r = out_push(b)) < 0)
                        return r;
                if (has_room(o, p)) {
                        o->is_gathering = true; /* a packet was filled: a burst, if there is one */
                        return 0;
                }
                if (b->nonblocking)
                        return handle_fail_here(b, -EAGAIN,
                                "%s: publish again after the next baton_process",
                                p->cost > o->window ? "the broker is behind"
                                                    : "the socket is full");
                if ((r = handle_await(b, p->deadline_ns, false)) < 0)
                        return r;
        }
}

/* ---------------------------------------------------------------- bytes */

/* Writes into `b->frame` what must stand before the publication, and notes what then is in force.
 */
static int make_head(struct baton *b, const struct post *p)
{
        struct out *o = &b->out;
        uint64_t id = p->op ? b->ops.next_id : 0;
        uint64_t flags = p->flags | (id ? WIRE_INGRESS_CONFIRM : 0);
        struct message m;

        m.type = p->head;
        buf_clear(&b->frame);
        switch (p->head) {
        case WIRE_REQUEST:
                m.request = (struct msg_request){id, p->ms, p->max_fds};
                break;
        case WIRE_REPLY:
                m.reply = (struct msg_reply){p->token, p->flags, 0};
                break;
        default:
                if (flags == o->flags && p->ms == o->ttl_ms && (!id || id == o->next_id)) {
                        o->next_id = id ? id + 1 : 0;
                        return 0;
                }
                m.ingress = (struct msg_ingress){flags, id, p->ms};
                break;
        }
        if (message_encode(&b->frame, &m) < 0)
                return handle_fail(b, -ENOMEM, "out of memory");
        bool ingress = p->head == WIRE_INGRESS;
        o->flags = ingress ? flags : 0;
        o->ttl_ms = ingress ? p->ms : 0;
        o->next_id = ingress && id ? id + 1 : 0;
        return 0;
}

static uint8_t *put(uint8_t *to, const void *bytes, size_t n)
{
        if (n)
                memcpy(to, bytes, n);
        return to + n;
}

static uint8_t *put_payload(uint8_t *at, const struct post *p)
{
        if (p->payload_len <= UINT8_MAX) {
                *at++ = MP_BIN8;
        } else {
                *at++ = MP_BIN16;
                *at++ = (uint8_t)(p->payload_len >> 8);
        }
        *at++ = (uint8_t)p->payload_len;
        return put(at, p->payload, p->payload_len);
}

static uint8_t *put_size(uint8_t *at, const struct post *p)
{
        static const uint8_t leads[] = {
                [1] = MP_UINT8, [2] = MP_UINT16, [4] = MP_UINT32, [8] = MP_UINT64};
        unsigned width = number_width(p->size);

        if (!width) {
                *at++ = (uint8_t)p->size;
                return at;
        }
        *at++ = leads[width];
        while (width--)
                *at++ = (uint8_t)(p->size >> (8 * width));
        return at;
}

int post_put(struct baton *b, const struct post *p)
{
        struct out *o = &b->out;
        int r = make_head(b, p);

        if (r < 0)
                return r;
        uint8_t *at = put(o->data + o->len, b->frame.data, b->frame.len), *pub = at;
        at = put(at, p->prefix, p->prefix_len);
        pub[1] = p->form == POST_CHUNKED ? WIRE_BEGIN : WIRE_PUB;
        pub[2] = (uint8_t)(p->n_fds + (p->form == POST_PLACED));
        if (p->headers.len)
                at = put(at, p->headers.data, p->headers.len);
        else
                *at++ = MP_FIXMAP;
        at = p->form == POST_INLINE ? put_payload(at, p) : put_size(at, p);
        assert((size_t)(at - pub) == p->frame_len);
        o->window -= p->cost;
        o->len = (size_t)(at - o->data);
        o->n_posts += p->head == WIRE_INGRESS && !p->op;
        return 0;
}

void post_take_back(struct baton *b, const struct post *p)
{
        b->out.window += p->cost;
        b->out.n_posts -= p->head == WIRE_INGRESS && !p->op;
}

/* ---------------------------------------------------------------- the whole */

static inline int put_frame(struct baton *b, struct post *p)
{
        int r;

        if (bt_unlikely(p->n_fds || p->form == POST_PLACED))
                return post_with_fds(b, p);
        if ((!may_go(b, p) && (r = post_make_room(b, p)) < 0) || (r = post_put(b, p)) < 0)
                return r;
        if (p->op)
                op_start(b, p->op);
        return 0;
}

int post_frame(struct baton *b, struct post *p)
{
        return put_frame(b, p);
}

static int send_now(struct baton *b, struct post *p)
{
        int r;

        if (bt_unlikely(b->dgram))
                return datagram_post(b, p);
        if (bt_unlikely(!b->link))
                return handle_check(b);
        if (bt_unlikely(b->large.state != LARGE_NONE) && (r = large_clear(b, p->deadline_ns)) < 0)
                return r;
        if ((r = post_measure(b, p)) < 0)
                return r;
        if (bt_unlikely(p->form == POST_CHUNKED))
                return large_post(b, p);
        if ((r = put_frame(b, p)) < 0)
                return r;
        r = out_leave(b);
        /* From here on the operation tells how it ends, also with the connection. */
        return p->op ? 0 : r;
}

int post_now(struct baton *b, struct post *p)
{
        int r = send_now(b, p);
        bool lasts = p->flags & (WIRE_INGRESS_RETAIN | WIRE_INGRESS_WILL);

        if (bt_unlikely(b->stay) && r == 0 && p->head == WIRE_INGRESS && lasts)
                kept_remember(b, p);
        return r;
}

int post_publication(struct baton *b, struct post *p)
{
        int r;

        if (bt_likely(!b->stay))
                return send_now(b, p);
        if ((r = kept_before(b, p)) != KEPT_E_GO)
                return r;
        return kept_instead(b, p, post_now(b, p));
}
