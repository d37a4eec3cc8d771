/* Members of groups that acknowledge come and go. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

static const struct fake_ack PLAIN = {.window = 0}, ONE = {.window = 1};

TEST(what_a_member_that_dies_had_goes_to_the_others_in_order)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);

        fake_member(a, 1, "w", "g", &PLAIN);
        fake_pub(pub, "w", "1");
        fake_pub(pub, "w", "2");
        a->room = 0; /* the rest stays in its queue, and was never delivered */
        fake_pub(pub, "w", "3");
        fake_pub(pub, "w", "4");
        fake_acknowledge(a, 1, 1);
        fake_member(b, 1, "w", "g", &PLAIN);
        expect_nothing(b);
        fake_close(a);
        expect_again(b, "w", "2", 1);
        expect_again(b, "w", "3", 0);
        expect_again(b, "w", "4", 0);
        expect_nothing(b);
        fake_deinit(&f);
}

static void leave_by_bye(struct client *c)
{
        say_bye(c);
        fake_go(c);
}

static void leave_by_unsub(struct client *c)
{
        say_unsub(c, c->last_id + 1, 1);
        fake_go(c);
}

TEST(what_a_member_that_leaves_had_goes_to_the_others)
{
        static void (*const ways[])(struct client *) = {leave_by_bye, leave_by_unsub, fake_close};

        for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);

                fake_member(a, 1, "w", "g", &ONE);
                fake_pub(pub, "w", "1");
                fake_pub(pub, "w", "2");
                fake_member(b, 1, "w", "g", &PLAIN);
                expect_again(b, "w", "2", 0);
                ways[i](a);
                expect_again(b, "w", "1", 1);
                fake_deinit(&f);
        }
}

TEST(a_group_waits_for_its_members_to_come_back)
{
        struct fake f;
        fake_init_with(&f, "linger_ms=1000");
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &(struct fake_ack){.window = 1, .queue_messages = 3});
        fake_pub(pub, "w", "1");
        fake_pub(pub, "w", "2");
        fake_close(a);
        fake_confirmed(pub, 1, "w", "3");
        expect_ok(pub, 1, 1);
        fake_confirmed(pub, 2, "w", "4"); /* no room */
        expect_nothing(pub);
        fake_tick(&f, 999);
        a = fake_open(&f);
        fake_member(a, 1, "w", "g", &(struct fake_ack){.ack_ms = 7}); /* it may have changed */
        expect_again(a, "w", "1", 1);
        expect_again(a, "w", "2", 0);
        expect_again(a, "w", "3", 0);
        expect_again(a, "w", "4", 0); /* its limits, too */
        expect_ok(pub, 2, 1);
        fake_acknowledge(a, 1, 4);
        fake_tick(&f, 1000);
        fake_pub(pub, "w", "5");
        expect_again(a, "w", "5", 0);
        fake_deinit(&f);
}

TEST(what_a_group_holds_is_given_up_in_the_end)
{
        struct fake f;
        fake_init_with(&f, "linger_ms=1000");
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &PLAIN);
        fake_pub(pub, "w", "1");
        fake_close(a);
        fake_tick(&f, 1000);
        CHECK_EQ(fake_report(&f, "discarded"), 1);
        CHECK_EQ(fake_report(&f, "waiting"), 0);
        fake_confirmed(pub, 1, "w", "2");
        expect_ok(pub, 1, 0);
        fake_deinit(&f);
}

TEST(publishers_that_wait_for_a_group_wait_for_its_members_or_its_end)
{
        for (int is_back = 0; is_back < 2; is_back++) {
                struct fake f;
                fake_init_with(&f, "linger_ms=1000");
                struct client *pub = fake_open(&f), *a = fake_open(&f), *other = fake_open(&f);

                fake_member(a, 1, "w", "g", &(struct fake_ack){.queue_messages = 1});
                fake_sub(other, 1, "o");
                for (uint64_t id = 1; id <= 2; id++)
                        fake_confirmed(pub, id, "w", "x");
                fake_pub(pub, "o", "behind");
                expect_ok(pub, 1, 1);
                fake_close(a);
                expect_nothing(pub);
                if (is_back) {
                        fake_member(a = fake_open(&f), 1, "w", "g", &PLAIN);
                        expect_again(a, "w", "x", 1);
                        expect_again(a, "w", "x", 0);
                }
                fake_tick(&f, 1000);
                expect_ok(pub, 2, is_back ? 1 : 0);
                expect_pub(other, "o", "behind");
                fake_deinit(&f);
        }
}

TEST(requests_that_wait_for_a_group_are_told_at_once)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &(struct fake_ack){.queue_messages = 1});
        CHECK(fake_ask(asker, 1, 0, "w", a));
        CHECK(!fake_ask(asker, 2, 0, "w", a)); /* parked */
        fake_close(a);
        expect_err(asker, 2, WIRE_CODE_NO_RESPONDERS);
        expect_err(asker, 1, WIRE_CODE_RESPONDER_GONE);
        fake_deinit(&f);
}

