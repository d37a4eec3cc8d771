/* Design note. Members of groups come, go, and answer for what they were given. */
#include "broker/core/naive.h"

#include <stdlib.h>

enum { UNREAD_MS = 1000 };

static struct naive_sub *member_at(const struct naive_pool *p, size_t i)
{
        return p->members.at[i];
}

/* ---------------------------------------------------------------- back and forth */

/* Time runs for the first that a member has, and anew for the next. */
static void arm(struct naive *n, struct naive_sub *m)
{
        m->timer.at = 0;
        m->first_at = n->now;
        if (m->under_way.n)
                naive_set(n, &m->timer, m->pool->ack_ms);
}

/* For a second, what it was given first has not been sent to it. */
static bool does_not_read(const struct naive *n, const struct naive_sub *m)
{
        const struct naive_held *first = m->under_way.n ? m->under_way.at[0] : NULL;

        return first && !first->seq && n->now - m->first_at >= UNREAD_MS * 1000000;
}

static bool is_to_blame(const struct naive *n, const struct naive_sub *m)
{
        const struct naive_session *s = m->session;

        if (!m->pool->acks)
                return m->free <= 0;
        for (size_t i = 0; i < s->pooled.n; i++) {
                if (does_not_read(n, s->pooled.at[i]))
                        return true;
        }
        return s->is_late;
}

void naive_hand_over(struct naive *n, struct naive_held *h, struct naive_sub *to)
{
        h->with = to;
        h->last = to->session->number;
        h->is_probe = to->session->is_late;
        h->place = naive_push(n, to->session,
                &(struct naive_entry){.msg = h->msg,
                        .subs = {to->number},
                        .n_subs = 1,
                        .redelivered = h->n_sent,
                        .had_waited = true,
                        .held = h});
        many_add(&to->under_way, h);
        if (to->under_way.n == 1)
                arm(n, to);
}

void naive_pool_sent(struct naive_held *h, uint64_t seq)
{
        h->seq = seq;
        h->n_sent++;
        h->place = NULL;
        many_add(&h->with->session->unacked, h);
}

/* Returns true if it had been sent. */
static bool take_back(struct naive *n, struct naive_held *h)
{
        struct naive_sub *m = h->with;
        struct naive_session *s = m->session;
        bool was_sent = many_remove(&s->unacked, h), was_first = m->under_way.at[0] == h;

        if (h->place)
                (void)many_remove(&s->queue, h->place);
        (void)many_remove(&m->under_way, h);
        if (s->is_late && !m->under_way.n && !naive_has_under_way(s))
                naive_touch_all(n, s);
        m->free++;
        if (was_first)
                arm(n, m);
        h->with = NULL;
        h->place = NULL;
        h->seq = 0;
        naive_touch(n, h->pool);
        return was_sent;
}

static void bury(struct naive *n, struct naive_held *h)
{
        struct naive_msg *m = naive_new(n, sizeof(*m));

        n->count.dead++;
        *m = *h->msg;
        m->topic = NAIVE_DEAD;
        m->born = n->now;
        m->ttl = 0;
        if (h->msg->topic != NAIVE_DEAD)
                naive_offer_once(n, m);
        naive_forget(n, h);
}

static void come_back(struct naive *n, struct naive_held *h, bool has_failed, uint64_t delay_ms)
{
        h->n_failed += has_failed;
        n->count.returned += take_back(n, h);
        if (h->n_failed >= h->pool->max_deliveries) {
                bury(n, h);
        } else if (delay_ms) {
                naive_set(n, &h->timer, delay_ms);
                if (h->msg->ttl && h->msg->born + h->msg->ttl < h->timer.at)
                        h->timer.at = h->msg->born + h->msg->ttl;
                many_add(&h->pool->delayed, h);
        } else {
                many_add(&h->pool->returned, h);
                naive_set_expiry(n, h);
        }
}

static void set_late(struct naive *n, struct naive_session *s, bool is_late)
{
        bool changes = s->is_late != is_late;

        s->is_late = is_late;
        if (changes)
                naive_touch_all(n, s);
}

