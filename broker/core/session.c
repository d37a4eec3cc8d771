/* Design note. A session lives in two halves: as a receiver it ends with its connection, as a
 * publisher it stays (a ghost, without an id) until what it had published is through.
 * `session_settle` is the one place that notices that a half is done.
 *
 * Ending is never immediate: the session is told BYE first, and the shell closes it when that is
 * sent (core_is_over). Until then its id stays valid and its input is ignored. And it may happen
 * anywhere, while its subscriptions and requests are walked: those go when the call is done
 * (session_strip). */
#include "broker/core/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 64 };

struct session *session_find(const struct core *c, struct session_id id)
{
        if (!id.generation || id.slot >= c->n_slots || c->generations[id.slot] != id.generation)
                return NULL;
        return c->slots[id.slot];
}

void session_mark(struct core *c, struct session *s)
{
        if (s->state != SESSION_GHOST && !s->socket_full && !list_is_linked(&s->dirty))
                list_push_back(&c->dirty, &s->dirty);
}

static void forget(struct session *s)
{
        account_unref(s->account);
        identity_unref(s->who);
        free(s);
}

static int more_slots(struct core *c)
{
        size_t n = c->n_slots ? c->n_slots * 2 : FIRST_SLOTS;
        struct session **slots = realloc(c->slots, n * sizeof(struct session *));

        if (!slots)
                return -ENOMEM;
        c->slots = slots;
        uint32_t *generations = realloc(c->generations, n * sizeof(uint32_t));
        if (!generations)
                return -ENOMEM;
        c->generations = generations;
        for (size_t i = c->n_slots; i < n; i++) {
                c->slots[i] = NULL;
                c->generations[i] = 0;
        }
        c->n_slots = n;
        return 0;
}

static int find_slot(struct core *c, uint32_t *ret_slot)
{
        for (size_t tried = 0; tried < c->n_slots; tried++) {
                size_t i = (c->slot_hint + tried) % c->n_slots;
                if (!c->slots[i]) {
                        *ret_slot = (uint32_t)i;
                        c->slot_hint = i + 1;
                        return 0;
                }
        }
        *ret_slot = (uint32_t)c->n_slots;
        return more_slots(c);
}

static struct session *session_new(
        struct core *c, const struct core_peer *peer, const struct core_groups *groups)
{
        struct policy_subject who = {
                .uid = peer->uid, .gid = peer->gid, .has_unknown_groups = !groups};
        struct session *s = calloc(1, sizeof(*s));

        if (!s)
                return NULL;
        if (groups) {
                who.groups = groups->gids;
                who.n_groups = groups->n;
        }
        s->who = identity_get(c, &who);
        s->account = s->who ? account_new(s->who) : NULL;
        if (!s->account) {
                identity_unref(s->who);
                free(s);
                return NULL;
        }
        s->number = ++c->last_number;
        s->peer = *peer;
        s->next_seq = 1;
        s->timer.kind = TIMER_STATE;
        s->stall.kind = TIMER_STALL;
        list_init(&s->queue);
        list_init(&s->waiters);
        list_init(&s->untried);
        list_init(&s->parked);
        list_init(&s->held);
        list_init(&s->pooled);
        return s;
}

void session_refuse(struct core *c, struct session *s)
{
        char text[WIRE_TEXT_BYTES];

        if (c->policy)
                snprintf(text, sizeof(text), "the policy does not let uid %u use this bus",
                        s->peer.uid);
        else
                snprintf(text, sizeof(text),
                        "uid %u may not use this bus: it serves uid %u and root", s->peer.uid,
                        c->config.self.uid);
        refusal_note(c, s->who, &s->peer, "");
        session_end(c, s, WIRE_CODE_REFUSED, text);
}

