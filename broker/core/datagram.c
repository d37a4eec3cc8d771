/* Design note. Publishing without a connection. There is nobody to answer and nobody to slow down,
 * so this is the one way in that may lose messages: a receiver without room is told of a gap, and
 * all else that is wrong is counted. */
#include "broker/core/internal.h"
#include "proto/wire/headers.h"
#include "proto/wire/topic.h"

struct datagram {
        struct frame frame;
        struct msg_pub pub;
};

/* An INGRESS that asks for what cannot be done here; its ids and other flags mean nothing. */
static bool asks_too_much(const struct msg_ingress *m)
{
        return (m->flags & WIRE_INGRESS_RETAIN) || m->ttl_ms;
}

/* [INGRESS], PUB, and what may be ignored. */
static bool read_datagram(const uint8_t *at, const uint8_t *end, struct datagram *ret)
{
        bool has_pub = false, has_ingress = false;
        struct message m;
        struct frame f;

        while (at < end) {
                if (scan_frame(&at, end, &f) != 0)
                        return false;
                int r = message_decode(&f, &m);
                if (r == MESSAGE_E_IGNORE)
                        continue;
                if (r || has_pub || (m.type != WIRE_PUB && m.type != WIRE_INGRESS))
                        return false;
                if (m.type == WIRE_INGRESS) {
                        if (has_ingress || asks_too_much(&m.ingress))
                                return false;
                        has_ingress = true;
                        continue;
                }
                *ret = (struct datagram){f, m.pub};
                has_pub = true;
        }
        return has_pub;
}

static bool is_fit(const struct msg_pub *pub)
{
        const char *why;

        return !pub->n_fds && pub->payload.data &&
               topic_is_valid(pub->topic.data, pub->topic.len) &&
               !topic_is_reserved(pub->topic.data, pub->topic.len) &&
               (!pub->n_headers || headers_check(pub->headers, false, &why) == 0);
}

static void offer(struct core *c, const struct target *t, struct msg *m)
{
        struct session *s = t->session;
        bool has_room = list_is_empty(&s->waiters) && queue_has_room(c, s, m, t->lane);

        if (s->state != SESSION_OPEN)
                return;
        if (t->lane && !lane_waits(t->lane) && !(has_room = overflow_make_room(c, s, m, t)))
                return;
        int r = has_room ? queue_push(c, s, m, t)
                         : queue_lose(c, s, t->subset, WIRE_GAP_OVERFLOW, 1);
        if (r < 0)
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for your queue");
}

static bool publish(struct core *c, const struct core_peer *sender, const struct datagram *d)
{
        struct route *route;

        if (route_get(c, d->pub.topic.data, d->pub.topic.len, &route))
                return false;
        struct msg *m = msg_new(d->frame.data, d->frame.len);
        if (!m)
                return false;
        m->n_frames = 1;
        m->topic_at = (uint32_t)(d->pub.topic.data - d->frame.data);
        m->topic_len = (uint32_t)d->pub.topic.len;
        m->peer = *sender;
        bool is_routed = false; /* observers do not count */
        for (uint32_t i = 0; i < route->n_targets; i++) {
                is_routed |= route->targets[i].counts;
                offer(c, &route->targets[i], m);
        }
        c->count.published++;
        c->count.unrouted += !is_routed;
        msg_unref(m);
        return true;
}

bool core_datagram(struct core *c, const struct core_peer *sender, const void *packet, size_t len,
        uint64_t now_ns)
{
        const uint8_t *at = packet;
        struct datagram d = {.pub = {0}};

        c->now_ns = now_ns;
        c->count.datagrams++;
        bool is_fine = session_is_welcome(c, sender) && read_datagram(at, at + len, &d) &&
                       is_fit(&d.pub) && publish(c, sender, &d);
        if (!is_fine)
                c->count.datagrams_refused++;
        publish_resume(c);
        return is_fine;
}
