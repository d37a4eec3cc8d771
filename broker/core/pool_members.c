/* Design note. Groups and windows come with their first member, and go with the last: what waits
 * then is for nobody any more.
 *
 * A group that acknowledges outlives its last member by linger_ms: it has promised to deliver what
 * it holds, and a worker that crashes is started again soon. Meanwhile it takes what it has room
 * for. Requests are not kept so: who asks is told at once that nobody answers. */
#include "broker/core/pool.h"
#include "broker/core/routing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_of(const struct core *c, struct slice name, struct slice filter)
{
        return hash_bytes(hash_bytes(c->config.seed, name.data, name.len), filter.data, filter.len);
}

static struct pool *find(const struct core *c, struct slice name, struct slice filter)
{
        map_for_each (link, &c->pools, hash_of(c, name, filter)) {
                struct pool *p = container_of(link, struct pool, by_name);
                if (p->name_len == name.len && p->filter_len == filter.len &&
                        !memcmp(p->text, name.data, name.len) &&
                        !memcmp(p->text + name.len, filter.data, filter.len))
                        return p;
        }
        return NULL;
}

/* Where publications and members find it. */
static int place(struct core *c, struct pool *p, const struct msg_sub *m)
{
        p->anchor.pool = p;
        p->anchor.number = ++c->last_anchor;
        int r = index_add(c, &p->anchor, m->filter.data, m->filter.len);
        if (r < 0 || !p->name_len)
                return r;
        r = map_add(&c->pools, &p->by_name, hash_of(c, m->group, m->filter));
        if (r < 0)
                index_remove(c, &p->anchor);
        return r;
}

uint64_t pool_ack_ms(const struct msg_sub *m)
{
        return sub_at_most(m->ack_ms, WIRE_ACK_MS_MAX);
}

/* The first member's are the group's. */
static void take_options(const struct core *c, struct pool *p, const struct msg_sub *m)
{
        const struct core_limits *limits = &c->config.limits;

        p->most_bytes = sub_at_most(m->queue_bytes, limits->queue_bytes);
        p->most_messages = sub_at_most(m->queue_messages, limits->queue_messages);
        p->acks = m->ack;
        p->ack_ms = pool_ack_ms(m);
        p->max_deliveries = m->max_deliveries;
}

struct pool *pool_find(const struct core *c, const struct msg_sub *m)
{
        return m->group.data ? find(c, m->group, m->filter) : NULL;
}

static struct pool *make(struct core *c, const struct session *s, const struct msg_sub *m)
{
        struct pool *p = calloc(1, sizeof(*p) + m->group.len + m->filter.len);

        if (!p)
                return NULL;
        list_init(&p->members);
        list_init(&p->returned);
        list_init(&p->waiting);
        list_init(&p->aside);
        list_init(&p->delayed);
        list_init(&p->waiters);
        p->timer.kind = TIMER_POOL;
        take_options(c, p, m);
        p->name_len = m->group.len; /* 0: for one, and nobody looks for it */
        p->filter_len = m->filter.len;
        if (m->group.len)
                memcpy(p->text, m->group.data, m->group.len);
        memcpy(p->text + m->group.len, m->filter.data, m->filter.len);
        if (place(c, p, m) < 0) {
                free(p);
                return NULL;
        }
        p->payer = account_ref(s->account);
        p->who = identity_ref(s->who);
        account_charge(p->payer, QUOTA_GROUPS, p->name_len > 0);
        return p;
}

static void discard(struct core *c, struct pool *p, bool requests_only)
{
        const struct list *lists[POOL_LISTS];

        pool_lists(p, lists);
        for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
                list_for_each_safe (link, lists[i]) {
                        struct pool_entry *e = list_entry(link, struct pool_entry, link);
                        if (e->request || !requests_only)
                                pool_discard(c, e);
                }
        }
}

static void free_pool(struct core *c, struct pool *p)
{
        struct list *link;

        discard(c, p, false);
        while ((link = list_first(&p->waiters)))
                park_resolve(c, list_entry(link, struct pending, link));
        heap_remove(&c->timers, &p->timer.node);
        list_remove(&p->due);
        index_remove(c, &p->anchor);
        if (p->name_len)
                map_remove(&c->pools, &p->by_name);
        account_release(p->payer, QUOTA_GROUPS, p->name_len > 0);
        account_unref(p->payer);
        identity_unref(p->who);
        free(p);
}

