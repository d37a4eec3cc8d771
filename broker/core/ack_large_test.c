/* Groups that acknowledge, with descriptors and large payloads. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

enum { SIZE = 200000 };

static const struct fake_ack PLAIN = {.max_fds = 2};

TEST(descriptors_survive_being_delivered_again)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);

        fake_member(a, 1, "w", "g", &PLAIN);
        say_fds(pub, "w", 2, "fd");
        fake_send(pub, 2);
        const struct got *g = expect_again(a, "w", "fd", 0);
        int fd = g->fd;
        CHECK_EQ(g->n_fds, 2);
        say_credit(a, 1);
        fake_go(a);
        fake_close(a); /* the group holds them, without members */
        CHECK_EQ(fake_report(&f, "descriptors"), 2);
        fake_member(b, 1, "w", "g", &PLAIN);
        g = expect_again(b, "w", "fd", 1);
        CHECK_EQ(g->n_fds, 2);
        CHECK_EQ(g->fd, fd);
        CHECK_EQ(fake_report(&f, "descriptors"), 2);
        fake_acknowledge(b, 1, 1);
        CHECK_EQ(fake_report(&f, "descriptors"), 0);
        fake_bury(&f);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(descriptors_withheld_from_one_member_reach_another)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *none = fake_open(&f), *b = fake_open(&f);

        fake_member(none, 1, "w", "g", &(struct fake_ack){.max_fds = 0});
        say_fds(pub, "w", 2, "fd");
        fake_send(pub, 2);
        CHECK_EQ(expect_again(none, "w", "fd", 0)->delivery.withheld, 2);
        fake_member(b, 1, "w", "g", &PLAIN);
        fake_refuse(none, 1, 1, 0);
        CHECK_EQ(expect_again(b, "w", "fd", 1)->n_fds, 2);
        fake_deinit(&f);
}

/* BEGIN and some of the payload have been sent. */
static void begin_chunks(struct client *pub, struct client *to)
{
        to->room = 0;
        fake_placed(pub, "w", 1, SIZE);
        fake_room(to, 66000);
        CHECK_EQ(expect(to, WIRE_BEGIN)->delivery.redelivered, 0);
        to->room = 0;
}

TEST(a_payload_on_its_way_in_chunks_goes_on_though_its_time_has_passed)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);

        fake_member(a, 1, "w", "g", &(struct fake_ack){.ack_ms = 100});
        begin_chunks(pub, a);
        fake_member(b, 1, "w", "g", &(struct fake_ack){.ack_ms = 100});
        fake_tick(&f, 100);
        expect_large(b, "w", 1, SIZE);
        fake_room(a, SIZE_MAX);
        expect_end(a, 1, SIZE);
        fake_acknowledge(a, 1, 1); /* too late */
        CHECK_EQ(fake_report(&f, "unacknowledged"), 1);
        fake_acknowledge(b, 1, 1);
        CHECK_EQ(fake_report(&f, "descriptors"), 0);
        fake_deinit(&f);
}

TEST(a_payload_on_its_way_in_chunks_can_be_answered)
{
        for (int is_refused = 0; is_refused < 2; is_refused++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *a = fake_open(&f);

                fake_member(a, 1, "w", "g", &PLAIN);
                begin_chunks(pub, a);
                if (is_refused)
                        fake_refuse(a, 1, 1, 0);
                else
                        fake_acknowledge(a, 1, 1);
                fake_room(a, SIZE_MAX);
                expect_end(a, 1, SIZE);
                if (is_refused)
                        expect_large(a, "w", 1, SIZE);
                expect_nothing(a);
                fake_deinit(&f);
        }
}

TEST(a_member_that_ends_in_the_middle_of_a_payload_leaves_it_to_another)
{
        for (int way = 0; way < 3; way++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open_memfd(&f);

                fake_member(a, 1, "w", "g", &PLAIN);
                begin_chunks(pub, a);
                fake_member(b, 1, "w", "g", &PLAIN);
                if (way == 0) {
                        fake_close(a);
                } else {
                        if (way == 1)
                                say_unsub(a, a->last_id + 1, 1);
                        else
                                say_bye(a);
                        fake_go(a);
                        fake_room(a, SIZE_MAX);
                        if (way == 1)
                                expect_ok(a, a->last_id, 0);
                        expect_end(a, 1, SIZE);
                }
                CHECK_EQ(expect_large(b, "w", 1, SIZE)->delivery.redelivered, 1);
                fake_deinit(&f);
        }
}

