/* Design note. What is in the hands of a pool, and how it leaves them other than by delivery: too
 * old, given up, told to be lost. Each that has an end of its own (a ttl, a delay, the time that it
 * may wait for somebody to come) has its timer, so that room is never held by what is over. A
 * request that waits is given up with its request. */
#include "broker/core/pool.h"

#include <errno.h>
#include <stdlib.h>

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

        load_add(&p->load, m, sign);
        account_change(p->payer, QUOTA_QUEUE_BYTES, m->len, add);
        c->count.pooled += sign * m->n_frames;
}

bool pool_has_room(const struct core *c, const struct pool *p, const struct msg *m)
{
        const struct core_limits *limits = &c->config.limits;
        const struct load *l = &p->load;

        if (!l->messages)
                return true;
        if (m->n_fds && l->fds && l->fds + m->n_fds > limits->queue_fds)
                return false;
        if (m->placed && l->n_placed && l->placed_bytes + m->placed > limits->placed_bytes)
                return false;
        return l->bytes + m->len <= p->most_bytes &&
               l->messages + m->n_frames <= p->most_messages &&
               !account_refuses(c, p->who, p->payer, QUOTA_QUEUE_BYTES, m->len);
}

void pool_set_expiry(struct core *c, struct pool_entry *e)
{
        /* Without memory for that it is found too old when its turn comes. */
        int r = e->msg->ttl_ns
                        ? heap_set(&c->timers, &e->timer.node, e->msg->born_ns + e->msg->ttl_ns)
                        : 0;
        (void)r;
}

int pool_append(struct core *c, struct pool *p, struct msg *m, struct request *r, uint64_t not_to)
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
void pool_tell_loss(
        struct core *c, struct pool *p, const struct msg *m, enum wire_gap_reason reason)
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

        pool_tell_loss(c, e->pool, e->msg, reason);
        pool_free_entry(c, e);
        if (r)
                request_end_if_deserted(c, r);
}

/* It is for nobody who is there: where they acknowledge it waits for somebody else, as long as a
 * group without members does. */
static void limit_hope(struct core *c, struct pool_entry *e)
{
        uint64_t until = core_in_ms(c, c->config.limits.linger_ms);

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

void pool_set_aside(struct core *c, struct pool_entry *e)
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
        } else if (!pool_has_anybody(e->pool, e->not_to)) {
                pool_discard(c, e); /* it was aside, and nobody else came */
                return;
        }
        pool_set_expiry(c, e);
}
