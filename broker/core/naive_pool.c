/* Design note. Groups, and windows of single subscriptions: who gets what next, what comes back,
 * and where it ends. */
#include "broker/core/naive.h"

#include <stdlib.h>

static struct naive_sub *member_at(const struct naive_pool *p, size_t i)
{
        return p->members.at[i];
}

bool naive_has_anybody(const struct naive_pool *p, uint64_t not_to)
{
        for (size_t i = 0; i < p->members.n; i++) {
                const struct naive_session *s = member_at(p, i)->session;
                if (s->state == NAIVE_OPEN && s->number != not_to)
                        return true;
        }
        return false;
}

static size_t load(const struct naive_pool *p)
{
        size_t sum = p->returned.n + p->waiting.n + p->aside.n + p->delayed.n;

        for (size_t i = 0; i < p->members.n; i++)
                sum += member_at(p, i)->under_way.n;
        return sum;
}

static bool has_room(const struct naive_pool *p)
{
        return !load(p) || load(p) < p->most;
}

/* ---------------------------------------------------------------- choosing */

bool naive_has_under_way(const struct naive_session *s)
{
        for (size_t i = 0; i < s->pooled.n; i++) {
                if (((const struct naive_sub *)s->pooled.at[i])->under_way.n)
                        return true;
        }
        return false;
}

/* The one with the most free window, of several who has waited longest; rather not the session
 * `last`; late ones only if all are, and one publication at a time. */
static struct naive_sub *choose(
        const struct naive *n, const struct naive_pool *p, uint64_t not_to, uint64_t last)
{
        for (int want_late = 0; want_late < 2; want_late++) {
                struct naive_sub *best = NULL;
                bool any = false;
                for (size_t i = 0; i < p->members.n; i++) {
                        struct naive_sub *one = member_at(p, i);
                        const struct naive_session *s = one->session;
                        if (s->state != NAIVE_OPEN || s->number == not_to ||
                                (p->acks && s->is_late) != want_late)
                                continue;
                        any = true;
                        bool is_tried = want_late && naive_has_under_way(s);
                        if (one->free <= 0 || is_tried || s->waiters.n ||
                                !naive_has_room(n, s, NULL))
                                continue;
                        bool again = s->number == last;
                        bool best_again = best && best->session->number == last;
                        if (!best || (again == best_again ? one->free > best->free : best_again))
                                best = one;
                }
                if (any)
                        return best;
        }
        return NULL;
}

static void rotate(struct naive_pool *p, struct naive_sub *to)
{
        (void)many_remove(&p->members, to);
        many_add(&p->members, to);
        to->free--;
}

static void give_to(struct naive *n, struct naive_pool *p, struct naive_sub *to,
        struct naive_msg *m, bool had_waited)
{
        (void)naive_push(n, to->session,
                &(struct naive_entry){
                        .msg = m, .subs = {to->number}, .n_subs = 1, .had_waited = had_waited});
        rotate(p, to);
}

static bool give(struct naive *n, struct naive_pool *p, struct naive_msg *m, uint64_t not_to)
{
        struct naive_sub *to = choose(n, p, not_to, 0);

        if (to)
                give_to(n, p, to, m, false);
        return to;
}

static void drop_from_lists(struct naive_held *h)
{
        struct naive_pool *p = h->pool;

        (void)many_remove(&p->returned, h);
        (void)many_remove(&p->waiting, h);
        (void)many_remove(&p->aside, h);
        (void)many_remove(&p->delayed, h);
}

static bool give_held(struct naive *n, struct naive_held *h)
{
        struct naive_pool *p = h->pool;
        struct naive_sub *to = choose(n, p, h->not_to, h->last);

        if (!to)
                return false;
        drop_from_lists(h);
        if (p->acks) {
                naive_hand_over(n, h, to);
                rotate(p, to);
        } else {
                give_to(n, p, to, h->msg, true);
                naive_forget(n, h);
        }
        h->timer.at = 0;
        return true;
}

