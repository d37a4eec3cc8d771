/* in.h - packets from the broker: received, kept, dispatched. Private to this room. */
#ifndef BATON_CLIENT_IN_H
#define BATON_CLIENT_IN_H

#include "client/assemble.h"
#include "client/ops.h"

#include "proto/link/lone.h"
#include "proto/wire/message.h"
#include "proto/wire/scan.h"

enum {
        /* Packets that one baton_process deals with: an event loop has other work too. */
        IN_PACKETS_PER_TURN = 32,
        /* Descriptors kept in the queue: a quarter of the usual RLIMIT_NOFILE. */
        IN_STORED_FDS = 256,
};

/* A packet that is being dispatched. */
struct view {
        const uint8_t *at, *end;
        struct fdset *fds;
        bool controlled; /* its control frames have been handled */
        unsigned epoch;
        uint64_t k; /* publications since the delivery header */
        bool has_delivery;
        bool is_ready;             /* and no publication in chunks is under way: another may come */
        struct assembly *assembly; /* where those are collected that come in this view */
        struct msg_delivery delivery;
        struct baton_message message;
        int n; /* publications dispatched */
};

struct in {
        struct packet *packet; /* [WIRE_PACKET_BYTES] to receive into; NULL while dispatched */
        struct view *view;     /* the packet being dispatched, NULL if none */
        bool examining;        /* `packet` is being looked at: receive nothing into it */
        bool may_leave; /* what has come meanwhile may stay in the socket: the next wait finds it */
        bool sleeps;    /* the next receive may wait for its packet: nothing else is to be done */
        bool is_quiet;  /* that was waited for in vain */
        struct lone lone;
        size_t stored_bytes, stored_fds, limit_bytes;
        uint32_t owed_fds;        /* packets with descriptors not yet credited */
        uint64_t paid_ns;         /* when some were credited last */
        uint64_t last_seq;        /* of what was dispatched */
        struct assembly assembly; /* of what is dispatched */
        uint64_t held_id;         /* the request whose reply comes in chunks and is held; 0: none */
        char topic[WIRE_TOPIC_BYTES + 1];
        size_t topic_len;
        bool is_same_topic; /* the latest publication had that of the one before: a hint */
        uint64_t current_sub, current_seq; /* the callback that counts and is running; 0: none */
        uint64_t answered;                 /* delivery that was acknowledged or refused last */
};

/* For one receive. */
static inline bool take_sleep(struct in *in)
{
        bool sleeps = in->sleeps;

        in->sleeps = false;
        return sleeps;
}

/* in_run dispatches what there is, up to a fair share. Only the outermost call may. Returns the
 * number of publications · -ENOMEM · -EINTR only if it slept. */
BT_MUST int in_run(struct baton *b);

/* in_store receives what there is, unless the inbox is full, and keeps it in the queue; answers are
 * handled at once. Returns 0 · -ENOMEM · -EINTR only if it slept. */
BT_MUST int in_store(struct baton *b);
bool in_is_full(const struct baton *b);

/* in_settle handles what is left to handle at once in the packet that is being dispatched, so that
 * a callback may wait for it. Returns true if there was anything. */
bool in_settle(struct baton *b);

/* in_keep handles what must be handled at once in `b->in.packet`, and keeps the packet if there is
 * more to it. */
void in_keep(struct baton *b);

/* in_owe_fds notes that a packet was taken from the kernel, if it has descriptors, and credits them
 * if it is time to. in_pay_fds credits what is owed; returns whether the broker is still there. */
void in_owe_fds(struct baton *b, const struct packet *p);
bool in_pay_fds(struct baton *b);

/* A bit of DELIVERY.flags, far from those of the protocol: this is what in_withhold made. */
#define IN_WAS_CUT (UINT64_C(1) << 62)

/* in_withhold makes a packet whose descriptors were cut off (LINK_E_CUT) one of which they were
 * withheld. */
void in_withhold(struct baton *b, struct packet *p);

/* in_spoil ends the connection because the broker broke the protocol. Returns -EPROTO. */
int in_spoil(struct baton *b, const char *what);

/* in_read_out is in_store until the end of the connection, when it is known that nothing more will
 * be sent: the last word of the broker is worth having. */
void in_read_out(struct baton *b);

/* in_control handles one frame that is no publication. A callback that it ends is called `now`, or
 * queued. Returns 0 · -EPROTO (the connection is then lost). */
BT_MUST int in_control(struct baton *b, const struct frame *f, bool now);

/* in_is_ordered: the frame keeps its place among the publications. */
bool in_is_ordered(const struct baton *b, const struct frame *f);

/* view_run dispatches a packet. The handle may have been freed meanwhile (b->freed). */
void view_run(struct baton *b, struct view *v);

/* view_deliver reads a DELIVERY into the view. Returns 0 · -EPROTO (lost). */
BT_MUST int view_deliver(struct baton *b, struct view *v, const struct frame *f);

/* view_describe puts into a message what its delivery header says. */
void view_describe(struct baton_message *m, const struct msg_delivery *d);

/* view_check_fds: the packet has the descriptors that its publication counts, all of them or, if
 * they were withheld, none, and no other publication. Returns 0 · -EPROTO (lost). */
BT_MUST int view_check_fds(struct baton *b, const struct view *v, const struct msg_pub *pub);

/* view_hand_out completes the view's message, of which payload and descriptors are set, and calls
 * all whom it is for. Returns 0 · -EPROTO (lost). */
BT_MUST int view_hand_out(struct baton *b, struct view *v, const struct msg_pub *pub);

/* view_lose tells all whom a publication was for that it cannot be had: subscriptions by a gap, a
 * request by its end with `error`. view_miss only gives the broker what is due for it: when
 * the broker's own GAP comes, if one follows. */
void view_lose(struct baton *b, const struct view *v, const struct msg_delivery *d,
        enum wire_gap_reason why, int error);
void view_miss(
        struct baton *b, const struct view *v, const struct msg_delivery *d, bool gap_follows);

/* view_hold keeps a frame of a reply for a blocking request inside a callback: PUB, BEGIN, CHUNK or
 * END; view_held dispatches those that were kept for the request `id`. */
void view_hold(struct baton *b, struct op *op, const struct view *v, const struct frame *f);
void view_held(struct baton *b, uint64_t id);

#endif
