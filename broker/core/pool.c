/* Design note. What a pool does with a publication. Who gets it is chosen next door
 * (pool_choose.c); what no member can take now waits here, in order and within limits, and holds up
 * nobody's other publications; beyond that publishers wait, as for any receiver that blocks, and
 * members that keep them waiting for stall_ms are ended.
 *
 * Whatever may make something possible (room, a window, a member that comes, goes or shows life)
 * only marks the pool as due; it is run once, when the call that did it is done.
 *
 * A publication that must not go back to its publisher does not hold up those behind it: it is laid
 * aside while only that one is free. */
#include "broker/core/pool.h"

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
               (p->acks && pub->header.kind == PUB_PLAIN && !pool_has_anybody(p, 0));
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
                if (!pool_has_room(c, p, pub->msg))
                        return POOL_E_FULL;
                error = pool_append(c, p, pub->msg, r, except);
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
        if (!list_is_empty(&p->waiters) || !pool_has_room(c, p, m) ||
                pool_append(c, p, m, NULL, 0) < 0)
                pool_tell_loss(c, p, m, WIRE_GAP_OVERFLOW);
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
        int r = heap_set(&c->timers, &p->timer.node, core_in_ms(c, c->config.limits.stall_ms));
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
                pool_set_aside(c, e);
        else
                return false;
        return true;
}

static struct pool_entry *first_of(const struct list *entries)
{
        struct list *link = list_first(entries);

        return link ? list_entry(link, struct pool_entry, link) : NULL;
}

/* Of those for one and the same publisher the first; it holds up nobody else's. */
static struct pool_entry *other_aside(const struct pool *p, const struct pool_entry *first)
{
        list_for_each (link, &p->aside) {
                struct pool_entry *e = list_entry(link, struct pool_entry, link);
                if (e->not_to != first->not_to)
                        return e;
        }
        return NULL;
}

static bool try_aside(struct core *c, struct pool *p)
{
        struct pool_entry *e = first_of(&p->aside);

        if (e && msg_is_too_old(c, e->msg)) {
                pool_lose(c, e, WIRE_GAP_EXPIRED);
                return true;
        }
        if (!e)
                return false;
        if (pool_give_entry(c, e))
                return true;
        e = other_aside(p, e);
        return e && pool_give_entry(c, e);
}

static void run_waiting(struct core *c, struct pool *p)
{
        for (;;) {
                struct pool_entry *e = first_of(&p->returned);
                if (try_aside(c, p))
                        continue;
                if (!e)
                        e = first_of(&p->waiting);
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
                        pool_tell_loss(c, p, parked->pub.msg, WIRE_GAP_OVERFLOW);
                park_resolve(c, pending);
                any = true;
        }
        return any;
}

bool pool_could_admit(const struct core *c, const struct pool *p)
{
        const struct list *link = list_first(&p->waiters);
        const struct pending *w = link ? list_entry(link, struct pending, link) : NULL;

        return w && pool_has_room(c, p, w->owner->pub.msg);
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
