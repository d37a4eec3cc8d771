/* Design note. A group that acknowledges keeps each publication until a member says that it is
 * done: at least once. What a member has is in its queue (`place`), then under way, known by the
 * number it was sent under. It comes back when the member refuses it, lets its time pass, or ends;
 * after max_deliveries it goes to $sys.dead instead. What was queued and never sent comes back too,
 * and has not been delivered.
 *
 * Numbers of a session only increase, so what it has to answer for stands in a sorted array: a
 * range is found by halving, and a range that answers for nothing costs no more than that. Room in
 * it is taken before something is queued: when it has been sent nothing may fail any more.
 *
 * The time of a publication runs from when it was given to the member: one that does not read is as
 * late as one that does not answer. */
#include "broker/core/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ACKS = 16 };

/* ---------------------------------------------------------------- the array */

/* Room for all that are due, and as much again: moving them down is rare then. */
static int reserve(struct acks *a)
{
        if (a->cap >= 2 * (a->n_due + 1))
                return 0;
        size_t cap = a->cap ? 2 * a->cap : FIRST_ACKS;
        struct pool_entry **at = realloc(a->at, cap * sizeof(struct pool_entry *));
        if (!at)
                return -ENOMEM;
        a->at = at;
        a->cap = cap;
        return 0;
}

static void append(struct acks *a, struct pool_entry *e)
{
        if (a->start + a->n == a->cap) {
                memmove(a->at, a->at + a->start, a->n * sizeof(struct pool_entry *));
                a->start = 0;
        }
        a->at[a->start + a->n++] = e;
}