/* Returns false if it cannot. */
static bool linger(struct core *c, struct pool *p)
{
        uint64_t ms = c->config.limits.linger_ms;

        if (!p->acks || c->is_stopping ||
                heap_set(&c->timers, &p->timer.node, core_in_ms(c, ms)) < 0)
                return false;
        discard(c, p, true);
        list_for_each_safe (link, &p->waiters) {
                struct pending *w = list_entry(link, struct pending, link);
                if (w->owner->pub.header.kind == PUB_REQUEST)
                        park_resolve(c, w);
        }
        pool_touch(c, p);
        return true;
}

/* It keeps what it was given in any of its groups from others. */
static bool does_not_read(const struct core *c, const struct session *s)
{
        list_for_each (link, &s->pooled) {
                if (pool_does_not_read(c, list_entry(link, struct member, of_session)))
                        return true;
        }
        return false;
}

/* Who keeps publishers waiting: its window is used up; or, where they acknowledge, it is late, or
 * does not even read. Others have their time. */
static bool is_to_blame(const struct core *c, const struct member *m)
{
        const struct session *s = m->sub->session;

        return m->pool->acks ? s->is_late || does_not_read(c, s) : m->free <= 0;
}

void pool_timer(struct core *c, struct timer *t)
{
        struct pool *p = container_of(t, struct pool, timer);

        if (list_is_empty(&p->members)) {
                free_pool(c, p);
                return;
        }
        list_for_each (link, &p->members) {
                const struct member *m = list_entry(link, struct member, at_pool);
                struct session *s = m->sub->session;
                if (!is_to_blame(c, m))
                        continue;
                session_end_at(c, s, WIRE_CODE_STALLED, "your window was used up for too long",
                        "stall_ms");
        }
        pool_waited_for(c, p);
}

void pools_stop(struct core *c)
{
        for (size_t i = 0; i < c->pools.cap; i++) {
                for (struct map_node *n = c->pools.slots[i], *next; n; n = next) {
                        struct pool *p = container_of(n, struct pool, by_name);
                        next = n->next;
                        if (list_is_empty(&p->members))
                                free_pool(c, p);
                }
        }
}

void pools_deinit(struct core *c)
{
        for (struct map_node *n; (n = map_any(&c->pools));)
                free_pool(c, container_of(n, struct pool, by_name));
        map_deinit(&c->pools);
}

/* Members of groups always have one. */
static int64_t window_of(const struct msg_sub *m)
{
        uint64_t window = m->window ? m->window : WIRE_GROUP_WINDOW_DEFAULT;

        return window < POOL_WINDOW_MAX ? (int64_t)window : POOL_WINDOW_MAX;
}

int pool_join(struct core *c, struct sub *sub, const struct msg_sub *m)
{
        struct member *member = calloc(1, sizeof(*member));

        if (!member)
                return -ENOMEM;
        *member = (struct member){.sub = sub, .free = window_of(m)};
        list_init(&member->under_way);
        member->timer.kind = TIMER_MEMBER;
        if ((member->subset = subset_of_one(sub->number))) {
                member->pool = pool_find(c, m);
                if (!member->pool)
                        member->pool = make(c, sub->session, m);
        }
        if (!member->pool) {
                subset_unref(member->subset);
                free(member);
                return -ENOMEM;
        }
        sub->member = member;
        if (list_is_empty(&member->pool->members)) { /* new, or its members had gone */
                take_options(c, member->pool, m);
                heap_remove(&c->timers, &member->pool->timer.node);
        }
        /* First in line: it has nothing to do yet. */
        list_push_front(&member->pool->members, &member->at_pool);
        list_push_back(&sub->session->pooled, &member->of_session);
        return 0;
}

void pool_joined(struct core *c, struct sub *sub)
{
        if (sub->member)
                pool_touch(c, sub->member->pool);
}

void pool_leave(struct core *c, struct sub *sub)
{
        struct member *member = sub->member;
        struct pool *p = member->pool;
        struct session *s = sub->session;
        uint64_t n_queued = s->queue_messages;

        list_remove(&member->at_pool);
        list_remove(&member->of_session);
        pool_give_up(c, member, s->state >= SESSION_ENDING && !s->has_left);
        sub->member = NULL;
        subset_unref(member->subset);
        free(member);
        pool_touch(c, p); /* the first that waits may have been for nobody else */
        if (!list_is_empty(&p->members))
                pool_limit_hopes(c, p);
        else if (!linger(c, p))
                free_pool(c, p);
        if (s->state == SESSION_OPEN && s->queue_messages < n_queued)
                out_drained(c, s); /* others may have waited for the room that those had */
}
