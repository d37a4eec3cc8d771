/* Design note. A packet is received whole and either dispatched at once (in_run, the outermost
 * baton_process, nothing waiting before it), or kept in the queue (in_store, while a call waits
 * that may not run callbacks). What answers something is handled when it arrives even then: a call
 * that waits may be waiting for it.
 *
 * So a packet may be looked at twice: once for its answers, once, later, for its publications. And
 * a callback that waits while its own packet is being dispatched must first be given the answers
 * that stand further back in that packet (in_settle).
 *
 * The packet is received into a packet of its own. If there is no memory to copy it for keeping,
 * that one is kept, and the next receive fails instead: no message is lost for want of memory. */
#include "client/handle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RECEIVE_E_NONE = 1 };

struct packet *packet_free(struct packet *p)
{
        if (p) {
                fdset_unref(p->fds);
                free(p);
        }
        return NULL;
}

/* Returns 0 · RECEIVE_E_NONE · -ENOMEM · -EINTR, having slept. */
static int receive(struct baton *b, bool sleeps)
{
        struct in *in = &b->in;

        if (sleeps && !in_pay_fds(b))
                return RECEIVE_E_NONE;
        struct packet *p = in->packet;
        if (!p) {
                if (!(p = malloc(sizeof(*p) + WIRE_PACKET_BYTES)))
                        return handle_fail(b, -ENOMEM, "out of memory");
                *p = (struct packet){.item.is_packet = true};
                in->packet = p;
        }
        int r = (sleeps ? link_recv_wait : link_recv)(
                b->link, p->data, WIRE_PACKET_BYTES, &p->len, &p->fds);
        in->is_quiet = r == LINK_E_AGAIN && (sleeps || in->is_quiet);
        switch (r) {
        case 0:
                return 0;
        case -EINTR:
                return handle_fail(b, r, "a signal came");
        case LINK_E_CUT:
                in_withhold(b, p);
                return 0;
        case LINK_E_AGAIN:
                (void)in_pay_fds(b);
                return RECEIVE_E_NONE;
        case LINK_E_EOF:
                handle_lose(b, -ENOTCONN, 0, "the broker is gone");
                break;
        case LINK_E_BROKEN:
                handle_lose(b, -EPROTO, 0, "a packet came incomplete");
                break;
        default:
                handle_lose(b, -ENOTCONN, 0, "receiving: %s", strerror(r < 0 ? -r : EIO));
        }
        return RECEIVE_E_NONE;
}

/* ---------------------------------------------------------------- dispatching */

static int run(struct baton *b, struct packet *p, bool controlled)
{
        struct view v;

        v.at = p->data;
        v.end = p->data + p->len;
        v.fds = p->fds;
        v.controlled = controlled;
        v.epoch = b->epoch;
        v.has_delivery = v.is_ready = false;
        v.assembly = &b->in.assembly;
        v.n = 0;
        view_run(b, &v);
        return v.n;
}

static int run_received(struct baton *b)
{
        struct packet *p = take_ptr(b->in.packet);

        in_owe_fds(b, p);
        int n = run(b, p, false);

        p->fds = fdset_unref(p->fds);
        /* A callback that received meanwhile has made a new one. */
        if (b->in.packet)
                packet_free(p);
        else
                b->in.packet = p;
        return n;
}

static int run_queued(struct baton *b, struct list *link)
{
        struct item *item = list_entry(link, struct item, link);

        list_remove(link);
        if (!item->is_packet) {
                op_finish(b, container_of(item, struct op, item));
                return 0;
        }
        struct packet *p = container_of(item, struct packet, item);
        b->in.stored_bytes -= sizeof(*p) + p->len;
        b->in.stored_fds -= fdset_n(p->fds);
        int n = run(b, p, true);
        packet_free(p);
        return n;
}

/* Who waits for the answer to the first packet should not wait for a look at whether there is a
 * second. */
