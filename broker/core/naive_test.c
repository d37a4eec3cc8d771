/* The core and a naive broker (naive.h) are told the same, a million times, and after each time
 * every client must have heard the same from both: deliveries with their numbers, gaps, confirms,
 * and why it was ended; and the counters must agree.
 *
 * A failure prints its seed; SIM_SEED=n plays it again, SIM_ROUNDS=n plays more of them. */
#include "broker/core/fake.h"
#include "broker/core/naive_hear.h"
#include "proto/base/map.h"
#include "tests/harness/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 20000, LIVE = 7, REPORT_EVERY = 40 };

/* Sanitizers look at fewer: they take ten times as long. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 5 };
#else
enum { ROUNDS = 50 };
#endif

struct pair {
        struct client *c;
        struct naive_session *s;
};

struct play {
        struct fake f;
        struct naive n;
        uint64_t dice;
        struct pair pairs[LIVE];
        struct {
                uint64_t number, last_seq, discarded;
        } gone; /* the latest that has ended */
        size_t n_words, n_kinds[64], n_again, n_retained, n_dead;
};

static uint32_t roll(struct play *p, uint32_t sides)
{
        p->dice = hash_u64(1, p->dice + 1);
        return (uint32_t)(p->dice >> 33) % sides;
}

static bool one_in(struct play *p, uint32_t n)
{
        return roll(p, n) == 0;
}

/* ---------------------------------------------------------------- what they hear */

static void count_word(struct play *p, const struct naive_word *w)
{
        p->n_words++;
        p->n_kinds[w->type % ARRAY_LEN(p->n_kinds)]++;
        p->n_again += w->type == WIRE_PUB && w->entry.redelivered;
        p->n_retained += w->type == WIRE_PUB && w->entry.is_retained;
        p->n_dead += w->type == WIRE_PUB && w->entry.msg->topic == NAIVE_DEAD;
}

static void compare(struct play *p, struct pair *pair)
{
        struct got *g = fake_next(pair->c);
        const struct naive_word *w;

        while ((w = many_take_first(&pair->s->words))) {
                if (!g || !naive_is_heard(g, w)) {
                        naive_print(pair->s, g, w);
                        fail_msg("they do not say the same");
                }
                count_word(p, w);
                if (g->m.type == WIRE_OK && --g->m.ok.n)
                        g->m.ok.id++; /* one answer for several */
                else
                        g = fake_next(pair->c);
        }
        if (g) {
                naive_print(pair->s, g, NULL);
                fail_msg("the core says more");
        }
        CHECK_EQ(pair->c->is_gone, pair->s->state == NAIVE_GONE);
}

static void compare_all(struct play *p)
{
        for (int i = 0; i < LIVE; i++) {
                struct pair *pair = &p->pairs[i];
                if (!pair->c)
                        continue;
                compare(p, pair);
                if (!pair->c->is_gone)
                        continue;
                p->gone.number = pair->s->number;
                p->gone.last_seq = pair->s->next_seq - 1;
                p->gone.discarded = pair->s->discarded;
                pair->c = NULL;
        }
}

/* ---------------------------------------------------------------- what they do */

/* Some come back, and ask what they have missed since what they saw last. */
static void come(struct play *p, struct pair *pair)
{
        uint64_t back = p->gone.number && one_in(p, 2) ? p->gone.number : 0;
        uint64_t unseen = roll(p, 3);
        struct message m = {.type = WIRE_HELLO, .hello = {.version = WIRE_VERSION}};

        if (unseen > p->gone.last_seq)
                unseen = 0;
        if (back)
                m.hello.resume_instance =
                        (struct slice){p->f.config.instance, sizeof(p->f.config.instance)};
        m.hello.name = (struct slice){(const uint8_t *)"naive", 5};
        m.hello.resume_session = back;
        m.hello.resume_seq = p->gone.last_seq - unseen;
        pair->c = fake_connect(&p->f);
        pair->s = naive_open(&p->n);
        say(pair->c, &m);
        fake_go(pair->c);
        const struct got *g = expect(pair->c, WIRE_WELCOME);
        CHECK_EQ(g->m.welcome.has_missed, back != 0);
        if (back)
                CHECK_EQ(g->m.welcome.missed, unseen + p->gone.discarded);
        CHECK_EQ(pair->c->number, pair->s->number);
}

