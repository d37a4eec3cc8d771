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
        p->is_group = m->group.data != NULL;
        p->most_bytes = limits->queue_bytes;
        p->most_messages = limits->queue_messages;
        if (m->queue_bytes && m->queue_bytes < p->most_bytes)
                p->most_bytes = m->queue_bytes;
        if (m->queue_messages && m->queue_messages < p->most_messages)
                p->most_messages = m->queue_messages;
        list_push_back(&c->all_pools, &p->in_core);
        if (!p->is_group)
                return p;
        p->name_len = m->group.len;
        p->filter_len = m->filter.len;
        memcpy(p->text, m->group.data, m->group.len);
        memcpy(p->text + m->group.len, m->filter.data, m->filter.len);
        if (map_add(&c->pools, &p->by_name, hash_of(c, m->group, m->filter)) < 0) {
                list_remove(&p->in_core);
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
        if (p->is_group)
                map_remove(&c->pools, &p->by_name);
        list_remove(&p->in_core);
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
        bool is_group = m->group.data != NULL;
        struct pool *p = is_group ? find(c, m->group, m->filter) : NULL;

        if (!(sub->subset = subset_of_one(sub->number)) || (!p && !(p = make(c, m))))
                return -ENOMEM;
        sub->pool = p;
        sub->free = window_of(m);
        /* First in line: it has nothing to do yet. */
        list_push_front(&p->members, &sub->at_pool);
        list_push_back(&sub->session->pooled, &sub->of_session);
        return 0;
}

void pool_leave(struct core *c, struct sub *sub)
{
        struct pool *p = take_ptr(sub->pool);

        subset_unref(take_ptr(sub->subset));
        if (!p)
                return;
        list_remove(&sub->at_pool);
        list_remove(&sub->of_session);
        if (list_is_empty(&p->members))
                free_deserted(c, p);
        else
                pool_run(c, p); /* the first that waits may have been for nobody else */
}
