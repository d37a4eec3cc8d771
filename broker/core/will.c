/* Design note. A will is a publication that waits for its publisher's end. It is kept in its turn,
 * like any other; it is published by the session that has ended, behind all that this had published
 * before. A will that still waits for its turn then is the one that counts. Who says BYE takes it
 * back, and so does a broker that stops: nobody is left to be told. */
#include "broker/core/internal.h"
#include "proto/wire/topic.h"

void will_drop(struct session *s)
{
        msg_unref(s->will.msg);
        s->will = (struct will){.msg = NULL};
}

static bool is_fit(const struct msg *m)
{
        const uint8_t *topic = m->data + m->topic_at;

        return !m->topic_len ||
               (topic_is_valid(topic, m->topic_len) && !topic_is_reserved(topic, m->topic_len));
}

static void set(struct session *s, const struct pub *pub)
{
        will_drop(s);
        if (pub->msg->topic_len)
                s->will = (struct will){msg_ref(pub->msg),
                        pub->header.flags & ~(uint64_t)(WIRE_INGRESS_WILL | WIRE_INGRESS_CONFIRM)};
}

void will_keep(struct core *c, struct flight *f)
{
        const struct pub *pub = f->pub;
        struct session *s = f->publisher;

        if (!is_fit(pub->msg)) {
                publish_refuse_topic(c, f);
                return;
        }
        /* One that says BYE has taken it back, and that of a ghost has been published. */
        if (s->state == SESSION_OPEN || s->state == SESSION_ENDING)
                set(s, pub);
        if (header_has_id(&pub->header))
                answer_confirm(c, s, pub->header.id, 0, 1);
        publish_credit(c, s, pub->cost);
}

bool will_is_allowed(const struct core *c, const struct session *s)
{
        const struct msg *m = s->will.msg;
        const struct header_state h = {.flags = s->will.flags | WIRE_INGRESS_WILL};
        const struct slice topic = {m->data + m->topic_at, m->topic_len};
        const struct burden b = {.n_fds = msg_user_fds(m),
                .are_odd = m->has_odd_fds,
                .is_placed = m->placed && !m->is_collected};

        return !judge_policy(c, s, &h, &topic, &b).code;
}

void will_hasten(struct session *s)
{
        list_for_each (link, &s->parked) {
                const struct pub *pub = &list_entry(link, struct parked, link)->pub;
                if (pub->header.kind == PUB_PLAIN && (pub->header.flags & WIRE_INGRESS_WILL) &&
                        pub->msg && is_fit(pub->msg))
                        set(s, pub);
        }
}
