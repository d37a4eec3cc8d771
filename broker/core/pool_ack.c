/* Design note. A group that acknowledges keeps each publication until a member says that it is
 * done: at least once. What a member has is in its queue (`place`), then under way, known by the
 * number it was sent under.
 *
 * A member works through what it has from the first on, so time runs for the first alone, and anew
 * when that is answered. When it has run out, or the member is lost, all of it comes back, and the
 * first of it has failed; what stood behind has only waited. What a member refuses has failed, what
 * one that leaves in order gives back has not. After max_deliveries failures it goes to $sys.dead.
 * Who is late already is given one at a time, if there is nobody else, and what it lets pass again
 * has not failed: that says nothing about the publication.
 *
 * Numbers of a session only increase, so what it has to answer for stands in a sorted array, of a
 * bounded length; a range is found by halving. Room in it is taken before something is queued: when
 * it has been sent nothing may fail any more. */
#include "broker/core/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
        FIRST_ACKS = 16,
        /* What one member could not be sent, for the moment, goes to another after so long. */
        UNREADABLE_MS = 1000,
        /* Who has not been sent what it was given for so long does not read. */
        UNREAD_MS = 1000,
};

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

/* The first that a member has is the one it has to answer now. Returns 0 · -ENOMEM (not if it is
 * set already). */
static int arm(struct core *c, struct member *m)
{
        if (list_is_empty(&m->under_way)) {
                heap_remove(&c->timers, &m->timer.node);
                return 0;
        }
        m->first_ns = c->now_ns;
        return heap_set(&c->timers, &m->timer.node, core_in_ms(c, m->pool->ack_ms));
}

bool pool_does_not_read(const struct core *c, const struct member *m)
{
        const struct list *link = list_first(&m->under_way);

        return link && !list_entry(link, struct pool_entry, link)->seq &&
               c->now_ns - m->first_ns >= UNREAD_MS * UINT64_C(1000000);
}

static int queue_for(struct core *c, struct member *to, struct pool_entry *e)
{
        struct session *s = to->sub->session;
        struct target t = {.session = s, .subset = to->subset, .max_fds = to->sub->max_fds};

        if (reserve(&s->acks) < 0)
                return -ENOMEM;
        int r = e->request ? request_add_holder(c, e->request, s) : 0;
        return r < 0 ? r : queue_place(c, s, &e->place, e->msg, &t, e->n_sent);
}

bool pool_hand_over(struct core *c, struct member *to, struct pool_entry *e)
{
        struct session *s = to->sub->session;
        bool is_first = list_is_empty(&to->under_way);
        int r = queue_for(c, to, e);

        if (r == 0) {
                list_remove(&e->link);
                list_push_back(&to->under_way, &e->link);
                if (is_first && (r = arm(c, to)) < 0) {
                        list_remove(&e->link);
                        list_push_front(&e->pool->returned, &e->link);
                        queue_withdraw(c, s, &e->place);
                }
        }
        if (r < 0) {
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for your queue");
                return false;
        }
        heap_remove(&c->timers, &e->timer.node);
        e->with = to;
        e->last = s->number;
        e->is_probe = s->is_late;
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
        bool was_sent = e->seq != 0, was_first = list_first(&m->under_way) == &e->link;

        if (was_sent) {
                remove_at(&s->acks, find(&s->acks, e->seq));
                c->count.unacked--;
        }
        if (list_is_linked(&e->place.link))
                queue_withdraw(c, s, &e->place);
        bool was_full = s->acks.n_due-- == c->config.limits.unacknowledged;
        if (was_full || (s->is_late && !s->acks.n_due))
                pool_drained(c, s); /* it may get something in any of its groups now */
        m->free++;
        list_remove(&e->link);
        if (was_first) {
                int r = arm(c, m); /* cannot fail: it was set */
                (void)r;
        }
        e->with = NULL;
        e->seq = 0;
        count_waiting(c, e, true);
        pool_touch(c, e->pool);
        return was_sent;
}

/* It has failed too often. */
static void bury(struct core *c, struct pool_entry *e)
{
        struct request *r = e->request;

        c->count.dead++;
        dead_publish(c, e);
        pool_free_entry(c, e);
        if (r)
                request_end_if_deserted(c, r);
}

