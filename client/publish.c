/* Design note. baton_publish has a path of its own for what it is called for a million times: the
 * same topic as before, no headers, nothing to say to the broker about it, and room. It compares
 * the topic, copies envelope and payload, and is done; all else goes the long way. What seldom
 * forbids that path is folded into one number, out.fast_bytes. */
#include "client/handle.h"
#include "client/kept.h"

#include "proto/wire/format.h"

#include <errno.h>
#include <string.h>

/* The frame of a publication without a topic, up to its headers: a reply, or the end of a will. */
static const uint8_t no_topic[] = {MP_FIXARRAY | 5, WIRE_PUB, 0, MP_FIXSTR};

static int find_topic(struct baton *b, const char *topic)
{
        const struct topic *t = b->out.topic;

        if (bt_likely(topic && !strcmp(topic, topic_text(t)) && t->head_len))
                return 0;
        return out_topic(b, topic);
}

/* What a publication and a reply have in common. */
static int fill(struct baton *b, struct post *post, const struct baton_publication *p)
{
        post->payload = p->payload;
        post->payload_len = p->payload_len;
        post->fds = p->fds;
        post->n_fds = p->n_fds;
        return p->n_headers ? headers_of_user(b, p->headers, p->n_headers, &post->headers) : 0;
}

static void set_topic(const struct baton *b, struct post *post)
{
        post->prefix = topic_frame(b->out.topic);
        post->prefix_len = topic_frame_len(b->out.topic);
}

static int set_flags(struct baton *b, struct post *post, uint32_t flags)
{
        const uint32_t known = BATON_NO_ECHO | BATON_RETAIN | BATON_WILL;

        if (flags & ~known)
                return handle_fail(b, -EINVAL,
                        "flags 0x%x: a publication has BATON_NO_ECHO, BATON_RETAIN, BATON_WILL",
                        flags);
        if ((flags & BATON_NO_ECHO) || b->no_echo)
                post->flags |= WIRE_INGRESS_NO_ECHO;
        if (flags & BATON_RETAIN)
                post->flags |= WIRE_INGRESS_RETAIN;
        if (flags & BATON_WILL)
                post->flags |= WIRE_INGRESS_WILL;
        return 0;
}

int publish_prepare(struct baton *b, const struct baton_publication *p, struct post *ret_post)
{
        struct post *post = ret_post;
        int r;

        *post = (struct post){
                .prefix = no_topic,
                .prefix_len = sizeof(no_topic),
                .head = WIRE_INGRESS,
                .ms = p->ttl_ms,
                .deadline_ns = UINT64_MAX,
        };
        if ((r = set_flags(b, post, p->flags)) < 0)
                return r;
        bool clears_will = p->topic && !p->topic[0] && (p->flags & BATON_WILL);
        if ((!clears_will && (r = find_topic(b, p->topic)) < 0) || (r = fill(b, post, p)) < 0)
                return r;
        if (!clears_will)
                set_topic(b, post);
        return 0;
}

static int publish(
        struct baton *b, const struct baton_publication *p, struct op *op, uint64_t deadline_ns)
{
        struct post post;
        int r = publish_prepare(b, p, &post);

        if (r < 0)
                return r;
        post.op = op;
        post.deadline_ns = deadline_ns;
        return post_publication(b, &post);
}

static __attribute__((noinline)) int publish_slowly(
        struct baton *b, const char *topic, const void *payload, size_t len)
{
        struct baton_publication p = {.topic = topic, .payload = payload, .payload_len = len};

        b->out.is_open = false; /* it was closed */
        return out_part(b, publish(b, &p, NULL, UINT64_MAX));
}

/* There is room, and nothing needs to be said to the broker. */
static bool is_plain(const struct baton *b, size_t n)
{
        const struct out *o = &b->out;

        return b->link && !b->leaving && !b->no_echo && !o->broken && !o->sealed && !o->tail.len &&
               !(o->flags | o->ttl_ms) && n <= o->window && o->len + n <= WIRE_FRAME_BYTES;
}

int baton_publish(baton *b, const char *topic, const void *payload, size_t payload_len)
{
        struct out *o = &b->out;
        int r = find_topic(b, topic);

        if (r < 0)
                return r;
        if (o->is_open && !park_try_close(o->park))
                out_hold(b);
        const struct topic *t = o->topic;
        size_t head = topic_frame_len(t), n = head + 3 + payload_len;
        if (bt_unlikely(payload_len >= o->fast_bytes || !is_plain(b, n)))
                return publish_slowly(b, topic, payload, payload_len);
        uint8_t *at = o->data + o->len;
        memcpy(at, topic_frame(t), head);
        at += head;
        *at++ = MP_FIXMAP;
        *at++ = MP_BIN8;
        *at++ = (uint8_t)payload_len;
        if (payload_len)
                memcpy(at, payload, payload_len);
        o->len += n;
        o->window -= n;
        o->n_posts++;
        /* A burst goes on: in the same packet, which is opened again. */
        if (bt_likely(o->is_open)) {
                park_reopen(o->park);
                return 0;
        }
        return o->cork ? 0 : out_part(b, out_leave(b));
}

