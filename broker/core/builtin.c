/* Design note. What the broker answers itself: `$sys.status`, how it is, and `$sys.may`, what the
 * policy in force says. Both are work, so who does not read answers cannot make us do it. */
#include "broker/core/internal.h"
#include "proto/wire/topic.h"

#include <inttypes.h>
#include <string.h>

/* Groups of whom `$sys.may` asks about. */
enum { MAY_GROUPS = 256 };

/* ---------------------------------------------------------------- questions */

/* "publish sensors.cabin 1000 1000 27 44": the action, on what ("-": nothing), a uid, a gid, and
 * supplementary groups. */
struct question {
        enum policy_action action;
        struct slice what;
        struct policy_subject who;
        uint32_t groups[MAY_GROUPS];
};

static struct slice next_word(struct slice *rest)
{
        const uint8_t *end = rest->len ? memchr(rest->data, ' ', rest->len) : NULL;
        struct slice word = {rest->data, end ? (size_t)(end - rest->data) : rest->len};

        rest->data += word.len + (end != NULL);
        rest->len -= word.len + (end != NULL);
        return word;
}

static bool take_number(struct slice *rest, uint32_t *ret)
{
        struct slice word = next_word(rest);
        uint64_t n = 0;

        for (size_t i = 0; i < word.len; i++) {
                if (word.data[i] < '0' || word.data[i] > '9')
                        return false;
                n = n * 10 + (word.data[i] - '0');
                if (n > UINT32_MAX)
                        return false;
        }
        *ret = (uint32_t)n;
        return word.len > 0;
}

static bool take_action(struct slice *rest, enum policy_action *ret)
{
        struct slice word = next_word(rest);
        char name[32];

        if (word.len >= sizeof(name))
                return false;
        memcpy(name, word.data, word.len);
        name[word.len] = 0;
        *ret = policy_action_find(name);
        return *ret != POLICY_ACTIONS;
}

static bool is_fit(const struct question *q)
{
        bool is_nothing = q->what.len == 1 && *q->what.data == '-';

        if (is_nothing || !policy_action_has_filters(q->action))
                return is_nothing && !policy_action_has_filters(q->action);
        return policy_is_about_filters(q->action) ? filter_is_valid(q->what.data, q->what.len)
                                                  : topic_is_valid(q->what.data, q->what.len);
}

/* Returns false if it cannot be understood. */
static bool parse(struct slice text, struct question *q)
{
        if (!take_action(&text, &q->action))
                return false;
        q->what = next_word(&text);
        if (!is_fit(q) || !take_number(&text, &q->who.uid) || !take_number(&text, &q->who.gid))
                return false;
        q->who.groups = q->groups;
        q->who.has_unknown_groups = false;
        for (q->who.n_groups = 0; text.len; q->who.n_groups++) {
                if (q->who.n_groups == MAY_GROUPS ||
                        !take_number(&text, &q->groups[q->who.n_groups]))
                        return false;
        }
        return true;
}

/* Everybody may ask about itself. */
static bool may_ask(const struct core *c, const struct session *s, const struct question *q)
{
        return q->who.uid == s->peer.uid || s->who->is_trusted ||
               identity_may(c, s->who, POLICY_ADMINISTER, NULL, 0);
}

/* ------------------------------------------------------------------ answers */

static bool is_trusted(const struct core *c, const struct policy_subject *who)
{
        return who->uid == 0 || who->uid == c->config.self.uid;
}

static int put_reason(const struct core *c, const struct policy_reason *why, struct buf *out)
{
        int r = buf_printf(out, ",\"file\":");

        if (r == 0)
                r = report_string(out, policy_name(c->policy));
        if (r == 0)
                r = buf_printf(out, ",\"line\":%u,\"section\":", why->line);
        if (r == 0)
                r = report_string(out, why->title);
        if (r == 0 && why->filter) {
                r = buf_printf(out, ",\"filter\":");
                if (r == 0)
                        r = report_string(out, why->filter);
        }
        return r;
}

