/* out.h - frames on their way to the broker. Private to this room. */
#ifndef BATON_CLIENT_OUT_H
#define BATON_CLIENT_OUT_H

#include "client/flusher.h"
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
        /* Publications that leave at once although others left just before; the next are gathered.
         */
        OUT_EAGER = 4,
        /* Nanoseconds after which it does not count as just before. */
        OUT_BURST_NS = 20000,
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
        size_t fast_bytes;  /* baton_publish may go the short way with payloads below it */
        size_t short_bytes; /* below it a payload fits a frame, and stays in it, in any case */
        uint64_t tried_ns;  /* of the coarse clock: when the socket was last found full */
        uint64_t window;    /* publication bytes that may still be sent */

        /* What the broker has taken of what nobody confirms: CREDIT tells it in bytes. */
        uint64_t n_certain;  /* taken; more may have been */
        uint64_t n_posts;    /* put. Not beside `window`: gcc would update both by a slow detour */
        uint64_t credited;   /* bytes, in all */
        uint64_t mark_bytes; /* when so many are credited, */
        uint64_t mark_posts; /* so many were taken */

        /* A burst. */
        struct park *park;  /* NULL before the first one */
        bool is_open;       /* nobody's: flusher.h */
        bool is_gathering;  /* since the buffer was emptied last a burst has begun */
        unsigned packet_no; /* of `data`: how many were sent before */
        unsigned eager;     /* publications that may still leave at once */
        uint64_t left_ns;   /* when the last one left */

        /* The INGRESS in force at the end of `data`. */
        uint64_t flags, ttl_ms, next_id;

        struct topic topics[OUT_TOPICS]; /* by hash: a publisher has a few, again and again */
        struct topic *topic;             /* the latest */
};

/* How a payload travels (PROTOCOL.md part 7). */
enum post_form {
        POST_INLINE,
        POST_PLACED,  /* in a memory file, the last of the descriptors */
        POST_CHUNKED, /* the frame is BEGIN; the payload follows (large.h) */
};

/* A publication on its way out, checked, and what stands before it. */
struct post {
        const uint8_t *prefix; /* [prefix_len] its frame up to the headers, as a PUB */
        size_t prefix_len;
        struct slice headers; /* encoded map; len 0: none */
        const void *payload;
        size_t payload_len;
        const int *fds;
        size_t n_fds;
        const int *file;     /* a sealed memory file that has the payload; NULL: none so far */
        enum wire_type head; /* INGRESS, REQUEST, REPLY */
        uint64_t flags;      /* INGRESS, REPLY */
        uint64_t ms;         /* INGRESS: ttl; REQUEST: timeout */
        uint64_t token;      /* REPLY */
        uint64_t max_fds;    /* REQUEST */
        struct op *op;       /* what answers it ends; may be NULL */
        uint64_t deadline_ns;