static void subscribe(struct play *p, struct pair *pair)
{
        static const char filters[] = "aabcd**X";
        static const uint64_t ack_ms[] = {500, 1500};
        struct naive_asked a = {.id = ++pair->c->last_id, .filter = filters[roll(p, 8)]};
        char text[2];
        const char *filter = naive_text(a.filter, text);

        if (pair->s->subs.n == NAIVE_SUBS)
                return;
        a.messages = one_in(p, 3) ? 1 + roll(p, 5) : 0;
        if (one_in(p, 2)) {
                a.group = one_in(p, 5) ? 0 : (char)('g' + roll(p, 2));
                a.window = a.group && one_in(p, 3) ? 0 : 1 + roll(p, 4);
                a.ack = a.group == 'g';
                a.ack_ms = a.ack ? ack_ms[one_in(p, 15)] : WIRE_ACK_MS_DEFAULT;
                a.max_deliveries = a.ack ? 3 : WIRE_DELIVERIES_DEFAULT;
        } else {
                a.overflow = (enum wire_overflow)(one_in(p, 2) ? roll(p, WIRE_OVERFLOW_N_) : 0);
        }
        struct message m = {.type = WIRE_SUB,
                .sub = {.id = a.id,
                        .sub = pair->s->last_sub + 1,
                        .filter = {(const uint8_t *)filter, strlen(filter)},
                        .overflow = a.overflow,
                        .queue_messages = a.messages,
                        .has_window = a.window > 0,
                        .window = a.window,
                        .ack = a.ack,
                        .ack_ms = a.ack ? a.ack_ms : 0,
                        .max_deliveries = a.ack ? a.max_deliveries : 0}};
        if (a.group)
                m.sub.group = (struct slice){(const uint8_t *)&a.group, 1};
        naive_subscribe(&p->n, pair->s, &a);
        say(pair->c, &m);
        fake_feed(pair->c);
}

static void unsubscribe(struct play *p, struct pair *pair)
{
        if (!pair->s->subs.n)
                return;
        struct naive_sub *sub = pair->s->subs.at[roll(p, (uint32_t)pair->s->subs.n)];
        say_unsub(pair->c, pair->c->last_id + 1, sub->number);
        naive_unsubscribe(&p->n, pair->s, sub, pair->c->last_id);
        fake_feed(pair->c);
}

static void publish(struct play *p, struct pair *pair, uint64_t flags)
{
        bool is_empty = flags & (WIRE_INGRESS_RETAIN | WIRE_INGRESS_WILL) && one_in(p, 4);
        uint64_t ttl_ms = one_in(p, 6) ? 1 + roll(p, 300) : 0;
        struct naive_msg *m =
                naive_msg_new(&p->n, pair->s->number, (char)('a' + roll(p, 4)), is_empty);
        char topic[2], payload[16] = "";

        m->ttl = ttl_ms * 1000000;
        if (m->number)
                snprintf(payload, sizeof(payload), "%u", m->number);
        pair->c->last_id++;
        say(pair->c, &(struct message){
                             .type = WIRE_INGRESS, .ingress = {flags, pair->c->last_id, ttl_ms}});
        say_pub(pair->c, naive_text(m->topic, topic), payload);
        naive_publish(&p->n, pair->s, m, flags, pair->c->last_id);
        fake_feed(pair->c);
}

static void publish_some(struct play *p, struct pair *pair)
{
        uint64_t flags = one_in(p, 2) ? WIRE_INGRESS_CONFIRM : 0;

        if (pair->s->parked.n > 30)
                return;
        if (one_in(p, 10))
                flags |= WIRE_INGRESS_RETAIN;
        if (one_in(p, 8))
                flags |= WIRE_INGRESS_NO_ECHO;
        publish(p, pair, flags);
}

static void answer(struct play *p, struct pair *pair)
{
        const struct many *unacked = &pair->s->unacked;
        uint64_t delay_ms = one_in(p, 2) ? 1 + roll(p, 400) : 0;
        bool is_refused = one_in(p, 3);
        uint64_t first = roll(p, (uint32_t)pair->s->next_seq);

        if (unacked->n && !one_in(p, 20)) {
                const struct naive_held *h = unacked->at[roll(p, (uint32_t)unacked->n)];
                first = h->seq;
        }
        uint64_t last = first + (one_in(p, 2) ? 0 : roll(p, 4));
        struct message m = {.type = is_refused ? WIRE_NACK : WIRE_ACK, .ack = {first, last, 0}};
        if (is_refused)
                m.ack.delay_ms = delay_ms;
        naive_answer(&p->n, pair->s, first, last, is_refused, m.ack.delay_ms);
        say(pair->c, &m);
        fake_feed(pair->c);
}

