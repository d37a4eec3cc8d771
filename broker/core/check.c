/* Design note. Everything that is counted twice is recounted here and compared, every link is
 * followed both ways: for tests, which call it after every step. It is the list of the core's
 * invariants at rest, that is between two calls. */
#include "broker/core/internal.h"

/* What is summed up over all sessions, to be compared with the core's own counts. */
struct sums {
        size_t sessions, unready, ghosts, subs, requests, timers;
        uint64_t queued, queued_bytes, parked, parked_bytes, placed, flight_fds, spooled;
};

/* ------------------------------------------------------------------ queue */

static const char *check_queue(const struct core *c, const struct session *s, struct sums *sums)
{
        uint64_t bytes = 0, messages = 0, notes = 0, fds = 0, placed = 0, n_placed = 0, n_gaps = 0;

        list_for_each (link, &s->queue) {
                const struct entry *e = list_entry(link, struct entry, link);
                n_gaps += !e->msg;
                if (!e->msg)
                        continue;
                bytes += e->msg->len;
                messages += e->msg->n_frames;
                notes += e->msg->n_frames ? 0 : e->msg->len;
                fds += e->msg->n_fds;
                placed += e->msg->placed;
                n_placed += e->msg->placed > 0;
        }
        if (bytes != s->queue_bytes || messages != s->queue_messages || notes != s->note_bytes)
                return "queue_bytes, queue_messages or note_bytes is not the sum of the queue";
        if (fds != s->queue_fds || placed != s->placed_bytes || n_placed != s->n_placed ||
                n_gaps != s->n_gaps)
                return "queue_fds, placed_bytes, n_placed or n_gaps is not the sum of the queue";
        const struct list *first = list_first(&s->queue);
        const struct entry *e = first ? list_entry(first, struct entry, link) : NULL;
        if (s->is_chunking && (!e || !e->msg || !out_is_chunked(s, e)))
                return "chunks of nothing";
        if (!s->is_chunking && s->chunked)
                return "chunks that were not forgotten";
        if (queue_is_watched(c, s) && s->state == SESSION_OPEN && !s->stall.node.place)
                return "a session above low water, or waited for, that nobody watches";
        if (!queue_is_watched(c, s) && s->stall.node.place)
                return "a session at low water that is watched";
        if (s->state >= SESSION_ENDING && !list_is_empty(&s->queue))
                return "an ended session with a queue";
        sums->queued += messages;
        sums->queued_bytes += bytes;
        sums->placed += placed;
        return NULL;
}

static const char *check_waiters(const struct session *s)
{
        if (list_is_empty(&s->waiters))
                return NULL;
        if (list_is_empty(&s->queue))
                return "somebody waits for room in an empty queue";
        if (s->state != SESSION_OPEN)
                return "somebody waits for a session that has left";
        list_for_each (link, &s->waiters) {
                const struct pending *p = list_entry(link, struct pending, link);
                if (p->receiver != s || p->target.session != s || !p->target.subset)
                        return "a pending in the wrong line";
                if (list_first(&p->owner->publisher->parked) != &p->owner->link)
                        return "a pending of a publication whose turn has not come";
        }
        return NULL;
}

/* ------------------------------------------------- descriptors, and uploads */

static const char *check_flight(const struct session *s, struct sums *sums)
{
        const struct flight_window *f = &s->flight;
        int n_fds = f->ends ? 64 - __builtin_clzll(f->ends) : 0;

        if (f->n_fds != (uint32_t)n_fds)
                return "n_fds is not the sum of the packets under way";
        uint32_t n_payloads = 0;
        for (uint64_t left = f->payloads; left; left &= left - 1)
                n_payloads++;
        if (f->payloads & ~f->ends || n_payloads != f->n_payloads || n_payloads > WIRE_FD_PAYLOADS)
                return "a payload under way that is no packet's last descriptor, or too many";
        if (s->state < SESSION_ENDING && list_is_linked(&f->flying) != (f->n_fds > 0))
                return "a session with descriptors under way that is not known for it";
        if (f->is_held && s->state < SESSION_ENDING && !list_is_linked(&f->waits))
                return "held back, and nobody will try again";
        sums->flight_fds += f->n_fds;
        if (s->upload && s->state != SESSION_OPEN)
                return "an upload of a session that has left";
        if (s->upload) {
                sums->spooled += s->upload->kept;
                sums->timers += !s->upload->is_refused;
                if (s->upload->is_refused != !s->upload->timer.node.place)
                        return "an upload without a deadline, or a refused one with one";
        }
        return NULL;
}

/* ----------------------------------------------------------------- parked */

static const char *check_pending(const struct parked *p)
{
        uint32_t n_waiting = 0, n_responders = 0;

        for (uint32_t i = 0; i < p->n_pending; i++) {
                if (!list_is_linked(&p->pending[i].link))
                        continue;
                n_waiting++;
                n_responders += p->pending[i].target.counts;
        }
        if (n_waiting != p->n_unresolved || n_responders != p->n_responders)
                return "n_unresolved or n_responders is not the number of pendings";
        return NULL;
}

