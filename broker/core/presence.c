/* Design note. Sessions that come and go, as messages: `$sys.session.opened` and
 * `$sys.session.closed`, published by the broker. Whoever watches must not slow the bus down, so
 * these never wait. If nobody watches, nothing is written. */
#include "broker/core/routing.h"

#include <inttypes.h>

static const char OPENED[] = "$sys.session.opened", CLOSED[] = "$sys.session.closed";

static int put_who(struct buf *out, const struct session *s)
{
        int r = buf_printf(out,
                "{\"session\":%" PRIu64 ",\"pid\":%" PRId32 ",\"uid\":%" PRIu32 ",\"gid\":%" PRIu32
                ",\"name\":",
                s->number, s->peer.pid, s->peer.uid, s->peer.gid);

        return r < 0 ? r : report_string(out, s->name);
}

/* In the words of part 9, or how it went by itself. */
static const char *reason_of(const struct session *s)
{
        if (s->has_left)
                return "left";
        return s->end_code ? wire_code_name(s->end_code) : "lost";
}

static struct msg *message_of(struct core *c, const char *topic, const struct buf *json)
{
        struct buf frame cleanup_(buf_deinit) = BUF_INIT;
        struct message pub = {
                .type = WIRE_PUB,
                .pub = {.topic = slice_of(topic), .payload = {json->data, json->len}},
        };

        if (message_encode(&frame, &pub) < 0)
                return NULL;
        struct msg *m = msg_of_broker(c, &frame, pub.pub.topic.len);
        if (m)
                m->peer = c->config.self;
        return m;
}

/* Without memory it goes untold: there is nobody to tell that to. */
static void publish(struct core *c, const struct targets *to, const char *topic, struct buf *json)
{
        struct msg *m = message_of(c, topic, json);

        if (m)
                (void)admit_all_without_waiting(c, to, m);
        msg_unref(m);
}

static struct targets *watchers_of(struct core *c, const char *topic, size_t len)
{
        struct targets *to;

        return route_get(c, topic, len, &to) == 0 && to->n ? to : NULL;
}

void presence_opened(struct core *c, const struct session *s)
{
        const struct targets *to = watchers_of(c, OPENED, sizeof(OPENED) - 1);
        struct buf json cleanup_(buf_deinit) = BUF_INIT;

        if (to && put_who(&json, s) == 0 && buf_printf(&json, "}") == 0)
                publish(c, to, OPENED, &json);
}

void presence_closed(struct core *c, const struct session *s)
{
        const struct targets *to = watchers_of(c, CLOSED, sizeof(CLOSED) - 1);
        struct buf json cleanup_(buf_deinit) = BUF_INIT;

        if (to && put_who(&json, s) == 0 &&
                buf_printf(&json, ",\"reason\":\"%s\",\"discarded\":%" PRIu64 "}", reason_of(s),
                        s->discarded) == 0)
                publish(c, to, CLOSED, &json);
}
