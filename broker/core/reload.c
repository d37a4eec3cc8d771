/* Design note. Another policy while the bus is in use. It holds for all that is judged from now on:
 * what is queued or parked was allowed when it came, and goes on. What lasts is looked
 * at again: sessions, subscriptions, retained values; wills when they are published. */
#include "broker/core/pool.h"
#include "broker/core/routing.h"

static bool is_still_allowed(const struct core *c, const struct sub *sub)
{
        const struct session *s = sub->session;
        const struct pool *p = sub->member ? sub->member->pool : NULL;
        bool is_group = p && p->name_len, holds_up = sub->overflow == WIRE_OVERFLOW_BLOCK;
        char text[WIRE_TOPIC_BYTES + 1];
        struct slice filter = {(const uint8_t *)text, index_filter(p ? &p->anchor : sub, text)};

        return sub_is_allowed(c, s, filter, is_group) &&
               (is_group || !holds_up || sub_may_block(c, s, filter));
}

/* Its end is told in the order of deliveries, behind what it still gets. */
static void revoke(struct core *c, struct session *s, struct sub *sub)
{
        struct subset *set = subset_of_one(sub->number);

        sub_free(c, sub);
        int r = set ? queue_lose(c, s, set, WIRE_GAP_REVOKED, 0) : -1;
        subset_unref(set);
        if (r < 0)
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for your queue");
        session_mark(c, s);
}

/* Each is told on its own, in the order of the map, which is none. */
static void judge_subs(struct core *c, struct session *s)
{
        for (size_t i = 0; i < s->subs.cap; i++) {
                for (struct map_node *n = s->subs.slots[i], *next; n; n = next) {
                        struct sub *sub = container_of(n, struct sub, by_number);
                        next = n->next;
                        if (s->state == SESSION_OPEN && !is_still_allowed(c, sub))
                                revoke(c, s, sub);
                }
        }
}

static void judge_session(struct core *c, struct session *s)
{
        if (!s->who->may_connect) {
                session_refuse(c, s);
                return;
        }
        if (s->state != SESSION_OPEN)
                return;
        if (s->rights != s->who->rights) {
                s->rights = s->who->rights;
                answer(c, s, &(struct message){.type = WIRE_RIGHTS, .number = s->rights});
                session_mark(c, s); /* its socket may have to let descriptors in, or not */
        }
        if (!s->who->is_trusted)
                judge_subs(c, s);
}

void core_set_policy(struct core *c, struct policy *policy, uint64_t now_ns)
{
        c->now_ns = now_ns;
        policy_free(c->policy);
        c->policy = policy;
        identities_judge(c);
        for (size_t i = 0; i < c->n_slots; i++) {
                if (c->slots[i] && c->slots[i]->state < SESSION_ENDING)
                        judge_session(c, c->slots[i]);
        }
        retain_judge_again(c);
        publish_resume(c);
}
