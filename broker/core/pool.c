/* Design note. What a pool does with a publication. Who gets it is chosen next door
 * (pool_choose.c); what no member can take now waits here, in order and within limits, and holds up
 * nobody's other publications; beyond that publishers wait, as for any receiver that blocks, and
 * members that keep them waiting for stall_ms are ended.
 *
 * Whatever may make something possible (room, a window, a member that comes, goes or shows life)
 * only marks the pool as due; it is run once, when the call that did it is done.
 *
 * A publication that must not go back to its publisher does not hold up those behind it: it is laid
 * aside while only that one is free. A request that waits is given up with its request. */
#include "broker/core/pool.h"

#include <errno.h>
#include <stdlib.h>

void pool_touch(struct core *c, struct pool *p)
{
        if (!list_is_linked(&p->due))
                list_push_back(&c->due, &p->due);
}

void pool_drained(struct core *c, struct session *s)
{
        list_for_each (link, &s->pooled)
                pool_touch(c, list_entry(link, struct member, of_session)->pool);
}

/* ---------------------------------------------------------------- what waits */

void pool_lists(const struct pool *p, const struct list *ret_lists[POOL_LISTS])
{
        ret_lists[0] = &p->returned;
        ret_lists[1] = &p->waiting;
        ret_lists[2] = &p->aside;
        ret_lists[3] = &p->delayed;
}

static void account(struct core *c, struct pool *p, const struct msg *m, bool add)
{
        uint64_t sign = add ? 1 : UINT64_MAX;

        p->load.bytes += sign * m->len;
        p->load.messages += sign * m->n_frames;
        p->load.fds += sign * m->n_fds;
        p->load.placed_bytes += sign * m->placed;
        p->load.n_placed += m->placed ? sign : 0;
        c->count.pooled += sign * m->n_frames;
}

/* One always fits. */
static bool has_room(const struct core *c, const struct pool *p, const struct msg *m)
{
        const struct core_limits *limits = &c->config.limits;
        const struct load *l = &p->load;

        if (!l->messages)
                return true;
        if (m->n_fds && l->fds && l->fds + m->n_fds > limits->queue_fds)
                return false;
        if (m->placed && l->n_placed && l->placed_bytes + m->placed > limits->placed_bytes)
                return false;
        return l->bytes + m->len <= p->most_bytes && l->messages + m->n_frames <= p->most_messages;
}

void pool_set_expiry(struct core *c, struct pool_entry *e)
{
        /* Without memory for that it is found too old when its turn comes. */
        int r = e->msg->ttl_ns
                        ? heap_set(&c->timers, &e->timer.node, e->msg->born_ns + e->msg->ttl_ns)
                        : 0;
        (void)r;
}

static int append(struct core *c, struct pool *p, struct msg *m, struct request *r, uint64_t not_to)
{
        struct pool_entry *e = calloc(1, sizeof(*e));

        if (!e)
                return -ENOMEM;
        *e = (struct pool_entry){
                .pool = p,
                .msg = msg_ref(m),
                .request = r,
                .not_to = not_to,
                .timer.kind = TIMER_POOL_ENTRY,
        };
        list_push_back(&p->waiting, &e->link);
        if (r)
                list_push_back(&r->pooled, &e->of_request);
        account(c, p, m, true);
        pool_set_expiry(c, e);
        return 0;
}

void pool_free_entry(struct core *c, struct pool_entry *e)
{
        account(c, e->pool, e->msg, false);
        heap_remove(&c->timers, &e->timer.node);
        list_remove(&e->link);
        list_remove(&e->of_request);
        msg_unref(e->msg);
        pool_touch(c, e->pool); /* there is room now */
        free(e);
}

void pool_discard(struct core *c, struct pool_entry *e)
{
        struct request *r = e->request;

        c->count.discarded += e->msg->n_frames;
        pool_free_entry(c, e);
        if (r)
                request_end_if_deserted(c, r);
}

void pool_forget_request(struct core *c, struct request *r)
{
        list_for_each_safe (link, &r->pooled) {
                struct pool_entry *e = list_entry(link, struct pool_entry, of_request);
                if (e->with) { /* who has it may finish it, but nobody else begins */
                        e->request = NULL;
                        list_remove(link);
                } else {
                        c->count.discarded += e->msg->n_frames;
                        pool_free_entry(c, e);
                }
        }
}