TEST(what_cannot_be_read_for_one_goes_to_another_without_a_gap)
{
        for (int has_begun = 0; has_begun < 2; has_begun++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open_memfd(&f);

                fake_member(a, 1, "w", "g", &PLAIN);
                if (has_begun) {
                        begin_chunks(pub, a);
                } else {
                        a->room = 0;
                        fake_placed(pub, "w", 1, SIZE);
                }
                fake_member(b, 1, "w", "g", &PLAIN);
                a->reads_nothing = true;
                fake_room(a, SIZE_MAX);
                if (has_begun)
                        CHECK_EQ(expect(a, WIRE_END)->m.number, 1);
                expect_nothing(a);
                fake_tick(&f, 1000);
                CHECK_EQ(expect_large(b, "w", 1, SIZE)->delivery.redelivered, has_begun);
                fake_deinit(&f);
        }
}

TEST(what_nobody_can_read_ends_in_time)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &PLAIN);
        a->reads_nothing = true;
        fake_placed(pub, "w", 1, SIZE);
        expect_nothing(a);
        for (int i = 1; i < WIRE_DELIVERIES_DEFAULT; i++) {
                CHECK_EQ(fake_report(&f, "dead"), 0);
                fake_tick(&f, 1000);
        }
        CHECK_EQ(fake_report(&f, "dead"), 1);
        CHECK_EQ(fake_report(&f, "descriptors"), 0);
        fake_deinit(&f);
}

/* What was taken from it in the middle of a payload is another's, whatever becomes of the rest. */
TEST(the_rest_of_a_payload_that_is_elsewhere_cannot_be_lost)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open_memfd(&f);
        static const struct fake_ack soon = {.ack_ms = 100};

        fake_member(a, 1, "w", "g", &soon);
        begin_chunks(pub, a);
        fake_member(b, 1, "w", "g", &soon);
        fake_tick(&f, 100);
        expect_large(b, "w", 1, SIZE);
        a->reads_nothing = true;
        fake_room(a, SIZE_MAX);
        CHECK_EQ(expect(a, WIRE_END)->m.number, 1);
        expect_nothing(a);
        CHECK_EQ(fake_report(&f, "dropped"), 0);
        fake_deinit(&f);
}

TEST(the_rest_of_a_request_that_is_elsewhere_takes_no_right_away)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *a = fake_open(&f);
        struct core_packet packet;

        fake_member(a, 1, "w", "g", &(struct fake_ack){.window = 0});
        a->room = 0;
        say_request(asker, 1, 0);
        say_placed(asker, "w", 1, SIZE);
        fake_feed_fds(asker, fake_placed_fds(&f, 0, 1, SIZE));
        fake_flush(&f);
        fake_room(a, 66000);
        uint64_t token = expect(a, WIRE_BEGIN)->delivery.token;
        a->room = 0;
        fake_refuse(a, 1, 1, 0);
        core_writable(f.core, a->id, f.now_ns);
        CHECK(core_out_build(f.core, a->id, &packet));
        core_out_done(f.core, a->id, CORE_OUT_UNREADABLE, f.now_ns);
        fake_room(a, SIZE_MAX);
        fake_forget(a);
        fake_acknowledge(a, 2, 2);
        fake_reply(a, token, 0, 3, "done");
        expect_ok(a, 3, 1);
        fake_deinit(&f);
}

TEST(descriptors_and_placed_payloads_in_a_group_are_bounded)
{
        struct fake f;
        fake_init_with(&f, "held_fds=1000 queue_fds=40");
        struct client *pub = fake_open(&f), *silent = fake_open(&f), *other = fake_open(&f);
        static const struct fake_ack patient = {.window = 1, .max_fds = 16, .ack_ms = 86400000};

        fake_member(silent, 1, "w", "g", &patient);
        fake_sub_fds(other, 1, "o", 16);
        for (int i = 0; i < 10; i++) {
                say_fds(pub, "w", 16, "fd");
                fake_send(pub, 16);
        }
        CHECK_EQ(fake_report(&f, "parked"), 8);
        fake_deinit(&f);
}
