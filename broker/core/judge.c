/* Design note. What a publication costs, and whether it may be published at all: its sender's
 * rights, what this broker can do, and whether a placed payload is what it says. Only what can be
 * told before its topic is looked up. */
#include "broker/core/internal.h"

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

struct refusal judge_sender(const struct session *s, const struct header_state *h, uint32_t n_fds)
{
        if (h->kind != PUB_REPLY && !(s->rights & WIRE_RIGHT_PUBLISH))
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
        struct refusal why = judge_sender(s, &run->header, n_fds - is_placed);

        if (!why.code && is_placed && !run->is_collected)
                why = judge_placed(c, s, run);
        if (!why.code && n_fds && c->count.held_fds + n_fds > c->config.limits.held_fds)
                why = REFUSAL(LIMIT, "held_fds", "too many descriptors are open here");
        if (!why.code && run->header.kind == PUB_PLAIN && (run->header.flags & WIRE_INGRESS_RETAIN))
                why = retain_judge(c, run);
        return why;
}