/* Of a group nobody in particular loses it. */
static void lose(struct core *c, struct pool *p, const struct msg *m, enum wire_gap_reason reason)
{
        struct list *only = p->name_len ? NULL : list_first(&p->members);

        if (!only) {
                c->count.dropped += m->n_frames;
                return;
        }
        struct member *member = list_entry(only, struct member, at_pool);
        struct session *s = member->sub->session;
        if (s->state != SESSION_OPEN)
                return;
        if (queue_lose(c, s, member->subset, reason, m->n_frames) < 0)
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for your queue");
        member->free -= m->n_frames;
}

void pool_lose(struct core *c, struct pool_entry *e, enum wire_gap_reason reason)
{
        struct request *r = e->request;

        lose(c, e->pool, e->msg, reason);
        pool_free_entry(c, e);
        if (r)
                request_end_if_deserted(c, r);
}

/* It is for nobody who is there: where they acknowledge it waits for somebody else, as long as a
 * group without members does. */
static void limit_hope(struct core *c, struct pool_entry *e)
{
        uint64_t until = c->now_ns + c->config.limits.linger_ms * UINT64_C(1000000);

        if (pool_has_anybody(e->pool, e->not_to))
                return;
        if (!e->pool->acks) {
                pool_discard(c, e);
                return;
        }
        if (e->timer.node.place && e->timer.node.at_ns < until)
                return; /* it gets too old before */
        int r = heap_set(&c->timers, &e->timer.node, until);
        (void)r; /* without memory it waits longer */
}

static void set_aside(struct core *c, struct pool_entry *e)
{
        list_remove(&e->link);
        list_push_back(&e->pool->aside, &e->link);
        limit_hope(c, e);
}

void pool_limit_hopes(struct core *c, struct pool *p)
{
        list_for_each_safe (link, &p->aside)
                limit_hope(c, list_entry(link, struct pool_entry, link));
}

void pool_entry_timer(struct core *c, struct timer *t)
{
        struct pool_entry *e = container_of(t, struct pool_entry, timer);

        if (msg_is_too_old(c, e->msg)) {
                pool_lose(c, e, WIRE_GAP_EXPIRED);
                return;
        }
        pool_touch(c, e->pool);
        if (e->is_delayed) {
                e->is_delayed = false;
                list_remove(&e->link);
                list_push_back(&e->pool->returned, &e->link);
                pool_set_expiry(c, e);
        } else if (!pool_has_anybody(e->pool, e->not_to)) {
                pool_discard(c, e); /* it was aside, and nobody else came */
        }
}

/* ---------------------------------------------------------------- publications */

static uint64_t not_to(const struct pub *pub, const struct session *publisher)
{
        return pub->header.flags & WIRE_INGRESS_NO_ECHO && pub->header.kind == PUB_PLAIN
                       ? publisher->number
                       : 0;
}

/* A group that waits for its members to come back is a receiver that does not read just now. But a
 * request has nobody there to answer it. */
static bool concerns(const struct pool *p, const struct pub *pub, const struct session *publisher)
{
        return pool_has_anybody(p, not_to(pub, publisher)) ||
               (p->acks && pub->header.kind == PUB_PLAIN && !pool_is_open(p));
}

static bool has_waiting(const struct pool *p)
{
        return !list_is_empty(&p->returned) || !list_is_empty(&p->waiting);
}

/* Returns 0 · POOL_E_FULL · -ENOMEM. */
static int take_in(struct core *c, struct pool *p, struct pub *pub, struct request *r,
        const struct session *publisher)
{
        uint64_t except = not_to(pub, publisher);
        int error = 0;

        if (p->acks || has_waiting(p) || !pool_give(c, p, pub->msg, r, except)) {
                if (!has_room(c, p, pub->msg))
                        return POOL_E_FULL;
                error = append(c, p, pub->msg, r, except);
                pool_touch(c, p);
        }
        pub->n_received += error == 0;
        return error;
}

int pool_offer(struct core *c, struct pool *p, struct flight *f)
{
        if (!concerns(p, f->pub, f->publisher))
                return 0;
        if (!list_is_empty(&p->waiters))
                return POOL_E_FULL;
        return take_in(c, p, f->pub, f->request, f->publisher);
}

