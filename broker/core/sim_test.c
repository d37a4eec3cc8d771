/* Random life on a small bus, compared step by step with a naive model (sim_model.h). A failure
 * prints its seed; SIM_SEED=n plays it again, SIM_ROUNDS=n plays more of them. */
#include "broker/core/sim_model.h"

#include "tests/harness/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIVE = 20, STEPS = 2000, ROUNDS = 6 };

static uint64_t dice;

static uint32_t rnd(uint32_t n)
{
        dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint32_t)(dice >> 33) % n;
}

static struct peer *pick(struct sim *sim)
{
        struct peer *p = NULL;

        for (int tries = 0; tries < 50; tries++) {
                p = sim->peers[rnd(sim->n_peers)];
                if (!p->has_left && !p->c->is_gone)
                        return p;
        }
        return NULL;
}

static size_t n_live(const struct sim *sim)
{
        size_t n = 0;

        for (uint32_t i = 0; i < sim->n_peers; i++)
                n += !sim->peers[i]->has_left && !sim->peers[i]->c->is_gone;
        return n;
}

static void feed(struct sim *sim, struct peer *p)
{
        if (p->c->packet.len)
                fake_feed(p->c);
        if (rnd(3))
                fake_flush(&sim->f);
}

/* ----------------------------------------------------------------- actions */

static void subscribe(struct sim *sim, struct peer *p)
{
        static const char filters[] = "aabbcdef*>";
        char text[2] = {filters[rnd(sizeof(filters) - 1)], 0};

        if (p->n_subs == SIM_SUBS)
                return;
        sim_subscribes(sim, p, text[0]);
        say_sub(p->c, p->c->last_id + 1, p->last_sub, text);
        feed(sim, p);
}

static void unsubscribe(struct sim *sim, struct peer *p)
{
        if (!p->n_subs)
                return;
        size_t i = rnd((uint32_t)p->n_subs);
        say_unsub(p->c, p->c->last_id + 1, p->subs[i].number);
        sim_unsubscribes(sim, p, i);
        feed(sim, p);
}

/* The payload is the publisher's counter; a few are large. */
static void say_counted(struct peer *p, const char *topic, uint32_t counter)
{
        char text[16];
        size_t before = p->c->packet.len;

        snprintf(text, sizeof(text), "%u ", counter);
        if (rnd(40) == 0 && before < 20000)
                say_large(p->c, topic, text, 2000 + rnd(30000));
        else
                say_pub(p->c, topic, text);
        p->sent += p->c->packet.len - before;
}

static bool has_window(const struct peer *p)
{
        return p->sent - p->c->credited + 40000 < p->c->window && p->c->packet.len < 30000;
}

static void publish_one(struct sim *sim, struct peer *p, uint64_t flags)
{
        char topic[2] = {(char)('a' + rnd(6)), 0};
        bool is_bad = rnd(50) == 0;
        struct post *post = sim_publishes(
                sim, p, is_bad ? SIM_BAD_TOPIC : topic[0], flags & WIRE_INGRESS_NO_ECHO);

        if (flags & WIRE_INGRESS_CONFIRM)
                post->id = ++p->c->last_id;
        say_counted(p, is_bad ? "a..b" : topic, post->counter);
}

static void publish(struct sim *sim, struct peer *p)
{
        uint64_t flags = (rnd(3) ? WIRE_INGRESS_CONFIRM : 0) | (rnd(5) ? 0 : WIRE_INGRESS_NO_ECHO);
        uint32_t n = 1 + rnd(rnd(4) ? 4 : 40);

        if (flags || rnd(2)) {
                uint64_t id = p->c->last_id;
                say_ingress(p->c, flags, id + 1);
                p->c->last_id = id;
        }
        while (n-- && has_window(p))
                publish_one(sim, p, flags);
        feed(sim, p);
}

static void ask(struct sim *sim, struct peer *p)
{
        char topic[2] = {(char)('a' + rnd(6)), 0};

        if (!has_window(p))
                return;
        const struct post *post = sim_asks(sim, p, topic[0], p->c->last_id + 1);
        say_request(p->c, post->id, 1 + rnd(3000));
        say_counted(p, topic, post->counter);
        feed(sim, p);
}

