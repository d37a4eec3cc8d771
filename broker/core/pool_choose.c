/* Design note. Each publication goes to one member of a group: the one with the most free window,
 * and of several the one that has waited longest. A window is what the member has asked for, less
 * what is under way to it: so nobody is given more than it can work on, and none is idle while
 * others hoard. A single subscription with a window is a group of one, without a name.
 *
 * What comes back to be delivered again goes to another member rather than to the one that had it.
 * Who let its time pass gets nothing before it shows life while there are others, and one at a time
 * if there are none. */
#include "broker/core/pool.h"

static struct member *member_of(struct list *link)
{
        return list_entry(link, struct member, at_pool);
}

static bool is_eligible(const struct member *m, uint64_t not_to)
{
        const struct session *s = m->sub->session;

        return s->state == SESSION_OPEN && s->number != not_to;
}

bool pool_has_anybody(const struct pool *p, uint64_t not_to)
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

        if (to->pool->acks &&
                (s->acks.n_due >= c->config.limits.unacknowledged || (s->is_late && s->acks.n_due)))
                return false;
        return to->free > 0 && list_is_empty(&s->waiters) && queue_has_room(c, s, m, NULL);
}

/* A publication looks for a member. */
struct search {
        const struct core *core;
        const struct pool *pool;
        const struct msg *msg;
        uint64_t not_to, last; /* sessions */
};

static bool is_better(const struct search *w, const struct member *a, const struct member *best)
{
        if (!best)
                return true;
        bool again = a->sub->session->number == w->last;
        bool best_again = best->sub->session->number == w->last;
        return again == best_again ? a->free > best->free : best_again;
}

/* NULL: nobody can take it now. */
static struct member *choose(const struct search *w)
{
        struct member *best = NULL, *best_late = NULL;
        bool all_late = true;

        list_for_each (link, &w->pool->members) {
                struct member *one = member_of(link);
                if (!is_eligible(one, w->not_to))
                        continue;
                bool is_late = w->pool->acks && one->sub->session->is_late;
                struct member **place = is_late ? &best_late : &best;
                all_late &= is_late;
                if (is_better(w, one, *place) && can_take(w->core, one, w->msg))
                        *place = one;
        }
        return all_late ? best_late : best;
}

static struct search search_of(
        const struct core *c, const struct pool *p, const struct msg *m, uint64_t not_to)
{
        return (struct search){.core = c, .pool = p, .msg = m, .not_to = not_to};
}

static struct search search_for(const struct core *c, const struct pool_entry *e)
{
        struct search w = search_of(c, e->pool, e->msg, e->not_to);

        w.last = e->last;
        return w;
}

void pool_charge(struct sub *sub, uint32_t n)
{
        if (sub->member)
                sub->member->free -= n;
}

/* It was given one: that counts against its window, and it is the last in line. */
static void charge(struct member *to)
{
        to->free--;
        list_remove(&to->at_pool);
        list_push_back(&to->pool->members, &to->at_pool);
}

/* false: it has no memory for it, and ends. */
static bool deliver(struct core *c, struct member *to, struct msg *m, struct request *r)
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
        return true;
}

bool pool_give(struct core *c, struct pool *p, struct msg *m, struct request *r, uint64_t not_to)
{
        struct search w = search_of(c, p, m, not_to);
        struct member *to;

        while ((to = choose(&w))) {
                if (!deliver(c, to, m, r))
                        continue;
                charge(to);
                return true;
        }
        return false;
}

bool pool_give_entry(struct core *c, struct pool_entry *e)
{
        struct pool *p = e->pool;
        struct search w = search_for(c, e);
        struct member *to;

        while ((to = choose(&w))) {
                bool is_given =
                        p->acks ? pool_hand_over(c, to, e) : deliver(c, to, e->msg, e->request);
                if (!is_given)
                        continue;
                charge(to);
                if (!p->acks)
                        pool_free_entry(c, e);
                return true;
        }
        return false;
}

bool pool_excludes(const struct core *c, const struct pool_entry *e)
{
        struct search w = search_of(c, e->pool, e->msg, 0);

        return e->not_to && choose(&w);
}

static bool is_asked_again(const struct member *to)
{
        return !list_is_empty(&to->sub->session->queue);
}

bool pool_could_go_on(const struct core *c, const struct pool *p)
{
        const struct list *lists[] = {&p->returned, &p->waiting, &p->aside};

        for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
                const struct list *link = list_first(lists[i]);
                if (!link)
                        continue;
                struct search w = search_for(c, list_entry(link, struct pool_entry, link));
                const struct member *to = choose(&w);
                if (to && !is_asked_again(to))
                        return true;
                if (i == 0)
                        break; /* the rest waits behind it */
        }
        return false;
}
