/* Design note. Each publication goes to one member of a group: the one with the most free window,
 * and of several the one that has waited longest. A window is what the member has asked for, less
 * what is under way to it: so nobody is given more than it can work on, and none is idle while
 * others hoard. A single subscription with a window is a group of one, without a name.
 *
 * What no member can take now waits here, in order and within limits, and holds up nobody's other
 * publications; beyond that publishers wait, as for any receiver that blocks. If members keep all
 * of their windows for stall_ms while somebody waits so, they are ended.
 *
 * A request that waits is given up with its request; what waits when the last member leaves is
 * discarded. */
#include "broker/core/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- members */

static struct member *member_of(struct list *link)
{
        return list_entry(link, struct member, at_pool);
}

static bool is_eligible(const struct member *m, uint64_t not_to)
{
        const struct session *s = m->sub->session;

        return s->state == SESSION_OPEN && s->number != not_to;
}

static bool has_anybody(const struct pool *p, uint64_t not_to)
{
        list_for_each (link, &p->members) {
                if (is_eligible(member_of(link), not_to))
                        return true;
        }
        return false;
}

static bool can_take(const struct core *c, const struct member *to, const struct msg *m)
{
        const struct session *s = to->sub->session;

        return to->free > 0 && list_is_empty(&s->waiters) && queue_has_room(c, s, m, NULL);
}

/* NULL: nobody can take it now. */
static struct member *choose(
        const struct core *c, const struct pool *p, const struct msg *m, uint64_t not_to)
{
        struct member *best = NULL;

        list_for_each (link, &p->members) {
                struct member *one = member_of(link);
                if (is_eligible(one, not_to) && (!best || one->free > best->free) &&
                        can_take(c, one, m))
                        best = one;
        }
        return best;
}

void pool_charge(struct sub *sub, uint32_t n)
{
        if (sub->member)
                sub->member->free -= n;
}

/* false: it has no memory for it, and ends. */
static bool deliver(
        struct core *c, struct pool *p, struct member *to, struct msg *m, struct request *r)
{
        struct session *s = to->sub->session;
        struct target t = {
                .session = s,
                .subset = to->subset,
                .max_fds = to->sub->max_fds,
                .counts = true,
        };

        if (queue_push(c, s, m, &t) < 0 || (r && request_add_holder(c, r, s) < 0)) {
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for your queue");
                return false;
        }
        to->free--;
        list_remove(&to->at_pool);
        list_push_back(&p->members, &to->at_pool);
        return true;
}

/* false: nobody can take it now. */
static bool give(struct core *c, struct pool *p, struct msg *m, struct request *r, uint64_t not_to)
{
        struct member *to;

        while ((to = choose(c, p, m, not_to))) {
                if (deliver(c, p, to, m, r))
                        return true;
        }
        return false;
}

/* ---------------------------------------------------------------- waiting */

static void account(struct core *c, struct pool *p, const struct msg *m, bool add)
{
        uint64_t sign = add ? 1 : UINT64_MAX;

        p->load.bytes += sign * m->len;
        p->load.messages += sign * m->n_frames;
        c->count.pooled += sign * m->n_frames;
}

static bool has_room(const struct pool *p, const struct msg *m)
{
        return list_is_empty(&p->waiting) ||
               (p->load.bytes + m->len <= p->most_bytes &&
                       p->load.messages + m->n_frames <= p->most_messages);
}

static int append(struct core *c, struct pool *p, struct msg *m, struct request *r, uint64_t not_to)
{
        struct pool_entry *e = calloc(1, sizeof(*e));

        if (!e)
                return -ENOMEM;
        *e = (struct pool_entry){.pool = p, .msg = msg_ref(m), .request = r, .not_to = not_to};
        list_push_back(&p->waiting, &e->link);
        if (r)
                list_push_back(&r->pooled, &e->of_request);
        account(c, p, m, true);
        return 0;
}

void pool_free_entry(struct core *c, struct pool_entry *e)
{
        account(c, e->pool, e->msg, false);
        list_remove(&e->link);
        list_remove(&e->of_request);
        msg_unref(e->msg);
        free(e);
}

void pool_forget_request(struct core *c, struct request *r)
{
        list_for_each_safe (link, &r->pooled)
                pool_free_entry(c, list_entry(link, struct pool_entry, of_request));
}

static void watch(struct core *c, struct pool *p)
{
        if (list_is_empty(&p->waiters)) {
                heap_remove(&c->timers, &p->stall.node);
                return;
        }
        int r = heap_set(&c->timers, &p->stall.node,
                c->now_ns + c->config.limits.stall_ms * UINT64_C(1000000));
        /* Without memory nobody is ended for it this time. */
        (void)r;
}

/* ---------------------------------------------------------------- publications */

static uint64_t not_to(const struct pub *pub, const struct session *publisher)
{
        return pub->header.flags & WIRE_INGRESS_NO_ECHO && pub->header.kind == PUB_PLAIN
                       ? publisher->number
                       : 0;
}

