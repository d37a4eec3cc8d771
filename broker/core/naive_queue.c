/* Design note. A session's backlog: who has room, what is dropped, and how that is told. */
#include "broker/core/naive.h"

#include <string.h>

/* ---------------------------------------------------------------- small questions */

bool naive_matches(char filter, char topic)
{
        return filter == topic || (filter == '*' && topic != NAIVE_DEAD);
}

bool naive_is_old(const struct naive *n, const struct naive_msg *m)
{
        return m->ttl && n->now - m->born >= m->ttl;
}

bool naive_waits(const struct naive_sub *lane)
{
        return !lane || lane->overflow == WIRE_OVERFLOW_BLOCK;
}

static struct naive_entry *entry_at(const struct naive_session *s, size_t i)
{
        return s->queue.at[i];
}

static size_t n_of_lane(const struct naive_session *s, const struct naive_sub *lane)
{
        size_t sum = 0;

        for (size_t i = 0; i < s->queue.n; i++)
                sum += entry_at(s, i)->msg && entry_at(s, i)->lane == lane;
        return sum;
}

/* Gaps take a place, too. One always fits. */
bool naive_has_room(
        const struct naive *n, const struct naive_session *s, const struct naive_sub *lane)
{
        size_t in_lane = lane ? n_of_lane(s, lane) : 0;

        if (!s->queue.n)
                return true;
        return (!in_lane || in_lane < lane->most) && s->queue.n < n->queue_messages;
}

/* Of what makes others wait, no more than a quarter of what may be. */
bool naive_is_low(const struct naive *n, const struct naive_session *s)
{
        size_t sum = 0;

        for (size_t i = 0; i < s->queue.n; i++)
                sum += entry_at(s, i)->msg && naive_waits(entry_at(s, i)->lane);
        return sum <= n->queue_messages / LIMIT_LOW_WATER_DIVISOR;
}

void naive_watch(struct naive *n, struct naive_session *s)
{
        if (naive_is_low(n, s) && !s->waiters.n)
                s->stall.at = 0;
        else if (!s->stall.at)
                naive_set(n, &s->stall, n->stall_ms);
}

void naive_mark(struct naive *n, struct naive_session *s)
{
        if (s->state != NAIVE_GONE && !s->is_full && !many_has(&n->dirty, s))
                many_add(&n->dirty, s);
}

void naive_say(struct naive *n, struct naive_session *s, struct naive_word word)
{
        struct naive_word *w = naive_new(n, sizeof(*w));

        if (s->state != NAIVE_OPEN)
                return;
        *w = word;
        many_add(&s->control, w);
        naive_mark(n, s);
}

/* ---------------------------------------------------------------- gaps */

static bool is_same_gap(const struct naive_entry *a, const struct naive_entry *b)
{
        return !a->msg && !b->msg && a->reason == b->reason && a->n_subs == b->n_subs &&
               !memcmp(a->subs, b->subs, a->n_subs * sizeof(a->subs[0]));
}

/* Gives the gap `e` to another like it, with nothing but gaps between. */
static bool merge(struct naive_session *s, struct naive_entry *e, size_t i, int step)
{
        for (size_t j = i + (size_t)step; j < s->queue.n && !entry_at(s, j)->msg;
                j += (size_t)step) {
                if (!is_same_gap(entry_at(s, j), e))
                        continue;
                entry_at(s, j)->lost += e->lost;
                return many_remove(&s->queue, e);
        }
        return false;
}

void naive_drop(struct naive *n, struct naive_session *s, struct naive_entry *e, unsigned reason)
{
        size_t i = 0;

        if (e->held) {
                naive_pool_drop(n, e->held);
                return;
        }
        while (entry_at(s, i) != e)
                i++;
        n->count.dropped++;
        e->msg = NULL;
        e->reason = reason;
        e->lost = 1;
        if (!merge(s, e, i, -1))
                (void)merge(s, e, i, 1);
}

void naive_lose(
        struct naive *n, struct naive_session *s, const struct naive_entry *like, unsigned reason)
{
        struct naive_entry gap = {.n_subs = like->n_subs, .reason = reason, .lost = 1};

        memcpy(gap.subs, like->subs, sizeof(gap.subs));
        n->count.dropped++;
        for (size_t i = s->queue.n; i-- && !entry_at(s, i)->msg;) {
                if (is_same_gap(entry_at(s, i), &gap)) {
                        entry_at(s, i)->lost++;
                        return;
                }
        }
        (void)naive_push(n, s, &gap);
}

