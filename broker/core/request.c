/* Design note. A request is a token with a list of those who may use it: the sessions whose queue
 * took the publication (`holders`). The token is a counter: it needs no secrecy, since only a
 * holder's reply counts. A request ends exactly once: by a final reply, by its requester (CANCEL,
 * leaving), by its deadline, or when nobody is left who could answer. */
#include "broker/core/internal.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t token_hash(const struct core *c, uint64_t token)
{
        return hash_u64(c->config.seed, token);
}

struct request *request_by_id(const struct core *c, const struct session *s, uint64_t id)
{
        map_for_each (link, &s->requests, token_hash(c, id)) {
                struct request *r = container_of(link, struct request, by_id);
                if (r->id == id)
                        return r;
        }
        return NULL;
}

struct holder *request_holder(const struct core *c, const struct session *s, uint64_t token)
{
        map_for_each (link, &c->requests, token_hash(c, token)) {
                struct request *r = container_of(link, struct request, by_token);
                if (r->token != token)
                        continue;
                list_for_each (at, &r->holders) {
                        struct holder *h = list_entry(at, struct holder, of_request);
                        if (h->session == s)
                                return h;
                }
        }
        return NULL;
}

static int enter(struct core *c, struct request *r, uint64_t timeout_ms)
{
        struct session *s = r->requester;

        if (map_add(&c->requests, &r->by_token, token_hash(c, r->token)) < 0)
                return -ENOMEM;
        if (map_add(&s->requests, &r->by_id, token_hash(c, r->id)) < 0) {
                map_remove(&c->requests, &r->by_token);
                return -ENOMEM;
        }
        int e = heap_set(&c->timers, &r->timer.node, core_in_ms(c, timeout_ms));
        if (e < 0) {
                map_remove(&c->requests, &r->by_token);
                map_remove(&s->requests, &r->by_id);
        }
        return e;
}

int request_new(struct core *c, struct session *s, const struct header_state *h,
        struct request **ret_request)
{
        uint64_t timeout_ms = h->timeout_ms ? h->timeout_ms : WIRE_REQUEST_MS_DEFAULT;

        if (s->requests.n >= c->config.limits.requests)
                return REQUEST_E_LIMIT;
        if (account_refuses(c, s->who, s->account, QUOTA_REQUESTS, 1))
                return REQUEST_E_QUOTA;
        struct request *r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->requester = s;
        r->id = h->id;
        r->max_fds = h->max_fds;
        r->token = ++c->last_token;
        r->timer.kind = TIMER_REQUEST;
        list_init(&r->holders);
        list_init(&r->pooled);
        int e = enter(c, r, timeout_ms);
        if (e < 0) {
                free(r);
                return e;
        }
        account_charge(s->account, QUOTA_REQUESTS, 1);
        *ret_request = r;
        return 0;
}

static void free_holder(struct holder *h)
{
        list_remove(&h->of_session);
        list_remove(&h->of_request);
        free(h);
}

void request_free(struct core *c, struct request *r)
{
        while (!list_is_empty(&r->holders))
                free_holder(list_entry(list_first(&r->holders), struct holder, of_request));
        pool_forget_request(c, r);
        if (r->parked)
                r->parked->request = NULL;
        heap_remove(&c->timers, &r->timer.node);
        map_remove(&c->requests, &r->by_token);
        map_remove(&r->requester->requests, &r->by_id);
        account_release(r->requester->account, QUOTA_REQUESTS, 1);
        free(r);
}

void request_end(
        struct core *c, struct request *r, enum wire_code code, const char *limit, const char *text)
{
        struct session *s = r->requester;
        uint64_t id = r->id;

        request_free(c, r);
        answer_err_in_order(c, s, id, code, limit, text);
}

void request_end_if_deserted(struct core *c, struct request *r)
{
        bool is_waiting = r->parked && (!r->parked->is_routed || r->parked->n_responders);

        if (is_waiting || !list_is_empty(&r->holders) || !list_is_empty(&r->pooled))
                return;
        if (r->was_received)
                request_end(c, r, WIRE_CODE_RESPONDER_GONE, "", "the responder went away");
        else
                request_end(c, r, WIRE_CODE_NO_RESPONDERS, "", "no responders");
}

int request_add_holder(struct core *c, struct request *r, struct session *s)
{
        /* It may be a member of a group, or of several, besides. */
        struct holder *h = list_is_empty(&s->held) ? NULL : request_holder(c, s, r->token);

        if (h) {
                h->n_copies++;
                return 0;
        }
        h = malloc(sizeof(*h));
        if (!h)
                return -ENOMEM;
        *h = (struct holder){.session = s, .request = r, .n_copies = 1};
        list_push_back(&s->held, &h->of_session);
        list_push_back(&r->holders, &h->of_request);
        r->was_received = true;
        return 0;
}

/* A reply never makes its responder wait: it may use the backlog twice over. */
bool request_has_room_for_reply(const struct core *c, const struct session *s, size_t len)
{
        const struct core_limits *limits = &c->config.limits;

        if (list_is_empty(&s->queue))
                return true;
        return s->queue_bytes + len <= 2 * limits->queue_bytes &&
               s->queue_messages < 2 * limits->queue_messages;
}

const char *request_full_for_reply(
        const struct core *c, const struct session *s, const struct msg *m)
{
        const struct core_limits *limits = &c->config.limits;

        if (!request_has_room_for_reply(c, s, m->len))
                return "queue_bytes";
        if (!list_is_empty(&s->queue) &&
                account_refuses(c, s->who, s->account, QUOTA_QUEUE_BYTES, m->len))
                return policy_quota_name(QUOTA_QUEUE_BYTES);
        if (m->n_fds && s->queue_fds && s->queue_fds + m->n_fds > 2 * limits->queue_fds)
                return "queue_fds";
        if (m->placed && s->n_placed && s->placed_bytes + m->placed > 2 * limits->placed_bytes)
                return "placed_bytes";
        return NULL;
}

bool request_reply(struct core *c, struct request *r, struct msg *m, uint64_t flags)
{
        struct session *to = r->requester;
        struct target t = {.max_fds = (uint32_t)r->max_fds};

        const char *limit = request_full_for_reply(c, to, m);

        if (limit) {
                request_end(c, r, WIRE_CODE_LIMIT, limit, "replies are not read");
                return false;
        }
        m->flags = WIRE_DELIVERY_REPLY | (uint32_t)flags;
        m->request = r->id;
        if (queue_push(c, to, m, &t) < 0) {
                request_end(c, r, WIRE_CODE_NO_MEMORY, "", "no memory for the reply");
                return false;
        }
        if (!(flags & WIRE_DELIVERY_MORE))
                request_free(c, r);
        return true;
}

void request_drop_holder(struct core *c, struct holder *h)
{
        struct request *r = h->request;

        if (h->n_copies)
                h->n_copies--;
        if (h->n_parked || h->n_copies)
                return;
        free_holder(h);
        request_end_if_deserted(c, r);
}

void requests_drop(struct core *c, struct session *s)
{
        for (struct map_node *n; (n = map_any(&s->requests));)
                request_free(c, container_of(n, struct request, by_id));
        list_for_each_safe (link, &s->held) {
                struct holder *h = list_entry(link, struct holder, of_session);
                h->n_copies = 0;
                request_drop_holder(c, h);
        }
}
