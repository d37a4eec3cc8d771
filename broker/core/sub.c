/* Design note. A subscription's beginning and end. One that takes turns with others, or has a
 * window, is known to the index through its pool; the others stand there themselves. */
#include "broker/core/internal.h"

#include <errno.h>
#include <stdlib.h>

bool sub_takes_turns(const struct msg_sub *m)
{
        return m->group.data || (m->has_window && m->window);
}

struct sub *sub_find(const struct core *c, const struct session *s, uint64_t number)
{
        map_for_each (link, &s->subs, hash_u64(c->config.seed, number)) {
                struct sub *sub = container_of(link, struct sub, by_number);
                if (sub->number == number)
                        return sub;
        }
        return NULL;
}

uint64_t sub_at_most(uint64_t wanted, uint64_t most)
{
        return wanted && wanted < most ? wanted : most;
}

/* Blocking holds up the publishers, which is a right. */
static enum wire_overflow overflow_in_force(const struct session *s, enum wire_overflow wanted)
{
        bool may_block = s->rights & WIRE_RIGHT_BLOCK;

        return wanted == WIRE_OVERFLOW_BLOCK && !may_block ? WIRE_OVERFLOW_DROP_OLDEST : wanted;
}

static int give_lane(const struct core *c, struct sub *sub, const struct msg_sub *m)
{
        const struct core_limits *limits = &c->config.limits;

        if (sub->overflow == WIRE_OVERFLOW_BLOCK && !m->queue_bytes && !m->queue_messages)
                return 0;
        sub->lane = lane_new(sub->overflow, sub_at_most(m->queue_bytes, limits->queue_bytes),
                sub_at_most(m->queue_messages, limits->queue_messages));
        return sub->lane ? 0 : -ENOMEM;
}

/* Where publications find it. */
static int place(struct core *c, struct sub *sub, const struct msg_sub *m)
{
        if (sub_takes_turns(m))
                return pool_join(c, sub, m);
        int r = give_lane(c, sub, m);
        return r < 0 ? r : index_add(c, sub, m->filter.data, m->filter.len);
}

int sub_new(struct core *c, struct session *s, const struct msg_sub *m, struct sub **ret_sub)
{
        struct sub *sub = calloc(1, sizeof(*sub));

        if (!sub)
                return -ENOMEM;
        sub->session = s;
        sub->number = (uint32_t)m->sub;
        sub->max_fds = (uint32_t)m->max_fds;
        sub->observer = m->observer;
        sub->overflow = overflow_in_force(s, m->overflow);
        int r = map_add(&s->subs, &sub->by_number, hash_u64(c->config.seed, m->sub));
        if (r == 0 && (r = place(c, sub, m)) < 0)
                map_remove(&s->subs, &sub->by_number);
        if (r < 0) {
                lane_unref(sub->lane);
                free(sub);
                return r;
        }
        c->n_subs++;
        *ret_sub = sub;
        return 0;
}

void sub_free(struct core *c, struct sub *sub)
{
        map_remove(&sub->session->subs, &sub->by_number);
        c->n_subs--;
        if (sub->member)
                pool_leave(c, sub);
        else
                index_remove(c, sub);
        lane_unref(sub->lane);
        free(sub);
}
