/* Design note. Everything a client says but publications: it is answered at once and overtakes what
 * is parked, so a session that is blocked as a publisher still subscribes, cancels, answers and
 * leaves. */
#include "broker/core/limits.h"
#include "broker/core/pool.h"
#include "proto/wire/topic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Limits that are constants of the protocol, told in WELCOME beside the adjustable ones. */
static const struct {
        const char *name;
        uint64_t value;
} constants[] = {
        {"packet_bytes", WIRE_PACKET_BYTES},
        {"frame_bytes", WIRE_FRAME_BYTES},
        {"topic_bytes", WIRE_TOPIC_BYTES},
        {"topic_tokens", WIRE_TOPIC_TOKENS},
        {"header_entries", WIRE_HEADER_ENTRIES},
        {"header_bytes", WIRE_HEADER_BYTES},
        {"fds", WIRE_FDS},
};

static void list_limits(const struct core *c, struct msg_welcome *w)
{
        const struct limit_row *row;

        for (size_t i = 0; i < ARRAY_LEN(constants); i++)
                w->limits[w->n_limits++] =
                        (struct msg_limit){slice_of(constants[i].name), constants[i].value};
        for (size_t i = 0; (row = limit_row_at(i)); i++) {
                if (row->for_clients)
                        w->limits[w->n_limits++] = (struct msg_limit){
                                slice_of(row->name), limit_row_value(&c->config.limits, row)};
        }
}

void control_hello(struct core *c, struct session *s, const struct message *m)
{
        const struct msg_hello *hello = &m->hello;
        struct message welcome = {.type = WIRE_WELCOME};

        if (hello->version < WIRE_VERSION) {
                session_end(c, s, WIRE_CODE_VERSION, "this broker speaks version 1");
                return;
        }
        memcpy(s->name, hello->name.data, hello->name.len);
        s->features = hello->features & c->config.features;
        s->rights = s->who->rights;
        s->state = SESSION_OPEN;
        s->was_opened = true;
        session_is_ready(c, s);
        heap_remove(&c->timers, &s->timer.node);

        struct msg_welcome *w = &welcome.welcome;
        w->version = WIRE_VERSION;
        w->session = s->number;
        w->instance = (struct slice){c->config.instance, WIRE_INSTANCE_BYTES};
        w->name = slice_of(c->config.name);
        w->features = c->config.features;
        w->rights = s->rights;
        w->window = c->config.limits.window_bytes;
        w->has_missed = departed_missed(c, s, hello, &w->missed);
        list_limits(c, w);
        answer(c, s, &welcome);
        presence_opened(c, s);
}

/* Ids must go up; false if this one did not, and the session is ended. */
static bool take_id(struct core *c, struct session *s, uint64_t id)
{
        if (id > s->last_id && id <= INT64_MAX) {
                s->last_id = id;
                return true;
        }
        session_end(c, s, WIRE_CODE_PROTOCOL, "ids must be positive and increase");
        return false;
}

/* The first option that this broker does not have yet; NULL if there is none. */
static const char *missing_option(const struct msg_sub *m)
{
        if (m->ack && !m->group.data)
                return "ack without a group";
        if (sub_takes_turns(m) && m->overflow != WIRE_OVERFLOW_BLOCK)
                return "overflow with a group or a window";
        return NULL;
}

static bool group_is_valid(struct slice name)
{
        return topic_is_valid(name.data, name.len) && !memchr(name.data, '.', name.len);
}

/* A group has the options of its first member; those of one without members can be changed, but
 * not what it has promised about what it holds. */
static bool group_is_refused(struct core *c, struct session *s, const struct msg_sub *m)
{
        const struct pool *p = pool_find(c, m);

        if (!p && c->pools.n >= c->config.limits.groups)
                answer_err(
                        c, s, m->id, WIRE_CODE_LIMIT, "groups", "too many groups (limit groups)");
        else if (!p && account_refuses(c, s->who, s->account, QUOTA_GROUPS, 1))
                answer_err(c, s, m->id, WIRE_CODE_LIMIT, policy_quota_name(QUOTA_GROUPS),
                        "your uid has made too many groups (limit uid_groups)");
        else if (p && p->acks != m->ack && (p->load.messages || !list_is_empty(&p->members)))
                answer_err(c, s, m->id, WIRE_CODE_DUPLICATE, "", "the group is there %s ack",
                        p->acks ? "with" : "without");
        else if (p && p->acks && !list_is_empty(&p->members) &&
                 (p->ack_ms != pool_ack_ms(m) || p->max_deliveries != m->max_deliveries))
                answer_err(c, s, m->id, WIRE_CODE_DUPLICATE, "",
                        "the group is there with ack_ms %" PRIu64 " and max_deliveries %" PRIu64,
                        p->ack_ms, p->max_deliveries);
        else
                return false;
        return true;
}

/* What takes turns holds up its publishers: members of a group may by the right to join it. */
static bool sub_is_forbidden(struct core *c, struct session *s, const struct msg_sub *m)
{
        const char *no = NULL;

        if (!(s->rights & WIRE_RIGHT_SUBSCRIBE))
                no = "subscribe";
        else if (m->group.data && !(s->rights & WIRE_RIGHT_GROUP))
                no = "join groups";
        else if (!filter_is_valid(m->filter.data, m->filter.len))
                return false;
        else if (!sub_is_allowed(c, s, m->filter, m->group.data))
                no = m->group.data ? "join a group of this filter" : "subscribe to this filter";
        else if (sub_takes_turns(m) && !m->group.data && !sub_may_block(c, s, m->filter))
                no = "a window: it holds up publishers, and you may not block";
        if (no)
                answer_err(c, s, m->id, WIRE_CODE_REFUSED, "", "you have no right to %s", no);
        return no;
}