int baton_publish_with(baton *b, const struct baton_publication *p)
{
        out_hold(b);
        return out_part(b, publish(b, p, NULL, UINT64_MAX));
}

static int publish_confirm(
        struct baton *b, const struct baton_publication *p, baton_done_fn done, void *arg)
{
        struct op *op;
        int r = handle_check_publishing(b);

        if (r < 0 || (r = ops_new(b, OP_ANSWER, &op)) < 0)
                return r;
        op->done = done;
        op->arg = arg;
        r = publish(b, p, op, UINT64_MAX);
        if (r < 0)
                op_drop(b, op);
        return r;
}

int baton_publish_confirm(
        baton *b, const struct baton_publication *p, baton_done_fn done, void *arg)
{
        out_hold(b);
        return out_part(b, publish_confirm(b, p, done, arg));
}

static int publish_wait(struct baton *b, const struct baton_publication *p, int timeout_ms)
{
        uint64_t deadline_ns = clock_deadline(timeout_ms);
        struct waiter w = {.done = false};
        struct op *op;
        int r = handle_check_publishing(b);

        if (r < 0 || (r = ops_new(b, OP_ANSWER, &op)) < 0)
                return r;
        op->waiter = &w;
        op->nested = b->dispatching;
        r = publish(b, p, op, deadline_ns);
        if (r < 0) {
                op_drop(b, op);
                return r;
        }
        return handle_await_op(b, op, &w, deadline_ns);
}

int baton_publish_wait(baton *b, const struct baton_publication *p, int timeout_ms)
{
        handle_enter(b);
        return handle_leave(b, publish_wait(b, p, timeout_ms));
}

void baton_cork(baton *b)
{
        out_hold(b);
        b->out.cork++;
}

int baton_uncork(baton *b)
{
        out_hold(b);
        /* Those of the calls under way are not the application's. */
        if (b->out.cork > b->busy)
                b->out.cork--;
        if (b->out.cork || b->dgram)
                return 0;
        int r = handle_check_publishing(b);
        if (r == 0)
                r = out_kick(b);
        return out_part(b, kept_is_taking(b) ? 0 : r);
}

/* ---------------------------------------------------------------- requests and replies */

int request_post(struct baton *b, const struct baton_publication *p, struct op *op,
        uint64_t timeout_ms, uint64_t deadline_ns)
{
        struct post post = {
                .head = WIRE_REQUEST,
                .ms = timeout_ms,
                .max_fds = p->reply_fds,
                .op = op,
                .deadline_ns = deadline_ns,
        };
        int r;

        if (p->flags || p->ttl_ms)
                return handle_fail(b, -EINVAL, "a request has no flags and no ttl");
        if (p->reply_fds > WIRE_FDS)
                return handle_fail(b, -EINVAL, "reply_fds %u: a message has at most %d descriptors",
                        p->reply_fds, WIRE_FDS);
        if ((r = find_topic(b, p->topic)) < 0 || (r = fill(b, &post, p)) < 0)
                return r;
        set_topic(b, &post);
        return post_publication(b, &post);
}

static int reply(struct baton *b, uint64_t token, const struct baton_publication *p)
{
        struct post post = {
                .prefix = no_topic,
                .prefix_len = sizeof(no_topic),
                .head = WIRE_REPLY,
                .token = token,
                .deadline_ns = UINT64_MAX,
        };
        int r;

        if (!token)
                return handle_fail(
                        b, -ESTALE, "no right to reply: this is no token of a request (0)");
        if ((p->flags & ~(uint32_t)(BATON_MORE | BATON_FAILED)) || p->ttl_ms || p->topic)
                return handle_fail(b, -EINVAL, "a reply has no topic, no ttl, MORE or FAILED only");
        if ((r = fill(b, &post, p)) < 0)
                return r;
        if (p->flags & BATON_MORE)
                post.flags |= WIRE_DELIVERY_MORE;
        if (p->flags & BATON_FAILED)
                post.flags |= WIRE_DELIVERY_FAILED;
        return post_publication(b, &post);
}

int baton_reply_with(baton *b, uint64_t token, const struct baton_publication *p)
{
        out_hold(b);
        return out_part(b, reply(b, token, p));
}

int baton_reply(baton *b, uint64_t token, const void *payload, size_t len)
{
        struct baton_publication p = {.payload = payload, .payload_len = len};

        return baton_reply_with(b, token, &p);
}