        /* By post_measure. */
        enum post_form form;
        uint64_t size;    /* not inline: what the frame says of the payload's; BEGIN: or 0 */
        size_t frame_len; /* of the PUB or BEGIN */
        uint64_t cost;    /* of that frame, from the window */
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

/* out_tune sets fast_bytes and short_bytes anew: something changed that they depend on. */
void out_tune(struct baton *b);

/* out_cost is what a frame takes of the publishing window (PROTOCOL.md part 6): its length, and for
 * descriptors and payload together no more than a quarter of the window.
 *
 * payload_bytes   a placed PUB: the payload's size; END: of all CHUNKs; else 0. */
uint64_t out_cost(const struct baton *b, size_t frame_len, size_t n_fds, uint64_t payload_bytes);

/* A run of one topic must still fit a packet with the broker's header before it, hence
 * WIRE_FRAME_BYTES; a frame alone always fits. */
static inline bool out_fits(const struct out *o, size_t n)
{
        return !o->sealed && !o->tail.len && (o->len + n <= WIRE_FRAME_BYTES || !o->len);
}

/* post_publication sends a publication, or gathers it; waits for room if the handle blocks, and is
 * -EBUSY or -EAGAIN while another one is sent in parts. Returns 0, with `p->op` started, which from
 * then on tells how it ends · as baton_publish_with, the operation then still the caller's. */
BT_MUST int post_publication(struct baton *b, struct post *p);

/* post_now is post_publication on a handle of which nothing is kept (kept.h).
 *
 * The steps of it. post_measure chooses the form and weighs, post_weigh only weighs;
 * post_make_room waits until the frame may be sent and gathered; post_put writes it, and the header
 * before it, into the packet. post_frame does the latter two, or post_with_fds all that a packet
 * with descriptors needs, and starts the operation.
 * Return 0 · -EMSGSIZE · -EAGAIN · as baton_publish_with. */
BT_MUST int post_now(struct baton *b, struct post *p);
BT_MUST int post_measure(struct baton *b, struct post *p);
void post_weigh(const struct baton *b, struct post *p);
BT_MUST int post_make_room(struct baton *b, const struct post *p);
BT_MUST int post_put(struct baton *b, const struct post *p);
BT_MUST int post_frame(struct baton *b, struct post *p);
BT_MUST int post_with_fds(struct baton *b, const struct post *p);

/* post_take_back gives back what post_put took of the accounts. */
void post_take_back(struct baton *b, const struct post *p);

/* post_copy_fds duplicates a publication's descriptors. Returns 0 · -EINVAL · -EACCES · -ENOMEM ·
 * -errno. */
BT_MUST int post_copy_fds(struct baton *b, const struct post *p, struct fdset **ret_set);

/* out_reset starts the next packet, with what stands in the tail. */
void out_reset(struct out *out);

/* out_drop throws away what is there. */
void out_drop(struct out *out);

/* out_break: the broker reads no more, and what it said before is read. A handle that stays
 * connected has lost it then. */
void out_break(struct baton *b);

/* out_note_credit: the broker has taken publications of so many bytes. */
void out_note_credit(struct baton *b, uint64_t bytes);

/* out_note_full: the socket took nothing just now. */
void out_note_full(struct out *o);

/* out_kick gives the gathered packet to the socket unless the handle is corked or the socket was
 * full this moment. Returns 0 (sent or not) · -ENOTCONN. */
BT_MUST int out_kick(struct baton *b);

/* out_leave does so for a publication: in a burst it stays, for the flusher or the event loop. */
BT_MUST int out_leave(struct baton *b);

/* out_hold takes the buffer back from the flusher: the first thing in every call that may touch it.
 * out_part is the last: what is left in the buffer is opened to the flusher, unless the application
 * has said that it sends it (cork), or a callback is running. Returns `result`, or why the rest
 * could not be sent. */
/* out_urge sends what is there though the handle is busy, unless the application has corked it. */
BT_MUST int out_urge(struct baton *b);
void out_hold(struct baton *b);
BT_MUST int out_part(struct baton *b, int result);

/* By the flusher. out_send_parked sends what is there; false if the socket is full.
 * out_forget_parked throws it away, in a forked process. */
bool out_send_parked(struct baton *b);
void out_forget_parked(struct baton *b);

/* out_control sends a control frame, or gathers it; never waits. Returns 0 · -ENOTCONN · -ENOBUFS
 * the broker does not read · -ENOMEM. */
BT_MUST int out_control(struct baton *b, const struct message *m);

/* out_push gives what is gathered to the socket, and what goes in parts, as far as it takes it:
 * out_is_sent tells whether that was all. Returns 0 · -ENOTCONN. */
BT_MUST int out_push(struct baton *b);

/* out_drain is out_push until all is sent. Returns 0 · as handle_await. */
BT_MUST int out_drain(struct baton *b, uint64_t deadline_ns);

bool out_is_sent(const struct baton *b);

/* out_calm: the application turned to something else, so what it publishes next is no burst. */
static inline void out_calm(struct out *o)
{
        o->eager = OUT_EAGER;
}

#endif