/* ---------------------------------------------------------------- losing */

void naive_touch(struct naive *n, struct naive_pool *p)
{
        if (!many_has(&n->due, p))
                many_add(&n->due, p);
}

void naive_touch_all(struct naive *n, struct naive_session *s)
{
        for (size_t i = 0; i < s->pooled.n; i++)
                naive_touch(n, ((struct naive_sub *)s->pooled.at[i])->pool);
}

/* Of a group it is nobody's loss. Returns false if it is nobody's at all: its only member ends. */
static bool lose(struct naive *n, struct naive_pool *p, unsigned reason)
{
        struct naive_sub *only = p->group || !p->members.n ? NULL : member_at(p, 0);

        if (!only) {
                n->count.dropped++;
        } else if (only->session->state == NAIVE_OPEN) {
                naive_lose(n, only->session,
                        &(struct naive_entry){.subs = {only->number}, .n_subs = 1}, reason);
                only->free--;
        } else {
                return false;
        }
        return true;
}

void naive_forget(struct naive *n, struct naive_held *h)
{
        drop_from_lists(h);
        h->timer.at = 0;
        naive_touch(n, h->pool); /* there is room now */
}

void naive_lose_held(struct naive *n, struct naive_held *h, unsigned reason)
{
        if (!lose(n, h->pool, reason))
                n->count.owed--;
        naive_forget(n, h);
}

static void discard(struct naive *n, struct naive_held *h)
{
        n->count.discarded++;
        naive_forget(n, h);
}

void naive_discard_all(struct naive *n, struct naive_pool *p)
{
        struct many *lists[] = {&p->returned, &p->waiting, &p->aside, &p->delayed};

        for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
                while (lists[i]->n)
                        discard(n, lists[i]->at[0]);
        }
}

void naive_set_expiry(struct naive *n, struct naive_held *h)
{
        if (!h->msg->ttl)
                return;
        naive_set(n, &h->timer, 0);
        h->timer.at = h->msg->born + h->msg->ttl;
}

/* For nobody who is there: in a group that acknowledges it waits for somebody, but not for ever. */
static void limit_hope(struct naive *n, struct naive_held *h)
{
        if (naive_has_anybody(h->pool, h->not_to))
                return;
        if (!h->pool->acks)
                discard(n, h);
        else if (!h->timer.at || h->timer.at >= n->now + n->linger_ms * 1000000)
                naive_set(n, &h->timer, n->linger_ms);
}

void naive_limit_hopes(struct naive *n, struct naive_pool *p)
{
        for (size_t i = p->aside.n; i--;)
                limit_hope(n, p->aside.at[p->aside.n - 1 - i]);
}

void naive_held_timer(struct naive *n, struct naive_held *h)
{
        struct naive_pool *p = h->pool;

        if (naive_is_old(n, h->msg)) {
                naive_lose_held(n, h, WIRE_GAP_EXPIRED);
                return;
        }
        naive_touch(n, p);
        if (many_remove(&p->delayed, h)) {
                many_add(&p->returned, h);
                naive_set_expiry(n, h);
        } else if (!naive_has_anybody(p, h->not_to)) {
                discard(n, h);
        } else {
                naive_set_expiry(n, h);
        }
}

/* ---------------------------------------------------------------- taking in */

static void add_waiting(struct naive *n, struct naive_pool *p, struct naive_msg *m, uint64_t not_to)
{
        struct naive_held *h = naive_new(n, sizeof(*h));

        *h = (struct naive_held){.pool = p, .msg = m, .not_to = not_to};
        n->count.owed++;
        many_add(&p->waiting, h);
        naive_set_expiry(n, h);
        naive_touch(n, p);
}

