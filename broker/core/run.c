/* Design note. What may travel as one piece. Side by side in a packet, publications of one topic
 * do; and those of another topic too if they go to just the same receivers, which a pointer tells
 * (targets.c), and no rule looks at each of them: then whoever goes round many topics costs the
 * broker little more than who stays with one.
 *
 * What waits, parked and not yet routed, is taken apart again if subscriptions have changed. */
#include "broker/core/routing.h"

#include "proto/wire/topic.h"

/* Nothing depends on which topic of its receivers it is. */
static bool may_mix(const struct core *c, const struct session *s, const struct run *run,
        const struct slice *topic, const struct targets *t)
{
        return !t->is_split && !t->has_lanes && !topic_is_reserved(topic->data, topic->len) &&
               !judge_policy(c, s, &run->header, topic, &(struct burden){.n_fds = 0}).code;
}

static struct targets *look_up(struct core *c, const struct slice *topic)
{
        struct targets *t;

        return route_get(c, topic->data, topic->len, &t) == 0 ? targets_ref(t) : NULL;
}

static bool is_open_to_others(struct core *c, const struct session *s, struct run *run)
{
        if (run->is_alone)
                return false;
        if (!run->targets) {
                run->targets = look_up(c, &run->first.topic);
                run->generation = c->generation;
        }
        run->is_alone = run->first.n_fds || !run->targets ||
                        (run->header.flags & (WIRE_INGRESS_RETAIN | WIRE_INGRESS_WILL)) ||
                        !may_mix(c, s, run, &run->first.topic, run->targets);
        return !run->is_alone;
}

bool run_takes(struct core *c, const struct session *s, struct run *run, const struct slice *topic,
        struct targets **ret_targets)
{
        *ret_targets = NULL;
        if (!run->is_mixed && !is_open_to_others(c, s, run))
                return false;
        struct targets *t = look_up(c, topic);
        c->work += WORK_ROUTE;
        if (!t || t != run->targets || !may_mix(c, s, run, topic, t)) {
                *ret_targets = t;
                return false;
        }
        targets_unref(c, t);
        run->is_mixed = true;
        return true;
}

/* A subscription with rules of its own counts messages, so none may come in one piece with others;
 * nor may what is kept by itself. */
static bool must_split(struct core *c, const struct header_state *h, uint32_t n_frames,
        const void *topic, size_t topic_len)
{
        struct targets *targets;

        /* Should that fail it will be told of the whole. */
        if (n_frames == 1)
                return false;
        if (h->flags & (WIRE_INGRESS_RETAIN | WIRE_INGRESS_WILL))
                return true;
        return route_get(c, topic, topic_len, &targets) == 0 && targets->is_split;
}

bool run_must_split(struct core *c, const struct run *run)
{
        const struct slice *topic = &run->first.topic;

        if (bt_unlikely(run->is_mixed && run->generation != c->generation))
                return true;
        if (run->is_mixed)
                return false;
        return must_split(c, &run->header, run->n_frames, topic->data, topic->len);
}

bool run_must_split_parked(struct core *c, const struct parked *p)
{
        const struct msg *m = p->pub.msg;

        if (!m || p->is_routed)
                return false;
        if (m->mixed_at)
                return m->mixed_at != c->generation;
        return must_split(c, &p->pub.header, m->n_frames, m->data + m->topic_at, m->topic_len);
}
