/* Random life on a small bus, compared step by step with a naive model (sim_model.h). A failure
 * prints its seed; SIM_SEED=n plays it again, SIM_ROUNDS=n plays more of them. */
#include "broker/core/sim_acts.h"

#include "tests/harness/test.h"

#include <inttypes.h>
#include <stdlib.h>

enum { STEPS = 2000, ROUNDS = 6 };

static void step(struct sim *sim)
{
        struct peer *p = sim_pick(sim);
        uint32_t what = rnd(100);

        if (sim->n_peers < SIM_PEERS && sim_n_live(sim) < SIM_LIVE && (!p || rnd(10) == 0))
                sim_open_peer(sim);
        else if (!p || what < 5)
                sim_pass(sim, rnd(200));
        else if (what < 15)
                sim_subscribe(sim, p);
        else if (what < 20)
                sim_unsubscribe(sim, p);
        else if (p->upload.is_on && what < 70)
                sim_upload_more(sim, p);
        else if (what < 48)
                sim_publish(sim, p);
        else if (what < 54)
                sim_publish_fds(sim, p);
        else if (what < 57)
                sim_upload_begin(sim, p);
        else if (what < 66)
                sim_ask(sim, p);
        else if (what < 75)
                sim_reply(sim, p);
        else if (what < 78)
                sim_cancel(sim, p);
        else if (what < 90)
                sim_change_room(sim, p);
        else if (what < 97)
                sim_credit(sim, p);
        else if (what < 98)
                sim_change_weather(sim);
        else
                sim_leave(sim, p);
}

/* ------------------------------------------------------------------ a life */

static void check_quiet(struct sim *sim)
{
        static const char *const zero[] = {"queued", "queued_bytes", "parked", "parked_bytes",
                "requests", "descriptors", "descriptors_in_flight", "placed_bytes", "spooled_bytes",
                "waiting"};

        for (size_t i = 0; i < ARRAY_LEN(zero); i++)
                CHECK_EQ(fake_report(&sim->f, zero[i]), 0);
}

/* Finishes what it has begun, and says what it has received. Returns false if there was nothing. */
static bool tidy(struct sim *sim, struct peer *p)
{
        if (p->has_left || p->c->is_gone || (!p->upload.is_on && !p->c->n_flying))
                return false;
        sim_upload_more(sim, p);
        if (p->c->n_flying) {
                say_credit(p->c, p->c->n_flying);
                sim_feed(sim, p);
        }
        return true;
}

static void drain(struct sim *sim)
{
        bool is_busy = true;

        sim->f.scarce = false;
        for (uint32_t i = 0; i < sim->n_peers; i++) {
                if (!sim->peers[i]->c->is_gone)
                        fake_room(sim->peers[i]->c, SIZE_MAX);
        }
        while (is_busy) {
                sim_pass(sim, 100); /* and flushes; what was held back is tried again */
                sim_read(sim);
                is_busy = false;
                for (uint32_t i = 0; i < sim->n_peers; i++)
                        is_busy |= tidy(sim, sim->peers[i]);
        }
        fake_tick(&sim->f, 5000); /* beyond every request */
        sim_read(sim);
}

static void live(uint64_t seed)
{
        static const char *const limits[] = {
                "queue_messages=20 queue_bytes=65536 window_bytes=262144 stall_ms=3000",
                "queue_messages=1 window_bytes=262144 stall_ms=500 placed_bytes=10000",
                "queue_messages=200 routes=2 queue_fds=20 flight_fds=17 placed_bytes=200000",
        };
        struct sim sim;

        sim_seed(seed);
        sim_init(&sim, limits[seed % ARRAY_LEN(limits)]);
        for (int i = 0; i < SIM_LIVE / 2; i++)
                sim_open_peer(&sim);
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
        CHECK(sim.n_large > STEPS / 20 && sim.n_withheld > 0);
        sim_deinit(&sim);
}

TEST(every_delivery_is_what_a_naive_model_says)
{
        fake_seeds(ROUNDS, live);
}
