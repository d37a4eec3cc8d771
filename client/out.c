/* Design note. One buffer holds the next packet: whole frames in the order of the program. It goes
 * to the socket at once if the handle is not corked; while the socket is full it stays, and what
 * follows is gathered behind it, so a burst travels in large packets without anybody asking.
 *
 * The window is taken when a publication enters the buffer. So all that is in the buffer may be
 * sent, nothing in it waits for anything but the socket, and control frames, which cost no window,
 * pass publishers that wait for some. A control frame never waits: behind a full buffer it goes to
 * the tail, which is sent next; publications wait until the tail is empty, so the order holds.
 *
 * While the socket is full it is tried again at most once per tick of the coarse clock: a loop of
 * publications costs no system call each, and a slow publisher is not stuck behind one full moment.
 */
#include "client/handle.h"

#include "proto/wire/format.h"
#include "proto/wire/topic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t coarse_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int out_begin(struct baton *b, uint64_t window)
{
        struct out *o = &b->out;

        if (!o->data && !(o->data = malloc(WIRE_PACKET_BYTES)))
                return handle_fail(b, -ENOMEM, "out of memory");
        buf_clear(&o->tail);
        o->sealed = o->blocked = o->starved = o->broken = false;
        o->window = window;
        out_reset(o);
        return 0;
}

void out_deinit(struct out *out)
{
        free(out->data);
        out->data = NULL;
        buf_deinit(&out->tail);
}

static void set_head(struct topic *t)
{
        uint8_t *p = t->bytes + TOPIC_HEAD_BYTES;

        if (t->len < 32) {
                *--p = (uint8_t)(MP_FIXSTR | t->len);
        } else {
                *--p = (uint8_t)t->len;
                *--p = MP_STR8;
        }
        *--p = 0; /* n_fds */
        *--p = WIRE_PUB;
        *--p = MP_FIXARRAY | 5;
        t->head_len = (uint16_t)(t->bytes + TOPIC_HEAD_BYTES - p);
}

int out_topic(struct baton *b, const char *topic)
{
        struct out *o = &b->out;
        size_t len = strnlen(topic, WIRE_TOPIC_BYTES + 1);
        struct topic *t = &o->topics[hash_bytes(0, topic, len) & (OUT_TOPICS - 1)];

        if (!t->head_len || t->len != len || memcmp(topic_text(t), topic, len) != 0) {
                if (!topic_is_valid(topic, len))
                        return handle_fail(b, -EINVAL, "%.80s: not a topic", topic);
                memcpy(t->bytes + TOPIC_HEAD_BYTES, topic, len + 1);
                t->len = (uint16_t)len;
                set_head(t);
        }
        o->topic = t;
        return 0;
}

/* Whole frames from the tail, as many as fit. */
static void refill(struct out *o)
{
        const uint8_t *at = o->tail.data, *end = at + o->tail.len;
        size_t n = 0;
        struct frame f;

        while (at < end && !scan_frame(&at, end, &f) &&
                (size_t)(at - o->tail.data) <= WIRE_FRAME_BYTES)
                n = (size_t)(at - o->tail.data);
        memcpy(o->data, o->tail.data, n);
        o->len = n;
        buf_drop(&o->tail, n);
}

void out_reset(struct out *o)
{
        o->len = 0;
        o->flags = o->ttl_ms = o->next_id = 0;
        if (bt_unlikely(o->tail.len))
                refill(o);
}

/* The broker reads no more; it may have said why. */
static int give_up(struct baton *b)
{
        struct out *o = &b->out;

        o->broken = true;
        o->blocked = false;
        buf_clear(&o->tail);
        out_reset(o);
        in_read_out(b);
        return handle_check(b);
}

int out_push(struct baton *b)
{
        struct out *o = &b->out;

        o->starved = false;
        while (o->len && !o->sealed) {
                struct iovec iov = {o->data, o->len};
                int r = b->link ? link_send(b->link, &iov, 1, NULL) : LINK_E_GONE;

                switch (r) {
                case 0:
                        out_reset(o);
                        o->blocked = false;
                        break;
                case LINK_E_EXHAUSTED:
                        o->starved = true;
                        /* fall through */
                case LINK_E_AGAIN:
                        o->blocked = true;
                        o->tried_ns = coarse_ns();
                        return 0;
                case LINK_E_GONE:
                        return give_up(b);
                default:
                        handle_lose(
                                b, -ENOTCONN, 0, "sending: %s", strerror(r < 0 ? -r : EMSGSIZE));
                        return handle_check(b);
                }
        }
        return 0;
}

int out_kick(struct baton *b)
{
        struct out *o = &b->out;

        if (o->cork || !o->len)
                return 0;
        if (o->blocked && coarse_ns() == o->tried_ns)
                return 0;
        return out_push(b);
}