/* Returns 0 · POOL_E_FULL · -ENOMEM. */
static int take_in(struct core *c, struct pool *p, struct pub *pub, struct request *r,
        const struct session *publisher)
{
        uint64_t except = not_to(pub, publisher);
        int error = 0;

        if (!list_is_empty(&p->waiting) || !give(c, p, pub->msg, r, except)) {
                if (!has_room(p, pub->msg))
                        return POOL_E_FULL;
                error = append(c, p, pub->msg, r, except);
        }
        pub->n_received += error == 0;
        return error;
}

int pool_offer(struct core *c, struct pool *p, struct flight *f)
{
        struct pub *pub = f->pub;

        if (!has_anybody(p, not_to(pub, f->publisher)))
                return 0;
        if (!list_is_empty(&p->waiters))
                return POOL_E_FULL;
        return take_in(c, p, pub, f->request, f->publisher);
}

/* Of a group nobody in particular loses it. */
static void lose(struct core *c, struct pool *p, const struct msg *m, enum wire_gap_reason reason)
{
        struct list *only = p->name_len ? NULL : list_first(&p->members);

        if (!only) {
                c->count.dropped += m->n_frames;
                return;
        }
        struct member *member = member_of(only);
        struct session *s = member->sub->session;
        if (s->state != SESSION_OPEN)
                return;
        if (queue_lose(c, s, member->subset, reason, m->n_frames) < 0)
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for your queue");
        member->free -= m->n_frames;
}

void pool_offer_once(struct core *c, struct pool *p, struct msg *m)
{
        if (list_is_empty(&p->waiting) && give(c, p, m, NULL, 0))
                return;
        if (!list_is_empty(&p->waiters) || !has_room(p, m) || append(c, p, m, NULL, 0) < 0)
                lose(c, p, m, WIRE_GAP_OVERFLOW);
}

struct list *pool_waiters(struct pool *p)
{
        return &p->waiters;
}

void pool_waited_for(struct core *c, struct pool *p)
{
        if (!p->stall.node.place)
                watch(c, p);
}

static void run_waiting(struct core *c, struct pool *p)
{
        struct list *link;

        while ((link = list_first(&p->waiting))) {
                struct pool_entry *e = list_entry(link, struct pool_entry, link);
                if (msg_is_too_old(c, e->msg)) {
                        lose(c, p, e->msg, WIRE_GAP_EXPIRED);
                        pool_free_entry(c, e);
                        continue;
                }
                if (e->not_to && !has_anybody(p, e->not_to)) {
                        c->count.discarded += e->msg->n_frames;
                        pool_free_entry(c, e);
                        continue;
                }
                if (!give(c, p, e->msg, e->request, e->not_to))
                        return;
                pool_free_entry(c, e);
        }
}

void pool_run(struct core *c, struct pool *p)
{
        struct list *link;
        bool any = false;

        run_waiting(c, p);
        while ((link = list_first(&p->waiters))) {
                struct pending *pending = list_entry(link, struct pending, link);
                struct parked *parked = pending->owner;
                int r = 0;
                if (has_anybody(p, not_to(&parked->pub, parked->publisher)))
                        r = take_in(c, p, &parked->pub, parked->request, parked->publisher);
                if (r == POOL_E_FULL)
                        break;
                if (r < 0)
                        lose(c, p, parked->pub.msg, WIRE_GAP_OVERFLOW);
                park_resolve(c, pending);
                any = true;
        }
        if (any || list_is_empty(&p->waiters))
                watch(c, p);
}

void pool_drained(struct core *c, struct session *s)
{
        list_for_each (link, &s->pooled)
                pool_run(c, list_entry(link, struct member, of_session)->pool);
}

void pool_credit(struct core *c, struct sub *sub, uint64_t amount)
{
        struct member *m = sub->member;

        if (!m)
                return;
        /* More than it was given is no harm to anybody else. */
        if (amount > (uint64_t)(POOL_WINDOW_MAX - m->free))
                m->free = POOL_WINDOW_MAX;
        else
                m->free += (int64_t)amount;
        pool_run(c, m->pool);
}

void pool_stalled(struct core *c, struct timer *t)
{
        struct pool *p = container_of(t, struct pool, stall);

        list_for_each (link, &p->members) {
                const struct member *m = member_of(link);
                if (m->free <= 0)
                        session_end(c, m->sub->session, WIRE_CODE_STALLED,
                                "your window was used up for too long (limit stall_ms)");
        }
        watch(c, p);
}

bool pool_could_go_on(const struct core *c, const struct pool *p)
{
        const struct list *link = list_first(&p->waiting);
        const struct pool_entry *e = link ? list_entry(link, struct pool_entry, link) : NULL;

        const struct member *to = e ? choose(c, p, e->msg, e->not_to) : NULL;

        return to && queue_is_low(c, to->sub->session);
}
