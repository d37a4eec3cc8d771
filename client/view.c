/* Design note. A view walks over one packet and calls the callbacks. What a delivery header says is
 * put into the message once; each publication under it changes topic, payload and number alone.
 *
 * A callback may do anything to the handle. After each the walk asks, before it touches anything
 * else, whether the handle still is what this packet came to: not freed, not connected anew. */
#include "client/handle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_over(const struct baton *b, const struct view *v)
{
        return bt_unlikely(b->epoch != v->epoch);
}

int view_deliver(struct baton *b, struct view *v, const struct frame *f)
{
        struct msg_delivery *d = &v->delivery;
        struct baton_message *m = &v->message;

        if (message_decode_delivery(f, d))
                return in_spoil(b, "malformed delivery header");
        v->has_delivery = true;
        v->k = 0;
        *m = (struct baton_message){
                .sender = {d->session, (pid_t)d->pid, (uid_t)d->uid, (gid_t)d->gid},
                .age_ms = d->age_ms,
                .token = d->token,
                .redelivered = (uint32_t)d->redelivered,
                .fds_withheld = (uint32_t)d->withheld,
                .retained = d->flags & WIRE_DELIVERY_RETAINED,
                .is_request = d->flags & WIRE_DELIVERY_REQUEST,
                .more = d->flags & WIRE_DELIVERY_MORE,
                .failed = d->flags & WIRE_DELIVERY_FAILED,
        };
        return 0;
}

static void call(struct baton *b, baton_message_fn fn, const struct baton_message *m, void *arg)
{
        bool outer = b->dispatching;

        b->dispatching = true;
        fn(b, m, arg);
        b->dispatching = outer;
}

static void call_sub(struct baton *b, struct view *v, uint32_t id)
{
        struct sub *s = subs_find(b, id);
        struct baton_message *m = &v->message;

        if (!s)
                return;
        bool counted = s->window || s->ack;
        m->subscription = id;
        call(b, s->fn, m, s->arg);
        if (counted && !is_over(b, v))
                subs_delivered(b, id, m->seq);
}

static void call_reply(struct baton *b, struct view *v)
{
        uint64_t id = v->delivery.request;
        struct op *op = ops_find(b, id);

        if (!op || op->kind != OP_REQUEST)
                return;
        v->n++;
        if (op->reply)
                call(b, op->reply, &v->message, op->arg);
        /* It may have been cancelled meanwhile. */
        if (is_over(b, v) || v->message.more || !(op = ops_find(b, id)))
                return;
        op_end(b, op, &(struct verdict){0, 0, ""}, true);
}

/* Most publications have the topic of the one before. */
static int set_topic(struct baton *b, struct baton_message *m, struct slice topic)
{
        struct in *in = &b->in;

        if (in->topic_len != topic.len || memcmp(in->topic, topic.data, topic.len) != 0) {
                if (topic.len > WIRE_TOPIC_BYTES)
                        return in_spoil(b, "a topic is too long");
                memcpy(in->topic, topic.data, topic.len);
                in->topic[topic.len] = '\0';
                in->topic_len = topic.len;
        }
        m->topic = in->topic;
        m->topic_len = topic.len;
        return 0;
}

static int set_headers(struct baton *b, struct baton_message *m, const struct msg_pub *pub)
{
        struct reader r = {pub->headers.data, pub->headers.data + pub->headers.len};
        uint32_t n = 0;

        if (pub->n_headers && read_map(&r, &n))
                return in_spoil(b, "malformed headers");
        m->n_headers = n;
        m->reserved[0] = r.at;
        m->reserved[1] = r.end;
        return 0;
}

/* Descriptors come in a packet of one publication, all that it counts or none. */
static int set_fds(struct baton *b, struct view *v, const struct msg_pub *pub)
{
        size_t n = fdset_n(v->fds);
        struct baton_message *m = &v->message;

        if (pub->n_fds != n + v->delivery.withheld || (n && (v->k || v->at != v->end)))
                return in_spoil(b, "wrong descriptors");
        m->n_fds = (uint32_t)n;
        m->fds = n ? fdset_fds(v->fds) : NULL;
        return 0;
}

