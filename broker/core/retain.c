/* Design note. Last values by topic. The message that was delivered is the one that is kept: a
 * reference, descriptors included, so a service that comes back finds the socket that it had left
 * here. It goes on to count in the limits of the sender's publication (held_fds), and in two of its
 * own; a publication that would break them is refused before anybody gets it.
 *
 * A new subscription gets what matches in the order in which the topics were first kept, behind its
 * OK and before anything else. These entries may go beyond the limits of its backlog: all of them
 * are references to what is kept anyway. */
#include "broker/core/internal.h"
#include "proto/wire/topic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t weight(const struct msg *m)
{
        return m->len + m->placed;
}

static struct retained *find(const struct core *c, const void *topic, size_t len)
{
        map_for_each (link, &c->retained, hash_bytes(c->config.seed, topic, len)) {
                struct retained *r = container_of(link, struct retained, by_topic);
                if (r->msg->topic_len == len &&
                        !memcmp(r->msg->data + r->msg->topic_at, topic, len))
                        return r;
        }
        return NULL;
}

static void take(struct retained *r, struct msg *m, const struct keeper *by)
{
        r->msg = msg_ref(m);
        r->owner = identity_ref(by->who);
        r->payer = account_ref(by->account);
        account_charge(r->payer, QUOTA_RETAINED, 1);
        account_charge(r->payer, QUOTA_RETAINED_BYTES, weight(m));
}

static void give_back(struct retained *r)
{
        account_release(r->payer, QUOTA_RETAINED, 1);
        account_release(r->payer, QUOTA_RETAINED_BYTES, weight(r->msg));
        account_unref(r->payer);
        identity_unref(r->owner);
        msg_unref(r->msg);
}

static void forget(struct core *c, struct retained *r)
{
        map_remove(&c->retained, &r->by_topic);
        list_remove(&r->in_order);
        give_back(r);
        free(r);
}

static bool is_empty(const struct msg_pub *pub)
{
        return pub->payload.data && !pub->payload.len && !pub->n_fds;
}

struct refusal retain_judge(
        const struct core *c, const struct keeper *by, const struct msg_pub *pub, size_t len)
{
        const struct core_limits *limits = &c->config.limits;
        const struct retained *r = find(c, pub->topic.data, pub->topic.len);
        uint64_t own = len + pub->size;
        uint64_t before = r ? weight(r->msg) : 0;
        bool was_own = r && r->owner->uid == by->who->uid;
        const char *limit;

        if (is_empty(pub))
                return (struct refusal){.code = WIRE_CODE_NONE};
        if (!r && c->retained.n >= limits->retained)
                return (struct refusal){
                        WIRE_CODE_LIMIT, "retained", "too many topics have a retained value"};
        if (c->bus.used[QUOTA_RETAINED_BYTES] - before + own > limits->retained_bytes)
                return (struct refusal){
                        WIRE_CODE_LIMIT, "retained_bytes", "too much is retained already"};
        /* What takes the place of an older value of the same uid needs room for the difference. */
        uint64_t more = !was_own ? own : own > before ? own - before : 0;
        limit = was_own ? NULL : account_refuses(c, by->who, by->account, QUOTA_RETAINED, 1);
        if (!limit && more)
                limit = account_refuses(c, by->who, by->account, QUOTA_RETAINED_BYTES, more);
        if (limit)
                return (struct refusal){WIRE_CODE_LIMIT, limit, "your uid retains too much"};
        return (struct refusal){.code = WIRE_CODE_NONE};
}

static int add(struct core *c, struct msg *m, const struct keeper *by)
{
        const uint8_t *topic = m->data + m->topic_at;
        struct retained *r = calloc(1, sizeof(*r));

        if (!r || map_add(&c->retained, &r->by_topic,
                          hash_bytes(c->config.seed, topic, m->topic_len)) < 0) {
                free(r);
                return -ENOMEM;
        }
        take(r, m, by);
        list_push_back(&c->retained_order, &r->in_order);
        return 0;
}

static int replace(
        struct core *c, struct msg *m, const struct msg_pub *pub, const struct keeper *by)
{
        struct retained *r = find(c, m->data + m->topic_at, m->topic_len);

        if (is_empty(pub)) {
                if (r)
                        forget(c, r);
                return 0;
        }
        if (!r)
                return add(c, m, by);
        struct retained before = *r;
        take(r, m, by);
        give_back(&before);
        return 0;
}

struct refusal retain_keep(struct core *c, struct msg *m, const struct keeper *by)
{
        struct refusal why = {.code = WIRE_CODE_NONE};
        struct msg_pub pub;

        if (msg_decode(m, &pub) != 0)
                return why;
        if (!identity_may(c, by->who, POLICY_RETAIN, pub.topic.data, pub.topic.len))
                return (struct refusal){WIRE_CODE_REFUSED, "",
                        "you have no right to retain messages on this topic"};
        why = retain_judge(c, by, &pub, m->len);
        if (!why.code && replace(c, m, &pub, by) < 0)
                why = (struct refusal){WIRE_CODE_NO_MEMORY, "", "no memory to retain it"};
        return why;
}

/* What is kept is queued without waiting for room, but at the cost of who subscribes. */
static bool is_too_much(const struct core *c, const struct session *s, const struct msg *m)
{
        return !s->who->is_trusted &&
               (s->queue_messages >= c->config.limits.queue_messages ||
                       account_refuses(c, s->who, s->account, QUOTA_QUEUE_BYTES, m->len));
}

static int send(struct core *c, const struct retained *r, struct sub *sub, struct subset *set)
{
        struct target t = {
                .session = sub->session,
                .subset = set,
                .max_fds = sub->max_fds,
                .observer = sub->observer,
                .lane = sub->lane,
                .is_retained = true,
        };
        bool waits = !t.lane || lane_waits(t.lane);

        if (!waits && !overflow_make_room(c, sub->session, r->msg, &t))
                return 0;
        if (waits && is_too_much(c, sub->session, r->msg))
                return queue_lose(c, sub->session, set, WIRE_GAP_OVERFLOW, 1);
        int e = queue_push(c, sub->session, r->msg, &t);
        if (e == 0)
                pool_charge(sub, 1);
        return e;
}

void retain_send(struct core *c, struct session *s, struct sub *sub, struct slice filter)
{
        struct subset *set = NULL;
        int result = 0;

        c->work += c->retained.n * WORK_RETAINED;
        list_for_each_safe (link, &c->retained_order) {
                struct retained *r = list_entry(link, struct retained, in_order);
                const struct msg *m = r->msg;
                if (msg_is_too_old(c, m)) {
                        forget(c, r);
                        continue;
                }
                if (!filter_matches(filter.data, filter.len, m->data + m->topic_at, m->topic_len))
                        continue;
                if (!set && !(set = subset_of_one(sub->number)))
                        result = -ENOMEM;
                if (result == 0)
                        result = send(c, r, sub, set);
                if (result < 0 || s->state != SESSION_OPEN)
                        break;
        }
        subset_unref(set);
        if (result < 0)
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for your queue");
}

void retain_judge_again(struct core *c)
{
        list_for_each_safe (link, &c->retained_order) {
                struct retained *r = list_entry(link, struct retained, in_order);
                const struct msg *m = r->msg;
                const uint8_t *topic = m->data + m->topic_at;
                if (!identity_may(c, r->owner, POLICY_RETAIN, topic, m->topic_len))
                        forget(c, r);
        }
}

void retain_deinit(struct core *c)
{
        for (struct list *link; (link = list_first(&c->retained_order));)
                forget(c, list_entry(link, struct retained, in_order));
        map_deinit(&c->retained);
}