TEST(a_request_goes_to_another_when_its_responder_dies)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);

        fake_member(a, 1, "w", "g", &PLAIN);
        uint64_t token = fake_ask(asker, 1, 0, "w", a);
        fake_member(b, 1, "w", "g", &PLAIN);
        fake_close(a);
        const struct got *g = expect_again(b, "w", "?", 1);
        CHECK_EQ(g->delivery.token, token);
        fake_reply(b, token, 0, 2, "done");
        expect_ok(b, 2, 1);
        expect_pub(asker, "", "done");
        /* Its answer is there: nobody else begins anew. */
        fake_member(a = fake_open(&f), 1, "w", "g", &PLAIN);
        fake_close(b);
        expect_nothing(a);
        fake_deinit(&f);
}

TEST(a_request_is_not_kept_for_a_group_without_members)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &ONE);
        CHECK(fake_ask(asker, 1, 0, "w", a));
        CHECK(!fake_ask(asker, 2, 0, "w", NULL));
        fake_close(a);
        expect_err(asker, 2, WIRE_CODE_NO_RESPONDERS);
        expect_err(asker, 1, WIRE_CODE_RESPONDER_GONE);
        CHECK(!fake_ask(asker, 3, 0, "w", NULL));
        expect_err(asker, 3, WIRE_CODE_NO_RESPONDERS);
        fake_deinit(&f);
}

TEST(who_refuses_a_request_cannot_answer_it_but_who_is_late_can)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);
        static const struct fake_ack soon = {.ack_ms = 100};

        fake_member(a, 1, "w", "g", &soon);
        uint64_t token = fake_ask(asker, 1, 0, "w", a);
        fake_member(b, 1, "w", "g", &soon);
        fake_refuse(a, 1, 1, 0);
        fake_reply(a, token, 0, 2, "no");
        expect_err(a, 2, WIRE_CODE_BAD_TOKEN);
        expect_again(b, "w", "?", 1);
        fake_tick(&f, 100);
        expect_again(a, "w", "?", 2);
        fake_reply(b, token, 0, 2, "late");
        expect_ok(b, 2, 1);
        expect_pub(asker, "", "late");
        fake_acknowledge(a, 2, 2);
        CHECK_EQ(fake_report(&f, "unacknowledged"), 0);
        fake_deinit(&f);
}

TEST(refusing_in_one_group_leaves_the_right_that_another_gave)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &PLAIN);
        fake_member(a, 2, "w", "h", &PLAIN);
        uint64_t token = fake_ask(asker, 1, 0, "w", a);
        CHECK_EQ(expect_again(a, "w", "?", 0)->delivery.token, token);
        fake_refuse(a, 1, 1, 100000);
        fake_reply(a, token, 0, 3, "from the other");
        expect_ok(a, 3, 1);
        fake_deinit(&f);
}

TEST(a_broker_that_stops_sends_what_is_queued_and_lets_the_rest_go)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);

        fake_member(a, 1, "w", "g", &PLAIN);
        fake_pub(pub, "w", "sent");
        a->room = 0;
        fake_pub(pub, "w", "queued");
        fake_member(b, 1, "w", "g", &ONE);
        core_shutdown(f.core, f.now_ns);
        fake_flush(&f);
        fake_room(a, SIZE_MAX);
        expect_pub(a, "w", "sent");
        expect_pub(a, "w", "queued");
        expect_bye(a, WIRE_CODE_SHUTDOWN);
        expect_bye(b, WIRE_CODE_SHUTDOWN);
        fake_deinit(&f);
}

/* What is queued for it makes others wait. */
static void fill(struct fake *f, struct client *pub, struct client *a)
{
        fake_sub(a, 2, "o");
        a->room = 0;
        fake_pub(pub, "w", "1");
        fake_pub(pub, "w", "2");
        fake_pub(pub, "w", "3");
        fake_confirmed(pub, 1, "o", "waits");
        expect_nothing(pub);
        fake_check(f);
}

TEST(who_waits_for_room_goes_on_when_what_is_queued_is_taken_back)
{
        for (int way = 0; way < 2; way++) {
                struct fake f;
                fake_init_with(&f, "queue_messages=3");
                struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);

                fake_member(a, 1, "w", "g", &(struct fake_ack){.ack_ms = 100});
                fill(&f, pub, a);
                fake_member(b, 1, "w", "g", &(struct fake_ack){.ack_ms = 100});
                if (way) {
                        say_unsub(a, a->last_id + 1, 1);
                        fake_go(a);
                } else {
                        fake_tick(&f, 1000);
                }
                expect_ok(pub, 1, 1);
                CHECK_EQ(fake_count(b), 3);
                fake_deinit(&f);
        }
}

TEST(a_broker_that_stops_does_not_wait_for_a_group_without_members)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &(struct fake_ack){.queue_messages = 1});
        fake_close(a);
        fake_pub(pub, "w", "1");
        fake_confirmed(pub, 1, "w", "2");
        core_shutdown(f.core, f.now_ns);
        fake_flush(&f);
        expect_ok(pub, 1, 0);
        expect_bye(pub, WIRE_CODE_SHUTDOWN);
        fake_deinit(&f);
}