static int view_pub(struct baton *b, struct view *v, const struct frame *f)
{
        struct baton_message *m = &v->message;
        struct msg_pub pub;
        int r = 0;

        if (message_decode_pub(f, &pub) || !v->has_delivery || !pub.payload.data)
                return in_spoil(b, "malformed publication");
        if (((pub.n_fds || v->fds) && (r = set_fds(b, v, &pub)) < 0) ||
                (r = set_headers(b, m, &pub)) < 0)
                return r;
        m->payload = pub.payload.data;
        m->payload_len = pub.payload.len;
        m->seq = v->delivery.seq + v->k++;
        if (bt_unlikely(v->delivery.flags & WIRE_DELIVERY_REPLY)) {
                m->topic = "";
                call_reply(b, v);
                return 0;
        }
        if ((r = set_topic(b, m, pub.topic)) < 0)
                return r;
        m->subscription = 0;
        for (uint32_t i = 0; i < v->delivery.n_subs && !is_over(b, v); i++)
                call_sub(b, v, v->delivery.subs[i]);
        v->n += m->subscription != 0;
        return 0;
}

static int view_gap(struct baton *b, const struct frame *f)
{
        char filter[WIRE_TOPIC_BYTES + 1]; /* the callback may unsubscribe */
        struct message m;
        struct sub *s;
        bool outer = b->dispatching;

        if (message_decode(f, &m))
                return in_spoil(b, "malformed gap");
        if (!(s = subs_find(b, m.gap.sub)))
                return 0;
        b->progress++;
        memcpy(filter, s->filter, strlen(s->filter) + 1);
        struct baton_gap gap = {
                .subscription = s->id,
                .filter = filter,
                .count = m.gap.count,
                .reason = code_gap_reason(m.gap.reason),
        };
        if (!b->gap) {
                handle_log(b, "%s: %llu messages lost (%s)", gap.filter,
                        (unsigned long long)gap.count, gap.reason);
                return 0;
        }
        b->dispatching = true;
        b->gap(b, &gap, b->gap_arg);
        b->dispatching = outer;
        return 0;
}

static int view_frame(struct baton *b, struct view *v, const struct frame *f)
{
        switch (f->type) {
        case WIRE_PUB:
                return view_pub(b, v, f);
        case WIRE_DELIVERY:
                return view_deliver(b, v, f);
        case WIRE_GAP:
                return view_gap(b, f);
        default:
                if (v->controlled && !in_is_ordered(b, f))
                        return 0;
                return in_control(b, f, true);
        }
}

void view_run(struct baton *b, struct view *v)
{
        struct view *outer = b->in.view;
        struct frame f;

        b->in.view = v;
        while (v->at < v->end && !is_over(b, v)) {
                if (scan_frame(&v->at, v->end, &f)) {
                        (void)in_spoil(b, "malformed packet");
                        break;
                }
                if (view_frame(b, v, &f) < 0)
                        break;
        }
        b->in.view = outer;
        if (!is_over(b, v))
                subs_acknowledge(b);
}

/* ---------------------------------------------------------------- replies held back */

void view_hold(struct baton *b, struct op *op, const struct view *v, const struct frame *f)
{
        struct packet *p = malloc(sizeof(*p) + MESSAGE_DELIVERY_BYTES + f->len);
        struct msg_delivery d = v->delivery;

        if (!p) {
                op_end(b, op, &(struct verdict){-ENOMEM, 0, "out of memory"}, true);
                return;
        }
        *p = (struct packet){.item.is_packet = true, .fds = fdset_ref(v->fds)};
        d.seq += v->k;
        p->len = message_put_delivery(p->data, &d);
        memcpy(p->data + p->len, f->data, f->len);
        p->len += f->len;
        list_push_back(&op->held, &p->item.link);
}

void view_held(struct baton *b, uint64_t id)
{
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
                };
                view_run(b, &v);
                packet_free(p);
        }
}
