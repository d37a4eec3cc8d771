/* What a group that acknowledges holds: what room it has, whom it is for, who may answer. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

#include <stdio.h>

static const struct fake_ack PLAIN = {.window = 0}, SOON = {.ack_ms = 100};

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

TEST(what_is_delayed_gets_too_old_all_the_same)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &(struct fake_ack){.queue_messages = 1});
        publish_mortal(pub);
        fake_refuse(a, 1, 1, 10000);
        fake_confirmed(pub, 1, "w", "x");
        expect_nothing(pub);
        fake_tick(&f, 100);
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

static void publish_without_echo(struct client *c, const char *text, uint64_t ttl_ms)
{
        say(c, &(struct message){.type = WIRE_INGRESS,
                       .ingress = {.flags = WIRE_INGRESS_NO_ECHO, .ttl_ms = ttl_ms}});
        fake_pub(c, "w", text);
}

TEST(what_is_aside_gets_too_old_though_somebody_came)
{
        struct fake f;
        fake_init_with(&f, "linger_ms=1000");
        struct client *a = fake_open(&f), *b = fake_open(&f), *pub = fake_open(&f), *d;
        static const struct fake_ack one = {.window = 1, .ack_ms = 86400000, .queue_messages = 2};

        fake_member(a, 1, "w", "g", &one);
        fake_member(b, 1, "w", "g", &one);
        for (int i = 0; i < 2; i++)
                publish_without_echo(a, "x", 5000);
        fake_close(b);
        fake_tick(&f, 500);
        fake_member(d = fake_open(&f), 1, "w", "g", &one);
        CHECK_EQ(fake_count(d), 1);
        fake_confirmed(pub, 1, "w", "3");
        fake_tick(&f, 500);
        fake_tick(&f, 4000);
        expect_ok(pub, 1, 1);
        fake_deinit(&f);
}

TEST(what_is_aside_for_one_does_not_hold_up_what_is_for_another)
{
        struct fake f;
        fake_init_with(&f, "queue_bytes=100000");
        struct client *a = fake_open(&f), *b = fake_open(&f), *pub = fake_open(&f);

        fake_member(a, 1, "w", "g", &(struct fake_ack){.window = 1});
        fake_member(b, 1, "w", "g", &PLAIN);
        fake_sub(b, 2, "v");
        b->room = 0;
        say_large(pub, "v", "fills b", 50000);
        fake_go(pub);
        say_ingress(a, WIRE_INGRESS_NO_ECHO, 0);
        say_large(a, "w", "too large for b now", 60000);
        fake_go(a);
        publish_without_echo(b, "y", 0);
        expect_again(a, "w", "y", 0);
        publish_without_echo(b, "z", 0);
        expect_nothing(a);
        fake_acknowledge(a, 1, 1);
        expect_again(a, "w", "z", 0);
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