static int put_verdict(const struct core *c, const struct question *q, struct buf *out)
{
        struct policy_reason why = {.title = NULL};
        const struct policy *p = c->policy;

        if (is_trusted(c, &q->who))
                return buf_printf(out,
                        "{\"may\":true,\"because\":\"the broker's own uid and root may"
                        " do everything\"}");
        if (!p)
                return buf_printf(out, "{\"may\":false,\"because\":\"there is no policy: only the"
                                       " broker's own uid and root may connect\"}");
        bool may = policy_may_connect(p, &q->who, &why);
        const char *because = "may not connect";
        if (may) {
                why.title = NULL;
                because = "nothing allows it";
                may = q->action == POLICY_CONNECT
                              ? policy_may_connect(p, &q->who, &why)
                              : policy_may(p, &q->who, q->action, q->what.data, q->what.len, &why);
        }
        int r = buf_printf(out, "{\"may\":%s,\"because\":\"%s\"", may ? "true" : "false",
                may ? "the policy" : because);
        if (r == 0 && why.title)
                r = put_reason(c, &why, out);
        return r < 0 ? r : buf_printf(out, "}");
}

static struct msg *message_of(struct core *c, const struct buf *json)
{
        struct buf frame cleanup_(buf_deinit) = BUF_INIT;
        struct message pub = {
                .type = WIRE_PUB,
                .pub = {.topic = slice_of(""), .payload = {json->data, json->len}},
        };

        if (message_encode(&frame, &pub) < 0)
                return NULL;
        struct msg *m = msg_new(frame.data, frame.len);
        if (m) {
                m->n_frames = 1;
                m->peer = c->config.self;
                m->flags = WIRE_DELIVERY_REPLY;
        }
        return m;
}

static void reply(struct core *c, struct session *s, uint64_t id, const struct buf *json)
{
        struct msg *m = json ? message_of(c, json) : NULL;
        const char *limit = m ? request_full_for_reply(c, s, m) : NULL;

        c->work += (json ? json->len : 0) / WORK_REPORT_BYTES;
        if (m)
                m->request = id;
        if (limit)
                answer_err_in_order(c, s, id, WIRE_CODE_LIMIT, limit, "replies are not read");
        else if (!m || queue_push(c, s, m, NULL) < 0)
                answer_err_in_order(c, s, id, WIRE_CODE_NO_MEMORY, "", "no memory for the answer");
        msg_unref(m);
}

static void answer_status(struct core *c, struct session *s, uint64_t id)
{
        struct buf json cleanup_(buf_deinit) = BUF_INIT;

        if (!identity_may(c, s->who, POLICY_SEE_SYS, NULL, 0))
                answer_err_in_order(
                        c, s, id, WIRE_CODE_REFUSED, "", "you have no right to see $sys");
        else
                reply(c, s, id, core_report(c, c->now_ns, &json) < 0 ? NULL : &json);
}

static void answer_may(struct core *c, struct session *s, uint64_t id, struct slice text)
{
        struct buf json cleanup_(buf_deinit) = BUF_INIT;
        struct question q;

        if (!parse(text, &q))
                answer_err_in_order(c, s, id, WIRE_CODE_PAYLOAD, "",
                        "expected: ACTION TOPIC-OR-FILTER-OR-MINUS UID GID [GROUP]...");
        else if (!may_ask(c, s, &q))
                answer_err_in_order(c, s, id, WIRE_CODE_REFUSED, "",
                        "you have no right to ask about another uid");
        else
                reply(c, s, id, put_verdict(c, &q, &json) < 0 ? NULL : &json);
}

static bool is_topic(struct slice topic, const char *which)
{
        return topic.len == strlen(which) && !memcmp(topic.data, which, topic.len);
}

bool builtin_answer(struct core *c, const struct flight *f)
{
        static const char STATUS[] = "$sys.status", MAY[] = "$sys.may";
        uint64_t id = f->pub->header.id;
        struct session *s = f->publisher;
        struct msg_pub pub;

        if (msg_decode(f->pub->msg, &pub) != 0)
                return false;
        bool is_status = is_topic(pub.topic, STATUS);
        if (!is_status && !is_topic(pub.topic, MAY))
                return false;
        request_free(c, f->request);
        if (!request_has_room_for_reply(c, s, WIRE_FRAME_BYTES))
                answer_err_in_order(
                        c, s, id, WIRE_CODE_LIMIT, "queue_bytes", "replies are not read");
        else if (is_status)
                answer_status(c, s, id);
        else
                answer_may(c, s, id, pub.payload);
        publish_credit(c, s, f->pub->cost);
        return true;
}
