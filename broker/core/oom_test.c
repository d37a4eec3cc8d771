/* Memory runs out at every place where it can: the Nth allocation of a fixed scenario fails, once
 * or from then on, for every N until the scenario runs clean. Nothing crashes or leaks (under
 * asan), the invariants hold after every call, whoever is still there has all its answers, and a
 * pair of bystanders, for whom there is memory, sees what it always sees. */
#include "broker/core/oom.h"

#include "tests/harness/test.h"

#include <errno.h>
#include <inttypes.h>

enum { IDS = 256 };

/* With memory again, whoever is still there has an answer to everything it asked. */
static void check_answers(struct client *c)
{
        bool is_answered[IDS] = {false};

        if (c->is_gone)
                return;
        for (const struct got *g; (g = fake_next(c));) {
                uint64_t from = 0, n = 1;
                if (g->m.type == WIRE_OK) {
                        from = g->m.ok.id;
                        n = g->m.ok.n;
                } else if (g->m.type == WIRE_ERR) {
                        from = g->m.verdict.id;
                } else if (g->m.type == WIRE_PUB || (g->m.type == WIRE_END && !g->m.number)) {
                        from = g->delivery.request;
                        n = !(g->delivery.flags & WIRE_DELIVERY_MORE);
                }
                for (; n && from; from++, n--)
                        is_answered[from] = true;
        }
        for (uint64_t id = 1; id <= c->last_id; id++) {
                if (!is_answered[id])
                        fail_msg("%" PRIu64 " was never answered", id);
        }
}

/* A play and its limits. */
struct play {
        void (*play)(struct cast *t);
        const char *limits;
};

static void play(const struct play *what, uint64_t nth, bool for_ever)
{
        struct cast t = {.n_stream = 0};

        fake_init_with(&t.f, what->limits);
        t.from = fake_open(&t.f);
        t.to = fake_open(&t.f);
        fake_sub(t.to, 1, "by.*");
        t.f.inside = oom_inside;
        oom_make_scarce(nth, for_ever);
        what->play(&t);
        oom_memory.is_scarce = false;
        fake_tick(&t.f, 60000);
        oom_stream(&t);
        struct client *const all[] = {t.pub, t.asker, t.fast, t.slow};
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
                check_answers(all[i]);
        CHECK(!t.from->is_gone && !t.to->is_gone);
        fake_close_all(&t.f);
        fake_deinit(&t.f);
}

static const struct play plays[] = {
        /* With the one every publication starts a watch, with the other hardly any. */
        {oom_play_small, "queue_messages=3"},
        {oom_play_small, "queue_messages=8"},
        {oom_play_keep, "queue_messages=6 retained=5"},
        {oom_play_large, "queue_messages=4 flight_fds=20 stall_ms=1000"},
        {oom_play_strangers, "queue_messages=4 flight_fds=20"},
};

static void play_all(bool for_ever)
{
        for (size_t i = 0; i < ARRAY_LEN(plays); i++) {
                uint64_t nth = 1;
                do {
                        play(&plays[i], nth, for_ever);
                } while (oom_memory.n >= nth++);
                CHECK(nth > 150); /* the play is not empty */
        }
}

TEST(the_plays_run_clean_with_memory)
{
        for (size_t i = 0; i < ARRAY_LEN(plays); i++)
                play(&plays[i], 0, false);
}

TEST(any_allocation_may_fail)
{
        play_all(false);
}

TEST(any_allocation_may_be_the_last)
{
        play_all(true);
}

/* Tables that are made when they are first needed, and the core itself. */
static void play_first(uint64_t nth, bool for_ever)
{
        struct core_config config = {.name = "first", .rights = 0xff};
        struct fake f = {.inside = oom_inside, .now_ns = 1};

        core_limits_default(&config.limits);
        oom_make_scarce(nth, for_ever);
        oom_inside(true);
        int r = core_new(&config, f.now_ns, &f.core);
        oom_inside(false);
        if (r < 0) {
                CHECK_EQ(r, -ENOMEM);
                return;
        }
        struct client *c = fake_connect_as(&f, &(struct core_peer){.pid = 1});
        if (!c->is_gone) {
                say_hello(c, "first");
                fake_go(c);
        }
        for (int i = 0; i < 2 && !c->is_gone; i++) {
                say_sub(c, c->last_id + 1, (uint32_t)c->last_id + 1, "a.b");
                say_request(c, c->last_id + 1, 0);
                say_pub(c, "a.b", "?");
                fake_go(c);
        }
        fake_deinit(&f);
}

TEST(the_first_of_everything_may_fail)
{
        for (int for_ever = 0; for_ever < 2; for_ever++) {
                uint64_t nth = 1;
                do {
                        play_first(nth, for_ever);
                } while (oom_memory.n >= nth++);
        }
}