static bool sub_is_refused(struct core *c, struct session *s, const struct msg_sub *m)
{
        const char *option = missing_option(m);

        if (sub_is_forbidden(c, s, m))
                return true;
        if (m->group.data && !group_is_valid(m->group))
                answer_err(c, s, m->id, WIRE_CODE_BAD_TOPIC, "", "not the name of a group");
        else if (m->sub <= s->last_sub)
                answer_err(
                        c, s, m->id, WIRE_CODE_DUPLICATE, "", "subscription numbers must increase");
        else if (!filter_is_valid(m->filter.data, m->filter.len))
                answer_err(c, s, m->id, WIRE_CODE_BAD_TOPIC, "", "not a filter");
        else if (s->subs.n >= c->config.limits.subscriptions)
                answer_err(c, s, m->id, WIRE_CODE_LIMIT, "subscriptions",
                        "too many subscriptions (limit subscriptions)");
        else if (account_refuses(c, s->who, s->account, QUOTA_SUBSCRIPTIONS, 1))
                answer_err(c, s, m->id, WIRE_CODE_LIMIT, policy_quota_name(QUOTA_SUBSCRIPTIONS),
                        "your uid has too many subscriptions (limit uid_subscriptions)");
        else if (option)
                answer_err(c, s, m->id, WIRE_CODE_UNSUPPORTED, "", "this broker has no %s", option);
        else
                return m->group.data && group_is_refused(c, s, m);
        return true;
}

static void control_sub(struct core *c, struct session *s, const struct msg_sub *m)
{
        struct sub *sub = NULL;

        if (!take_id(c, s, m->id) || sub_is_refused(c, s, m))
                return;
        if (sub_new(c, s, m, &sub) < 0) {
                answer_err(c, s, m->id, WIRE_CODE_NO_MEMORY, "", "no memory to subscribe");
                return;
        }
        s->last_sub = (uint32_t)m->sub;
        answer_ok(c, s, m->id, sub->overflow);
        pool_joined(c, sub);
        if (!m->no_retained && !m->group.data && s->state == SESSION_OPEN)
                retain_send(c, s, sub, m->filter);
}

static void control_unsub(struct core *c, struct session *s, const struct msg_unsub *m)
{
        if (!take_id(c, s, m->id))
                return;
        struct sub *sub = sub_find(c, s, m->sub);
        if (!sub) {
                answer_err(
                        c, s, m->id, WIRE_CODE_NO_SUCH_SUB, "", "no subscription %" PRIu64, m->sub);
                return;
        }
        sub_free(c, sub);
        answer_ok(c, s, m->id, 0);
}

void control_unsupported(struct core *c, struct session *s, const struct message *m)
{
        struct slice key = m->sub.unknown;
        bool is_fit = key.len <= WIRE_NAME_BYTES && text_is_plain(key.data, key.len);

        if (!take_id(c, s, m->sub.id))
                return;
        if (is_fit)
                answer_err(c, s, m->sub.id, WIRE_CODE_UNSUPPORTED, "", "unknown option %.*s",
                        (int)key.len, (const char *)key.data);
        else
                answer_err(c, s, m->sub.id, WIRE_CODE_UNSUPPORTED, "", "unknown option");
}

static void control_cancel(struct core *c, struct session *s, uint64_t id)
{
        struct request *r = request_by_id(c, s, id);

        if (r)
                request_end(c, r, WIRE_CODE_CANCELLED, "", "cancelled");
        else
                upload_cancel(c, s, id);
}

static void control_credit(struct core *c, struct session *s, const struct msg_credit *m)
{
        struct sub *sub = sub_find(c, s, m->id);

        if (sub)
                pool_credit(c, sub, m->amount);
}

void control_input(struct core *c, struct session *s, const struct message *m)
{
        switch (m->type) {
        case WIRE_SUB:
                control_sub(c, s, &m->sub);
                break;
        case WIRE_UNSUB:
                control_unsub(c, s, &m->unsub);
                break;
        case WIRE_CANCEL:
                control_cancel(c, s, m->number);
                break;
        case WIRE_PING:
                answer(c, s, &(struct message){.type = WIRE_PONG, .number = m->number});
                break;
        case WIRE_BYE:
                s->has_left = true;
                session_leave(c, s);
                break;
        case WIRE_CREDIT:
                if (m->credit.amount > INT64_MAX)
                        session_end(c, s, WIRE_CODE_PROTOCOL, "more credit than there can be");
                else if (m->credit.what == WIRE_CREDIT_FDS)
                        flight_credit(c, s, m->credit.amount);
                else if (m->credit.what == WIRE_CREDIT_SUB)
                        control_credit(c, s, &m->credit);
                else
                        session_end(c, s, WIRE_CODE_PROTOCOL, "no such credit");
                break;
        case WIRE_ACK:
        case WIRE_NACK:
                pool_answer(c, s, &m->ack, m->type == WIRE_NACK);
                break;
        case WIRE_PONG:
                break; /* nothing here waits for one */
        default:
                session_end(c, s, WIRE_CODE_PROTOCOL, "a frame that only the broker sends");
        }
}