void naive_answer(struct naive *n, struct naive_session *s, uint64_t first, uint64_t last,
        bool is_refused, uint64_t delay_ms)
{
        set_late(n, s, false);
        for (size_t i = 0; i < s->unacked.n;) {
                struct naive_held *h = s->unacked.at[i];
                if (h->seq < first || h->seq > last) {
                        i++;
                } else if (is_refused) {
                        come_back(n, h, true, delay_ms);
                } else {
                        (void)take_back(n, h);
                        naive_forget(n, h);
                }
        }
        naive_resume(n);
}

void naive_credit(struct naive *n, struct naive_sub *sub, uint64_t amount)
{
        if (!sub->pool || sub->pool->acks)
                return;
        sub->free += (int64_t)amount;
        naive_touch(n, sub->pool);
        naive_resume(n);
}

void naive_pool_drop(struct naive *n, struct naive_held *h)
{
        (void)take_back(n, h);
        naive_lose_held(n, h, WIRE_GAP_EXPIRED);
}

/* The first of it has failed, if it was sent to a member of which nothing bad was known. */
static void all_come_back(struct naive *n, struct naive_sub *m, bool first_failed)
{
        const struct naive_held *h = m->under_way.n ? m->under_way.at[0] : NULL;
        bool has_failed = first_failed && h && h->seq && !h->is_probe;

        for (; m->under_way.n; has_failed = false)
                come_back(n, m->under_way.at[0], has_failed, 0);
}

void naive_late(struct naive *n, struct naive_sub *m)
{
        struct naive_session *s = m->session;
        bool was_sent = ((const struct naive_held *)m->under_way.at[0])->seq != 0;
        size_t n_queued = s->queue.n;

        if (!was_sent && !naive_has_anybody(m->pool, s->number)) {
                naive_set(n, &m->timer, UNREAD_MS);
                return;
        }
        if (!was_sent && !does_not_read(n, m)) {
                naive_set(n, &m->timer, 0);
                m->timer.at = m->first_at + UNREAD_MS * 1000000;
                return;
        }
        all_come_back(n, m, true);
        if (was_sent)
                set_late(n, s, true);
        if (s->state == NAIVE_OPEN && s->queue.n < n_queued)
                naive_drained(n, s);
}

/* ---------------------------------------------------------------- coming and going */

struct naive_pool *naive_find_pool(const struct naive *n, const struct naive_asked *a)
{
        for (size_t i = 0; i < n->pools.n; i++) {
                struct naive_pool *p = n->pools.at[i];
                if (p->group && p->group == a->group && p->filter == a->filter)
                        return p;
        }
        return NULL;
}

bool naive_is_other(const struct naive_pool *p, const struct naive_asked *a)
{
        bool is_empty = !p->returned.n && !p->waiting.n && !p->aside.n && !p->delayed.n;

        if (p->acks != a->ack)
                return p->members.n || !is_empty;
        return p->members.n && p->acks &&
               (p->ack_ms != a->ack_ms || p->max_deliveries != a->max_deliveries);
}

void naive_join(struct naive *n, struct naive_sub *sub, const struct naive_asked *a)
{
        struct naive_pool *p = naive_find_pool(n, a);

        if (!p) {
                p = naive_new(n, sizeof(*p));
                *p = (struct naive_pool){
                        .number = ++n->last_pool, .group = a->group, .filter = a->filter};
                many_add(&n->pools, p);
        }
        if (!p->members.n) {
                p->most = sub->most;
                p->acks = a->ack;
                p->ack_ms = a->ack_ms;
                p->max_deliveries = a->max_deliveries;
                p->timer.at = 0;
        }
        sub->pool = p;
        sub->free = (int64_t)(a->window ? a->window : WIRE_GROUP_WINDOW_DEFAULT);
        many_add_first(&p->members, sub);
        many_add(&sub->session->pooled, sub);
}

