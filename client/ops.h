/* ops.h - what waits for an answer of the broker, and the queue in which ended things wait to be
 * told. Private to this room. */
#ifndef BATON_CLIENT_OPS_H
#define BATON_CLIENT_OPS_H

#include "client/baton.h"

#include "proto/base/defs.h"
#include "proto/base/fdset.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/wire/limits.h"

enum {
        /* Spare operations kept for the next confirms. */
        OPS_SPARE = 1024,
};

/* ---------------------------------------------------------------- the queue */

/* The head of everything that can stand in the queue. */
struct item {
        struct list link;
        bool is_packet;
};

/* One received packet; owns its descriptors. */
struct packet {
        struct item item;
        struct fdset *fds;
        size_t len;
        uint8_t data[];
};

struct packet *packet_free(struct packet *p);

/* ---------------------------------------------------------------- operations */

/* Where a blocking call keeps the end of what it waits for; on its stack. */
struct waiter {
        bool done;
        int result;
        unsigned code;
        char text[WIRE_TEXT_BYTES + 1];
};

enum op_kind {
        OP_ANSWER,
        OP_SUB,
        OP_REQUEST,
        OP_PING,
        /* Of a handle that stays connected: */
        OP_CONNECT, /* not mapped: ends when a join does */
        OP_RESUB,   /* a subscription made again */
        OP_RESTORE, /* a lasting publication; `arg` is its topic, owned */
        OP_EVENT,   /* has ended when it begins; `arg` is what to tell */
};

struct kept;

/* Something that will be answered. */
struct op {
        struct item item; /* in `pending`, once ended in `queue`, once done with in `spare` */
        struct map_node node;
        bool mapped; /* answers find it */
        struct heap_node deadline;
        uint64_t id;
        enum op_kind kind;
        bool nested;       /* a call inside a callback waits for it: the queue must not */
        int result;        /* in the queue: how it ended */
        unsigned code;     /* in the queue: the broker's */
        char *text;        /* in the queue: owned; NULL is "" */
        uint32_t sub;      /* OP_SUB, OP_RESUB */
        bool is_asked;     /* again, after a reconnect: READY waits for it */
        bool is_will;      /* OP_RESTORE: not a retained value */
        struct kept *kept; /* the publication that it waits for is not sent yet */
        baton_message_fn reply;
        baton_done_fn done;
        void *arg;
        struct waiter *waiter;     /* told instead of `done`; NULL: none */
        struct list held;          /* nested request: packets of one frame each */
        struct assembly *assembly; /* owned; of those that come in chunks; NULL: none so far */
};

struct ops {
        struct map by_id;
        struct heap deadlines;
        struct list pending; /* in the order they were started */
        struct list spare;
        size_t n_spare;
        size_t n; /* all but the spare ones */
        uint64_t next_id;
};

/* How an operation ends. `text` is borrowed. */
struct verdict {
        int result;
        unsigned code;
        const char *text;
};

/* ops_new makes an operation without an id. It ends by op_end, or by op_drop without a word.
 * Returns 0 · -ENOBUFS too many · -ENOMEM. */
BT_MUST int ops_new(struct baton *b, enum op_kind kind, struct op **ret_op);

/* op_start gives it the next id, by which answers find it. */
void op_start(struct baton *b, struct op *op);

/* op_stop takes its id away: it is pending, and is to be started again. */
void op_stop(struct baton *b, struct op *op);

struct op *ops_find(const struct baton *b, uint64_t id);

/* op_end ends an operation: whoever waits for it is told, now if `now` (or nested), else when the
 * queue comes to it. The callback may free the handle. */
void op_end(struct baton *b, struct op *op, const struct verdict *v, bool now);

/* op_drop forgets an operation, in whatever state, and tells nobody. */
void op_drop(struct baton *b, struct op *op);

/* op_finish tells whoever waits for an operation that stood in the queue. */
void op_finish(struct baton *b, struct op *op);

/* ops_end_all ends everything, in the order of starting, by way of the queue. ops_expire ends what
 * is over its time. */
void ops_end_all(struct baton *b, const struct verdict *v);
void ops_expire(struct baton *b);
void ops_deinit(struct baton *b);

#endif
