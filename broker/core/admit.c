/* Design note. Who gets a publication when. Each receiver of its route takes it into its queue at
 * once, if there is room and nobody waits for room there; else the publication is parked, and that
 * receiver gets it when it has room again. When the last one has it, its confirm is answered and
 * its cost given back.
 *
 * No memory for one receiver's queue is that receiver's end: the others have it already, and a hole
 * in its sequence that nobody told would be worse. */
#include "broker/core/internal.h"

static void take_in(struct core *c, struct pub *pub, struct request *r, const struct target *t)
{
        if (queue_push(c, t->session, pub->msg, t) < 0 ||
                (r && t->counts && request_add_holder(c, r, t->session) < 0)) {
                session_end(c, t->session, WIRE_CODE_NO_MEMORY, "no memory for your queue");
                return;
        }
        if (t->counts)
                pub->n_received++;
}

int admit_park(struct core *c, struct flight *f)
{
        int r = park_new(c, f->publisher, f->pub, &f->parked);

        if (r < 0)
                return r;
        f->pub = &f->parked->pub;
        f->parked->request = f->request;
        if (f->request)
                f->request->parked = f->parked;
        return 0;
}

static void wait_for(struct core *c, struct flight *f, const struct target *t)
{
        int r = 0;

        if (!f->parked)
                r = admit_park(c, f);
        if (r == 0) {
                f->parked->is_routed = true;
                r = park_add_pending(f->parked, t, f->n_targets);
        }
        if (t->pool) {
                if (r == 0)
                        pool_waited_for(c, t->pool);
                else
                        c->count.dropped += f->pub->n_frames; /* nobody in particular lost it */
                return;
        }
        if (r == 0)
                r = queue_watch(c, t->session);
        if (r < 0)
                session_end(c, t->session, WIRE_CODE_NO_MEMORY, "no memory for your queue");
}

static void offer(struct core *c, struct flight *f, const struct target *t)
{
        struct session *receiver = t->session;
        bool no_echo = f->pub->header.flags & WIRE_INGRESS_NO_ECHO;

        if (bt_unlikely(t->pool)) {
                int r = pool_offer(c, t->pool, f);
                if (r == POOL_E_FULL)
                        wait_for(c, f, t);
                else if (r < 0)
                        c->count.dropped += f->pub->n_frames;
                return;
        }
        if (receiver->state != SESSION_OPEN || (no_echo && receiver == f->publisher))
                return;
        if (bt_unlikely(t->lane) && !lane_waits(t->lane)) {
                if (overflow_make_room(c, receiver, f->pub->msg, t))
                        take_in(c, f->pub, f->request, t);
        } else if (list_is_empty(&receiver->waiters) &&
                   queue_has_room(c, receiver, f->pub->msg, t->lane))
                take_in(c, f->pub, f->request, t);
        else
                wait_for(c, f, t);
}

static void offer_once(struct core *c, const struct target *t, struct msg *m)
{
        struct session *s = t->session;

        if (t->pool) {
                pool_offer_once(c, t->pool, m);
                return;
        }
        bool has_room = list_is_empty(&s->waiters) && queue_has_room(c, s, m, t->lane);

        if (s->state != SESSION_OPEN)
                return;
        if (t->lane && !lane_waits(t->lane) && !(has_room = overflow_make_room(c, s, m, t)))
                return;
        int r = has_room ? queue_push(c, s, m, t)
                         : queue_lose(c, s, t->subset, WIRE_GAP_OVERFLOW, 1);
        if (r < 0)
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for your queue");
}

bool admit_all_without_waiting(struct core *c, const struct targets *targets, struct msg *m)
{
        bool any_counts = false;

        for (uint32_t i = 0; i < targets->n; i++) {
                any_counts |= targets->at[i].counts;
                offer_once(c, &targets->at[i], m);
        }
        return any_counts;
}

void admit_finish(struct core *c, struct session *s, struct pub *pub, struct request *r)
{
        const struct header_state *h = &pub->header;

        if (!pub->n_received)
                c->count.unrouted += pub->n_frames;
        if (r)
                request_end_if_deserted(c, r);
        if (h->kind == PUB_PLAIN && (h->flags & WIRE_INGRESS_CONFIRM))
                answer_confirm(c, s, h->id, pub->n_received, pub->n_frames);
        publish_credit(c, s, pub->cost);
}

bool admit_all(struct core *c, struct flight *f, const struct targets *targets)
{
        f->n_targets = targets->n;
        c->work += (uint64_t)targets->n * WORK_TARGET;
        for (uint32_t i = 0; i < targets->n; i++)
                offer(c, f, &targets->at[i]);
        if (!f->parked || !f->parked->n_unresolved) {
                admit_finish(c, f->publisher, f->pub, f->request);
                return true;
        }
        if (f->request) /* only observers may be left to wait for */
                request_end_if_deserted(c, f->request);
        return false;
}

void admit_waiters(struct core *c, struct session *s)
{
        while (s->state == SESSION_OPEN && !list_is_empty(&s->waiters)) {
                struct pending *pending = list_entry(list_first(&s->waiters), struct pending, link);
                struct parked *p = pending->owner;
                if (!queue_has_room(c, s, p->pub.msg, pending->target.lane))
                        return;
                take_in(c, &p->pub, p->request, &pending->target);
                park_resolve(c, pending);
        }
}