void pool_offer_once(struct core *c, struct pool *p, struct msg *m)
{
        if (!p->acks && !has_waiting(p) && pool_give(c, p, m, NULL, 0))
                return;
        if (!list_is_empty(&p->waiters) || !has_room(c, p, m) || append(c, p, m, NULL, 0) < 0)
                lose(c, p, m, WIRE_GAP_OVERFLOW);
        else
                pool_touch(c, p);
}

struct list *pool_waiters(struct pool *p)
{
        return &p->waiters;
}

/* Publishers do not wait for ever: see pool_timer. */
static void watch(struct core *c, struct pool *p)
{
        if (list_is_empty(&p->waiters)) {
                heap_remove(&c->timers, &p->timer.node);
                return;
        }
        int r = heap_set(&c->timers, &p->timer.node,
                c->now_ns + c->config.limits.stall_ms * UINT64_C(1000000));
        /* Without memory nobody is ended for it this time. */
        (void)r;
}

void pool_waited_for(struct core *c, struct pool *p)
{
        if (!p->timer.node.place)
                watch(c, p);
}

/* ---------------------------------------------------------------- running */

/* Returns false if it has to wait, and what is behind it too. */
static bool try_entry(struct core *c, struct pool_entry *e)
{
        if (msg_is_too_old(c, e->msg))
                pool_lose(c, e, WIRE_GAP_EXPIRED);
        else if (pool_give_entry(c, e))
                return true;
        else if (pool_excludes(c, e))
                set_aside(c, e);
        else
                return false;
        return true;
}

static struct pool_entry *first_of(const struct list *entries)
{
        struct list *link = list_first(entries);

        return link ? list_entry(link, struct pool_entry, link) : NULL;
}

static void run_waiting(struct core *c, struct pool *p)
{
        for (;;) {
                struct pool_entry *aside = first_of(&p->aside);
                struct pool_entry *e = first_of(&p->returned);
                if (!e)
                        e = first_of(&p->waiting);
                if (aside && pool_give_entry(c, aside))
                        continue;
                if (!e || !try_entry(c, e))
                        return;
        }
}

/* Nobody is left to answer a request that has ended. */
static bool is_over(const struct parked *p)
{
        return p->pub.header.kind == PUB_REQUEST && !p->request;
}

static bool admit_waiting(struct core *c, struct pool *p)
{
        struct list *link;
        bool any = false;

        while ((link = list_first(&p->waiters))) {
                struct pending *pending = list_entry(link, struct pending, link);
                struct parked *parked = pending->owner;
                int r = 0;
                if (!is_over(parked) && concerns(p, &parked->pub, parked->publisher))
                        r = take_in(c, p, &parked->pub, parked->request, parked->publisher);
                if (r == POOL_E_FULL)
                        break;
                if (r < 0)
                        lose(c, p, parked->pub.msg, WIRE_GAP_OVERFLOW);
                park_resolve(c, pending);
                any = true;
        }
        return any;
}

bool pool_could_admit(const struct core *c, const struct pool *p)
{
        const struct list *link = list_first(&p->waiters);
        const struct pending *w = link ? list_entry(link, struct pending, link) : NULL;

        return w && has_room(c, p, w->owner->pub.msg);
}

/* Without members it only takes in what there is room for, and ends when its time has come. */
void pool_run_due(struct core *c, struct list *due)
{
        struct pool *p = list_entry(due, struct pool, due);
        bool is_deserted = list_is_empty(&p->members);

        list_remove(due);
        if (!is_deserted)
                run_waiting(c, p);
        bool any = admit_waiting(c, p);
        if (!is_deserted && (any || list_is_empty(&p->waiters) || !p->timer.node.place))
                watch(c, p);
}

void pool_credit(struct core *c, struct sub *sub, uint64_t amount)
{
        struct member *m = sub->member;

        if (!m || m->pool->acks)
                return;
        /* More than it was given is no harm to anybody else. */
        if (amount > (uint64_t)(POOL_WINDOW_MAX - m->free))
                m->free = POOL_WINDOW_MAX;
        else
                m->free += (int64_t)amount;
        pool_touch(c, m->pool);
}
