/* Design note. Groups and windows come with their first member, and go with the last: what waits
 * then is for nobody any more. */
#include "broker/core/pool.h"

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

static struct pool *make(struct core *c, const struct msg_sub *m)
{
        const struct core_limits *limits = &c->config.limits;
        struct pool *p = calloc(1, sizeof(*p) + m->group.len + m->filter.len);

        if (!p)
                return NULL;
        list_init(&p->members);
        list_init(&p->waiting);
        list_init(&p->waiters);
        p->stall.kind = TIMER_POOL;
        p->most_bytes = sub_at_most(m->queue_bytes, limits->queue_bytes);
        p->most_messages = sub_at_most(m->queue_messages, limits->queue_messages);
        p->name_len = m->group.len; /* 0: for one, and nobody looks for it */
        p->filter_len = m->filter.len;
        if (m->group.len)
                memcpy(p->text, m->group.data, m->group.len);
        memcpy(p->text + m->group.len, m->filter.data, m->filter.len);
        if (place(c, p, m) < 0) {
                free(p);
                return NULL;
        }
        return p;
}

static void free_deserted(struct core *c, struct pool *p)
{
        struct list *link;

        while ((link = list_first(&p->waiting))) {
                struct pool_entry *e = list_entry(link, struct pool_entry, link);
                struct request *r = e->request;
                c->count.discarded += e->msg->n_frames;
                pool_free_entry(c, e);
                if (r)
                        request_end_if_deserted(c, r);
        }
        while ((link = list_first(&p->waiters)))
                park_resolve(c, list_entry(link, struct pending, link));
        heap_remove(&c->timers, &p->stall.node);
        index_remove(c, &p->anchor);
        if (p->name_len)
                map_remove(&c->pools, &p->by_name);
        free(p);
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
        if ((member->subset = subset_of_one(sub->number))) {
                member->pool = m->group.data ? find(c, m->group, m->filter) : NULL;
                if (!member->pool)
                        member->pool = make(c, m);
        }
        if (!member->pool) {
                subset_unref(member->subset);
                free(member);
                return -ENOMEM;
        }
        sub->member = member;
        /* First in line: it has nothing to do yet. */
        list_push_front(&member->pool->members, &member->at_pool);
        list_push_back(&sub->session->pooled, &member->of_session);
        return 0;
}

void pool_joined(struct core *c, struct sub *sub)
{
        if (sub->member)
                pool_run(c, sub->member->pool);
}

void pool_leave(struct core *c, struct sub *sub)
{
        struct member *member = take_ptr(sub->member);
        struct pool *p = member->pool;

        list_remove(&member->at_pool);
        list_remove(&member->of_session);
        subset_unref(member->subset);
        free(member);
        if (list_is_empty(&p->members))
                free_deserted(c, p);
        else
                pool_run(c, p); /* the first that waits may have been for nobody else */
}
