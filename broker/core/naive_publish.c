/* Design note. Who gets a publication: groups and windows first, as they were made, then sessions
 * by number. Who has no room makes it wait, and everything that its publisher says behind it. */
#include "broker/core/naive.h"

struct naive_msg *naive_msg_new(struct naive *n, uint64_t sender, char topic, bool is_empty)
{
        struct naive_msg *m = naive_new(n, sizeof(*m));

        *m = (struct naive_msg){.sender = sender,
                .topic = topic,
                .number = is_empty ? 0 : ++n->last_msg,
                .born = n->now};
        return m;
}

static int rank_of(const struct naive_sub *sub)
{
        static const int ranks[] = {[WIRE_OVERFLOW_DISCONNECT] = 0,
                [WIRE_OVERFLOW_BLOCK] = 1,
                [WIRE_OVERFLOW_DROP_NEWEST] = 3,
                [WIRE_OVERFLOW_DROP_OLDEST] = 4,
                [WIRE_OVERFLOW_LATEST] = 5};

        return sub->has_rules ? ranks[sub->overflow] : NAIVE_BLOCK_RANK;
}

/* What a session gets of `m`, by all its subscriptions together and under the strictest of their
 * rules. Returns false if nothing matches. */
static bool entry_for(
        const struct naive_session *s, struct naive_msg *m, struct naive_entry *ret_entry)
{
        struct naive_entry e = {.msg = m};
        int strictest = 0;

        for (size_t i = 0; i < s->subs.n; i++) {
                struct naive_sub *sub = s->subs.at[i];
                if (sub->pool || !naive_matches(sub->filter, m->topic))
                        continue;
                if (!e.n_subs || rank_of(sub) < strictest) {
                        strictest = rank_of(sub);
                        e.lane = sub->has_rules ? sub : NULL;
                }
                e.subs[e.n_subs++] = sub->number;
        }
        *ret_entry = e;
        return e.n_subs > 0;
}

/* ---------------------------------------------------------------- waiting */

static struct naive_parked *park(struct naive *n, const struct naive_parked *like)
{
        struct naive_parked *p = naive_new(n, sizeof(*p));

        *p = *like;
        many_add(&p->publisher->parked, p);
        return p;
}

void naive_resolve(struct naive *n, struct naive_pending *p)
{
        struct naive_session *publisher = p->parked->publisher;

        (void)many_remove(p->pool ? &p->pool->waiters : &p->session->waiters, p);
        if (!--p->parked->n_pending && !many_has(&n->runnable, publisher))
                many_add(&n->runnable, publisher);
}

void naive_admit_waiters(struct naive *n, struct naive_session *s)
{
        while (s->state == NAIVE_OPEN && s->waiters.n) {
                struct naive_pending *p = s->waiters.at[0];
                if (!naive_has_room(n, s, p->entry.lane))
                        return;
                (void)naive_push(n, s, &p->entry);
                p->parked->n_received++;
                naive_resolve(n, p);
        }
}

/* ---------------------------------------------------------------- to its receivers */

/* A publication on its way; `parked` once it waits. */
struct way {
        struct naive_parked pub;
        struct naive_parked *parked;
};

static struct naive_parked *pub_of(struct way *w)
{
        return w->parked ? w->parked : &w->pub;
}

static void wait_for(struct naive *n, struct way *w, const struct naive_pending *like)
{
        struct naive_pending *p = naive_new(n, sizeof(*p));

        if (!w->parked)
                w->parked = park(n, &w->pub);
        *p = *like;
        p->parked = w->parked;
        w->parked->is_routed = true;
        w->parked->n_pending++;
        many_add(p->pool ? &p->pool->waiters : &p->session->waiters, p);
        if (p->pool)
                naive_pool_waited_for(n, p->pool);
        else
                naive_watch(n, p->session);
}

static void offer(struct naive *n, struct way *w, struct naive_session *s)
{
        struct naive_pending p = {.session = s};
        struct naive_parked *pub = pub_of(w);

        if (!entry_for(s, pub->msg, &p.entry) || s->state != NAIVE_OPEN ||
                (pub->flags & WIRE_INGRESS_NO_ECHO && s == pub->publisher))
                return;
        bool waits = naive_waits(p.entry.lane);
        if (waits ? !s->waiters.n && naive_has_room(n, s, p.entry.lane)
                  : naive_make_room(n, s, &p.entry)) {
                (void)naive_push(n, s, &p.entry);
                pub->n_received++;
        } else if (waits) {
                wait_for(n, w, &p);
        }
}

static void finish(struct naive *n, const struct naive_parked *pub)
{
        n->count.unrouted += !pub->n_received;
        if (pub->flags & WIRE_INGRESS_CONFIRM)
                naive_say(n, pub->publisher,
                        (struct naive_word){
                                .type = WIRE_OK, .id = pub->id, .value = pub->n_received});
}

