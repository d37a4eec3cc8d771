/* Design note. A will is a publication that waits for its publisher's end. It is kept in its turn,
 * like any other; it is published by the session that has ended, behind all that this had published
 * before. Who says BYE takes it back, and so does a broker that stops: nobody is left to be told.
 */
#include "broker/core/internal.h"
#include "proto/wire/topic.h"

void will_drop(struct session *s)
{
        msg_unref(s->will.msg);
        s->will = (struct will){.msg = NULL};
}

void will_keep(struct core *c, struct flight *f)
{
        const struct pub *pub = f->pub;
        struct session *s = f->publisher;
        struct msg *m = pub->msg;
        const uint8_t *topic = m->data + m->topic_at;

        if (m->topic_len &&
                (!topic_is_valid(topic, m->topic_len) || topic_is_reserved(topic, m->topic_len))) {
                publish_refuse_topic(c, f);
                return;
        }
        will_drop(s);
        if (m->topic_len && s->state == SESSION_OPEN)
                s->will = (struct will){msg_ref(m),
                        pub->header.flags & ~(uint64_t)(WIRE_INGRESS_WILL | WIRE_INGRESS_CONFIRM)};
        if (header_has_id(&pub->header))
                answer_ok(c, s, pub->header.id, 0, 1);
        publish_credit(c, s, pub->cost);
}
