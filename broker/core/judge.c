/* Design note. What a publication costs, and whether it may be published at all: its sender's
 * rights, what this broker can do, and whether a placed payload is what it says. Only what can be
 * told before its topic is looked up. */
#include "broker/core/internal.h"

#include "proto/wire/topic.h"

enum {
        KNOWN_INGRESS = WIRE_INGRESS_CONFIRM | WIRE_INGRESS_RETAIN | WIRE_INGRESS_NO_ECHO |
                        WIRE_INGRESS_WILL,
        KNOWN_REPLY = WIRE_DELIVERY_MORE | WIRE_DELIVERY_FAILED
};

#define FINE                           \
        (struct refusal)               \
        {                              \
                .code = WIRE_CODE_NONE \
        }
#define REFUSAL(why, name, said)                \
        (struct refusal)                        \
        {                                       \
                WIRE_CODE_##why, (name), (said) \
        }

uint64_t publish_cost(const struct core *c, size_t len, uint32_t n_fds, uint64_t payload_bytes)
{
        uint64_t most = c->config.limits.window_bytes / WIRE_EXTRA_DIVISOR;
        uint64_t more = (uint64_t)n_fds * WIRE_FD_COST + payload_bytes / WIRE_PLACED_DIVISOR;

        return len + (more < most ? more : most);
}

static struct refusal judge_flags(const struct header_state *h)
{
        uint64_t known = h->kind == PUB_REPLY ? KNOWN_REPLY : KNOWN_INGRESS;

        if (h->flags & ~known)
                return REFUSAL(UNSUPPORTED, "", "unknown flags");
        return FINE;
}

static bool may(const struct core *c, const struct session *s, enum policy_action action,
        const struct slice *topic)
{
        return identity_may(c, s->who, action, topic->data, topic->len);
}

/* What the policy says of this topic, which is valid. */
static struct refusal judge_topic(const struct core *c, const struct session *s,
        const struct header_state *h, const struct slice *topic)
{
        bool is_reserved = topic_is_reserved(topic->data, topic->len);
        bool is_will = h->kind == PUB_PLAIN && (h->flags & WIRE_INGRESS_WILL);
        bool is_kept = h->kind == PUB_PLAIN && (h->flags & WIRE_INGRESS_RETAIN);

        if (is_reserved)
                return FINE; /* that is another question: publish_to_broker */
        if (is_will && !may(c, s, POLICY_WILL, topic))
                return REFUSAL(REFUSED, "", "you have no right to a will on this topic");
        if (!is_will && !may(c, s, POLICY_PUBLISH, topic))
                return REFUSAL(REFUSED, "", "you have no right to publish on this topic");
        if (is_kept && !may(c, s, POLICY_RETAIN, topic))
                return REFUSAL(REFUSED, "", "you have no right to retain messages on this topic");
        return FINE;
}

/* A reply goes where its request came from, and may carry what its responder may send anywhere. */
static struct refusal judge_fds(const struct core *c, const struct session *s,
        const struct header_state *h, const struct slice *topic, bool are_odd)
{
        if (are_odd && (h->kind == PUB_REPLY ? !(s->who->may_send_odd_fds)
                                             : !may(c, s, POLICY_SEND_ANY_FDS, topic)))
                return REFUSAL(REFUSED, "",
                        "you have no right to send descriptors of this kind on this topic");
        if (h->kind != PUB_REPLY && !are_odd && !may(c, s, POLICY_SEND_FDS, topic) &&
                !may(c, s, POLICY_SEND_ANY_FDS, topic))
                return REFUSAL(REFUSED, "", "you have no right to send descriptors on this topic");
        return FINE;
}

struct refusal judge_policy(const struct core *c, const struct session *s,
        const struct header_state *h, const struct slice *topic, const struct burden *b)
{
        struct refusal why = FINE;

        if (bt_likely(s->who->is_trusted))
                return FINE;
        if (h->kind != PUB_REPLY && !topic_is_valid(topic->data, topic->len))
                return FINE; /* which will be told */
        if (h->kind != PUB_REPLY)
                why = judge_topic(c, s, h, topic);
        if (!why.code && b->n_fds)
                why = judge_fds(c, s, h, topic, b->are_odd);
        if (!why.code && b->is_placed && h->kind != PUB_REPLY &&
                !may(c, s, POLICY_SEND_MEMFD, topic))
                why = REFUSAL(
                        REFUSED, "", "you have no right to send placed payloads on this topic");
        return why;
}

/* What the broker answers itself anybody may ask; what it says then is another question. */
static bool is_to_broker(const struct header_state *h, const struct slice *topic)
{
        return h->kind == PUB_REQUEST && topic_is_reserved(topic->data, topic->len);
}

struct refusal judge_sender(const struct session *s, const struct header_state *h,
        const struct slice *topic, uint32_t n_fds)
{
        if (h->kind != PUB_REPLY && !is_to_broker(h, topic) && !(s->rights & WIRE_RIGHT_PUBLISH))
                return REFUSAL(REFUSED, "", "you have no right to publish");
        if (n_fds && !(s->rights & WIRE_RIGHT_FDS))
                return REFUSAL(REFUSED, "", "you have no right to send descriptors");
        if (h->kind == PUB_PLAIN && (h->flags & (WIRE_INGRESS_RETAIN | WIRE_INGRESS_WILL)) &&
                !(s->rights & WIRE_RIGHT_RETAIN))
                return REFUSAL(REFUSED, "", "you have no right to retain messages, or to a will");
        return judge_flags(h);
}

static struct refusal judge_placed(
        const struct core *c, const struct session *s, const struct run *run)
{
        if (!(c->config.features & WIRE_FEATURE_MEMFD))
                return REFUSAL(UNSUPPORTED, "", "no placed payloads here");
        if (!(s->rights & WIRE_RIGHT_MEMFD))
                return REFUSAL(REFUSED, "", "you have no right to send placed payloads");
        if (run->first.size > c->config.limits.payload_bytes)
                return REFUSAL(LIMIT, "payload_bytes", "the payload is too large");
        if (run->sealed_bytes != run->first.size)
                return REFUSAL(PAYLOAD, "", "no sealed memory file of the size that was said");
        return FINE;
}

struct refusal judge_run(const struct core *c, const struct session *s, const struct run *run)
{
        uint32_t n_fds = run->first.n_fds;
        bool is_placed = run->first.size > 0;
        struct refusal why = judge_sender(s, &run->header, &run->first.topic, n_fds - is_placed);

        if (!why.code)
                why = judge_policy(c, s, &run->header, &run->first.topic,
                        &(struct burden){.n_fds = n_fds - is_placed,
                                .is_placed = is_placed && !run->is_collected,
                                .are_odd = run->has_odd_fds});
        if (!why.code && is_placed && !run->is_collected)
                why = judge_placed(c, s, run);
        if (!why.code && n_fds && c->bus.used[QUOTA_FDS] + n_fds > c->config.limits.held_fds)
                why = REFUSAL(LIMIT, "held_fds", "too many descriptors are open here");
        if (!why.code && n_fds && account_refuses(c, s->who, s->account, QUOTA_FDS, n_fds))
                why = REFUSAL(LIMIT, "uid_fds", "too many descriptors of your uid are open here");
        if (!why.code && run->header.kind == PUB_PLAIN && (run->header.flags & WIRE_INGRESS_RETAIN))
                why = retain_judge(c, &(struct keeper){s->who, s->account}, &run->first, run->len);
        return why;
}
