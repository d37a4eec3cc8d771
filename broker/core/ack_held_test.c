/* What a group that acknowledges holds: what counts as a failure, what room it has, who may answer.
 */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

#include <stdio.h>

static const struct fake_ack PLAIN = {.window = 0}, SOON = {.ack_ms = 100};

/* ---------------------------------------------------------------- failing */

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
        fake_tick(&f, 100);
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

/* ---------------------------------------------------------------- room */

TEST(a_request_that_ends_makes_room_for_who_waits)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &(struct fake_ack){.queue_messages = 1});
        fake_ask(asker, 1, 1000, "w", a);
        fake_refuse(a, 1, 1, 10000);
        fake_confirmed(pub, 1, "w", "x");
        fake_tick(&f, 1000);
        expect_err(asker, 1, WIRE_CODE_TIMEOUT);
        expect_ok(pub, 1, 1);
        fake_deinit(&f);
}

static void publish_mortal(struct client *c)
{
        say(c, &(struct message){.type = WIRE_INGRESS, .ingress = {.ttl_ms = 100}});
        fake_pub(c, "w", "old");
}

TEST(what_gets_too_old_makes_room_for_who_waits)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f);
        static const struct fake_ack patient = {
                .window = 1, .queue_messages = 2, .ack_ms = 86400000};

        fake_member(a, 1, "w", "g", &patient);
        fake_pub(pub, "w", "1");
        publish_mortal(pub);
        fake_confirmed(pub, 1, "w", "2");
        fake_tick(&f, 99);
        expect_nothing(pub);
        fake_tick(&f, 1);
        expect_ok(pub, 1, 1);
        fake_deinit(&f);
}

TEST(what_gets_too_old_makes_room_without_members_too)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &(struct fake_ack){.queue_messages = 1});
        fake_close(a);
        publish_mortal(pub);
        fake_tick(&f, 100);
        fake_confirmed(pub, 1, "w", "2");
        expect_ok(pub, 1, 1);
        fake_deinit(&f);
}

TEST(there_are_no_more_groups_than_allowed)
{
        struct fake f;
        fake_init_with(&f, "groups=2 linger_ms=1000");
        struct client *a = fake_open(&f);
        char name[8];

        for (uint32_t i = 1; i <= 3; i++) {
                snprintf(name, sizeof(name), "g%u", i % 10);
                say_member(a, i, "w", name, &PLAIN);
                fake_go(a);
                if (i == 3)
                        CHECK(slice_is(expect_err(a, a->last_id, WIRE_CODE_LIMIT)->m.verdict.limit,
                                "groups"));
                else
                        expect_ok(a, a->last_id, 0);
                say_unsub(a, ++a->last_id, i);
                fake_go(a);
                fake_forget(a);
        }
        fake_tick(&f, 1000); /* they have ended */
        fake_member(a, 9, "w", "g3", &PLAIN);
        fake_deinit(&f);
}

/* ---------------------------------------------------------------- not to its publisher */

TEST(what_must_not_go_back_to_its_publisher_waits_for_another)
{
        struct fake f;
        fake_init_with(&f, "linger_ms=1000");
        struct client *a = fake_open(&f), *b = fake_open(&f);

        fake_member(a, 1, "w", "g", &PLAIN);
        fake_member(b, 1, "w", "g", &PLAIN);
        for (int i = 0; i < 2; i++) {
                say_ingress(a, WIRE_INGRESS_NO_ECHO, 0);
                fake_pub(a, "w", "x");
        }
        CHECK_EQ(fake_count(b), 2);
        fake_close(b);
        fake_pub(a, "w", "y");
        expect_again(a, "w", "y", 0); /* it is not held up */
        expect_nothing(a);
        fake_tick(&f, 999);
        fake_member(b = fake_open(&f), 1, "w", "g", &PLAIN);
        CHECK_EQ(fake_count(b), 2);
        fake_close(b);
        fake_tick(&f, 1000);
        CHECK_EQ(fake_report(&f, "discarded"), 2);
        fake_deinit(&f);
}

/* ---------------------------------------------------------------- the right to answer */

TEST(who_unsubscribes_cannot_answer_what_it_was_never_sent)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &PLAIN);
        a->room = 0;
        fake_ask(asker, 1, 0, "w", NULL);
        say_unsub(a, a->last_id + 1, 1);
        fake_go(a);
        expect_err(asker, 1, WIRE_CODE_RESPONDER_GONE);
        fake_deinit(&f);
}

TEST(who_was_late_and_refuses_then_cannot_answer)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &SOON);
        uint64_t token = fake_ask(asker, 1, 0, "w", a);
        fake_tick(&f, 100);
        expect_again(a, "w", "?", 1);
        fake_refuse(a, 2, 2, 10000);
        fake_reply(a, token, 0, 2, "no");
        expect_err(a, 2, WIRE_CODE_BAD_TOKEN);
        fake_deinit(&f);
}

TEST(a_request_that_is_refused_for_the_last_time_ends)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &(struct fake_ack){.ack_ms = 100, .max_deliveries = 2});
        fake_ask(asker, 1, 0, "w", a);
        fake_tick(&f, 100);
        expect_again(a, "w", "?", 1);
        fake_refuse(a, 2, 2, 0);
        expect_err(asker, 1, WIRE_CODE_RESPONDER_GONE);
        fake_deinit(&f);
}

TEST(a_session_that_got_a_request_in_two_ways_has_one_right_to_it)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *asker = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &PLAIN);
        fake_sub(a, 2, "w");
        a->room = 0;
        fake_ask(asker, 1, 0, "w", NULL);
        say_unsub(a, a->last_id + 1, 1);
        fake_go(a);
        fake_room(a, SIZE_MAX);
        fake_forget(a);
        fake_deinit(&f);
}

TEST(a_group_that_holds_something_goes_on_acknowledging)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);
        struct message plain = {.type = WIRE_SUB,
                .sub = {.id = 1,
                        .sub = 1,
                        .filter = {(const uint8_t *)"w", 1},
                        .group = {(const uint8_t *)"g", 1}}};

        fake_member(a, 1, "w", "g", &PLAIN);
        fake_pub(pub, "w", "1");
        fake_close(a);
        say(b, &plain);
        fake_go(b);
        expect_err(b, 1, WIRE_CODE_DUPLICATE);
        b->last_id = 1;
        fake_member(b, 1, "w", "g", &PLAIN);
        expect_again(b, "w", "1", 1);
        fake_deinit(&f);
}