/* ---------------------------------------------------------------- overflow */

static void make_latest(struct naive_session *s, struct naive_entry *e)
{
        for (size_t i = 0; i < s->queue.n; i++) {
                struct naive_entry *other = entry_at(s, i);
                if (other->msg && other->lane == e->lane && other->msg->topic == e->msg->topic)
                        other->is_latest = false;
        }
        e->is_latest = true;
}

struct naive_entry *naive_push(
        struct naive *n, struct naive_session *s, const struct naive_entry *like)
{
        struct naive_entry *e = naive_new(n, sizeof(*e));

        *e = *like;
        if (e->msg && e->lane && e->lane->overflow == WIRE_OVERFLOW_LATEST)
                make_latest(s, e);
        if (e->msg && e->lane && !s->is_full && !many_has(&s->untried, e->lane))
                many_add(&s->untried, e->lane);
        n->count.owed += e->msg && !e->had_waited;
        many_add(&s->queue, e);
        naive_mark(n, s);
        naive_watch(n, s);
        return e;
}

/* The oldest of a lane, or the newest; NULL: there is none. */
static struct naive_entry *end_of(
        const struct naive_session *s, const struct naive_sub *lane, bool newest)
{
        struct naive_entry *found = NULL;

        for (size_t i = 0; i < s->queue.n; i++) {
                if (entry_at(s, i)->msg && entry_at(s, i)->lane == lane && (newest || !found))
                        found = entry_at(s, i);
        }
        return found;
}

static struct naive_entry *latest_of(
        const struct naive_session *s, const struct naive_sub *lane, char topic)
{
        for (size_t i = 0; i < s->queue.n; i++) {
                struct naive_entry *e = entry_at(s, i);
                if (e->msg && e->lane == lane && e->is_latest && e->msg->topic == topic)
                        return e;
        }
        return NULL;
}

static bool drops_old(const struct naive_sub *lane)
{
        return lane->overflow == WIRE_OVERFLOW_DROP_OLDEST ||
               lane->overflow == WIRE_OVERFLOW_LATEST;
}

/* With the one that there was no room for. */
static void naive_disconnect(struct naive *n, struct naive_session *s)
{
        s->discarded++;
        n->count.discarded++;
        naive_end(n, s, WIRE_CODE_LIMIT);
}

bool naive_make_room(struct naive *n, struct naive_session *s, const struct naive_entry *e)
{
        struct naive_sub *lane = e->lane;
        struct naive_entry *victim;

        if (!s->is_full && naive_has_room(n, s, NULL))
                return true;
        if (lane->overflow == WIRE_OVERFLOW_LATEST && (victim = latest_of(s, lane, e->msg->topic)))
                naive_drop(n, s, victim, WIRE_GAP_OVERFLOW);
        while (!naive_has_room(n, s, lane)) {
                if (drops_old(lane) && (victim = end_of(s, lane, false))) {
                        naive_drop(n, s, victim, WIRE_GAP_OVERFLOW);
                        continue;
                }
                n->count.owed++;
                if (lane->overflow == WIRE_OVERFLOW_DISCONNECT)
                        naive_disconnect(n, s);
                else
                        naive_lose(n, s, e, WIRE_GAP_OVERFLOW);
                return false;
        }
        return true;
}

/* The socket is full: now the limits of these lanes hold. */
void naive_trim(struct naive *n, struct naive_session *s)
{
        for (struct naive_sub *lane; (lane = many_take_first(&s->untried));) {
                for (size_t i = 0; lane->overflow == WIRE_OVERFLOW_LATEST && i < s->queue.n; i++) {
                        struct naive_entry *e = entry_at(s, i);
                        if (!e->msg || e->lane != lane || e->is_latest)
                                continue;
                        naive_drop(n, s, e, WIRE_GAP_OVERFLOW);
                        i = (size_t)-1; /* from the beginning */
                }
                size_t over = n_of_lane(s, lane);
                bool is_over = over > 1 && over > lane->most;
                if (is_over && lane->overflow == WIRE_OVERFLOW_DISCONNECT)
                        naive_end(n, s, WIRE_CODE_LIMIT);
                while (is_over && !naive_waits(lane) &&
                        lane->overflow != WIRE_OVERFLOW_DISCONNECT) {
                        naive_drop(n, s, end_of(s, lane, !drops_old(lane)), WIRE_GAP_OVERFLOW);
                        over = n_of_lane(s, lane);
                        is_over = over > 1 && over > lane->most;
                }
        }
}