static void answer_early(struct baton *b)
{
        if (!b->freed && b->out.len && b->out.cork == b->busy && !b->out.blocked) {
                int r = out_push(b);
                /* A loss is found by the next receive. */
                (void)r;
        }
}

/* Descriptors are credited where more is looked for. */
static bool may_leave(struct in *in)
{
        return in->may_leave && !in->owed_fds && lone_leaves(&in->lone);
}

int in_run(struct baton *b)
{
        bool sleeps = take_sleep(&b->in);
        int n = 0, r = 0, n_received = 0;

        ops_expire(b);
        for (int i = 0; i < IN_PACKETS_PER_TURN && !b->freed; i++) {
                struct list *first = list_first(&b->queue);
                if (first)
                        n += run_queued(b, first);
                else if (n_received == 1 && may_leave(&b->in))
                        break;
                else if (!b->link || (r = receive(b, sleeps && i == 0)) < 0)
                        break;
                else if (r == 0 && ++n_received)
                        n += run_received(b);
                else if (list_is_empty(&b->queue))
                        break;
                if (i == 0)
                        answer_early(b);
        }
        lone_note(&b->in.lone, (size_t)n_received);
        (void)in_pay_fds(b);
        return n || r >= 0 ? n : r;
}

/* ---------------------------------------------------------------- replies held back */

static void hold(struct baton *b, struct op *op, const struct view *v, const struct frame *f)
{
        bool opens = f->type != WIRE_CHUNK && f->type != WIRE_END;
        struct packet *p = malloc(sizeof(*p) + MESSAGE_DELIVERY_BYTES + f->len);
        struct msg_delivery d;

        if (!p) {
                op_end(b, op, &(struct verdict){-ENOMEM, 0, "out of memory"}, true);
                return;
        }
        *p = (struct packet){.item.is_packet = true};
        if (opens) {
                d = v->delivery;
                d.seq += v->k;
                p->fds = fdset_ref(v->fds);
                p->len = message_put_delivery(p->data, &d);
        }
        memcpy(p->data + p->len, f->data, f->len);
        p->len += f->len;
        list_push_back(&op->held, &p->item.link);
}

void view_hold(struct baton *b, struct op *op, const struct view *v, const struct frame *f)
{
        if (f->type == WIRE_BEGIN && !op->assembly &&
                !(op->assembly = calloc(1, sizeof(*op->assembly))))
                op_end(b, op, &(struct verdict){-ENOMEM, 0, "out of memory"}, true);
        else
                hold(b, op, v, f);
}

void view_held(struct baton *b, uint64_t id)
{
        struct assembly none = {.state = ASSEMBLY_NONE}; /* of replies in one piece */
        struct op *op;
        struct list *first;

        while (!b->freed && (op = ops_find(b, id)) && (first = list_first(&op->held))) {
                list_remove(first);
                struct packet *p =
                        container_of(list_entry(first, struct item, link), struct packet, item);
                struct view v = {
                        .at = p->data,
                        .end = p->data + p->len,
                        .fds = p->fds,
                        .controlled = true,
                        .epoch = b->epoch,
                        .assembly = op->assembly ? op->assembly : &none,
                };
                view_run(b, &v);
                packet_free(p);
        }
}

/* ---------------------------------------------------------------- keeping */

static void keep(struct baton *b)
{
        struct packet *p = b->in.packet;
        struct packet *copy = malloc(sizeof(*copy) + p->len);

        if (copy) {
                *copy = (struct packet){.item.is_packet = true, .len = p->len};
                memcpy(copy->data, p->data, p->len);
                copy->fds = take_ptr(p->fds);
        } else {
                copy = take_ptr(b->in.packet);
        }
        b->in.stored_bytes += sizeof(*copy) + copy->len;
        b->in.stored_fds += fdset_n(copy->fds);
        list_push_back(&b->queue, &copy->item.link);
}

