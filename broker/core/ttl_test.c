/* Time to live: what is older is not delivered, and that is told. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

static void mortal(struct client *c, uint64_t flags, uint64_t ttl_ms, const char *payload)
{
        struct message m = {.type = WIRE_INGRESS, .ingress = {.flags = flags, .ttl_ms = ttl_ms}};

        say(c, &m);
        say_pub(c, "a", payload);
        fake_go(c);
}

TEST(what_is_young_is_delivered_with_its_age)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        mortal(pub, 0, 1000, "1");
        CHECK_EQ(expect_pub(sub, "a", "1")->delivery.age_ms, 0);
        fake_room(sub, 0);
        mortal(pub, 0, 1000, "2");
        fake_pub(pub, "a", "3");
        fake_tick(&f, 999);
        fake_room(sub, SIZE_MAX);
        CHECK_EQ(expect_pub(sub, "a", "2")->delivery.age_ms, 999);
        CHECK_EQ(expect_pub(sub, "a", "3")->delivery.age_ms, 0);
        fake_deinit(&f);
}

TEST(what_is_too_old_is_a_gap_in_its_place)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        fake_pub(pub, "a", "1");
        mortal(pub, 0, 1000, "2");
        mortal(pub, 0, 1000, "3");
        mortal(pub, 0, 5000, "4");
        fake_tick(&f, 1000);
        fake_room(sub, SIZE_MAX);
        expect_pub(sub, "a", "1");
        expect_gap(sub, 1, 2, WIRE_GAP_EXPIRED, 2);
        expect_pub(sub, "a", "4");
        CHECK_EQ(fake_report(&f, "dropped"), 2);
        fake_deinit(&f);
}

TEST(it_runs_from_when_it_came_though_it_is_parked)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        fake_pub(pub, "a", "1");
        mortal(pub, 0, 1000, "2");
        CHECK_EQ(fake_report(&f, "parked"), 1);
        fake_tick(&f, 1000);
        fake_room(sub, SIZE_MAX);
        expect_pub(sub, "a", "1");
        expect_gap(sub, 1, 1, WIRE_GAP_EXPIRED, 2);
        expect_nothing(sub);
        fake_deinit(&f);
}

TEST(a_retained_value_that_is_too_old_is_gone)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *late = fake_open(&f);

        mortal(pub, WIRE_INGRESS_RETAIN, 1000, "x");
        fake_tick(&f, 999);
        fake_sub(late, 1, "a");
        expect_pub(late, "a", "x");
        fake_tick(&f, 1);
        fake_sub(late, 2, "a");
        expect_nothing(late);
        fake_deinit(&f);
}

TEST(what_becomes_too_old_makes_room_for_those_who_wait)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=2");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        for (int i = 0; i < 4; i++)
                mortal(pub, 0, 1000, "x");
        fake_pub(pub, "a", "young");
        fake_tick(&f, 1000);
        fake_room(sub, SIZE_MAX);
        uint64_t lost = 0;
        for (struct got *g; (g = fake_next(sub)) && g->m.type == WIRE_GAP;)
                lost += g->m.gap.count;
        CHECK_EQ(lost, 4);
        CHECK_EQ(fake_report(&f, "delivered"), 1);
        CHECK_EQ(fake_report(&f, "parked"), 0);
        fake_forget(sub);
        fake_deinit(&f);
}
