/* Groups that acknowledge: what counts as a failure, and of whom. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

static const struct fake_ack PLAIN = {.window = 0}, SOON = {.ack_ms = 100};

TEST(what_stood_behind_the_one_that_killed_a_member_has_not_failed)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a, *b = fake_open(&f);
        static const struct fake_ack twice = {.max_deliveries = 2};

        for (int i = 0; i < 2; i++) {
                fake_member(a = fake_open(&f), 1, "w", "g", &twice);
                if (i == 0)
                        fake_pub(pub, "w", "poison");
                if (i == 0)
                        fake_pub(pub, "w", "innocent");
                CHECK_EQ(fake_count(a), 2);
                fake_close(a);
        }
        CHECK_EQ(fake_report(&f, "dead"), 1);
        fake_member(b, 1, "w", "g", &twice);
        expect_again(b, "w", "innocent", 2);
        fake_deinit(&f);
}

TEST(what_a_member_gives_back_in_order_has_not_failed)
{
        for (int is_bye = 0; is_bye < 2; is_bye++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *a;
                static const struct fake_ack once = {.max_deliveries = 1};

                for (uint64_t i = 0; i < 3; i++) {
                        fake_member(a = fake_open(&f), 1, "w", "g", &once);
                        if (i == 0)
                                fake_pub(pub, "w", "x");
                        expect_again(a, "w", "x", i);
                        if (is_bye)
                                say_bye(a);
                        else
                                say_unsub(a, ++a->last_id, 1);
                        fake_go(a);
                }
                CHECK_EQ(fake_report(&f, "dead"), 0);
                fake_deinit(&f);
        }
}

TEST(time_runs_for_the_first_of_what_a_member_has_and_anew_for_the_next)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &SOON);
        for (int i = 0; i < 10; i++)
                fake_pub(pub, "w", "x");
        CHECK_EQ(fake_count(a), 10);
        for (uint64_t i = 1; i <= 10; i++) { /* each takes most of the time */
                fake_tick(&f, 90);
                fake_acknowledge(a, i, i);
        }
        CHECK_EQ(fake_report(&f, "returned"), 0);
        fake_deinit(&f);
}

TEST(a_late_member_that_is_alone_is_tried_with_one_which_does_not_fail_for_it)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f);
        static const struct fake_ack twice = {.ack_ms = 100, .max_deliveries = 2};

        fake_member(a, 1, "w", "g", &twice);
        for (int i = 0; i < 3; i++)
                fake_pub(pub, "w", "x");
        CHECK_EQ(fake_count(a), 3);
        for (int i = 0; i < 5; i++) {
                fake_tick(&f, 100);
                CHECK_EQ(fake_count(a), 1);
        }
        CHECK_EQ(fake_report(&f, "dead"), 0);
        fake_acknowledge(a, a->last_seq, a->last_seq); /* it lives */
        CHECK_EQ(fake_count(a), 2);
        fake_deinit(&f);
}

TEST(who_does_not_read_is_not_late_and_gets_work_again_when_it_does)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);
        static const struct fake_ack one = {.ack_ms = 100, .window = 1};

        fake_member(a, 1, "w", "g", &one);
        a->room = 0;
        fake_pub(pub, "w", "1");
        fake_member(b, 1, "w", "g", &one);
        fake_tick(&f, 100); /* that may be for a moment */
        expect_nothing(b);
        fake_tick(&f, 900);
        expect_again(b, "w", "1", 0); /* it was never sent */
        fake_room(a, SIZE_MAX);
        fake_pub(pub, "w", "2");
        expect_again(a, "w", "2", 0);
        fake_deinit(&f);
}

TEST(who_keeps_publishers_waiting_and_shows_no_life_is_ended)
{
        for (int reads = 0; reads < 2; reads++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *a = fake_open(&f);
                static const struct fake_ack full = {.ack_ms = 20000, .queue_messages = 1};

                fake_member(a, 1, "w", "g", &full);
                a->room = reads ? SIZE_MAX : 0;
                fake_pub(pub, "w", "1");
                fake_confirmed(pub, 1, "w", "2");
                expect_nothing(pub);
                fake_tick(&f, 29999);
                CHECK(!a->is_gone);
                fake_tick(&f, 1);
                CHECK(a->is_gone);
                fake_forget(a);
                fake_deinit(&f);
        }
}

TEST(who_does_not_read_for_one_group_is_to_blame_in_all)
{
        struct fake f;
        fake_init_with(&f, "unacknowledged=3");
        struct client *pub = fake_open(&f), *a = fake_open(&f);
        static const struct fake_ack wide = {.window = 100, .ack_ms = 10000},
                                     narrow = {.queue_messages = 1, .ack_ms = 10000};

        fake_member(a, 1, "v", "g", &wide);
        fake_member(a, 2, "w", "h", &narrow);
        a->room = 0;
        for (int i = 0; i < 3; i++)
                fake_pub(pub, "v", "x");
        fake_pub(pub, "w", "1");
        fake_confirmed(pub, 1, "w", "2");
        for (int i = 0; i < 31; i++)
                fake_tick(&f, 1000);
        CHECK(a->is_gone);
        fake_forget(a);
        fake_deinit(&f);
}

TEST(who_does_not_read_is_stalled_whatever_its_ack_ms)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=8");
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &(struct fake_ack){.ack_ms = 10000});
        a->room = 0;
        for (int i = 0; i < 8; i++)
                fake_pub(pub, "w", "x");
        for (int i = 0; i < 30; i++)
                fake_tick(&f, 1000);
        CHECK(a->is_gone);
        fake_forget(a);
        fake_deinit(&f);
}

TEST(who_has_just_been_given_something_is_not_to_blame)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &(struct fake_ack){.queue_messages = 1, .ack_ms = 60000});
        fake_pub(pub, "w", "1");
        fake_confirmed(pub, 1, "w", "2");
        fake_tick(&f, 29999);
        a->room = 0; /* full for a moment */
        fake_refuse(a, 1, 1, 0);
        fake_tick(&f, 1);
        CHECK(!a->is_gone);
        fake_deinit(&f);
}

TEST(what_a_session_has_to_acknowledge_is_bounded)
{
        struct fake f;
        fake_init_with(&f, "unacknowledged=3");
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &PLAIN);
        fake_member(a, 2, "w", "h", &PLAIN);
        for (int i = 0; i < 3; i++)
                fake_pub(pub, "w", "x");
        CHECK_EQ(fake_count(a), 3);
        fake_acknowledge(a, 2, 2);
        CHECK_EQ(fake_count(a), 1);
        fake_acknowledge(a, 1, 4);
        CHECK_EQ(fake_count(a), 2);
        fake_deinit(&f);
}