/* The operation of a call inside a callback, which waits for this reply. */
static struct op *find_nested(const struct baton *b, uint64_t request)
{
        struct op *op = request ? ops_find(b, request) : NULL;

        return op && op->nested ? op : NULL;
}

/* Of a reply in chunks that is held the queue keeps BEGIN and END: the walk through it, for which
 * the request is over, throws away what is between. If the request is over already, all of it. */
static bool hold_part(struct baton *b, struct view *v, const struct frame *f)
{
        struct op *op = find_nested(b, b->in.held_id);

        if (f->type == WIRE_END)
                b->in.held_id = 0;
        if (!op)
                return true;
        view_hold(b, op, v, f);
        return f->type == WIRE_END;
}

static bool hold_reply(struct baton *b, struct view *v, const struct frame *f)
{
        bool is_reply = v->has_delivery && (v->delivery.flags & WIRE_DELIVERY_REPLY);
        struct op *op = is_reply ? find_nested(b, v->delivery.request) : NULL;

        b->in.held_id = 0;
        if (!op)
                return true;
        if (f->type == WIRE_BEGIN)
                b->in.held_id = op->id;
        view_hold(b, op, v, f);
        v->k++;
        return f->type == WIRE_BEGIN;
}

/* Returns true if the frame, or what it belongs to, must be kept. */
static bool look_at(struct baton *b, struct view *v, const struct frame *f)
{
        switch (f->type) {
        case WIRE_DELIVERY:
                return view_deliver(b, v, f) < 0;
        case WIRE_PUB:
        case WIRE_BEGIN:
                return hold_reply(b, v, f);
        case WIRE_CHUNK:
        case WIRE_END:
                return hold_part(b, v, f);
        default:
                return in_is_ordered(b, f) || in_control(b, f, false) < 0;
        }
}

void in_keep(struct baton *b)
{
        struct packet *p = b->in.packet;
        struct view v;
        struct frame f;
        bool must_keep = false;

        v.at = p->data;
        v.end = p->data + p->len;
        v.fds = p->fds;
        v.has_delivery = false;
        b->in.examining = true;
        in_owe_fds(b, p);
        while (v.at < v.end && b->link) {
                if (scan_frame(&v.at, v.end, &f)) {
                        (void)in_spoil(b, "malformed packet");
                        break;
                }
                must_keep |= look_at(b, &v, &f);
        }
        b->in.examining = false;
        if (must_keep)
                keep(b);
        else
                p->fds = fdset_unref(p->fds);
}

bool in_settle(struct baton *b)
{
        struct view *v = b->in.view;
        struct frame f;
        bool any = false;

        if (!v || v->controlled || v->epoch != b->epoch)
                return false;
        v->controlled = true;
        for (const uint8_t *at = v->at; at < v->end && b->link;) {
                if (scan_frame(&at, v->end, &f)) {
                        (void)in_spoil(b, "malformed packet");
                        return true;
                }
                if (in_is_ordered(b, &f))
                        continue;
                any = true;
                if (in_control(b, &f, false) < 0)
                        break;
        }
        return any;
}

bool in_is_full(const struct baton *b)
{
        const struct in *in = &b->in;

        return in->stored_bytes >= in->limit_bytes || in->stored_fds >= IN_STORED_FDS;
}

int in_store(struct baton *b)
{
        bool sleeps = take_sleep(&b->in);
        int r = 0;

        for (int i = 0; i < IN_PACKETS_PER_TURN && !r && b->link && !in_is_full(b); i++) {
                r = receive(b, sleeps && i == 0);
                if (!r)
                        in_keep(b);
        }
        (void)in_pay_fds(b);
        return r < 0 ? r : 0;
}

void in_read_out(struct baton *b)
{
        /* The packet that is being looked at comes first; its reader goes on to the end. */
        while (!b->in.examining && b->link && receive(b, false) == 0)
                in_keep(b);
}