static void end_pool(struct naive *n, struct naive_pool *p)
{
        naive_discard_all(n, p);
        while (p->waiters.n)
                naive_resolve(n, p->waiters.at[0]);
        p->timer.at = 0;
        (void)many_remove(&n->due, p);
        (void)many_remove(&n->pools, p);
        many_add(&n->old_pools, p);
}

void naive_leave_pool(struct naive *n, struct naive_sub *sub)
{
        struct naive_pool *p = sub->pool;
        struct naive_session *s = sub->session;
        size_t n_queued = s->queue.n;

        (void)many_remove(&p->members, sub);
        (void)many_remove(&s->pooled, sub);
        all_come_back(n, sub, s->state != NAIVE_OPEN && !s->has_left);
        free(sub->under_way.at);
        sub->under_way.at = NULL;
        sub->pool = NULL;
        naive_touch(n, p);
        if (p->members.n)
                naive_limit_hopes(n, p);
        else if (p->acks)
                naive_set(n, &p->timer, n->linger_ms);
        else
                end_pool(n, p);
        if (s->state == NAIVE_OPEN && s->queue.n < n_queued)
                naive_drained(n, s);
}

/* Publishers wait too long, or the group does, for its members. */
void naive_pool_timer(struct naive *n, struct naive_pool *p)
{
        if (!p->members.n) {
                end_pool(n, p);
                return;
        }
        for (size_t i = 0; i < p->members.n; i++) {
                const struct naive_sub *m = member_at(p, i);
                if (is_to_blame(n, m))
                        naive_end(n, m->session, WIRE_CODE_STALLED);
        }
        naive_pool_waited_for(n, p);
}

void naive_free_pools(struct naive *n)
{
        while (n->pools.n)
                many_add(&n->old_pools, many_take_first(&n->pools));
        for (size_t i = 0; i < n->old_pools.n; i++) {
                struct naive_pool *p = n->old_pools.at[i];
                struct many *lists[] = {&p->members, &p->returned, &p->waiting, &p->aside,
                        &p->delayed, &p->waiters};
                for (size_t k = 0; k < p->members.n; k++)
                        free(member_at(p, k)->under_way.at);
                for (size_t k = 0; k < sizeof(lists) / sizeof(lists[0]); k++)
                        free(lists[k]->at);
        }
        free(n->old_pools.at);
}

/* ---------------------------------------------------------------- time */

static void earlier(struct naive_due *best, struct naive_due due)
{
        const struct naive_timer *t = due.timer, *b = best->timer;

        if (t->at && (!b || t->at < b->at || (t->at == b->at && t->order < b->order)))
                *best = due;
}

static void look_at_list(struct naive_due *best, const struct many *list)
{
        for (size_t i = 0; i < list->n; i++) {
                struct naive_held *h = list->at[i];
                earlier(best, (struct naive_due){.timer = &h->timer, .held = h});
        }
}

struct naive_due naive_first_due(const struct naive *n)
{
        struct naive_due best = {.timer = NULL};

        for (size_t i = 0; i < n->sessions.n; i++) {
                struct naive_session *s = n->sessions.at[i];
                earlier(&best, (struct naive_due){.timer = &s->stall, .session = s});
        }
        for (size_t i = 0; i < n->pools.n; i++) {
                struct naive_pool *p = n->pools.at[i];
                earlier(&best, (struct naive_due){.timer = &p->timer, .pool = p});
                for (size_t k = 0; k < p->members.n; k++)
                        earlier(&best, (struct naive_due){.timer = &member_at(p, k)->timer,
                                               .member = member_at(p, k)});
                look_at_list(&best, &p->returned);
                look_at_list(&best, &p->waiting);
                look_at_list(&best, &p->aside);
                look_at_list(&best, &p->delayed);
        }
        return best;
}

uint64_t naive_unacked(const struct naive *n)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < n->sessions.n; i++)
                sum += ((const struct naive_session *)n->sessions.at[i])->unacked.n;
        return sum;
}
