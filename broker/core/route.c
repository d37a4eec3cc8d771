/* Design note. Topic → receivers, remembered: a publication to a known topic costs one hash
 * look-up, and a topic that is known is also known to be valid. Any change of subscriptions makes
 * all routes stale at once (one counter); a stale one is rebuilt when it is next used. The oldest
 * route goes when there are too many, so a million topics in turn cost a match each, and bounded
 * memory.
 *
 * Receivers are in the order of their session numbers, each with its subscription numbers
 * ascending: the same state always gives the same order. */
#include "broker/core/routing.h"
#include "proto/wire/topic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Pools are of nobody, and come first. */
static uint64_t session_of(const struct sub *s)
{
        return s->session ? s->session->number : 0;
}

static int by_session_and_number(const void *a, const void *b)
{
        const struct sub *x = *(struct sub *const *)a, *y = *(struct sub *const *)b;

        if (x->session != y->session)
                return session_of(x) < session_of(y) ? -1 : 1;
        return x->number < y->number ? -1 : x->number > y->number;
}

static void free_route(struct core *c, struct route *route)
{
        map_remove(&c->routes, &route->by_topic);
        list_remove(&route->in_order);
        targets_unref(c, route->targets);
        free(route);
}

void routes_deinit(struct core *c)
{
        for (struct map_node *n; (n = map_any(&c->routes));)
                free_route(c, container_of(n, struct route, by_topic));
        map_deinit(&c->routes);
        map_deinit(&c->targets);
        buf_deinit(&c->matches);
}

static struct subset *subset_of(struct sub *const *subs, uint32_t n)
{
        struct subset *set = malloc(sizeof(*set) + n * sizeof(set->ids[0]));

        if (!set)
                return NULL;
        *set = (struct subset){.refs = 1, .n = n};
        for (uint32_t i = 0; i < n; i++)
                set->ids[i] = subs[i]->number;
        return set;
}

/* What all `n` subs of one session are together; the subset is missing. */
static struct target sum_of(struct sub *const *subs, size_t n)
{
        struct target t = {.session = subs[0]->session, .observer = true};

        for (size_t i = 0; i < n; i++) {
                t.observer &= subs[i]->observer;
                t.max_fds = (uint32_t)size_max(t.max_fds, subs[i]->max_fds);
                if (i == 0 || lane_is_stricter(subs[i]->lane, t.lane))
                        t.lane = subs[i]->lane;
        }
        t.counts = !t.observer;
        return t;
}

/* All targets of one session: one, and one more for every WIRE_DELIVERY_SUBS further subscriptions.
 */
static int add_session(struct targets *to, struct sub *const *subs, size_t n)
{
        struct target t = sum_of(subs, n);

        to->is_split |= t.lane && !t.lane->is_coarse;
        to->has_lanes |= t.lane != NULL;
        for (size_t at = 0; at < n; at += WIRE_DELIVERY_SUBS) {
                t.subset = subset_of(subs + at, (uint32_t)size_min(n - at, WIRE_DELIVERY_SUBS));
                if (!t.subset)
                        return -ENOMEM;
                to->at[to->n++] = t;
                t.counts = false;
                t.observer = true;
        }
        return 0;
}

/* Pools are targets of their own. Returns how many there are: they come first. */
static size_t add_pools(struct targets *to, struct sub *const *subs, size_t n)
{
        size_t i = 0;

        for (; i < n && subs[i]->pool; i++)
                to->at[to->n++] = (struct target){.pool = subs[i]->pool, .counts = true};
        to->is_split |= i > 0;
        return i;
}

static int add_all(struct targets *to, struct sub *const *subs, size_t n)
{
        for (size_t from = add_pools(to, subs, n), end; from < n; from = end) {
                for (end = from + 1; end < n && subs[end]->session == subs[from]->session; end++)
                        ;
                int r = add_session(to, subs + from, end - from);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int fill(struct core *c, struct route *route)
{
        buf_clear(&c->matches);
        int r = index_match(c, route->topic, route->topic_len, &c->matches);
        if (r)
                return r == INDEX_E_LIMIT ? ROUTE_E_LIMIT : r;

        size_t n = c->matches.len / sizeof(struct sub *);
        struct sub **subs = (struct sub **)(void *)c->matches.data;
        if (n > 1)
                qsort(subs, n, sizeof(*subs), by_session_and_number);
        struct targets *to = targets_new((uint32_t)n);
        if (!to)
                return -ENOMEM;
        r = add_all(to, subs, n);
        if (r < 0)
                targets_drop(to);
        else
                route->targets = targets_share(c, to);
        return route->targets ? 0 : -ENOMEM;
}

static struct route *find(const struct core *c, uint64_t hash, const void *topic, size_t len)
{
        map_for_each (link, &c->routes, hash) {
                struct route *route = container_of(link, struct route, by_topic);
                if (route->topic_len == len && !memcmp(route->topic, topic, len))
                        return route;
        }
        return NULL;
}

static int new_route(
        struct core *c, uint64_t hash, const void *topic, size_t len, struct route **ret)
{
        if (!topic_is_valid(topic, len))
                return ROUTE_E_BAD_TOPIC;
        if (c->routes.n >= c->config.limits.routes)
                free_route(c, list_entry(list_first(&c->route_order), struct route, in_order));
        struct route *route = malloc(sizeof(*route) + len);
        if (!route)
                return -ENOMEM;
        *route = (struct route){.topic_len = (uint32_t)len};
        memcpy(route->topic, topic, len);
        if (map_add(&c->routes, &route->by_topic, hash) < 0) {
                free(route);
                return -ENOMEM;
        }
        list_push_back(&c->route_order, &route->in_order);
        *ret = route;
        return 0;
}

int route_get(struct core *c, const void *topic, size_t len, struct targets **ret_targets)
{
        uint64_t hash = hash_bytes(c->config.seed, topic, len);
        struct route *route = find(c, hash, topic, len);
        int r;

        if (!route) {
                r = new_route(c, hash, topic, len, &route);
                if (r)
                        return r;
        }
        if (route->generation != c->generation) {
                targets_unref(c, take_ptr(route->targets));
                r = fill(c, route);
                if (r) {
                        free_route(c, route);
                        return r;
                }
                route->generation = c->generation;
        }
        *ret_targets = route->targets;
        return 0;
}
