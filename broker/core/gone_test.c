/* Publishers and receivers that go while something waits. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <stdio.h>

TEST(a_publisher_that_goes_leaves_nothing_undelivered)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);
        char text[16];

        fake_sub(sub, 1, "*");
        fake_room(sub, 0);
        for (int i = 0; i < 9; i++) {
                snprintf(text, sizeof(text), "%d", i);
                say_pub(pub, i % 2 ? "a" : "b", text);
        }
        fake_feed(pub);
        fake_close(pub);
        CHECK_EQ(core_sessions(f.core), 1);
        fake_room(sub, SIZE_MAX);
        for (int i = 0; i < 9; i++) {
                snprintf(text, sizeof(text), "%d", i);
                const struct got *g = expect_pub(sub, i % 2 ? "a" : "b", text);
                CHECK_EQ(g->delivery.session, pub->number);
                CHECK_EQ(g->delivery.pid, 100);
        }
        CHECK_EQ(fake_report(&f, "parked"), 0);
        fake_deinit(&f);
}

TEST(a_publisher_that_broke_a_rule_leaves_nothing_undelivered)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "*");
        fake_room(sub, 0);
        say_pub(pub, "a", "1");
        say_pub(pub, "b", "2");
        say_pub(pub, "a", "3");
        say_bytes(pub, "c1");
        fake_go(pub);
        expect_bye(pub, WIRE_CODE_PROTOCOL);
        fake_room(sub, SIZE_MAX);
        expect_pub(sub, "a", "1");
        expect_pub(sub, "b", "2");
        expect_pub(sub, "a", "3");
        fake_deinit(&f);
}

TEST(a_receiver_that_dies_is_waited_for_no_more)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *slow = fake_open(&f), *fast = fake_open(&f);

        fake_sub(slow, 1, "a");
        fake_sub(fast, 1, "a");
        fake_room(slow, 0);
        fake_confirmed(pub, 1, "a", "1");
        fake_confirmed(pub, 2, "a", "2");
        fake_confirmed(pub, 3, "a", "3");
        expect_ok(pub, 1, 2);
        fake_close(slow);
        expect_ok(pub, 2, 1);
        expect_ok(pub, 3, 1);
        expect_pub(fast, "a", "1");
        expect_pub(fast, "a", "2");
        expect_pub(fast, "a", "3");
        CHECK_EQ(fake_report(&f, "discarded"), 1);
        fake_deinit(&f);
}

TEST(a_receiver_that_says_bye_is_waited_for_no_more)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *slow = fake_open(&f);

        fake_sub(slow, 1, "a");
        fake_room(slow, 0);
        fake_confirmed(pub, 1, "a", "1");
        fake_confirmed(pub, 2, "a", "2");
        say_bye(slow);
        fake_go(slow);
        expect_ok(pub, 1, 1);
        expect_ok(pub, 2, 0);
        fake_deinit(&f);
}

TEST(a_receiver_that_stalls_is_waited_for_no_more)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1 stall_ms=100");
        struct client *pub = fake_open(&f), *slow = fake_open(&f);

        fake_sub(slow, 1, "a");
        fake_room(slow, 0);
        fake_confirmed(pub, 1, "a", "1");
        fake_confirmed(pub, 2, "a", "2");
        expect_ok(pub, 1, 1);
        fake_tick(&f, 100);
        expect_ok(pub, 2, 0);
        CHECK(slow->is_gone);
        fake_deinit(&f);
}

TEST(a_session_that_feeds_itself_may_go_while_it_waits_for_itself)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *c = fake_open(&f), *other = fake_open(&f);

        fake_sub(c, 1, "a");
        fake_sub(other, 1, "a");
        fake_room(c, 0);
        for (uint64_t id = 10; id < 14; id++)
                fake_confirmed(c, id, "a", "x");
        fake_close(c);
        for (int i = 0; i < 4; i++)
                expect_pub(other, "a", "x");
        CHECK_EQ(fake_report(&f, "parked"), 0);
        fake_deinit(&f);
}