/* Which limit there is one session too many for; NULL: none. It is counted already. */
static const char *full_for(struct core *c, const struct session *s)
{
        const struct core_limits *limits = &c->config.limits;
        const char *limit;

        if (!account_may_connect(c, s->who))
                return policy_quota_name(QUOTA_CONNECTS);
        if (c->n_sessions + c->n_ghosts > limits->sessions)
                return "sessions";
        if (c->n_unready > limits->unready)
                return "unready";
        limit = account_refuses(c, s->who, s->account, QUOTA_SESSIONS, 0);
        return limit ? limit : account_refuses(c, s->who, s->account, QUOTA_UNREADY, 0);
}

static void judge(struct core *c, struct session *s)
{
        const char *limit = NULL;

        if (!s->who->may_connect) {
                c->count.refused_sessions++;
                session_refuse(c, s);
        } else if (c->is_stopping) {
                session_end(c, s, WIRE_CODE_SHUTDOWN, "the broker stops");
        } else if ((limit = full_for(c, s))) {
                session_end_at(c, s, WIRE_CODE_LIMIT, "too many connections", limit);
        }
}

/* It has said HELLO, or ends without. */
void session_is_ready(struct core *c, struct session *s)
{
        c->n_unready--;
        account_release(s->account, QUOTA_UNREADY, 1);
}

int core_open(struct core *c, const struct core_peer *peer, const struct core_groups *groups,
        uint64_t now_ns, struct session_id *ret_id)
{
        struct session *s = session_new(c, peer, groups);
        uint32_t slot;

        c->now_ns = now_ns;
        if (!s || find_slot(c, &slot) < 0 ||
                heap_set(&c->timers, &s->timer.node, core_in_ms(c, c->config.limits.handshake_ms)) <
                        0) {
                if (s)
                        forget(s);
                return -ENOMEM;
        }
        if (!++c->generations[slot])
                c->generations[slot] = 1;
        s->id = (struct session_id){slot, c->generations[slot]};
        c->slots[slot] = s;
        c->n_sessions++;
        c->n_unready++;
        account_charge(s->account, QUOTA_SESSIONS, 1);
        account_charge(s->account, QUOTA_UNREADY, 1);
        judge(c, s);
        *ret_id = s->id;
        publish_resume(c);
        return 0;
}

/* From groups in the order in which it joined: what it had there goes to others in that order. */
static void drop_subs(struct core *c, struct session *s)
{
        for (struct list *link; (link = list_first(&s->pooled));)
                sub_free(c, list_entry(link, struct member, of_session)->sub);
        for (struct map_node *n; (n = map_any(&s->subs));)
                sub_free(c, container_of(n, struct sub, by_number));
}

/* It will not receive anything any more. */
static void stop_receiving(struct core *c, struct session *s)
{
        drop_subs(c, s);
        requests_drop(c, s);
        park_forget_receiver(c, s);
}

void session_end(struct core *c, struct session *s, enum wire_code code, const char *text)
{
        struct message bye = {
                .type = WIRE_BYE,
                .verdict = {.code = code, .text = slice_of(text)},
        };

        if (s->state == SESSION_ENDING || s->state == SESSION_GHOST)
                return;
        if (s->state == SESSION_HELLO)
                session_is_ready(c, s);
        s->state = SESSION_ENDING;
        s->end_code = code;
        bool was_full = s->socket_full;
        s->socket_full = false; /* the shell must hear of it, although the client may never read */
        heap_remove(&c->timers, &s->timer.node);
        list_push_back(&c->ended, &s->ended);
        int r = answer_gathered(s);
        size_t before = s->control.len;
        if (r < 0 || message_encode(&s->control, &bye) < 0)
                buf_clear(&s->control); /* no memory even for that: core_is_over at once */
        else
                s->bye_len = s->control.len - before;
        if (was_full)
                session_keep_bye(s);
        session_mark(c, s);
}

void session_end_at(
        struct core *c, struct session *s, enum wire_code code, const char *text, const char *limit)
{
        char with_limit[WIRE_TEXT_BYTES];