static void reply(struct sim *sim, struct peer *p)
{
        if (!p->n_tokens || !has_window(p))
                return;
        size_t i = rnd((uint32_t)p->n_tokens);
        uint64_t id = rnd(3) ? p->c->last_id + 1 : 0;
        uint64_t flags = rnd(3) ? 0 : WIRE_DELIVERY_MORE;
        say_reply(p->c, p->tokens[i].token, flags, id);
        sim_replies(sim, p, p->tokens[i].asker, id);
        say_counted(p, "", p->last_counter);
        if (!flags)
                p->tokens[i] = p->tokens[--p->n_tokens];
        feed(sim, p);
}

static void cancel(struct sim *sim, struct peer *p)
{
        for (size_t i = p->n_posts; i-- > 0 && i + 30 > p->n_posts;) {
                if (!p->posts[i].is_open)
                        continue;
                say_number(p->c, WIRE_CANCEL, p->posts[i].id);
                feed(sim, p);
                return;
        }
}

static void change_room(struct sim *sim, struct peer *p)
{
        switch (rnd(4)) {
        case 0:
                p->c->room = 0; /* from now on */
                break;
        case 1:
                fake_room(p->c, rnd(3000));
                break;
        default:
                fake_room(p->c, SIZE_MAX);
        }
        (void)sim;
}

static void leave(struct sim *sim, struct peer *p)
{
        if (n_live(sim) < LIVE / 2)
                return;
        if (rnd(2)) {
                say_bye(p->c);
                sim_leaves(sim, p);
                feed(sim, p);
        } else {
                fake_close(p->c);
        }
}

static void step(struct sim *sim)
{
        struct peer *p = pick(sim);
        uint32_t what = rnd(100);

        if (sim->n_peers < SIM_PEERS && n_live(sim) < LIVE && (!p || rnd(10) == 0))
                sim_open(sim);
        else if (!p || what < 5)
                fake_tick(&sim->f, rnd(200));
        else if (what < 15)
                subscribe(sim, p);
        else if (what < 20)
                unsubscribe(sim, p);
        else if (what < 60)
                publish(sim, p);
        else if (what < 70)
                ask(sim, p);
        else if (what < 80)
                reply(sim, p);
        else if (what < 83)
                cancel(sim, p);
        else if (what < 98)
                change_room(sim, p);
        else
                leave(sim, p);
}

/* ------------------------------------------------------------------ a life */

static void check_quiet(struct sim *sim)
{
        static const char *const zero[] = {
                "queued", "queued_bytes", "parked", "parked_bytes", "requests"};

        for (size_t i = 0; i < ARRAY_LEN(zero); i++)
                CHECK_EQ(fake_report(&sim->f, zero[i]), 0);
}

static void drain(struct sim *sim)
{
        for (uint32_t i = 0; i < sim->n_peers; i++) {
                if (!sim->peers[i]->c->is_gone)
                        fake_room(sim->peers[i]->c, SIZE_MAX);
        }
        fake_flush(&sim->f);
        sim_read(sim);
        fake_tick(&sim->f, 5000); /* beyond every request */
        sim_read(sim);
}

static void live(uint64_t seed)
{
        static const char *const limits[] = {
                "queue_messages=20 queue_bytes=65536 window_bytes=262144 stall_ms=3000",
                "queue_messages=1 window_bytes=262144 stall_ms=500",
                "queue_messages=200 routes=2 stall_ms=100000",
        };
        struct sim sim;

        dice = seed;
        sim_init(&sim, limits[seed % ARRAY_LEN(limits)]);
        for (int i = 0; i < LIVE / 2; i++)
                sim_open(&sim);
        for (int i = 0; i < STEPS; i++) {
                step(&sim);
                sim_read(&sim);
        }
        drain(&sim);
        sim_finish(&sim);
        check_quiet(&sim);
        for (uint32_t i = 0; i < sim.n_peers; i++)
                fake_close(sim.peers[i]->c);
        CHECK_EQ(core_sessions(sim.f.core), 0);
        CHECK_EQ(fake_report(&sim.f, "subscriptions"), 0);
        CHECK(sim.n_delivered > STEPS && sim.n_answered > STEPS / 4); /* something did happen */
        sim_deinit(&sim);
}

TEST(every_delivery_is_what_a_naive_model_says)
{
        const char *seed = getenv("SIM_SEED"), *rounds = getenv("SIM_ROUNDS");
        uint64_t first = seed ? strtoull(seed, NULL, 10) : 1;
        uint64_t n = rounds ? strtoull(rounds, NULL, 10) : seed ? 1 : ROUNDS;

        for (uint64_t i = first; i < first + n; i++) {
                print_message("seed %" PRIu64 "\n", i);
                live(i);
        }
}
