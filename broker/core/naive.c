/* Design note. Sessions and their backlogs: who has room, what is dropped, what is sent. */
#include "broker/core/naive.h"

#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- lists */

void many_insert(struct many *m, size_t i, void *p)
{
        if (m->n == m->cap) {
                m->cap = m->cap * 2 + 4;
                m->at = realloc(m->at, m->cap * sizeof(void *));
                if (!m->at)
                        abort();
        }
        memmove(m->at + i + 1, m->at + i, (m->n - i) * sizeof(void *));
        m->at[i] = p;
        m->n++;
}

void many_add(struct many *m, void *p)
{
        many_insert(m, m->n, p);
}

void many_add_first(struct many *m, void *p)
{
        many_insert(m, 0, p);
}

bool many_remove(struct many *m, const void *p)
{
        for (size_t i = 0; i < m->n; i++) {
                if (m->at[i] != p)
                        continue;
                memmove(m->at + i, m->at + i + 1, (--m->n - i) * sizeof(void *));
                return true;
        }
        return false;
}

void *many_take_first(struct many *m)
{
        void *p = m->n ? m->at[0] : NULL;

        (void)many_remove(m, p);
        return p;
}

bool many_has(const struct many *m, const void *p)
{
        for (size_t i = 0; i < m->n; i++) {
                if (m->at[i] == p)
                        return true;
        }
        return false;
}

void *naive_new(struct naive *n, size_t size)
{
        void *p = calloc(1, size);

        if (!p)
                abort();
        many_add(&n->garbage, p);
        return p;
}

void naive_set(struct naive *n, struct naive_timer *t, uint64_t ms)
{
        *t = (struct naive_timer){n->now + ms * 1000000, n->n_timers++};
}

static struct naive_entry *entry_at(const struct naive_session *s, size_t i)
{
        return s->queue.at[i];
}

/* ---------------------------------------------------------------- sending */

static bool expire(struct naive *n, struct naive_session *s)
{
        bool any = false;

        for (size_t i = 0; i < s->queue.n; i++) {
                if (!entry_at(s, i)->msg || !naive_is_old(n, entry_at(s, i)->msg))
                        continue;
                naive_drop(n, s, entry_at(s, i), WIRE_GAP_EXPIRED);
                any = true;
                i = (size_t)-1; /* from the beginning */
        }
        return any;
}

static void hear(struct naive *n, struct naive_session *s, struct naive_word word)
{
        struct naive_word *w = naive_new(n, sizeof(*w));

        *w = word;
        many_add(&s->words, w);
}

static void send_entry(struct naive *n, struct naive_session *s, const struct naive_entry *e)
{
        if (e->msg) {
                if (e->held)
                        naive_pool_sent(e->held, s->next_seq);
                hear(n, s,
                        (struct naive_word){.type = WIRE_PUB, .seq = s->next_seq++, .entry = *e});
                n->count.delivered++;
                return;
        }
        for (size_t i = 0; i < e->n_subs; i++)
                hear(n, s,
                        (struct naive_word){.type = WIRE_GAP,
                                .id = e->subs[i],
                                .count = e->lost,
                                .reason = e->reason,
                                .seq = s->next_seq});
}

/* Everything at once: it fits a packet. */
static void send(struct naive *n, struct naive_session *s)
{
        size_t n_entries = s->state == NAIVE_OPEN ? s->queue.n : 0;
        struct naive_word *w;

        while ((w = many_take_first(&s->control)))
                hear(n, s, *w);
        while (n_entries--)
                send_entry(n, s, many_take_first(&s->queue));
        naive_drained(n, s);
        naive_resume(n);
}

void naive_drained(struct naive *n, struct naive_session *s)
{
        if (!naive_is_low(n, s))
                return;
        s->stall.at = 0;
        naive_admit_waiters(n, s);
        naive_touch_all(n, s);
        naive_watch(n, s);
}

static bool has_something(const struct naive_session *s)
{
        return s->control.n || (s->state == NAIVE_OPEN && s->queue.n);
}

static void flush(struct naive *n, struct naive_session *s)
{
        while (!s->is_full && s->state != NAIVE_GONE) {
                while (expire(n, s)) {
                        naive_drained(n, s);
                        naive_resume(n);
                }
                if (!has_something(s)) {
                        naive_resume(n);
                        break;
                }
                if (s->reads || s->state == NAIVE_ENDING) {
                        send(n, s); /* for BYE there is a little room */
                        continue;
                }
                s->is_full = true;
                naive_trim(n, s);
                (void)many_remove(&n->dirty, s);
                naive_resume(n);
        }
        if (s->state == NAIVE_ENDING && !s->control.n)
                naive_close(n, s);
}

void naive_flush(struct naive *n)
{
        for (struct naive_session *s; (s = many_take_first(&n->dirty));)
                flush(n, s);
}

/* ---------------------------------------------------------------- coming and going */

struct naive_session *naive_open(struct naive *n)
{
        struct naive_session *s = naive_new(n, sizeof(*s));

        s->number = ++n->last_session;
        s->reads = true;
        s->next_seq = 1;
        many_add(&n->sessions, s);
        return s;
}

/* A client that does not read hears no more than why. */
void naive_end(struct naive *n, struct naive_session *s, enum wire_code code)
{
        if (s->state != NAIVE_OPEN)
                return;
        if (s->is_full || !s->reads)
                s->control.n = 0;
        naive_say(n, s, (struct naive_word){.type = WIRE_BYE, .value = code});
        s->is_full = false;
        s->state = NAIVE_ENDING;
        many_add(&n->ended, s);
        naive_mark(n, s);
}

static void free_sub(struct naive *n, struct naive_sub *sub)
{
        (void)many_remove(&sub->session->subs, sub);
        if (sub->pool)
                naive_leave_pool(n, sub);
}

