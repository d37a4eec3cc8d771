/* Design note. A subscription's beginning and end. One that takes turns with others, or has a
 * window, is known to the index through its pool; the others stand there themselves. */
#include "broker/core/pool.h"
#include "broker/core/routing.h"
#include "proto/wire/topic.h"

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

bool sub_is_allowed(const struct core *c, const struct session *s, struct slice filter, bool group)
{
        /* A member of a group takes away from the others, which nothing allows on these. */
        if (topic_is_reserved(filter.data, filter.len) && !group)
                return identity_may(c, s->who, POLICY_SEE_SYS, NULL, 0);
        return identity_may(
                c, s->who, group ? POLICY_JOIN : POLICY_SUBSCRIBE, filter.data, filter.len);
}

bool sub_may_block(const struct core *c, const struct session *s, struct slice filter)
{
        return (s->rights & WIRE_RIGHT_BLOCK) &&
               identity_may(c, s->who, POLICY_BLOCK, filter.data, filter.len);
}

/* Blocking holds up the publishers, which is a right. */
static enum wire_overflow overflow_in_force(
        const struct core *c, const struct session *s, const struct msg_sub *m)
{
        if (m->overflow != WIRE_OVERFLOW_BLOCK || m->group.data || sub_may_block(c, s, m->filter))
                return m->overflow;
        return WIRE_OVERFLOW_DROP_OLDEST;
}

static int give_lane(const struct core *c, struct sub *sub, const struct msg_sub *m)
{
        const struct core_limits *limits = &c->config.limits;

        if (sub->overflow == WIRE_OVERFLOW_BLOCK && !m->queue_bytes && !m->queue_messages)
                return 0;
        sub->lane = lane_new(sub->overflow, sub_at_most(m->queue_bytes, limits->queue_bytes),
                sub_at_most(m->queue_messages, limits->queue_messages));
        if (!sub->lane)
                return -ENOMEM;
        /* Taking runs apart costs their publisher's turn: nobody may ask that of other uids. */
        sub->lane->is_coarse = !sub->session->who->is_trusted;
        return 0;
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
        sub->overflow = overflow_in_force(c, s, m);
        int r = map_add(&s->subs, &sub->by_number, hash_u64(c->config.seed, m->sub));
        if (r == 0 && (r = place(c, sub, m)) < 0)
                map_remove(&s->subs, &sub->by_number);
        if (r < 0) {
                lane_unref(sub->lane);
                free(sub);
                return r;
        }
        c->n_subs++;
        account_charge(s->account, QUOTA_SUBSCRIPTIONS, 1);
        *ret_sub = sub;
        return 0;
}

void sub_free(struct core *c, struct sub *sub)
{
        map_remove(&sub->session->subs, &sub->by_number);
        c->n_subs--;
        account_release(sub->session->account, QUOTA_SUBSCRIPTIONS, 1);
        if (sub->member)
                pool_leave(c, sub);
        else
                index_remove(c, sub);
        lane_unref(sub->lane);
        free(sub);
}
