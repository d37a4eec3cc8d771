/* Design note. A view walks over one packet and calls the callbacks. What a delivery header says is
 * put into the message once; each publication under it changes topic, payload and number alone.
 * One that goes on with a run (message_run_next) is not even decoded: it has the topic and the
 * headers of the one before, which were checked.
 *
 * A callback may do anything to the handle. After each the walk asks, before it touches anything
 * else, whether the handle still is what this packet came to: not freed, not connected anew. */
#include "client/handle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What every message goes through, inline in the walk though others call it too. */
#define HOT static inline __attribute__((always_inline))

static bool is_over(const struct baton *b, const struct view *v)
{
        return bt_unlikely(b->epoch != v->epoch);
}

void view_describe(struct baton_message *m, const struct msg_delivery *d)
{
        *m = (struct baton_message){
                .sender = {d->session, (pid_t)d->pid, (uid_t)d->uid, (gid_t)d->gid},
                .age_ms = d->age_ms,
                .token = d->token,
                .redelivered = (uint32_t)d->redelivered,
                .fds_withheld = (uint32_t)d->withheld,
                .payload_fd = -1,
                .retained = d->flags & WIRE_DELIVERY_RETAINED,
                .is_request = d->flags & WIRE_DELIVERY_REQUEST,
                .more = d->flags & WIRE_DELIVERY_MORE,
                .failed = d->flags & WIRE_DELIVERY_FAILED,
        };
}

int view_deliver(struct baton *b, struct view *v, const struct frame *f)
{
        if (message_decode_delivery(f, &v->delivery))
                return in_spoil(b, "malformed delivery header");
        v->has_delivery = true;
        v->k = 0;
        view_describe(&v->message, &v->delivery);
        return 0;
}

HOT void call(struct baton *b, baton_message_fn fn, const struct baton_message *m, void *arg)
{
        bool outer = b->dispatching;

        b->dispatching = true;
        fn(b, m, arg);
        b->dispatching = outer;
}

/* subs_find, without the call if it is the one that was found last. */
HOT struct sub *find_sub(struct baton *b, uint32_t id)
{
        struct sub *last = b->last_sub;

        return bt_likely(last && last->id == id) ? last : subs_find(b, id);
}