/* Returns false if it has to wait, and what is behind it too. */
static bool try_held(struct naive *n, struct naive_held *h)
{
        if (naive_is_old(n, h->msg)) {
                naive_lose_held(n, h, WIRE_GAP_EXPIRED);
        } else if (give_held(n, h)) {
                return true;
        } else if (h->not_to && choose(n, h->pool, 0, 0)) {
                drop_from_lists(h);
                many_add(&h->pool->aside, h);
                limit_hope(n, h);
        } else {
                return false;
        }
        return true;
}

/* The first, or the first that another has published. */
static bool try_aside(struct naive *n, struct naive_pool *p)
{
        struct naive_held *first = p->aside.n ? p->aside.at[0] : NULL;

        if (first && naive_is_old(n, first->msg)) {
                naive_lose_held(n, first, WIRE_GAP_EXPIRED);
                return true;
        }
        if (!first || give_held(n, first))
                return first;
        for (size_t i = 1; i < p->aside.n; i++) {
                struct naive_held *other = p->aside.at[i];
                if (other->not_to != first->not_to)
                        return give_held(n, other);
        }
        return false;
}

static void run_waiting(struct naive *n, struct naive_pool *p)
{
        for (;;) {
                if (try_aside(n, p))
                        continue;
                struct many *next = p->returned.n ? &p->returned : &p->waiting;
                if (!next->n || !try_held(n, next->at[0]))
                        return;
        }
}

static uint64_t not_to(const struct naive_parked *pub)
{
        return pub->flags & WIRE_INGRESS_NO_ECHO ? pub->publisher->number : 0;
}

/* A group that waits for its members to come back is a receiver that does not read just now. */
static bool concerns(const struct naive_pool *p, const struct naive_parked *pub)
{
        return naive_has_anybody(p, not_to(pub)) || (p->acks && !naive_has_anybody(p, 0));
}

/* Returns false if there is no room. */
static bool take_in(struct naive *n, struct naive_pool *p, struct naive_parked *pub)
{
        if (p->acks || p->waiting.n || p->returned.n || !give(n, p, pub->msg, not_to(pub))) {
                if (!has_room(p))
                        return false;
                add_waiting(n, p, pub->msg, not_to(pub));
        }
        pub->n_received++;
        return true;
}

bool naive_pool_takes(struct naive *n, struct naive_pool *p, struct naive_parked *pub)
{
        if (!concerns(p, pub))
                return true;
        return !p->waiters.n && take_in(n, p, pub);
}

void naive_pool_takes_once(struct naive *n, struct naive_pool *p, struct naive_msg *m)
{
        if (!p->acks && !p->waiting.n && !p->returned.n && give(n, p, m, 0))
                return;
        if (p->waiters.n || !has_room(p)) {
                n->count.owed += lose(n, p, WIRE_GAP_OVERFLOW);
                return;
        }
        add_waiting(n, p, m, 0);
}

static void watch(struct naive *n, struct naive_pool *p)
{
        p->timer.at = 0;
        if (p->waiters.n)
                naive_set(n, &p->timer, n->stall_ms);
}

void naive_pool_waited_for(struct naive *n, struct naive_pool *p)
{
        if (!p->timer.at)
                watch(n, p);
}

static bool admit_waiters(struct naive *n, struct naive_pool *p)
{
        bool any = false;

        while (p->waiters.n) {
                struct naive_pending *w = p->waiters.at[0];
                if (concerns(p, w->parked) && !take_in(n, p, w->parked))
                        break;
                naive_resolve(n, w);
                any = true;
        }
        return any;
}

void naive_run(struct naive *n, struct naive_pool *p)
{
        if (p->members.n)
                run_waiting(n, p);
        bool any = admit_waiters(n, p);
        if (p->members.n && (any || !p->waiters.n || !p->timer.at))
                watch(n, p);
}

uint64_t naive_waiting(const struct naive *n)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < n->pools.n; i++) {
                const struct naive_pool *p = n->pools.at[i];
                sum += p->returned.n + p->waiting.n + p->aside.n + p->delayed.n;
        }
        return sum;
}