static void retain(struct naive *n, struct naive_msg *m)
{
        for (size_t i = 0; i < n->retained.n; i++) {
                const struct naive_msg *old = n->retained.at[i];
                if (old->topic != m->topic)
                        continue;
                if (m->number)
                        n->retained.at[i] = m;
                else
                        (void)many_remove(&n->retained, old);
                return;
        }
        if (m->number)
                many_add(&n->retained, m);
}

static void set_will(struct naive_session *s, const struct naive_parked *pub)
{
        s->will = pub->msg;
        s->will_flags = pub->flags & WIRE_INGRESS_RETAIN;
}

static void keep_will(struct naive *n, const struct naive_parked *pub)
{
        struct naive_session *s = pub->publisher;

        if (s->state != NAIVE_GONE)
                set_will(s, pub);
        if (pub->flags & WIRE_INGRESS_CONFIRM)
                naive_say(n, s, (struct naive_word){.type = WIRE_OK, .id = pub->id});
}

/* Returns false if it waits. */
static bool publish_now(struct naive *n, struct way *w)
{
        struct naive_parked *pub = pub_of(w);

        pub->is_routed = true;
        if (pub->flags & WIRE_INGRESS_WILL) {
                keep_will(n, pub);
                return true;
        }
        if (pub->flags & WIRE_INGRESS_RETAIN)
                retain(n, pub->msg);
        size_t n_pools = n->pools.n; /* none is made meanwhile, and none ends */
        for (size_t i = 0; i < n_pools; i++) {
                struct naive_pool *p = n->pools.at[i];
                if (naive_matches(p->filter, pub->msg->topic) && !naive_pool_takes(n, p, pub_of(w)))
                        wait_for(n, w, &(struct naive_pending){.pool = p});
        }
        for (size_t i = 0; i < n->sessions.n; i++)
                offer(n, w, n->sessions.at[i]);
        if (w->parked && w->parked->n_pending)
                return false;
        finish(n, pub_of(w));
        return true;
}

static void submit(struct naive *n, const struct naive_parked *pub)
{
        struct way w = {.pub = *pub};

        if (pub->publisher->parked.n)
                (void)park(n, pub);
        else if (publish_now(n, &w) && w.parked)
                (void)many_remove(&pub->publisher->parked, w.parked);
}

void naive_publish(
        struct naive *n, struct naive_session *s, struct naive_msg *m, uint64_t flags, uint64_t id)
{
        n->count.published++;
        submit(n, &(struct naive_parked){.publisher = s, .msg = m, .flags = flags, .id = id});
        naive_resume(n);
}

void naive_publish_will(struct naive *n, struct naive_session *s)
{
        struct naive_msg *m;

        for (size_t i = 0; i < s->parked.n; i++) {
                const struct naive_parked *pub = s->parked.at[i];
                if (pub->flags & WIRE_INGRESS_WILL)
                        set_will(s, pub);
        }
        if (!(m = s->will))
                return;
        s->will = NULL;
        m->born = n->now;
        n->count.published++;
        submit(n, &(struct naive_parked){.publisher = s, .msg = m, .flags = s->will_flags});
}

static void go_on(struct naive *n, struct naive_session *s)
{
        while (s->parked.n) {
                struct naive_parked *p = s->parked.at[0];
                struct way w = {.parked = p};
                if (p->n_pending)
                        return;
                if (p->is_routed)
                        finish(n, p);
                else if (!publish_now(n, &w))
                        return;
                (void)many_remove(&s->parked, p);
        }
}

/* The ended first: nobody waits for them any more. */
void naive_resume(struct naive *n)
{
        struct naive_session *s;

        for (;;) {
                if (n->ended.n)
                        naive_strip(n, n->ended.at[0]);
                else if (n->due.n)
                        naive_run(n, many_take_first(&n->due));
                else if ((s = many_take_first(&n->runnable)))
                        go_on(n, s);
                else
                        return;
        }
}

void naive_offer_once(struct naive *n, struct naive_msg *m)
{
        for (size_t i = 0; i < n->pools.n; i++) {
                struct naive_pool *p = n->pools.at[i];
                if (naive_matches(p->filter, m->topic))
                        naive_pool_takes_once(n, p, m);
        }
        for (size_t i = 0; i < n->sessions.n; i++) {
                struct naive_session *s = n->sessions.at[i];
                struct naive_entry e;
                if (!entry_for(s, m, &e) || s->state != NAIVE_OPEN)
                        continue;
                bool has_room = !s->waiters.n && naive_has_room(n, s, e.lane);
                if (!naive_waits(e.lane) && !naive_make_room(n, s, &e))
                        continue;
                if (has_room || !naive_waits(e.lane)) {
                        (void)naive_push(n, s, &e);
                } else {
                        n->count.owed++;
                        naive_lose(n, s, &e, WIRE_GAP_OVERFLOW);
                }
        }
}

uint64_t naive_parked(const struct naive *n)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < n->sessions.n; i++)
                sum += ((const struct naive_session *)n->sessions.at[i])->parked.n;
        return sum;
}