static void drop_subs(struct naive *n, struct naive_session *s)
{
        while (s->pooled.n)
                free_sub(n, s->pooled.at[0]);
        s->subs.n = 0;
}

void naive_strip(struct naive *n, struct naive_session *s)
{
        (void)many_remove(&n->ended, s);
        drop_subs(n, s);
        while (s->waiters.n) {
                s->discarded++;
                naive_resolve(n, s->waiters.at[0]);
        }
        for (size_t i = 0; i < s->queue.n; i++) {
                s->discarded += entry_at(s, i)->msg != NULL;
                n->count.discarded += entry_at(s, i)->msg != NULL;
        }
        s->queue.n = s->untried.n = 0;
        s->stall.at = 0;
}

void naive_close(struct naive *n, struct naive_session *s)
{
        if (s->state == NAIVE_GONE)
                return;
        s->state = NAIVE_GONE;
        s->control.n = 0;
        (void)many_remove(&n->dirty, s);
        naive_strip(n, s);
        naive_publish_will(n, s);
        naive_resume(n);
}

void naive_leave(struct naive *n, struct naive_session *s)
{
        s->will = NULL;
        s->has_left = true;
        naive_end(n, s, WIRE_CODE_NONE);
        naive_resume(n);
}

void naive_read(struct naive *n, struct naive_session *s, bool reads)
{
        s->reads = reads;
        if (!reads)
                return;
        s->is_full = false;
        naive_mark(n, s);
}

void naive_subscribe(struct naive *n, struct naive_session *s, const struct naive_asked *a)
{
        const struct naive_pool *p = a->group ? naive_find_pool(n, a) : NULL;

        if (p && naive_is_other(p, a)) {
                naive_say(n, s,
                        (struct naive_word){
                                .type = WIRE_ERR, .id = a->id, .value = WIRE_CODE_DUPLICATE});
                return;
        }
        struct naive_sub *sub = naive_new(n, sizeof(*sub));
        *sub = (struct naive_sub){.session = s,
                .number = ++s->last_sub,
                .filter = a->filter,
                .overflow = a->overflow,
                .has_rules = a->overflow != WIRE_OVERFLOW_BLOCK || a->messages,
                .most = a->messages && a->messages < n->queue_messages ? a->messages
                                                                       : n->queue_messages};
        many_add(&s->subs, sub);
        if (a->group || a->window)
                naive_join(n, sub, a);
        naive_say(n, s, (struct naive_word){.type = WIRE_OK, .id = a->id, .value = a->overflow});
        if (sub->pool)
                naive_touch(n, sub->pool);
        for (size_t i = 0; !a->group && s->state == NAIVE_OPEN && i < n->retained.n; i++) {
                struct naive_msg *m = n->retained.at[i];
                struct naive_entry e = {.msg = m, .subs = {sub->number}, .n_subs = 1};
                if (naive_is_old(n, m)) {
                        (void)many_remove(&n->retained, m);
                        i--;
                        continue;
                }
                e.is_retained = true;
                e.lane = sub->has_rules && !sub->pool ? sub : NULL;
                if (!naive_matches(a->filter, m->topic) ||
                        (!naive_waits(e.lane) && !naive_make_room(n, s, &e)))
                        continue;
                (void)naive_push(n, s, &e);
                sub->free--;
        }
        naive_resume(n);
}

void naive_unsubscribe(struct naive *n, struct naive_session *s, struct naive_sub *sub, uint64_t id)
{
        free_sub(n, sub);
        naive_say(n, s, (struct naive_word){.type = WIRE_OK, .id = id});
        naive_resume(n);
}

/* ---------------------------------------------------------------- time */

void naive_tick(struct naive *n, uint64_t ms)
{
        struct naive_due due;

        n->now += ms * 1000000;
        while ((due = naive_first_due(n)).timer && due.timer->at <= n->now) {
                due.timer->at = 0;
                if (due.session)
                        naive_end(n, due.session, WIRE_CODE_STALLED);
                else if (due.pool)
                        naive_pool_timer(n, due.pool);
                else if (due.member)
                        naive_late(n, due.member);
                else
                        naive_held_timer(n, due.held);
        }
        naive_resume(n);
}

/* ---------------------------------------------------------------- sums */

uint64_t naive_queued(const struct naive *n)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < n->sessions.n; i++) {
                const struct naive_session *s = n->sessions.at[i];
                for (size_t k = 0; k < s->queue.n; k++)
                        sum += entry_at(s, k)->msg != NULL;
        }
        return sum;
}

uint64_t naive_subs(const struct naive *n)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < n->sessions.n; i++)
                sum += ((const struct naive_session *)n->sessions.at[i])->subs.n;
        return sum;
}

void naive_init(struct naive *n, size_t queue_messages, uint64_t stall_ms, uint64_t linger_ms)
{
        *n = (struct naive){
                .queue_messages = queue_messages, .stall_ms = stall_ms, .linger_ms = linger_ms};
}

void naive_deinit(struct naive *n)
{
        struct many *lists[] = {&n->sessions, &n->pools, &n->retained, &n->dirty, &n->runnable,
                &n->ended, &n->due, &n->garbage};

        for (size_t i = 0; i < n->sessions.n; i++) {
                struct naive_session *s = n->sessions.at[i];
                struct many *own[] = {&s->subs, &s->pooled, &s->control, &s->queue, &s->untried,
                        &s->waiters, &s->parked, &s->unacked, &s->words};
                for (size_t k = 0; k < sizeof(own) / sizeof(own[0]); k++)
                        free(own[k]->at);
        }
        naive_free_pools(n);
        for (size_t i = 0; i < n->garbage.n; i++)
                free(n->garbage.at[i]);
        for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
                free(lists[i]->at);
}
