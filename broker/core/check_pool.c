/* Design note. Groups and windows, recounted: a part of core_check. Each is visited once, by way of
 * the member that is first in it. */
#include "broker/core/pool.h"

static const char *check_one(const struct core *c, const struct pool *p)
{
        struct load sum = {.bytes = 0};

        list_for_each (link, &p->members) {
                const struct member *m = list_entry(link, struct member, at_pool);
                if (m->pool != p || m->sub->member != m || !list_is_linked(&m->of_session))
                        return "a member of another pool";
        }
        list_for_each (link, &p->waiting) {
                const struct pool_entry *e = list_entry(link, struct pool_entry, link);
                if (e->pool != p || list_is_linked(&e->of_request) != (e->request != NULL))
                        return "a publication that waits in another pool";
                sum.bytes += e->msg->len;
                sum.messages += e->msg->n_frames;
        }
        if (sum.bytes != p->load.bytes || sum.messages != p->load.messages)
                return "a pool's load is not the sum of what waits";
        list_for_each (link, &p->waiters) {
                if (list_entry(link, struct pending, link)->target.pool != p)
                        return "a pending in the wrong pool";
        }
        if (p->stall.node.place && list_is_empty(&p->waiters))
                return "a pool that is watched, and nobody waits for it";
        return pool_could_go_on(c, p) ? "publications wait though a member could take them" : NULL;
}

/* The pool that this member is the first of, else NULL. */
static const struct pool *first_of(const struct list *of_session)
{
        const struct member *m = list_entry(of_session, struct member, of_session);

        return list_first(&m->pool->members) == &m->at_pool ? m->pool : NULL;
}

const char *check_pools(const struct core *c, size_t *timers)
{
        uint64_t n = 0;

        for (size_t i = 0; i < c->n_slots; i++) {
                if (!c->slots[i])
                        continue;
                list_for_each (link, &c->slots[i]->pooled) {
                        const struct pool *p = first_of(link);
                        const char *why = p ? check_one(c, p) : NULL;
                        if (why)
                                return why;
                        n += p ? p->load.messages : 0;
                        *timers += p && p->stall.node.place > 0;
                }
        }
        return n == c->count.pooled ? NULL : "count.pooled is not the sum of the pools";
}

static int gather(const struct pool *p, struct buf *all)
{
        int r = 0;

        list_for_each (at, &p->waiting) {
                const struct msg *m = list_entry(at, struct pool_entry, link)->msg;
                if (r == 0 && m->fds)
                        r = buf_push(all, &m, sizeof(m));
        }
        return r;
}

int check_pool_fds(const struct core *c, struct buf *all)
{
        int r = 0;

        for (size_t i = 0; i < c->n_slots; i++) {
                if (!c->slots[i])
                        continue;
                list_for_each (link, &c->slots[i]->pooled) {
                        const struct pool *p = first_of(link);
                        if (r == 0 && p)
                                r = gather(p, all);
                }
        }
        return r;
}
