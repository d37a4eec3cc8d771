/* Design note. A publication that some receiver has no room for waits at its publisher's expense:
 * its bytes stay charged to the publishing window, which is what slows the publisher down. Only the
 * first parked publication of a session is routed, those behind it are not even looked at: that
 * keeps them in order, and a receiver that comes or goes meanwhile is taken into account.
 *
 * Each missing receiver is a `pending`, in line with others at that receiver's `waiters`. */
#include "broker/core/internal.h"

#include <errno.h>
#include <stdlib.h>

static void account(struct core *c, struct parked *p, bool add)
{
        uint64_t sign = add ? 1 : UINT64_MAX;

        p->publisher->parked_bytes += sign * p->pub.cost;
        c->count.parked_bytes += sign * p->pub.cost;
        c->count.parked += sign * p->pub.n_frames;
        account_change(p->publisher->account, QUOTA_QUEUE_BYTES, p->pub.cost, add);
}

int park_new(struct core *c, struct session *s, const struct pub *pub, struct parked **ret)
{
        struct parked *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        p->publisher = s;
        p->pub = *pub;
        if (p->pub.msg)
                msg_ref(p->pub.msg);
        list_push_back(&s->parked, &p->link);
        account(c, p, true);
        *ret = p;
        return 0;
}

/* Makes a parked publication of the first frame of `p`, in front of it. */
static int split_first(
        struct core *c, struct parked *p, const struct frame *f, const struct slice *topic)
{
        const struct msg *whole = p->pub.msg;
        struct msg *m = msg_new(f->data, f->len);
        struct pub one = p->pub;
        struct parked *first;

        if (!m)
                return -ENOMEM;
        m->n_frames = one.n_frames = 1;
        m->topic_at = (uint32_t)(topic->data - f->data);
        m->topic_len = (uint32_t)topic->len;
        m->born_ns = whole->born_ns;
        m->ttl_ns = whole->ttl_ns;
        m->sender = whole->sender;
        m->peer = whole->peer;
        one.msg = m;
        one.cost = publish_cost(c, f->len, 0, 0);
        int r = park_new(c, p->publisher, &one, &first);
        msg_unref(m);
        if (r < 0)
                return r;
        list_remove(&first->link);
        list_push_back(&p->link, &first->link); /* in front of it */
        account(c, p, false);
        p->pub.n_frames--;
        p->pub.cost -= one.cost;
        if (header_has_id(&p->pub.header))
                p->pub.header.id++;
        account(c, p, true);
        return 0;
}

void park_split(struct core *c, struct parked *p)
{
        const struct msg *m = p->pub.msg;
        const uint8_t *at = m->data, *end = m->data + m->len;
        struct msg_pub pub;
        struct frame f;

        /* They were scanned and decoded before. */
        while (p->pub.n_frames && scan_frame(&at, end, &f) == 0 &&
                message_decode_pub(&f, &pub) == 0) {
                if (split_first(c, p, &f, &pub.topic) < 0)
                        break;
        }
        if (!p->pub.n_frames) {
                park_free(c, p);
                return;
        }
        p->pub.refusal = (struct refusal){WIRE_CODE_NO_MEMORY, "", "no memory"};
        msg_unref(take_ptr(p->pub.msg));
}

int park_add_pending(struct parked *p, const struct target *t, uint32_t most)
{
        if (!p->pending) {
                p->pending = calloc(most, sizeof(*p->pending));
                if (!p->pending)
                        return -ENOMEM;
        }
        struct pending *pending = &p->pending[p->n_pending++];
        p->n_unresolved++;
        p->n_responders += t->counts;
        pending->owner = p;
        pending->receiver = t->session;
        pending->target = *t;
        if (t->subset)
                t->subset->refs++;
        lane_ref(t->lane);
        list_push_back(t->pool ? pool_waiters(t->pool) : &t->session->waiters, &pending->link);
        return 0;
}

static void drop_pending(struct pending *pending)
{
        list_remove(&pending->link);
        subset_unref(take_ptr(pending->target.subset));
        lane_unref(take_ptr(pending->target.lane));
}

void park_resolve(struct core *c, struct pending *pending)
{
        struct parked *p = pending->owner;

        p->n_unresolved--;
        p->n_responders -= pending->target.counts;
        drop_pending(pending);
        if (p->request)
                request_end_if_deserted(c, p->request);
        if (!p->n_unresolved && !list_is_linked(&p->publisher->runnable))
                list_push_back(&c->runnable, &p->publisher->runnable);
}

void park_forget_receiver(struct core *c, struct session *s)
{
        while (!list_is_empty(&s->waiters)) {
                struct pending *p = list_entry(list_first(&s->waiters), struct pending, link);
                s->discarded += p->owner->pub.n_frames;
                park_resolve(c, p);
        }
}

void park_free(struct core *c, struct parked *p)
{
        for (uint32_t i = 0; i < p->n_pending; i++)
                drop_pending(&p->pending[i]);
        if (p->request)
                p->request->parked = NULL;
        list_remove(&p->link);
        account(c, p, false);
        msg_unref(p->pub.msg);
        free(p->pending);
        free(p);
}
