/* Design note. One buffer holds the next packet: whole frames in the order of the program. It goes
 * to the socket at once if the handle is not corked; while the socket is full it stays, and what
 * follows is gathered behind it, so a burst travels in large packets without anybody asking.
 *
 * The window is taken when a publication enters the buffer. So all that is in the buffer may be
 * sent, nothing in it waits for anything but the socket, and control frames, which cost no window,
 * pass publishers that wait for some. A control frame never waits: behind a full buffer it goes to
 * the tail, which is sent next; publications wait until the tail is empty, so the order holds.
 *
 * A publication leaves at once, for who publishes now and then wants it there soon. When several
 * leave within microseconds of each other it is a burst, and what follows is gathered: it leaves
 * with the full packet, with the next call that waits or processes, by the flusher, or by the
 * event loop, which baton_timeout tells to come at once.
 *
 * While the socket is full it is tried again at most once per tick of the coarse clock: a loop of
 * publications costs no system call each, and a slow publisher is not stuck behind one full moment.
 */
#include "client/handle.h"
#include "client/kept.h"

#include "proto/base/sys.h"
#include "proto/wire/format.h"
#include "proto/wire/topic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int out_begin(struct baton *b, uint64_t window)
{
        struct out *o = &b->out;

        if (!o->data && !(o->data = malloc(WIRE_PACKET_BYTES)))
                return handle_fail(b, -ENOMEM, "out of memory");
        buf_clear(&o->tail);
        o->sealed = o->blocked = o->starved = o->broken = false;
        o->window = window;
        o->n_posts = o->n_certain = o->credited = o->mark_bytes = o->mark_posts = 0;
        o->eager = OUT_EAGER;
        out_reset(o);
        out_tune(b);
        return 0;
}