static const char *check_parked_one(const struct session *s, const struct parked *p)
{
        if (p->publisher != s)
                return "parked at another's";
        if (p->request && p->request->parked != p)
                return "a parked request that does not know it";
        if (!p->pub.msg != !!p->pub.refusal.code)
                return "a parked publication that is neither message nor refusal";
        if (!p->is_routed && p->n_pending)
                return "receivers of a publication that was never routed";
        if (p->is_routed && list_first(&s->parked) != &p->link)
                return "a parked publication routed out of turn";
        return check_pending(p);
}

static const char *check_parked(const struct session *s, struct sums *sums)
{
        const struct list *first = list_first(&s->parked);
        uint64_t bytes = 0;

        list_for_each (link, &s->parked) {
                const struct parked *p = list_entry(link, struct parked, link);
                const char *why = check_parked_one(s, p);
                if (why)
                        return why;
                bytes += p->pub.cost;
                sums->parked += p->pub.n_frames;
        }
        if (first && !list_entry(first, struct parked, link)->n_unresolved)
                return "a first parked publication that waits for nobody";
        if (bytes != s->parked_bytes)
                return "parked_bytes is not the sum of what is parked";
        uint64_t taken = s->owed + bytes + (s->upload ? s->upload->cost : 0);
        if (s->state == SESSION_OPEN ? s->window_used != taken : s->window_used < taken)
                return "the window is not what is owed, parked and on its way in";
        sums->parked_bytes += bytes;
        return NULL;
}

/* --------------------------------------------------------------- requests */

static const char *check_request(const struct core *c, const struct request *r)
{
        if (!r->timer.node.place)
                return "a request without a deadline";
        if (r->parked && r->parked->request != r)
                return "a request parked where nobody knows it";
        if (!r->parked && list_is_empty(&r->holders) && list_is_empty(&r->pooled))
                return "a request that nobody can answer";
        list_for_each (link, &r->holders) {
                const struct holder *h = list_entry(link, struct holder, of_request);
                if (h->request != r || request_holder(c, h->session, r->token) != h)
                        return "a holder that is not found";
        }
        return NULL;
}

static uint32_t count_replies(const struct session *s, uint64_t token)
{
        uint32_t n = 0;

        list_for_each (link, &s->parked) {
                const struct pub *pub = &list_entry(link, struct parked, link)->pub;
                n += pub->is_promised && pub->header.token == token;
        }
        return n;
}

static const char *check_held(const struct session *s)
{
        list_for_each (link, &s->held) {
                const struct holder *h = list_entry(link, struct holder, of_session);
                if (h->session != s)
                        return "a holder at another's";
                if (h->n_parked != count_replies(s, h->request->token))
                        return "n_parked is not the number of parked replies";
                if (s->state >= SESSION_LEAVING && !h->n_parked)
                        return "a session that left and could still answer";
        }
        return NULL;
}

static const char *check_requests(const struct core *c, const struct session *s, struct sums *sums)
{
        for (size_t i = 0; i < s->requests.cap; i++) {
                for (const struct map_node *n = s->requests.slots[i]; n; n = n->next) {
                        const struct request *r = container_of(n, struct request, by_id);
                        if (r->requester != s || request_by_id(c, s, r->id) != r)
                                return "a request that is not found";
                        const char *why = check_request(c, r);
                        if (why)
                                return why;
                }
        }
        sums->requests += s->requests.n;
        sums->timers += s->requests.n;
        return check_held(s);
}

/* ------------------------------------------------------------------ index */

static const char *check_node(const struct node *n)
{
        if (!n->n_children && list_is_empty(&n->subs) && list_is_empty(&n->tails))
                return "a node of the index that leads nowhere";
        list_for_each (link, &n->subs) {
                if (list_entry(link, struct sub, at_node)->node != n)
                        return "a subscription at another's node";
        }
        list_for_each (link, &n->tails) {
                if (list_entry(link, struct sub, at_node)->node != n)
                        return "a subscription at another's node";
        }
        return NULL;
}

static const char *check_index(const struct core *c)
{
        size_t n_children = c->root ? c->root->n_children : 0;
        const char *why = c->root ? check_node(c->root) : NULL;

        for (size_t i = 0; i < c->nodes.cap && !why; i++) {
                for (const struct map_node *n = c->nodes.slots[i]; n && !why; n = n->next) {
                        const struct node *node = container_of(n, struct node, by_token);
                        n_children += node->n_children;
                        why = check_node(node);
                }
        }
        if (!why && n_children != c->nodes.n)
                return "n_children is not the number of nodes";
        if (!why && c->routes.n > c->config.limits.routes)
                return "more routes remembered than allowed";
        return why;
}

/* --------------------------------------------------------------- the rest */

