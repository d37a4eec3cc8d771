/* Windows of subscriptions bound what is under way. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <stdio.h>

TEST(what_no_member_can_take_waits_in_order_and_holds_up_nothing_else)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *w = fake_open(&f), *other = fake_open(&f);
        char text[8];

        fake_join(w, 1, "w", "g", 1);
        fake_sub(other, 1, "o");
        for (int i = 0; i < 4; i++) {
                snprintf(text, sizeof(text), "%d", i & 7);
                fake_confirmed(pub, ++pub->last_id, "w", text);
                expect_ok(pub, pub->last_id, 1);
        }
        fake_pub(pub, "o", "not held up");
        expect_pub(other, "o", "not held up");
        expect_pub(w, "w", "0");
        expect_nothing(w);
        for (int i = 1; i < 4; i++) {
                fake_give_back(w, 1, 1);
                snprintf(text, sizeof(text), "%d", i & 7);
                expect_pub(w, "w", text);
                expect_nothing(w);
        }
        fake_deinit(&f);
}

TEST(beyond_its_limits_publishers_wait)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=2");
        struct client *pub = fake_open(&f), *w = fake_open(&f);

        fake_join(w, 1, "w", "g", 1);
        for (uint64_t id = 1; id <= 5; id++)
                fake_confirmed(pub, id, "w", "x");
        for (uint64_t id = 1; id <= 3; id++)
                expect_ok(pub, id, 1); /* one under way, two wait here */
        expect_nothing(pub);
        CHECK_EQ(fake_report(&f, "parked"), 2);
        fake_give_back(w, 1, 2);
        expect_ok(pub, 4, 1);
        expect_ok(pub, 5, 1);
        CHECK_EQ(fake_count(w), 3);
        fake_deinit(&f);
}

TEST(a_subscription_with_a_window_is_a_group_of_one)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *c = fake_open(&f);

        fake_join(c, 1, "a", NULL, 2);
        fake_sub(c, 2, "b");
        for (int i = 0; i < 4; i++)
                fake_pub(pub, "a", "x");
        fake_pub(pub, "b", "y");
        expect_pub(c, "a", "x");
        expect_pub(c, "a", "x");
        expect_pub(c, "b", "y"); /* order holds per subscription */
        expect_nothing(c);
        fake_give_back(c, 1, 5);
        CHECK_EQ(fake_count(c), 2);
        fake_give_back(c, 99, 1); /* of a subscription that is gone */
        fake_deinit(&f);
}

TEST(members_that_give_nothing_back_are_ended_when_somebody_waits_for_them)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *w = fake_open(&f);

        fake_join(w, 1, "w", "g", 1);
        for (uint64_t id = 1; id <= 2; id++)
                fake_confirmed(pub, id, "w", "x");
        fake_tick(&f, 2 * LIMIT_STALL_MS); /* nobody waits yet */
        CHECK(!w->is_gone);
        fake_confirmed(pub, 3, "w", "x");
        fake_tick(&f, LIMIT_STALL_MS + 1);
        CHECK_EQ(fake_count(w), 1);
        CHECK(w->is_gone);
        fake_forget(pub);
        fake_deinit(&f);
}

TEST(retained_values_count_but_do_not_wait)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *c = fake_open(&f);

        for (const char *topic = "abc"; *topic; topic++) {
                say_ingress(pub, WIRE_INGRESS_RETAIN, 0);
                say_pub(pub, (char[]){*topic, '\0'}, "old");
                fake_go(pub);
        }
        fake_join(c, 1, "*", NULL, 2);
        CHECK_EQ(fake_count(c), 3);
        fake_pub(pub, "a", "new");
        fake_give_back(c, 1, 1);
        expect_nothing(c);
        fake_give_back(c, 1, 1);
        expect_pub(c, "a", "new");
        fake_deinit(&f);
}

TEST(more_than_was_taken_may_be_given_back)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *c = fake_open(&f);

        fake_join(c, 1, "a", NULL, 1);
        for (int i = 0; i < 3; i++)
                fake_give_back(c, 1, INT64_MAX);
        for (int i = 0; i < 8; i++)
                fake_pub(pub, "a", "x");
        CHECK_EQ(fake_count(c), 8);
        CHECK(!c->is_gone);
        fake_deinit(&f);
}

TEST(what_gets_too_old_while_it_waits_is_told)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *c = fake_open(&f);

        fake_join(c, 1, "a", NULL, 1);
        fake_pub(pub, "a", "1");
        say(pub, &(struct message){.type = WIRE_INGRESS, .ingress = {.ttl_ms = 100}});
        say_pub(pub, "a", "2");
        fake_go(pub);
        fake_pub(pub, "a", "3");
        fake_tick(&f, 101);
        expect_pub(c, "a", "1");
        expect_gap(c, 1, 1, WIRE_GAP_EXPIRED, 2);
        fake_give_back(c, 1, 1);
        expect_nothing(c); /* it takes a place, as if it had come */
        fake_give_back(c, 1, 1);
        expect_pub(c, "a", "3");
        CHECK_EQ(fake_report(&f, "dropped"), 1);
        fake_deinit(&f);
}
