/* Design note. Publishing without a connection. There is nobody to answer and nobody to slow down,
 * so this is the one way in that may lose messages: a receiver without room is told of a gap, and
 * all else that is wrong is counted. */
#include "broker/core/routing.h"
#include "proto/wire/headers.h"
#include "proto/wire/topic.h"

struct datagram {
        struct frame frame;
        struct msg_pub pub;
        struct msg_ingress ingress; /* of its flags only RETAIN means something here */
};

/* [INGRESS], PUB, and what may be ignored. */
static bool read_datagram(const uint8_t *at, const uint8_t *end, struct datagram *ret)
{
        bool has_pub = false, has_ingress = false;
        struct msg_ingress ingress = {.flags = 0};
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
                        if (has_ingress || has_pub)
                                return false;
                        has_ingress = true;
                        ingress = m.ingress;
                        continue;
                }
                *ret = (struct datagram){f, m.pub, ingress};
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

/* As its topic's last value, if it asks for that. */
static bool keep(struct core *c, struct identity *who, const struct datagram *d, struct msg *m)
{
        struct keeper by = {who, &who->uid->account};

        if (!(d->ingress.flags & WIRE_INGRESS_RETAIN))
                return true;
        return (who->rights & WIRE_RIGHT_RETAIN) && !retain_keep(c, m, &by).code;
}

static bool may_publish(const struct core *c, const struct identity *who, const struct slice *topic)
{
        return (who->rights & WIRE_RIGHT_PUBLISH) &&
               identity_may(c, who, POLICY_PUBLISH, topic->data, topic->len);
}

static bool publish(struct core *c, const struct core_peer *sender, struct identity *who,
        const struct datagram *d)
{
        struct targets *targets;

        if (route_get(c, d->pub.topic.data, d->pub.topic.len, &targets))
                return false;
        struct msg *m = msg_new(d->frame.data, d->frame.len);
        if (!m)
                return false;
        m->n_frames = 1;
        m->topic_at = (uint32_t)(d->pub.topic.data - d->frame.data);
        m->topic_len = (uint32_t)d->pub.topic.len;
        m->peer = *sender;
        m->born_ns = c->now_ns;
        m->ttl_ns = d->ingress.ttl_ms * UINT64_C(1000000);
        if (!keep(c, who, d, m)) {
                msg_unref(m);
                return false;
        }
        c->count.published++;
        c->count.unrouted += !admit_all_without_waiting(c, targets, m);
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
        struct policy_subject subject = {
                .uid = sender->uid, .gid = sender->gid, .has_unknown_groups = true};
        struct identity *who = identity_get(c, &subject);
        bool is_fine = who && who->may_connect && read_datagram(at, at + len, &d) &&
                       is_fit(&d.pub) && may_publish(c, who, &d.pub.topic) &&
                       publish(c, sender, who, &d);
        if (who && !is_fine && !who->may_connect)
                refusal_note(c, who, sender, "");
        identity_unref(who);
        if (!is_fine)
                c->count.datagrams_refused++;
        publish_resume(c);
        return is_fine;
}