static void credit(struct play *p, struct pair *pair)
{
        uint64_t amount = 1 + roll(p, 3);

        if (!pair->s->subs.n)
                return;
        struct naive_sub *sub = pair->s->subs.at[roll(p, (uint32_t)pair->s->subs.n)];
        say(pair->c, &(struct message){.type = WIRE_CREDIT,
                             .credit = {WIRE_CREDIT_SUB, sub->number, amount}});
        naive_credit(&p->n, sub, amount);
        fake_feed(pair->c);
}

static void change_reading(struct play *p, struct pair *pair, bool reads)
{
        naive_read(&p->n, pair->s, reads);
        if (!reads) {
                pair->c->room = 0;
                return;
        }
        naive_flush(&p->n);
        fake_room(pair->c, SIZE_MAX);
}

static void end(struct play *p, struct pair *pair)
{
        const struct naive_session *s = pair->s;
        bool is_idle = s->reads && !s->parked.n && !s->queue.n && !s->waiters.n;

        if (is_idle && one_in(p, 2)) {
                naive_leave(&p->n, pair->s);
                say_bye(pair->c);
                fake_feed(pair->c);
                return;
        }
        naive_close(&p->n, pair->s);
        naive_flush(&p->n);
        fake_close(pair->c);
}

static void tick(struct play *p)
{
        uint64_t ms = one_in(p, 40) ? 4000 : roll(p, 150);

        naive_tick(&p->n, ms);
        naive_flush(&p->n);
        fake_tick(&p->f, ms);
}

static void act(struct play *p, struct pair *pair)
{
        uint32_t what = roll(p, 100);

        if (what < 46)
                publish_some(p, pair);
        else if (what < 54)
                subscribe(p, pair);
        else if (what < 57)
                unsubscribe(p, pair);
        else if (what < 62)
                change_reading(p, pair, false);
        else if (what < 72)
                change_reading(p, pair, true);
        else if (what < 86)
                answer(p, pair);
        else if (what < 92)
                credit(p, pair);
        else if (what < 94)
                publish(p, pair,
                        WIRE_INGRESS_WILL | (one_in(p, 2) ? WIRE_INGRESS_RETAIN : 0) |
                                (one_in(p, 2) ? WIRE_INGRESS_CONFIRM : 0));
        else if (what < 99)
                tick(p);
        else
                end(p, pair);
}

static void step(struct play *p)
{
        struct pair *pair = &p->pairs[roll(p, LIVE)];

        if (!pair->c)
                come(p, pair);
        else
                act(p, pair);
        naive_flush(&p->n);
        fake_flush(&p->f);
        compare_all(p);
}

static void live(uint64_t seed)
{
        static const char *const limits[] = {
                "queue_messages=3 stall_ms=2000 linger_ms=1000",
                "queue_messages=8 stall_ms=2000 linger_ms=1000",
                "queue_messages=40 stall_ms=2000 linger_ms=1000",
        };
        static const size_t queue_messages[] = {3, 8, 40};
        struct play *p = calloc(1, sizeof(*p));

        CHECK(p);
        p->dice = seed;
        fake_init_with(&p->f, limits[seed % 3]);
        p->f.budget = seed % 2 ? 0 : 1 + seed % 40;
        naive_init(&p->n, queue_messages[seed % 3], 2000, 1000);
        p->n.now = p->f.now_ns;
        for (int i = 0; i < STEPS; i++) {
                step(p);
                if (i % REPORT_EVERY == 0) {
                        naive_check_report(&p->f, &p->n);
                        naive_check_sum(&p->f, &p->n);
                }
        }
        CHECK(p->n_words > STEPS / 4); /* something did happen */
        static const enum wire_type kinds[] = {WIRE_OK, WIRE_BYE, WIRE_GAP, WIRE_PUB};
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                CHECK(p->n_kinds[kinds[i]] > 0);
        CHECK(p->n_again && p->n_retained && p->n_dead);
        fake_deinit(&p->f);
        naive_deinit(&p->n);
        free(p);
}

TEST(the_core_says_what_a_naive_broker_says_a_million_times)
{
        fake_seeds(ROUNDS, live);
}