static void delay(struct core *c, struct pool_entry *e, uint64_t ms)
{
        if (ms > WIRE_ACK_MS_MAX)
                ms = WIRE_ACK_MS_MAX;
        uint64_t at = core_in_ms(c, ms), end = e->msg->born_ns + e->msg->ttl_ns;
        if (e->msg->ttl_ns && end < at)
                at = end; /* it is too old before */
        e->is_delayed = ms && heap_set(&c->timers, &e->timer.node, at) == 0;
        if (e->is_delayed) {
                list_push_back(&e->pool->delayed, &e->link);
        } else { /* at once, also without memory to wait */
                list_push_back(&e->pool->returned, &e->link);
                pool_set_expiry(c, e);
        }
}

/* Takes it back, to be delivered again at once or later, if it may be. */
static void bring_back(struct core *c, struct pool_entry *e, bool has_failed, uint64_t delay_ms)
{
        bool is_over = e->msg->token && !e->request;

        e->n_failed += has_failed;
        c->count.returned += take_back(c, e);
        if (is_over)
                pool_discard(c, e); /* nobody waits for the answer any more */
        else if (e->n_failed >= e->pool->max_deliveries)
                bury(c, e);
        else
                delay(c, e, delay_ms);
}

static struct holder *holder_of(const struct core *c, const struct pool_entry *e)
{
        return e->request ? request_holder(c, e->with->sub->session, e->msg->token) : NULL;
}

/* Who did not get a request, or will not deal with it, cannot answer it. */
static void drop_right(struct core *c, const struct pool_entry *e)
{
        struct holder *h = holder_of(c, e);

        if (h)
                request_drop_holder(c, h);
}

/* Who got it may answer yet, until it is given the request again and refuses. */
static void loosen_right(const struct core *c, const struct pool_entry *e)
{
        struct holder *h = holder_of(c, e);

        if (h && h->n_copies)
                h->n_copies--;
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
                if (is_refused) {
                        drop_right(c, e);
                        bring_back(c, e, true, m->delay_ms);
                } else {
                        (void)take_back(c, e);
                        pool_free_entry(c, e);
                }
        }
}

/* ---------------------------------------------------------------- the member's end, or lateness */

static struct pool_entry *first_of(const struct member *m)
{
        struct list *link = list_first(&m->under_way);

        return link ? list_entry(link, struct pool_entry, link) : NULL;
}

/* All that it has. The first has failed with it, unless that was known of the member before; the
 * others waited behind that one. */
static void bring_all_back(struct core *c, struct member *m, bool first_failed)
{
        struct pool_entry *e = first_of(m);
        bool has_failed = first_failed && e && e->seq && !e->is_probe;

        for (; (e = first_of(m)); has_failed = false) {
                if (e->seq)
                        loosen_right(c, e);
                else
                        drop_right(c, e);
                bring_back(c, e, has_failed, 0);
        }
}

/* It was not even sent the first. That may be for a moment; and if nobody else is there nothing is
 * won by taking all back. Returns false if it is time to. */
static bool wait_longer(struct core *c, struct member *m)
{
        uint64_t until = m->first_ns + UNREAD_MS * UINT64_C(1000000);

        if (!pool_has_anybody(m->pool, m->sub->session->number))
                until = core_in_ms(c, UNREAD_MS);
        return until > c->now_ns && heap_set(&c->timers, &m->timer.node, until) == 0;
}

void pool_late(struct core *c, struct timer *t)
{
        struct member *m = container_of(t, struct member, timer);
        struct session *s = m->sub->session;
        bool was_sent = first_of(m)->seq != 0;
        uint64_t n_queued = s->queue_messages;

        if (!was_sent && wait_longer(c, m))
                return;

        bring_all_back(c, m, true);
        if (was_sent)
                set_late(c, s, true);
        if (s->state == SESSION_OPEN && s->queue_messages < n_queued)
                out_drained(c, s); /* others may have waited for the room that it had */
}

void pool_give_up(struct core *c, struct member *m, bool is_lost)
{
        struct pool_entry *e;

        if (!c->is_stopping)
                bring_all_back(c, m, is_lost);
        while ((e = first_of(m))) { /* what is queued is sent yet */
                (void)take_back(c, e);
                pool_free_entry(c, e);
        }
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

        drop_right(c, e);
        bring_back(c, e, true, UNREADABLE_MS);
}

void acks_deinit(struct acks *a)
{
        free(a->at);
        *a = (struct acks){0};
}
