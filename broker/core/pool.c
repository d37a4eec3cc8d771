/* Design note. What a pool does with a publication. Who gets it is chosen next door
 * (pool_choose.c); what no member can take now waits here, in order and within limits, and holds up
 * nobody's other publications; beyond that publishers wait, as for any receiver that blocks. If
 * members keep all of their windows for stall_ms while somebody waits so, they are ended; where
 * they acknowledge, each publication has its own time instead.
 *
 * A request that waits is given up with its request. */
#include "broker/core/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct member *member_of(struct list *link)
{
        return list_entry(link, struct member, at_pool);
}

/* ---------------------------------------------------------------- waiting */

static void account(struct core *c, struct pool *p, const struct msg *m, bool add)
{
        uint64_t sign = add ? 1 : UINT64_MAX;

        p->load.bytes += sign * m->len;
        p->load.messages += sign * m->n_frames;
        c->count.pooled += sign * m->n_frames;
}

/* One always fits. */
static bool has_room(const struct pool *p, const struct msg *m)
{
        return !p->load.messages || (p->load.bytes + m->len <= p->most_bytes &&
                                            p->load.messages + m->n_frames <= p->most_messages);
}

struct pool_entry *pool_first(const struct pool *p)
{
        struct list *link = list_first(&p->returned);

        if (!link)
                link = list_first(&p->waiting);
        return link ? list_entry(link, struct pool_entry, link) : NULL;
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
        return 0;
}

void pool_free_entry(struct core *c, struct pool_entry *e)
{
        account(c, e->pool, e->msg, false);
        heap_remove(&c->timers, &e->timer.node);
        list_remove(&e->link);
        list_remove(&e->of_request);
        msg_unref(e->msg);
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

/* Whether anybody waits for room too long; where they acknowledge, each has its time anyway. */
static void watch(struct core *c, struct pool *p)
{
        if (list_is_empty(&p->waiters) || p->acks) {
                heap_remove(&c->timers, &p->timer.node);
                return;
        }
        int r = heap_set(&c->timers, &p->timer.node,
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

/* A group that waits for its members to come back takes what it has room for, and makes nobody
 * wait; a request has nobody there to answer it. */
static bool concerns(const struct pool *p, const struct pub *pub, const struct session *publisher)
{
        if (pool_has_anybody(p, not_to(pub, publisher)))
                return true;
        return p->acks && pub->header.kind == PUB_PLAIN && !pool_is_open(p) &&
               has_room(p, pub->msg);
}

static void run_waiting(struct core *c, struct pool *p);

/* Returns 0 · POOL_E_FULL · -ENOMEM. */
static int take_in(struct core *c, struct pool *p, struct pub *pub, struct request *r,
        const struct session *publisher)
{
        uint64_t except = not_to(pub, publisher);
        int error = 0;

        if (p->acks || pool_first(p) || !pool_give(c, p, pub->msg, r, except)) {
                if (!has_room(p, pub->msg))
                        return POOL_E_FULL;
                error = append(c, p, pub->msg, r, except);
        }
        pub->n_received += error == 0;
        if (p->acks)
                run_waiting(c, p);
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

void pool_lose(struct core *c, struct pool_entry *e, enum wire_gap_reason reason)
{
        struct request *r = e->request;

        lose(c, e->pool, e->msg, reason);
        pool_free_entry(c, e);
        if (r)
                request_end_if_deserted(c, r);
}

void pool_offer_once(struct core *c, struct pool *p, struct msg *m)
{
        if (!p->acks && !pool_first(p) && pool_give(c, p, m, NULL, 0))
                return;
        if (!list_is_empty(&p->waiters) || !has_room(p, m) || append(c, p, m, NULL, 0) < 0)
                lose(c, p, m, WIRE_GAP_OVERFLOW);
        else if (p->acks)
                run_waiting(c, p);
}

struct list *pool_waiters(struct pool *p)
{
        return &p->waiters;
}

void pool_waited_for(struct core *c, struct pool *p)
{
        if (!p->timer.node.place)
                watch(c, p);
}

static void run_waiting(struct core *c, struct pool *p)
{
        struct pool_entry *e;

        while ((e = pool_first(p))) {
                if (msg_is_too_old(c, e->msg))
                        pool_lose(c, e, WIRE_GAP_EXPIRED);
                else if (e->not_to && pool_is_open(p) && !pool_has_anybody(p, e->not_to))
                        pool_discard(c, e);
                else if (!pool_give_entry(c, e))
                        return;
        }
}

bool pool_admit_waiters(struct core *c, struct pool *p)
{
        struct list *link;
        bool any = false;

        while ((link = list_first(&p->waiters))) {
                struct pending *pending = list_entry(link, struct pending, link);
                struct parked *parked = pending->owner;
                int r = 0;
                if (concerns(p, &parked->pub, parked->publisher))
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

void pool_run(struct core *c, struct pool *p)
{
        if (list_is_empty(&p->members))
                return;
        run_waiting(c, p);
        if (pool_admit_waiters(c, p) || list_is_empty(&p->waiters))
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

        if (!m || m->pool->acks)
                return;
        /* More than it was given is no harm to anybody else. */
        if (amount > (uint64_t)(POOL_WINDOW_MAX - m->free))
                m->free = POOL_WINDOW_MAX;
        else
                m->free += (int64_t)amount;
        pool_run(c, m->pool);
}
