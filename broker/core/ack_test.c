/* Groups that acknowledge: at least once. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

static const struct fake_ack ONE = {.window = 1}, PLAIN = {.window = 0};

TEST(what_is_acknowledged_is_done_and_makes_room_for_the_next)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &ONE);
        fake_confirmed(pub, 1, "w", "1");
        fake_confirmed(pub, 2, "w", "2");
        expect_ok(pub, 1, 1);
        expect_ok(pub, 2, 1);
        CHECK_EQ(expect_again(a, "w", "1", 0)->delivery.seq, 1);
        expect_nothing(a);
        CHECK_EQ(fake_report(&f, "unacknowledged"), 1);
        CHECK_EQ(fake_report(&f, "waiting"), 1);
        fake_acknowledge(a, 1, 1);
        expect_again(a, "w", "2", 0);
        fake_acknowledge(a, 2, 2);
        expect_nothing(a);
        CHECK_EQ(fake_report(&f, "unacknowledged"), 0);
        fake_close(a);
        a = fake_open(&f);
        fake_member(a, 1, "w", "g", &ONE);
        expect_nothing(a);
        fake_deinit(&f);
}

TEST(a_range_acknowledges_all_in_it_and_what_is_not_there_is_ignored)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_sub(a, 1, "plain");
        fake_member(a, 2, "w", "g", &PLAIN);
        for (int i = 0; i < 10; i++) {
                fake_pub(pub, "plain", "-");
                fake_pub(pub, "w", "x");
        }
        CHECK_EQ(fake_count(a), 20);
        CHECK_EQ(fake_report(&f, "unacknowledged"), 10);
        fake_acknowledge(a, 1, 1); /* not one of them */
        fake_acknowledge(a, 21, UINT64_MAX);
        CHECK_EQ(fake_report(&f, "unacknowledged"), 10);
        fake_acknowledge(a, 7, 12);
        CHECK_EQ(fake_report(&f, "unacknowledged"), 7);
        fake_acknowledge(a, 7, 12);
        CHECK_EQ(fake_report(&f, "unacknowledged"), 7);
        fake_acknowledge(a, 20, 20);
        fake_acknowledge(a, 2, 2);
        CHECK_EQ(fake_report(&f, "unacknowledged"), 5);
        fake_acknowledge(a, 0, UINT64_MAX);
        CHECK_EQ(fake_report(&f, "unacknowledged"), 0);
        fake_deinit(&f);
}

TEST(what_a_member_refuses_goes_to_another)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);

        fake_member(a, 1, "w", "g", &PLAIN);
        fake_pub(pub, "w", "x");
        expect_again(a, "w", "x", 0);
        fake_member(b, 1, "w", "g", &(struct fake_ack){.window = 1}); /* less free than a */
        fake_refuse(a, 1, 1, 0);
        expect_again(b, "w", "x", 1);
        fake_refuse(b, 1, 1, 0);
        expect_again(a, "w", "x", 2);
        CHECK_EQ(fake_report(&f, "returned"), 2);
        fake_acknowledge(a, 2, 2);
        expect_nothing(a);
        expect_nothing(b);
        fake_deinit(&f);
}

TEST(what_is_refused_for_a_while_comes_back_then_and_holds_up_nothing)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &ONE);
        fake_pub(pub, "w", "1");
        expect_again(a, "w", "1", 0);
        fake_refuse(a, 1, 1, 1000);
        expect_nothing(a);
        fake_pub(pub, "w", "2");
        fake_pub(pub, "w", "3");
        expect_again(a, "w", "2", 0);
        fake_tick(&f, 999);
        fake_acknowledge(a, 2, 2);
        expect_again(a, "w", "3", 0);
        fake_tick(&f, 1);
        expect_nothing(a);
        fake_pub(pub, "w", "4");
        fake_acknowledge(a, 3, 3);
        expect_again(a, "w", "1", 1); /* in front of what was never delivered */
        fake_deinit(&f);
}

TEST(what_is_not_acknowledged_in_time_goes_to_another)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);
        static const struct fake_ack soon = {.ack_ms = 500};

        fake_member(a, 1, "w", "g", &soon);
        fake_pub(pub, "w", "x");
        expect_again(a, "w", "x", 0);
        fake_tick(&f, 499);
        fake_member(b, 1, "w", "g", &soon);
        expect_nothing(b);
        fake_tick(&f, 1);
        expect_again(b, "w", "x", 1);
        fake_acknowledge(a, 1, 1); /* too late: it is another's */
        CHECK_EQ(fake_report(&f, "unacknowledged"), 1);
        fake_tick(&f, 500);
        expect_again(a, "w", "x", 2);
        fake_deinit(&f);
}