        snprintf(with_limit, sizeof(with_limit), "%s (limit %s)", text, limit);
        refusal_note(c, s->who, &s->peer, limit);
        session_end(c, s, code, with_limit);
}

void core_end(struct core *c, struct session_id id, enum wire_code code, const char *text,
        uint64_t now_ns)
{
        struct session *s = session_find(c, id);

        c->now_ns = now_ns;
        if (s)
                session_end(c, s, code, text);
        publish_resume(c);
}

void core_set_partial(struct core *c, struct session_id id, bool is_partial, uint64_t now_ns)
{
        struct session *s = session_find(c, id);

        if (!s || s->state != SESSION_OPEN)
                return; /* it has another deadline, and soon */
        c->now_ns = now_ns;
        if (!is_partial)
                heap_remove(&c->timers, &s->timer.node);
        else if (heap_set(&c->timers, &s->timer.node, core_in_ms(c, c->config.limits.stall_ms)) < 0)
                session_end(
                        c, s, WIRE_CODE_NO_MEMORY, "no memory to wait for the rest of a packet");
        publish_resume(c);
}

void session_keep_bye(struct session *s)
{
        buf_drop(&s->control, s->control.len - s->bye_len);
}

void session_strip(struct core *c, struct session *s)
{
        list_remove(&s->ended);
        upload_drop(c, s);
        stop_receiving(c, s);
        queue_clear(c, s);
}

void session_leave(struct core *c, struct session *s)
{
        s->state = SESSION_LEAVING;
        will_drop(s); /* it knows that it goes, or all go */
        upload_drop(c, s);
        stop_receiving(c, s);
        if (queue_watch(c, s) < 0 ||
                heap_set(&c->timers, &s->timer.node, core_in_ms(c, c->config.limits.drain_ms)) < 0)
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory to leave in order");
        else
                session_settle(c, s);
}

void session_settle(struct core *c, struct session *s)
{
        if (!list_is_empty(&s->parked))
                return;
        if (s->state == SESSION_GHOST)
                session_free(c, s);
        else if (s->state == SESSION_LEAVING && list_is_empty(&s->queue))
                session_end(c, s, c->is_stopping ? WIRE_CODE_SHUTDOWN : WIRE_CODE_NONE,
                        c->is_stopping ? "the broker stops" : "");
}

void session_free(struct core *c, struct session *s)
{
        while (!list_is_empty(&s->parked))
                park_free(c, list_entry(list_first(&s->parked), struct parked, link));
        list_remove(&s->ghost);
        c->n_ghosts--;
        list_remove(&s->runnable);
        will_drop(s);
        map_deinit(&s->subs);
        map_deinit(&s->requests);
        acks_deinit(&s->acks);
        buf_deinit(&s->control);
        account_release(s->account, QUOTA_SESSIONS, 1);
        forget(s);
}

void core_close(struct core *c, struct session_id id, uint64_t now_ns)
{
        struct session *s = session_find(c, id);

        if (!s)
                return;
        c->now_ns = now_ns;
        if (s->state == SESSION_HELLO)
                session_is_ready(c, s);
        s->state = SESSION_GHOST;
        s->confirms.n = 0;
        c->slots[id.slot] = NULL;
        c->n_sessions--;
        s->id = (struct session_id){0};
        list_remove(&s->dirty);
        heap_remove(&c->timers, &s->timer.node);
        session_strip(c, s);
        flight_drop(c, s);
        buf_deinit(&s->control);
        list_push_back(&c->ghosts, &s->ghost);
        c->n_ghosts++;
        if (s->was_opened) {
                departed_add(c, s);
                presence_closed(c, s);
        }
        if (!c->is_stopping && !s->has_left) {
                will_hasten(s);
                publish_will(c, s);
        }
        if (list_is_empty(&s->parked))
                session_free(c, s);
        publish_resume(c); /* others that waited for it; it may have waited for itself */
}