/* Index, from `start` on, of the first that is not below `seq`. */
static size_t find(const struct acks *a, uint64_t seq)
{
        size_t low = 0, high = a->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (a->at[a->start + middle]->seq < seq)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static void remove_at(struct acks *a, size_t i)
{
        struct pool_entry **at = a->at + a->start;
        size_t size = sizeof(struct pool_entry *);

        a->n--;
        if (i > a->n / 2) {
                memmove(at + i, at + i + 1, (a->n - i) * size);
        } else {
                memmove(at + 1, at, i * size);
                a->start++;
        }
}

/* ---------------------------------------------------------------- back and forth */

static void count_waiting(struct core *c, const struct pool_entry *e, bool add)
{
        c->count.pooled += add ? e->msg->n_frames : -(uint64_t)e->msg->n_frames;
}

static int queue_for(struct core *c, struct member *to, struct pool_entry *e)
{
        struct session *s = to->sub->session;
        struct target t = {.session = s, .subset = to->subset, .max_fds = to->sub->max_fds};
        uint64_t until = c->now_ns + e->pool->ack_ms * UINT64_C(1000000);

        if (reserve(&s->acks) < 0 || heap_set(&c->timers, &e->timer.node, until) < 0)
                return -ENOMEM;
        int r = e->request ? request_add_holder(c, e->request, s) : 0;
        if (r == 0)
                r = queue_place(c, s, &e->place, e->msg, &t, e->n_sent);
        if (r < 0)
                heap_remove(&c->timers, &e->timer.node);
        return r;
}

bool pool_hand_over(struct core *c, struct member *to, struct pool_entry *e)
{
        struct session *s = to->sub->session;

        if (queue_for(c, to, e) < 0) {
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for your queue");
                return false;
        }
        list_remove(&e->link);
        list_push_back(&to->under_way, &e->link);
        e->with = to;
        e->last = s->number;
        to->free--;
        s->acks.n_due++;
        count_waiting(c, e, false);
        return true;
}

void pool_sent(struct core *c, struct entry *place, uint64_t seq)
{
        struct pool_entry *e = pool_entry_of(place);

        e->seq = seq;
        e->n_sent++;
        append(&e->with->sub->session->acks, e);
        c->count.unacked++;
}

/* From the member that has it. Returns true if that was sent it. */
static bool take_back(struct core *c, struct pool_entry *e)
{
        struct member *m = e->with;
        struct session *s = m->sub->session;
        bool was_sent = e->seq != 0;

        heap_remove(&c->timers, &e->timer.node);
        if (was_sent) {
                remove_at(&s->acks, find(&s->acks, e->seq));
                c->count.unacked--;
        }
        if (list_is_linked(&e->place.link))
                queue_withdraw(c, s, &e->place);
        s->acks.n_due--;
        m->free++;
        list_remove(&e->link);
        e->with = NULL;
        e->seq = 0;
        count_waiting(c, e, true);
        return was_sent;
}

void pool_let_go(struct core *c, struct pool_entry *e)
{
        (void)take_back(c, e);
        pool_free_entry(c, e);
}

/* It has failed too often. */
static void bury(struct core *c, struct pool_entry *e)
{
        struct request *r = e->request;

        c->count.dead++;
        dead_publish(c, e->pool, e->msg);
        pool_free_entry(c, e);
        if (r)
                request_end_if_deserted(c, r);
}

static void delay(struct core *c, struct pool_entry *e, uint64_t ms)
{
        struct list *to = &e->pool->delayed;

        if (ms > WIRE_REQUEST_MS_MAX)
                ms = WIRE_REQUEST_MS_MAX;
        /* Without memory for that it comes at once. */
        if (!ms || heap_set(&c->timers, &e->timer.node, c->now_ns + ms * UINT64_C(1000000)) < 0)
                to = &e->pool->returned;
        list_push_back(to, &e->link);
}

void pool_return(struct core *c, struct pool_entry *e, uint64_t delay_ms)
{
        bool is_over = e->msg->token && !e->request;

        c->count.returned += take_back(c, e);
        if (is_over)
                pool_discard(c, e); /* nobody waits for the answer any more */
        else if (e->n_sent >= e->pool->max_deliveries)
                bury(c, e);
        else
                delay(c, e, delay_ms);
}

/* Who did not get a request, or will not deal with it, cannot answer it. */
static void drop_right(struct core *c, const struct pool_entry *e)
{
        struct holder *h =
                e->request ? request_holder(c, e->with->sub->session, e->msg->token) : NULL;

        if (h)
                request_drop_holder(c, h);
}

/* ---------------------------------------------------------------- answers */

/* That changes who may get what waits, in all its groups. */
static void set_late(struct core *c, struct session *s, bool is_late)
{
        if (s->is_late == is_late)
                return;
        s->is_late = is_late;
        pool_drained(c, s);
}

void pool_answer(struct core *c, struct session *s, const struct msg_ack *m, bool is_refused)
{
        struct acks *a = &s->acks;

        set_late(c, s, false);
        size_t i = find(a, m->first);
        while (i < a->n && a->at[a->start + i]->seq <= m->last) {
                struct pool_entry *e = a->at[a->start + i];
                struct pool *p = e->pool;
                if (is_refused) {
                        drop_right(c, e);
                        pool_return(c, e, m->delay_ms);
                } else {
                        pool_let_go(c, e);
                }
                pool_run(c, p);
        }
}

void pool_time(struct core *c, struct timer *t)
{
        struct pool_entry *e = container_of(t, struct pool_entry, timer);
        struct pool *p = e->pool;
        struct session *s = e->with ? e->with->sub->session : NULL;

        if (s) {
                if (!e->seq)
                        drop_right(c, e);
                pool_return(c, e, 0);
                set_late(c, s, true);
        } else { /* it was delayed */
                list_remove(&e->link);
                list_push_back(&p->returned, &e->link);
        }
        pool_run(c, p);
        if (s && s->state == SESSION_OPEN)
                out_drained(c, s); /* others may have waited for the room that it had */
}

/* ---------------------------------------------------------------- from the queue */

void pool_drop(struct core *c, struct entry *place)
{
        struct pool_entry *e = pool_entry_of(place);

        drop_right(c, e);
        (void)take_back(c, e);
        pool_lose(c, e, WIRE_GAP_EXPIRED);
}

void pool_failed(struct core *c, struct entry *place)
{
        struct pool_entry *e = pool_entry_of(place);
        struct pool *p = e->pool;

        e->n_sent += !e->seq;
        drop_right(c, e);
        pool_return(c, e, 0);
        pool_run(c, p);
}

void acks_deinit(struct acks *a)
{
        free(a->at);
        *a = (struct acks){0};
}