TEST(who_let_time_pass_gets_nothing_while_others_are_there_until_it_answers)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);
        static const struct fake_ack soon = {.window = 8, .ack_ms = 500},
                                     narrow = {.window = 2, .ack_ms = 500};

        fake_member(a, 1, "w", "g", &soon);
        fake_pub(pub, "w", "0");
        expect_again(a, "w", "0", 0);
        fake_tick(&f, 500);
        expect_again(a, "w", "0", 1); /* there is no other */
        fake_member(b, 1, "w", "g", &narrow);
        for (int i = 0; i < 4; i++)
                fake_pub(pub, "w", "x");
        CHECK_EQ(fake_count(b), 2);
        expect_nothing(a);
        fake_acknowledge(a, 2, 2);
        CHECK_EQ(fake_count(a), 2);
        fake_deinit(&f);
}

TEST(an_answer_that_comes_too_late_shows_life_too)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);
        static const struct fake_ack soon = {.window = 1, .ack_ms = 500};

        fake_member(a, 1, "w", "g", &soon);
        fake_pub(pub, "w", "1");
        fake_pub(pub, "w", "2");
        fake_member(b, 1, "w", "g", &soon);
        fake_acknowledge(b, 1, 1);
        fake_tick(&f, 500);
        fake_pub(pub, "w", "3");
        CHECK_EQ(fake_count(b), 2); /* 2, and 1 again; 3 waits for it */
        CHECK_EQ(fake_count(a), 1);
        fake_acknowledge(a, 1, 1);
        expect_again(a, "w", "3", 0);
        fake_deinit(&f);
}

TEST(what_is_under_way_is_within_the_window_and_the_limits_of_the_group)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &(struct fake_ack){.window = 3, .queue_messages = 5});
        for (uint64_t id = 1; id <= 7; id++)
                fake_confirmed(pub, id, "w", "x");
        for (uint64_t id = 1; id <= 5; id++)
                expect_ok(pub, id, 1);
        expect_nothing(pub);
        CHECK_EQ(fake_count(a), 3);
        fake_acknowledge(a, 1, 1);
        expect_ok(pub, 6, 1);
        expect_nothing(pub);
        CHECK_EQ(fake_count(a), 1);
        fake_tick(&f, 29999); /* nobody is ended: each has its time */
        fake_acknowledge(a, 2, 4);
        expect_ok(pub, 7, 1);
        fake_deinit(&f);
}

TEST(a_group_has_the_options_of_its_first_member)
{
        struct fake f;
        fake_init(&f);
        struct client *a = fake_open(&f), *b = fake_open(&f);
        static const struct fake_ack others[] = {{.ack_ms = 1}, {.max_deliveries = 1}};

        fake_member(a, 1, "w", "g", &PLAIN);
        for (uint32_t i = 0; i < ARRAY_LEN(others); i++) {
                say_member(b, i + 1, "w", "g", &others[i]);
                fake_go(b);
                expect_err(b, b->last_id, WIRE_CODE_DUPLICATE);
        }
        say(b, &(struct message){.type = WIRE_SUB,
                       .sub = {.id = ++b->last_id,
                               .sub = 3,
                               .filter = {(const uint8_t *)"w", 1},
                               .group = {(const uint8_t *)"g", 1}}});
        fake_go(b);
        expect_err(b, b->last_id, WIRE_CODE_DUPLICATE);
        fake_member(b, 4, "w", "g", &(struct fake_ack){.window = 3}); /* that is its own affair */
        fake_deinit(&f);
}

TEST(what_gets_too_old_is_given_to_nobody)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &PLAIN);
        a->room = 0;
        for (int i = 0; i < 3; i++) {
                say(pub, &(struct message){.type = WIRE_INGRESS, .ingress = {.ttl_ms = 100}});
                say_pub(pub, "w", "x");
        }
        fake_go(pub);
        fake_tick(&f, 100);
        fake_room(a, SIZE_MAX);
        expect_nothing(a);
        CHECK_EQ(fake_report(&f, "dropped"), 3);
        fake_pub(pub, "w", "y");
        CHECK_EQ(expect_again(a, "w", "y", 0)->delivery.seq, 1);
        fake_deinit(&f);
}

TEST(publications_that_waited_in_one_piece_are_counted_one_by_one)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *slow = fake_open(&f), *a = fake_open(&f);

        fake_sub(slow, 1, "w");
        slow->room = 0;
        fake_pub(pub, "w", "0");
        fake_pub(pub, "w", "1"); /* waits for room */
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 10);
        say_pub(pub, "w", "2");
        say_pub(pub, "w", "3");
        say_pub(pub, "w", "4");
        fake_go(pub); /* behind it */
        fake_member(a, 1, "w", "g", &ONE);
        fake_room(slow, SIZE_MAX);
        static const char *const texts[] = {"2", "3", "4"};
        for (uint64_t i = 0; i < 3; i++) {
                expect_again(a, "w", texts[i], 0);
                expect_nothing(a);
                expect_ok(pub, 10 + i, 2);
                fake_acknowledge(a, i + 1, i + 1);
        }
        fake_deinit(&f);
}
