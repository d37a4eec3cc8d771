/* Design note. Groups and windows, recounted: a part of core_check. */
#include "broker/core/pool.h"

static const char *check_one(const struct core *c, const struct pool *p)
{
        struct load sum = {.bytes = 0};

        if (list_is_empty(&p->members))
                return "a pool without members";
        list_for_each (link, &p->members) {
                const struct sub *s = list_entry(link, struct sub, at_pool);
                if (s->pool != p || !s->subset || !list_is_linked(&s->of_session))
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

const char *check_pools(const struct core *c, size_t *timers)
{
        uint64_t n = 0;

        list_for_each (link, &c->all_pools) {
                const struct pool *p = list_entry(link, struct pool, in_core);
                const char *why = check_one(c, p);
                if (why)
                        return why;
                n += p->load.messages;
                *timers += p->stall.node.place > 0;
        }
        return n == c->count.pooled ? NULL : "count.pooled is not the sum of the pools";
}

int check_pool_fds(const struct core *c, struct buf *all)
{
        list_for_each (link, &c->all_pools) {
                const struct pool *p = list_entry(link, struct pool, in_core);
                list_for_each (at, &p->waiting) {
                        const struct msg *m = list_entry(at, struct pool_entry, link)->msg;
                        if (m->fds && buf_push(all, &m, sizeof(m)) < 0)
                                return -1;
                }
        }
        return 0;
}
