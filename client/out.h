/* out.h - frames on their way to the broker. Private to this room. */
#ifndef BATON_CLIENT_OUT_H
#define BATON_CLIENT_OUT_H

#include "client/ops.h"

#include "proto/base/buf.h"
#include "proto/wire/message.h"

enum {
        /* Bytes of control frames kept behind a full gather buffer. */
        OUT_TAIL_BYTES = 1 << 20,
        /* Bytes of the largest header frame before a publication: REPLY(token, flags, id). */
        OUT_HEAD_BYTES = 32,
        /* Topics that a handle remembers; a power of two. */
        OUT_TOPICS = 16,
        /* Bytes before the topic in a PUB: array, type, n_fds, and a str head of up to 2. */
        TOPIC_HEAD_BYTES = 5,
};

/* A topic that was found valid, as the start of its PUB up to the headers: `len` bytes of topic and
 * a NUL at TOPIC_HEAD_BYTES, and `head_len` bytes of the frame's beginning right before them. */
struct topic {
        uint16_t head_len; /* 0: none yet */
        uint16_t len;
        uint8_t bytes[TOPIC_HEAD_BYTES + WIRE_TOPIC_BYTES + 1];
};

struct out {
        uint8_t *data;   /* [WIRE_PACKET_BYTES]: the packet being gathered */
        size_t len;      /* whole frames, in the order of the program */
        struct buf tail; /* control frames behind a full `data` */
        bool sealed;     /* `data` takes nothing more: it travels with descriptors */
        bool blocked;    /* the socket took nothing at the last try */
        bool starved;    /* because the kernel lacks memory: poll would not tell the end of it */
        bool broken;     /* the broker reads no more */
        unsigned cork;
        uint64_t tried_ns; /* of the coarse clock: when the socket was last found full */
        uint64_t window;   /* publication bytes that may still be sent */

        /* The INGRESS in force at the end of `data`. */
        uint64_t flags, ttl_ms, next_id;

        struct topic topics[OUT_TOPICS]; /* by hash: a publisher has a few, again and again */
        struct topic *topic;             /* the latest */
};

/* A publication on its way out, checked, and what stands before it. */
struct post {
        const uint8_t *prefix; /* [prefix_len] its frame up to the headers */
        size_t prefix_len;
        struct slice headers; /* encoded map; len 0: none */
        const void *payload;
        size_t payload_len;
        const int *fds;
        size_t n_fds;
        enum wire_type head; /* INGRESS, REQUEST, REPLY */
        uint64_t flags;      /* INGRESS, REPLY */
        uint64_t ms;         /* INGRESS: ttl; REQUEST: timeout */
        uint64_t token;      /* REPLY */
        uint64_t max_fds;    /* REQUEST */
        struct op *op;       /* what answers it ends; may be NULL */
        uint64_t deadline_ns;
};

/* out_begin makes ready for a new session. Returns 0 · -ENOMEM. */
BT_MUST int out_begin(struct baton *b, uint64_t window);
void out_deinit(struct out *out);

/* out_topic makes `topic` the latest, having checked it if it is not remembered. Returns 0 ·
 * -EINVAL. */
BT_MUST int out_topic(struct baton *b, const char *topic);

static inline const char *topic_text(const struct topic *t)
{
        return (const char *)t->bytes + TOPIC_HEAD_BYTES;
}

/* topic_frame is the start of the topic's PUB, topic_frame_len bytes. */
static inline const uint8_t *topic_frame(const struct topic *t)
{
        return t->bytes + TOPIC_HEAD_BYTES - t->head_len;
}

static inline size_t topic_frame_len(const struct topic *t)
{
        return (size_t)t->head_len + t->len;
}

/* out_post sends a publication, or gathers it; waits for room if the handle blocks. Returns 0, with
 * `p->op` started · as baton_publish_with, the operation then untouched. */
BT_MUST int out_post(struct baton *b, const struct post *p);

/* The steps of out_post, for publications that travel with descriptors (out_fds.c): out_make_room
 * waits until `n` bytes of publication may be sent and gathered; out_put writes head and
 * publication into the packet; out_reset starts the next packet, with what stands in the tail. */
BT_MUST int out_measure(struct baton *b, const struct post *p, size_t *ret_n);
BT_MUST int out_make_room(struct baton *b, size_t n, uint64_t deadline_ns);
BT_MUST int out_put(struct baton *b, const struct post *p);
void out_reset(struct out *out);
BT_MUST int out_post_fds(struct baton *b, const struct post *p, size_t n);

/* out_kick gives the gathered packet to the socket unless the handle is corked or the socket was
 * full this moment. Returns 0 (sent or not) · -ENOTCONN. */
BT_MUST int out_kick(struct baton *b);

/* out_control sends a control frame, or gathers it; never waits. Returns 0 · -ENOTCONN · -ENOBUFS
 * the broker does not read · -ENOMEM. */
BT_MUST int out_control(struct baton *b, const struct message *m);

/* out_push gives what is gathered to the socket, as far as it takes it: `b->out.len` tells the
 * rest. Returns 0 · -ENOTCONN. */
BT_MUST int out_push(struct baton *b);

/* out_drain is out_push until all is sent. Returns 0 · as handle_await. */
BT_MUST int out_drain(struct baton *b, uint64_t deadline_ns);

static inline bool out_is_empty(const struct out *out)
{
        return !out->len && !out->tail.len;
}

#endif
