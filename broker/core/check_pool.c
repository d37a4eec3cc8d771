/* Design note. Groups and windows, recounted: a part of core_check. Groups are found by name, and
 * the windows of single subscriptions by way of their only member. */
#include "broker/core/pool.h"

/* What pools hold, in all. */
struct held {
        uint64_t waiting, unacked;
        size_t timers;
        struct buf *fds; /* pointers to messages with descriptors; may be NULL */
        int error;
};

static const char *count_entry(const struct pool *p, const struct pool_entry *e, struct held *sum)
{
        if (e->pool != p || list_is_linked(&e->of_request) != (e->request != NULL))
                return "a publication that is in another pool";
        if (!p->acks && (e->with || e->seq))
                return "a publication under way where nobody acknowledges";
        if (!e->with && (e->seq || list_is_linked(&e->place.link)))
                return "a publication with nobody that is queued or sent";
        sum->waiting += e->with ? 0 : e->msg->n_frames;
        sum->unacked += e->seq != 0;
        sum->timers += e->timer.node.place > 0;
        if (sum->fds && sum->error == 0)
                sum->error = check_note_fds(sum->fds, e->msg);
        return NULL;
}

static const char *count_list(
        const struct pool *p, const struct list *entries, struct load *load, struct held *sum)
{
        list_for_each (link, entries) {
                const struct pool_entry *e = list_entry(link, struct pool_entry, link);
                const char *why = count_entry(p, e, sum);
                if (why)
                        return why;
                check_weigh(load, e->msg);
        }
        return NULL;
}

static const char *check_under_way(const struct member *m)
{
        list_for_each (link, &m->under_way) {
                const struct pool_entry *e = list_entry(link, struct pool_entry, link);
                if (e->with != m)
                        return "a publication that is under way to another";
                if (!e->seq && !list_is_linked(&e->place.link))
                        return "a publication under way that is neither queued nor sent";
                if (e->timer.node.place)
                        return "a publication under way that waits for something else";
        }
        if (m->timer.node.place != 0 && list_is_empty(&m->under_way))
                return "a member with nothing to answer that has a deadline";
        if (!m->timer.node.place && !list_is_empty(&m->under_way))
                return "a member with something to answer and no deadline";
        return NULL;
}

static const char *count_member(
        const struct pool *p, const struct member *m, struct load *load, struct held *sum)
{
        if (m->pool != p || m->sub->member != m || !list_is_linked(&m->of_session))
                return "a member of another pool";
        const char *why = check_under_way(m);
        return why ? why : count_list(p, &m->under_way, load, sum);
}

static const char *count_pool(const struct pool *p, struct held *sum)
{
        const struct list *lists[POOL_LISTS];
        struct load load = {.bytes = 0};
        const char *why = NULL;

        pool_lists(p, lists);
        for (size_t i = 0; i < ARRAY_LEN(lists) && !why; i++)
                why = count_list(p, lists[i], &load, sum);
        list_for_each (link, &p->members) {
                const struct member *m = list_entry(link, struct member, at_pool);
                if (!why)
                        why = count_member(p, m, &load, sum);
                sum->timers += m->timer.node.place > 0;
        }
        if (why)
                return why;
        if (!check_is_same(&load, &p->load))
                return "a pool's load is not the sum of what it holds";
        sum->timers += p->timer.node.place > 0;
        return NULL;
}

static const char *check_pool(const struct core *c, const struct pool *p)
{
        list_for_each (link, &p->waiters) {
                if (list_entry(link, struct pending, link)->target.pool != p)
                        return "a pending in the wrong pool";
        }
        /* Who has quotas may get room by what happens elsewhere; that is looked at in its own time.
         */
        if (p->who->is_trusted && pool_could_admit(c, p))
                return "publishers wait for a group that has room";
        if (list_is_empty(&p->members))
                return p->timer.node.place ? NULL : "a pool without members that does not end";
        if (list_is_linked(&p->due))
                return "a pool that is due was left behind";
        if (p->timer.node.place && list_is_empty(&p->waiters))
                return "a pool that is watched, and nobody waits for it";
        return pool_could_go_on(c, p) ? "publications wait though a member could take them" : NULL;
}

static const char *check_acks(const struct session *s)
{
        const struct acks *a = &s->acks;
        uint64_t before = 0;
        size_t n_due = 0;

        for (size_t i = 0; i < a->n; i++) {
                const struct pool_entry *e = a->at[a->start + i];
                if (e->seq <= before || !e->with || e->with->sub->session != s)
                        return "what has to be acknowledged is not in order";
                before = e->seq;
        }
        list_for_each (link, &s->pooled) {
                const struct member *m = list_entry(link, struct member, of_session);
                list_for_each (at, &m->under_way)
                        n_due++;
        }
        return n_due == a->n_due && a->n <= n_due && a->cap >= n_due
                       ? NULL
                       : "n_due is not what is under way";
}

/* Of the windows of single subscriptions, this session's. */
static const char *count_windows(const struct core *c, const struct session *s, struct held *sum)
{
        const char *why = check_acks(s);

        list_for_each (link, &s->pooled) {
                const struct pool *p = list_entry(link, struct member, of_session)->pool;
                if (!why && !p->name_len)
                        why = count_pool(p, sum);
                if (!why && !p->name_len)
                        why = check_pool(c, p);
        }
        return why;
}

static const char *count_all(const struct core *c, struct held *sum)
{
        const char *why = NULL;

        for (size_t i = 0; i < c->n_slots && !why; i++) {
                if (c->slots[i])
                        why = count_windows(c, c->slots[i], sum);
        }
        for (size_t i = 0; i < c->pools.cap && !why; i++) {
                for (const struct map_node *n = c->pools.slots[i]; n && !why; n = n->next) {
                        const struct pool *p = container_of(n, const struct pool, by_name);
                        why = count_pool(p, sum);
                        if (!why)
                                why = check_pool(c, p);
                }
        }
        return why;
}

const char *check_pools(const struct core *c, size_t *timers)
{
        struct held sum = {.fds = NULL};
        const char *why = count_all(c, &sum);

        *timers += sum.timers;
        if (why)
                return why;
        if (sum.waiting != c->count.pooled)
                return "count.pooled is not the sum of the pools";
        return sum.unacked == c->count.unacked ? NULL : "count.unacked is not what was sent";
}

int check_pool_fds(const struct core *c, struct buf *all)
{
        struct held sum = {.fds = all};

        (void)count_all(c, &sum);
        return sum.error;
}