static const char *check_session(const struct core *c, const struct session *s, struct sums *sums)
{
        const char *why = check_queue(c, s, sums);

        if (!why)
                why = check_lanes(s);
        if (!why)
                why = check_flight(s, sums);
        if (!why)
                why = check_waiters(s);
        if (!why)
                why = check_parked(s, sums);
        if (!why)
                why = check_requests(c, s, sums);
        if (why)
                return why;
        if (s->state >= SESSION_LEAVING && (s->subs.n || s->requests.n))
                return "a session that left with subscriptions or requests";
        bool has_deadline = s->timer.node.place > 0;
        if (s->state != SESSION_OPEN &&
                has_deadline != (s->state == SESSION_HELLO || s->state == SESSION_LEAVING))
                return "a session's deadline at the wrong time";
        if (s->state == SESSION_LEAVING && list_is_empty(&s->queue) && list_is_empty(&s->parked))
                return "a leaving session that has nothing to wait for";
        if (s->state == SESSION_GHOST &&
                (s->control.len || s->confirms.n || list_is_empty(&s->parked)))
                return "a ghost with nothing to publish, or answers";
        sums->subs += s->subs.n;
        sums->timers += has_deadline + (s->stall.node.place > 0);
        return NULL;
}

static const char *check_slots(const struct core *c, struct sums *sums)
{
        for (size_t i = 0; i < c->n_slots; i++) {
                const struct session *s = c->slots[i];
                if (!s)
                        continue;
                if (s->id.slot != i || s->id.generation != c->generations[i])
                        return "a session that is not at its slot";
                if (s->state == SESSION_GHOST)
                        return "a ghost in a slot";
                const char *why = check_session(c, s, sums);
                if (why)
                        return why;
                sums->sessions++;
                sums->unready += s->state == SESSION_HELLO;
        }
        return NULL;
}

static const char *check_ghosts(const struct core *c, struct sums *sums)
{
        list_for_each (link, &c->ghosts) {
                const struct session *s = list_entry(link, struct session, ghost);
                const char *why = check_session(c, s, sums);
                if (why)
                        return why;
                if (s->state != SESSION_GHOST || s->id.generation)
                        return "a ghost that lives";
                sums->ghosts++;
        }
        return NULL;
}

/* The silent first: flight_tick looks no further than the first that is not. */
static const char *check_flying(const struct core *c)
{
        uint64_t since_ns = 0;

        list_for_each (link, &c->flying) {
                const struct flight_window *f =
                        &list_entry(link, struct session, flight.flying)->flight;
                if (f->since_ns < since_ns)
                        return "descriptors under way are not in the order of their age";
                since_ns = f->since_ns;
        }
        return NULL;
}

static const char *compare(const struct core *c, const struct sums *sums)
{
        if (sums->sessions != c->n_sessions || sums->unready != c->n_unready)
                return "n_sessions or n_unready is wrong";
        if (sums->ghosts != c->n_ghosts)
                return "n_ghosts is wrong";
        if (sums->subs != c->n_subs)
                return "n_subs is not the sum of the sessions'";
        if (sums->requests != c->requests.n)
                return "requests of nobody";
        if (sums->placed != c->count.placed_bytes ||
                sums->spooled != c->bus.used[QUOTA_SPOOL_BYTES])
                return "placed_bytes or spool_bytes is not the sum of the sessions'";
        if (c->bus.used[QUOTA_FDS] > c->config.limits.held_fds ||
                c->bus.used[QUOTA_SPOOL_BYTES] > c->config.limits.spool_bytes)
                return "more is held or collected than allowed";
        if (sums->flight_fds != c->bus.used[QUOTA_FLIGHT_FDS])
                return "flight_fds is not the sum of the sessions'";
        if (!list_is_empty(&c->fd_waiters) && !c->flight_timer.node.place)
                return "sessions wait for descriptors and nobody looks after them";
        if (sums->timers + (c->flight_timer.node.place > 0) != c->timers.n)
                return "deadlines of nobody";
        if (sums->queued != c->count.queued || sums->queued_bytes != c->count.queued_bytes)
                return "count.queued is not the sum of the queues";
        if (sums->parked != c->count.parked || sums->parked_bytes != c->count.parked_bytes)
                return "count.parked is not the sum of the sessions'";
        if (!c->n_subs && !c->pools.n && c->root)
                return "filters left in the index";
        return NULL;
}

const char *core_check(const struct core *c)
{
        struct sums sums = {0};
        const char *why = check_slots(c, &sums);

        if (!why)
                why = check_ghosts(c, &sums);
        if (!why)
                why = check_index(c);
        if (!why)
                why = check_pools(c, &sums.timers);
        if (!why)
                why = compare(c, &sums);
        if (!why)
                why = check_held_fds(c);
        if (!why)
                why = check_accounts(c);
        if (!why)
                why = check_flying(c);
        if (!why && !list_is_empty(&c->runnable))
                why = "a runnable publisher was left behind";
        if (!why && !list_is_empty(&c->ended))
                why = "an ended session was left as it was";
        return why;
}