void out_tune(struct baton *b)
{
        const size_t room = WIRE_FRAME_BYTES - WIRE_HEADER_BYTES - 2 * WIRE_TOPIC_BYTES;
        size_t most = size_min(large_threshold(b), room);

        if (b->facts.payload_bytes < most)
                most = (size_t)b->facts.payload_bytes;
        b->out.short_bytes = most + 1;
        bool is_fast = b->large.state == LARGE_NONE && kept_is_empty(b);
        b->out.fast_bytes = is_fast ? size_min(most, UINT8_MAX) + 1 : 0;
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

        if (!topic)
                return handle_fail(b, -EINVAL, "no topic (NULL)");
        size_t len = strnlen(topic, WIRE_TOPIC_BYTES + 1);
        struct topic *t = &o->topics[hash_bytes(0, topic, len) & (OUT_TOPICS - 1)];

        if (!t->head_len || t->len != len || memcmp(topic_text(t), topic, len) != 0) {
                if (!topic_is_valid(topic, len))
                        return handle_fail(b, -EINVAL, "'%.80s' is no topic: %s", topic,
                                topic_fault(topic, len));
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
        o->packet_no++;
        o->len = 0;
        o->flags = o->ttl_ms = o->next_id = 0;
        if (bt_unlikely(o->tail.len))
                refill(o);
}

void out_drop(struct out *o)
{
        buf_clear(&o->tail);
        out_reset(o);
}

void out_break(struct baton *b)
{
        b->out.broken = true;
        b->out.blocked = false;
        in_read_out(b);
        /* It neither reads nor ends: who would come back must not wait for that. */
        if (b->stay && b->link && !b->in.examining)
                handle_lose(b, -ENOTCONN, 0, "the broker reads no more");
}

static int give_up(struct baton *b)
{
        struct out *o = &b->out;

        out_break(b);
        /* The end, when it comes, may find something in there to keep. */
        if (!b->link || !b->stay)
                out_drop(o);
        return handle_check(b);
}

void out_note_full(struct out *o)
{
        o->blocked = true;
        o->tried_ns = sys_coarse_ns();
}

/* The packet, or what a stream has kept of the one before. */
static int give(struct baton *b)
{
        struct out *o = &b->out;
        struct iovec iov = {o->data, o->len};

        if (!b->link)
                return LINK_E_GONE;
        return o->len ? link_send(b->link, &iov, 1, NULL, 0) : link_flush(b->link);
}

static bool has_more(struct baton *b)
{
        if (bt_unlikely(b->large.state == LARGE_CHUNKS))
                large_fill(b);
        return b->out.len || (b->link && link_is_unsent(b->link));
}

int out_push(struct baton *b)
{
        struct out *o = &b->out;

        if (o->sealed)
                return 0;
        o->starved = o->blocked = o->is_gathering = false;
        while (has_more(b)) {
                int r = give(b);

                switch (r) {
                case 0:
                        out_reset(o);
                        break;
                case LINK_E_EXHAUSTED:
                        o->starved = true;
                        /* fall through */
                case LINK_E_AGAIN:
                        out_note_full(o);
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
        if (o->blocked && sys_coarse_ns() == o->tried_ns)
                return 0;
        return out_push(b);
}

int out_urge(struct baton *b)
{
        const struct out *o = &b->out;

        return o->len && o->cork == b->busy && !o->blocked ? out_push(b) : 0;
}

void out_note_credit(struct baton *b, uint64_t bytes)
{
        struct out *o = &b->out;

        o->credited += bytes;
        if (o->credited < o->mark_bytes)
                return;
        o->n_certain = o->mark_posts;
        o->mark_posts = o->n_posts;
        o->mark_bytes = b->facts.window + o->credited - o->window;
        /* Nothing is under way: then all was taken. */
        if (o->credited >= o->mark_bytes)
                o->n_certain = o->mark_posts;
}

/* ---------------------------------------------------------------- bursts */

static bool is_burst(struct out *o)
{
        uint64_t now = clock_ns();
        bool is_idle = now - o->left_ns >= OUT_BURST_NS;

        o->left_ns = now;
        if (is_idle)
                o->eager = OUT_EAGER;
        if (o->eager == 0)
                return true;
        o->eager--;
        return false;
}

int out_leave(struct baton *b)
{
        struct out *o = &b->out;

        if (o->cork || !o->len)
                return 0;
        /* In a burst the clock need not be asked: it goes on until the buffer was emptied. */
        if (o->is_gathering || is_burst(o)) {
                o->is_gathering = true;
                return 0;
        }
        int r = out_kick(b);
        /* What was in the buffer when the connection was lost is kept: this too. */
        return r == -ENOTCONN && kept_is_taking(b) ? 0 : r;
}

bool out_send_parked(struct baton *b)
{
        struct out *o = &b->out;

        while (o->len || link_is_unsent(b->link)) {
                switch (give(b)) {
                case 0:
                        out_reset(o);
                        break;
                case LINK_E_AGAIN:
                case LINK_E_EXHAUSTED:
                        return false;
                default:
                        /* The next call finds it out, and tells: it must try. */
                        o->is_gathering = false;
                        o->eager = OUT_EAGER;
                        return true;
                }
        }
        return true;
}

void out_forget_parked(struct baton *b)
{
        struct out *o = &b->out;

        out_drop(o);
        /* Half a packet is on its way, and the other half is not ours to send. */
        if (link_is_unsent(b->link))
                o->broken = true;
}

void out_hold(struct baton *b)
{
        struct out *o = &b->out;

        if (bt_likely(!o->is_open))
                return;
        flusher_close(b);
        if (!o->len)
                o->is_gathering = false; /* it was sent, for nothing followed for a while */
}

/* A stream may have taken a part of what is sent. */
static bool has_rest(const struct baton *b)
{
        const struct out *o = &b->out;

        return o->len || o->tail.len || (b->link && link_is_unsent(b->link));
}

int out_part(struct baton *b, int result)
{
        struct out *o = &b->out;

        if (bt_likely(!has_rest(b)) || o->cork || !b->link || o->sealed)
                return result;
        if (flusher_open(b) == 0)
                return result;
        int r = out_push(b);
        return r < 0 && result >= 0 ? r : result;
}

/* ---------------------------------------------------------------- all of it */

int out_drain(struct baton *b, uint64_t deadline_ns)
{
        for (;;) {
                int r = out_push(b);
                if (r < 0 || out_is_sent(b))
                        return r;
                r = handle_await(b, deadline_ns, false);
                if (r < 0)
                        return r;
        }
}

bool out_is_sent(const struct baton *b)
{
        const struct out *o = &b->out;

        return !o->len && !o->tail.len && !large_is_due(b) && !(b->link && link_is_unsent(b->link));
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
        if (!out_fits(o, b->frame.len) && (r = out_push(b)) < 0)
                return r;
        if (!out_fits(o, b->frame.len)) {
                r = push_tail(b, &b->frame);
                return r < 0 ? r : out_kick(b);
        }
        memcpy(o->data + o->len, b->frame.data, b->frame.len);
        o->len += b->frame.len;
        return out_kick(b);
}
