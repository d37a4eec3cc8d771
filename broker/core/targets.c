/* Design note. Sets of receivers, one of a kind: topics that go to the same receivers share one
 * set, so that whether they do is told by a pointer, and a million topics of a thousand receivers
 * have one list of them. What is in a set is compared, never followed: of a stale set the sessions
 * may be gone. */
#include "broker/core/routing.h"

#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t hash, const void *address, uint64_t number)
{
        return hash_u64(hash, (uint64_t)(uintptr_t)address ^ number << 48);
}

static uint64_t hash_of(const struct core *c, const struct targets *t)
{
        uint64_t hash = c->config.seed;

        for (uint32_t i = 0; i < t->n; i++) {
                const struct target *at = &t->at[i];
                const struct subset *subset = at->subset;
                hash = mix(hash, at->pool ? (void *)at->pool : (void *)at->session, at->max_fds);
                if (subset)
                        hash = hash_bytes(hash, subset->ids, subset->n * sizeof(subset->ids[0]));
        }
        return hash;
}

static bool is_same_target(const struct target *a, const struct target *b)
{
        return a->session == b->session && a->pool == b->pool && a->lane == b->lane &&
               a->max_fds == b->max_fds && a->counts == b->counts && a->observer == b->observer &&
               subset_is_same(a->subset, b->subset);
}

static bool is_same(const struct targets *a, const struct targets *b)
{
        if (a->n != b->n || a->is_split != b->is_split || a->has_lanes != b->has_lanes)
                return false;
        for (uint32_t i = 0; i < a->n; i++) {
                if (!is_same_target(&a->at[i], &b->at[i]))
                        return false;
        }
        return true;
}

struct targets *targets_new(uint32_t most)
{
        struct targets *t = malloc(sizeof(*t) + most * sizeof(t->at[0]));

        if (t)
                *t = (struct targets){.refs = 1};
        return t;
}

void targets_drop(struct targets *t)
{
        for (uint32_t i = 0; i < t->n; i++)
                subset_unref(t->at[i].subset);
        free(t);
}

struct targets *targets_share(struct core *c, struct targets *t)
{
        uint64_t hash = hash_of(c, t);

        map_for_each (link, &c->targets, hash) {
                struct targets *other = container_of(link, struct targets, by_content);
                if (!is_same(other, t))
                        continue;
                targets_drop(t);
                return targets_ref(other);
        }
        if (map_add(&c->targets, &t->by_content, hash) == 0)
                return t;
        targets_drop(t);
        return NULL;
}

struct targets *targets_ref(struct targets *t)
{
        t->refs++;
        return t;
}

void targets_unref(struct core *c, struct targets *t)
{
        if (!t || --t->refs)
                return;
        map_remove(&c->targets, &t->by_content);
        targets_drop(t);
}