HOT void call_sub(struct baton *b, struct view *v, uint32_t id)
{
        struct sub *s = find_sub(b, id);
        struct baton_message *m = &v->message;

        if (!s)
                return;
        bool counted = s->window || s->ack;
        m->subscription = id;
        m->receipt = bt_unlikely(s->ack) ? subs_receipt(b, m->seq) : 0;
        if (counted)
                subs_begin(b, id, m->seq);
        call(b, s->fn, m, s->arg);
        if (counted && !is_over(b, v))
                subs_delivered(b, id);
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
HOT int set_topic(struct baton *b, struct baton_message *m, struct slice topic)
{
        struct in *in = &b->in;

        in->is_same_topic = in->topic_len == topic.len && !memcmp(in->topic, topic.data, topic.len);
        if (!in->is_same_topic) {
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

HOT int set_headers(struct baton *b, struct baton_message *m, const struct msg_pub *pub)
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

int view_check_fds(struct baton *b, const struct view *v, const struct msg_pub *pub)
{
        size_t n = fdset_n(v->fds);

        if (pub->n_fds < n || pub->n_fds - n != v->delivery.withheld ||
                (n && (v->k || v->at != v->end)))
                return in_spoil(b, "wrong descriptors");
        return 0;
}

static int set_fds(struct baton *b, struct view *v, const struct msg_pub *pub)
{
        int r = view_check_fds(b, v, pub);

        v->message.n_fds = (uint32_t)fdset_n(v->fds);
        v->message.fds = fdset_fds(v->fds);
        return r;
}

HOT void call_subs(struct baton *b, struct view *v)
{
        struct baton_message *m = &v->message;

        m->subscription = 0;
        for (uint32_t i = 0; i < v->delivery.n_subs && !is_over(b, v); i++)
                call_sub(b, v, v->delivery.subs[i]);
        v->n += m->subscription != 0;
}

/* Everything but payload and descriptors, and the callbacks. */
HOT int hand_out(struct baton *b, struct view *v, const struct msg_pub *pub)
{
        struct baton_message *m = &v->message;
        int r = set_headers(b, m, pub);

        if (r < 0)
                return r;
        m->seq = v->delivery.seq + v->k++;
        if (bt_unlikely(v->delivery.flags & WIRE_DELIVERY_REPLY)) {
                m->topic = "";
                call_reply(b, v);
                return 0;
        }
        if ((r = set_topic(b, m, pub->topic)) < 0)
                return r;
        call_subs(b, v);
        return 0;
}

int view_hand_out(struct baton *b, struct view *v, const struct msg_pub *pub)
{
        return hand_out(b, v, pub);
}

/* The payload lies in the last descriptor. */
static __attribute__((noinline)) int view_placed(
        struct baton *b, struct view *v, const struct msg_pub *pub)
{
        struct baton_message *m = &v->message;
        struct payload *payload;
        size_t n = fdset_n(v->fds);
        int r = set_fds(b, v, pub);

        if (r < 0)
                return r;
        if (!n && !(v->delivery.flags & IN_WAS_CUT))
                return in_spoil(b, "wrong descriptors");
        if (!n) {
                view_lose(b, v, &v->delivery, WIRE_GAP_UNREADABLE, -EMFILE);
                v->k++;
                return 0;
        }
        m->payload_fd = m->fds[--m->n_fds];
        if (!m->n_fds)
                m->fds = NULL;
        r = payload_map(m->payload_fd, pub->size, facts_largest(&b->facts), &payload);
        if (r) {
                view_lose(b, v, &v->delivery, WIRE_GAP_UNREADABLE, r < 0 ? r : -EIO);
                v->k++;
                return 0;
        }
        m->payload = payload->data;
        m->payload_len = payload->len;
        m->reserved[PAYLOAD_SLOT] = payload;
        r = view_hand_out(b, v, pub);
        payload_unref(payload);
        return r;
}

/* The rest of a run, whose first publication was handed out. These differ from it in payload and
 * number alone: descriptors travel with a single publication, and withheld ones must be as many as
 * those of the first, which was checked. A callback may look at what is left of the packet
 * (in_settle), so `v->at` goes ahead of it. Out of line, to have registers of its own. */
static __attribute__((noinline)) void view_run_on(
        struct baton *b, struct view *v, const struct frame *f, const struct msg_pub *pub)
{
        struct slice payload, prefix = message_run_prefix(f, pub);
        struct baton_message *m = &v->message;

        if (!prefix.len || v->delivery.flags & WIRE_DELIVERY_REPLY)
                return;
        while (!is_over(b, v) && message_run_next(prefix, v->at, v->end, &payload)) {
                v->at = payload.data + payload.len;
                m->payload = payload.data;
                m->payload_len = payload.len;
                m->seq = v->delivery.seq + v->k++;
                call_subs(b, v);
        }
}

static int view_pub(struct baton *b, struct view *v, const struct frame *f)
{
        struct baton_message *m = &v->message;
        struct msg_pub pub;
        int r = 0;

        if (message_decode_pub(f, &pub) || !v->is_ready)
                return in_spoil(b, "malformed publication");
        if (bt_unlikely(!pub.payload.data))
                return view_placed(b, v, &pub);
        if ((pub.n_fds || v->fds) && (r = set_fds(b, v, &pub)) < 0)
                return r;
        m->payload = pub.payload.data;
        m->payload_len = pub.payload.len;
        if ((r = hand_out(b, v, &pub)) < 0)
                return r;
        /* Where topics take turns, looking for a run would cost and find none. */
        if (b->in.is_same_topic && v->at < v->end)
                view_run_on(b, v, f, &pub);
        return 0;
}

/* ---------------------------------------------------------------- losses */

static void tell_gap(struct baton *b, const struct msg_gap *g)
{
        char filter[WIRE_TOPIC_BYTES + 1]; /* the callback may unsubscribe */
        struct sub *s = subs_find(b, g->sub);
        bool outer = b->dispatching;

        if (!s)
                return;
        b->progress++;
        memcpy(filter, s->filter, strlen(s->filter) + 1);
        struct baton_gap gap = {
                .subscription = s->id,
                .filter = filter,
                .count = g->count,
                .reason = code_gap_reason(g->reason),
        };
        if (!b->gap) {
                handle_log(b, "%s: %llu messages lost (%s)", gap.filter,
                        (unsigned long long)gap.count, gap.reason);
                return;
        }
        b->dispatching = true;
        b->gap(b, &gap, b->gap_arg);
        b->dispatching = outer;
}

static int view_gap(struct baton *b, const struct frame *f)
{
        struct message m;

        if (message_decode(f, &m))
                return in_spoil(b, "malformed gap");
        subs_lost(b, m.gap.sub, m.gap.count);
        tell_gap(b, &m.gap);
        return 0;
}

void view_miss(
        struct baton *b, const struct view *v, const struct msg_delivery *d, bool gap_follows)
{
        for (uint32_t i = 0; i < d->n_subs && !is_over(b, v); i++)
                subs_missed(b, d->subs[i], d->seq, gap_follows);
}

static void lose_reply(struct baton *b, const struct msg_delivery *d, int error)
{
        struct op *op = ops_find(b, d->request);
        char text[128];

        if (!op || op->kind != OP_REQUEST)
                return;
        snprintf(text, sizeof(text), "the payload of the reply could not be had: %s",
                strerror(-error));
        if (d->flags & WIRE_DELIVERY_MORE)
                request_cancel(b, op->id);
        op_end(b, op, &(struct verdict){error, 0, text}, true);
}

void view_lose(struct baton *b, const struct view *v, const struct msg_delivery *d,
        enum wire_gap_reason why, int error)
{
        if (d->flags & WIRE_DELIVERY_REPLY) {
                lose_reply(b, d, error);
                return;
        }
        view_miss(b, v, d, false);
        for (uint32_t i = 0; i < d->n_subs && !is_over(b, v); i++)
                tell_gap(b, &(struct msg_gap){d->subs[i], 1, why, d->seq + 1});
}

/* ---------------------------------------------------------------- the walk */

static int view_frame(struct baton *b, struct view *v, const struct frame *f)
{
        if (bt_likely(f->type == WIRE_PUB))
                return view_pub(b, v, f);
        switch (f->type) {
        case WIRE_DELIVERY:
                v->is_ready = v->assembly->state == ASSEMBLY_NONE;
                return view_deliver(b, v, f);
        case WIRE_BEGIN:
                return assemble_begin(b, v, f);
        case WIRE_CHUNK:
                return assemble_chunk(b, v, f);
        case WIRE_END:
                return assemble_end(b, v, f);
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
        if (is_over(b, v))
                return;
        uint64_t next = v->has_delivery ? v->delivery.seq + v->k : 0;
        if (next > b->in.last_seq + 1)
                b->in.last_seq = next - 1;
}