int out_drain(struct baton *b, uint64_t deadline_ns)
{
        for (;;) {
                int r = out_push(b);
                if (r < 0 || out_is_empty(&b->out))
                        return r;
                r = handle_await(b, deadline_ns, false);
                if (r < 0)
                        return r;
        }
}

/* A run of one topic must still fit a packet with the broker's header before it, hence
 * WIRE_FRAME_BYTES; a frame alone always fits. */
static bool fits(const struct out *o, size_t n)
{
        return !o->sealed && !o->tail.len && (o->len + n <= WIRE_FRAME_BYTES || !o->len);
}

static int push_tail(struct baton *b, const struct buf *frame)
{
        struct buf *tail = &b->out.tail;

        if (tail->len + frame->len > OUT_TAIL_BYTES)
                return handle_fail(b, -ENOBUFS, "%s: the broker does not read", b->facts.address);
        if (buf_push(tail, frame->data, frame->len) < 0)
                return handle_fail(b, -ENOMEM, "out of memory");
        return 0;
}

int out_control(struct baton *b, const struct message *m)
{
        struct out *o = &b->out;
        int r = handle_check(b);

        if (r < 0)
                return r;
        buf_clear(&b->frame);
        if (message_encode(&b->frame, m) < 0)
                return handle_fail(b, -ENOMEM, "out of memory");
        if (!fits(o, b->frame.len) && (r = out_push(b)) < 0)
                return r;
        if (!fits(o, b->frame.len)) {
                r = push_tail(b, &b->frame);
                return r < 0 ? r : out_kick(b);
        }
        memcpy(o->data + o->len, b->frame.data, b->frame.len);
        o->len += b->frame.len;
        return out_kick(b);
}

static size_t bin_head_len(size_t n)
{
        return n <= UINT8_MAX ? 2 : 3;
}

int out_measure(struct baton *b, const struct post *p, size_t *ret_n)
{
        size_t rest = p->prefix_len + (p->headers.len ? p->headers.len : 1);

        if (p->payload_len > WIRE_FRAME_BYTES ||
                rest + bin_head_len(p->payload_len) + p->payload_len > WIRE_FRAME_BYTES)
                return handle_fail(b, -EMSGSIZE,
                        "payload of %zu bytes: with topic and headers %d are the limit "
                        "(frame_bytes)",
                        p->payload_len, WIRE_FRAME_BYTES);
        *ret_n = rest + bin_head_len(p->payload_len) + p->payload_len;
        return 0;
}

static bool has_room(const struct out *o, size_t n)
{
        return n <= o->window && fits(o, n + OUT_HEAD_BYTES);
}

int out_make_room(struct baton *b, size_t n, uint64_t deadline_ns)
{
        struct out *o = &b->out;

        for (;;) {
                int r = handle_check(b);
                if (r < 0)
                        return r;
                if (has_room(o, n))
                        return 0;
                if ((r = out_push(b)) < 0)
                        return r;
                if (has_room(o, n))
                        return 0;
                if (b->nonblocking)
                        return handle_fail(b, -EAGAIN, "%s",
                                n > o->window ? "the broker is behind" : "the socket is full");
                if ((r = handle_await(b, deadline_ns, false)) < 0)
                        return r;
        }
}

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

int out_put(struct baton *b, const struct post *p)
{
        struct out *o = &b->out;
        int r = make_head(b, p);

        if (r < 0)
                return r;
        uint8_t *at = put(o->data + o->len, b->frame.data, b->frame.len), *pub = at;
        at = put(at, p->prefix, p->prefix_len);
        pub[2] = (uint8_t)p->n_fds;
        if (p->headers.len)
                at = put(at, p->headers.data, p->headers.len);
        else
                *at++ = MP_FIXMAP;
        if (p->payload_len <= UINT8_MAX) {
                *at++ = MP_BIN8;
        } else {
                *at++ = MP_BIN16;
                *at++ = (uint8_t)(p->payload_len >> 8);
        }
        *at++ = (uint8_t)p->payload_len;
        at = put(at, p->payload, p->payload_len);
        o->window -= (uint64_t)(at - pub);
        o->len = (size_t)(at - o->data);
        return 0;
}

int out_post(struct baton *b, const struct post *p)
{
        size_t n = 0;
        int r = out_measure(b, p, &n);

        if (r < 0)
                return r;
        if (p->n_fds)
                return out_post_fds(b, p, n);
        if ((r = out_make_room(b, n, p->deadline_ns)) < 0 || (r = out_put(b, p)) < 0)
                return r;
        if (p->op)
                op_start(b, p->op);
        r = out_kick(b);
        /* From here on the operation tells how it ends, also with the connection. */
        return p->op ? 0 : r;
}
