/* Design note. The core as a whole: its birth and end, whose turn it is, and its clock. Deadlines
 * of all kinds stand in one heap; core_tick pops what is due. */
#include "broker/core/routing.h"

#include <errno.h>
#include <stdlib.h>

int core_new(const struct core_config *config, uint64_t now_ns, struct core **ret_core)
{
        struct core *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->config = *config;
        c->started_ns = c->now_ns = now_ns;
        c->generation = 1; /* a new route has 0: stale */
        /* A reply that comes late, to a request of an earlier broker, must not find one here. */
        c->last_token = hash_u64(config->seed, 0) >> 2;
        c->bus.refs = 1;
        c->bus.n_users = c->bus_users;
        list_init(&c->identity_list);
        list_init(&c->idle_uids);
        list_init(&c->retained_order);
        list_init(&c->dirty);
        list_init(&c->ghosts);
        list_init(&c->runnable);
        list_init(&c->ended);
        list_init(&c->due);
        list_init(&c->flying);
        list_init(&c->fd_waiters);
        c->flight_timer.kind = TIMER_FLIGHT;
        list_init(&c->spare);
        list_init(&c->route_order);
        *ret_core = c;
        return 0;
}

static void free_spare(struct core *c)
{
        while (!list_is_empty(&c->spare)) {
                struct entry *e = list_entry(list_first(&c->spare), struct entry, link);
                list_remove(&e->link);
                free(e);
        }
}

struct core *core_free(struct core *c)
{
        if (!c)
                return NULL;
        c->is_stopping = true;
        for (size_t i = 0; i < c->n_slots; i++) {
                if (c->slots[i])
                        core_close(c, c->slots[i]->id, c->now_ns);
        }
        while (!list_is_empty(&c->ghosts))
                session_free(c, list_entry(list_first(&c->ghosts), struct session, ghost));
        pools_deinit(c);
        free_spare(c);
        routes_deinit(c);
        retain_deinit(c);
        free(c->departed);
        map_deinit(&c->nodes);
        map_deinit(&c->requests);
        heap_deinit(&c->timers);
        accounts_deinit(c);
        map_deinit(&c->identities);
        policy_free(c->policy);
        free(c->slots);
        free(c->generations);
        free(c);
        return NULL;
}

bool core_next(struct core *c, struct session_id *ret_id)
{
        struct list *link = list_first(&c->dirty);

        if (!link)
                return false;
        list_remove(link);
        *ret_id = list_entry(link, struct session, dirty)->id;
        return true;
}

bool core_is_ending(struct core *c, struct session_id id)
{
        const struct session *s = session_find(c, id);

        return s && s->state == SESSION_ENDING;
}

bool core_may_send_fds(struct core *c, struct session_id id)
{
        const struct session *s = session_find(c, id);

        return s && (s->state == SESSION_OPEN || s->state == SESSION_LEAVING) &&
               (s->rights & (WIRE_RIGHT_FDS | WIRE_RIGHT_MEMFD));
}

bool core_asks_fd_kinds(const struct core *c, struct session_id id)
{
        const struct session *s = session_find(c, id);

        return s && !s->who->is_trusted;
}

bool core_is_over(struct core *c, struct session_id id)
{
        const struct session *s = session_find(c, id);

        return s && s->state == SESSION_ENDING && !s->control.len;
}

uint64_t core_deadline(const struct core *c)
{
        const struct heap_node *first = heap_peek(&c->timers);

        return first ? first->at_ns : UINT64_MAX;
}

static void state_timer(struct core *c, struct session *s)
{
        if (s->state == SESSION_HELLO)
                session_end_at(c, s, WIRE_CODE_TIMEOUT, "no HELLO in time", "handshake_ms");
        else if (s->state == SESSION_OPEN)
                session_end_at(c, s, WIRE_CODE_TIMEOUT, "a packet did not become whole in time",
                        "stall_ms");
        else
                session_end_at(
                        c, s, WIRE_CODE_STALLED, "what is queued is not read in time", "drain_ms");
}

static void fire(struct core *c, struct timer *t)
{
        heap_remove(&c->timers, &t->node);
        switch (t->kind) {
        case TIMER_STATE:
                state_timer(c, container_of(t, struct session, timer));
                break;
        case TIMER_STALL:
                session_end_at(c, container_of(t, struct session, stall), WIRE_CODE_STALLED,
                        "your queue was above low water for too long", "stall_ms");
                break;
        case TIMER_REQUEST:
                request_end(c, container_of(t, struct request, timer), WIRE_CODE_TIMEOUT, "",
                        "no reply in time");
                break;
        case TIMER_POOL:
                pool_timer(c, t);
                break;
        case TIMER_MEMBER:
                pool_late(c, t);
                break;
        case TIMER_POOL_ENTRY:
                pool_entry_timer(c, t);
                break;
        case TIMER_UPLOAD:
                upload_timer(c, t);
                break;
        case TIMER_FLIGHT:
                flight_tick(c);
                break;
        }
}

void core_tick(struct core *c, uint64_t now_ns)
{
        struct heap_node *first;

        c->now_ns = now_ns;
        while ((first = heap_peek(&c->timers)) && first->at_ns <= now_ns)
                fire(c, container_of(first, struct timer, node));
        publish_resume(c);
}

static void shut_down(struct core *c, struct session *s)
{
        if (s->state == SESSION_HELLO)
                session_end(c, s, WIRE_CODE_SHUTDOWN, "the broker stops");
        else if (s->state == SESSION_OPEN)
                session_leave(c, s);
}

void core_shutdown(struct core *c, uint64_t now_ns)
{
        c->now_ns = now_ns;
        c->is_stopping = true;
        for (size_t i = 0; i < c->n_slots; i++) {
                if (c->slots[i])
                        shut_down(c, c->slots[i]);
        }
        pools_stop(c);
        publish_resume(c);
}

uint64_t core_work(const struct core *c)
{
        return c->work;
}

size_t core_sessions(const struct core *c)
{
        return c->n_sessions;
}
