/* Wills: what a session leaves behind when it ends without a good-bye. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

static void leave_behind(struct client *c, uint64_t flags, const char *topic, const char *payload)
{
        say_ingress(c, WIRE_INGRESS_WILL | WIRE_INGRESS_CONFIRM | flags, ++c->last_id);
        say_pub(c, topic, payload);
        fake_go(c);
        expect_ok(c, c->last_id, 0);
}

TEST(a_will_is_published_when_its_session_is_lost_and_not_before)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f), *sub = fake_open(&f);
        uint64_t number = c->number;

        fake_sub(sub, 1, ">");
        leave_behind(c, 0, "w", "first");
        leave_behind(c, 0, "w", "second");
        fake_pub(c, "a", "last");
        expect_pub(sub, "a", "last");
        expect_nothing(sub);
        fake_close(c);
        CHECK_EQ(expect_pub(sub, "w", "second")->delivery.session, number);
        expect_nothing(sub);
        fake_deinit(&f);
}

TEST(a_good_bye_takes_it_back_and_so_does_an_empty_topic)
{
        struct fake f;
        fake_init(&f);
        struct client *a = fake_open(&f), *b = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, ">");
        leave_behind(a, 0, "w", "x");
        say_bye(a);
        fake_go(a);
        fake_forget(a);
        leave_behind(b, 0, "w", "x");
        leave_behind(b, 0, "", "");
        fake_close(b);
        expect_nothing(sub);
        fake_deinit(&f);
}

TEST(who_is_ended_by_the_broker_leaves_its_will_too)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, ">");
        leave_behind(c, 0, "w", "x");
        say_bytes(c, "91 3f"); /* an unknown frame */
        fake_go(c);
        expect_bye(c, WIRE_CODE_PROTOCOL);
        expect_pub(sub, "w", "x");
        fake_deinit(&f);
}

TEST(a_will_comes_behind_all_that_was_published_before)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *c = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, ">");
        fake_room(sub, 0);
        leave_behind(c, 0, "w", "will");
        for (int i = 0; i < 4; i++)
                fake_pub(c, "a", "x");
        fake_close(c);
        fake_room(sub, SIZE_MAX);
        for (int i = 0; i < 4; i++)
                expect_pub(sub, "a", "x");
        expect_pub(sub, "w", "will");
        fake_deinit(&f);
}

/* It waits behind another publication when its session ends, or is ended. */
TEST(a_will_that_waits_for_its_turn_replaces_the_one_before)
{
        for (int way = 0; way < 3; way++) {
                struct fake f;
                fake_init_with(&f, "queue_messages=1");
                struct client *c = fake_open(&f), *sub = fake_open(&f), *watch = fake_open(&f);

                fake_sub(sub, 1, "a");
                fake_sub(watch, 1, "w");
                fake_room(sub, 0);
                leave_behind(c, 0, "w", "old");
                fake_pub(c, "a", "x");
                fake_pub(c, "a", "waits");
                say_ingress(c, WIRE_INGRESS_WILL, 0);
                say_pub(c, way == 2 ? "" : "w", "new");
                fake_go(c); /* not kept yet */
                if (way == 1) {
                        core_end(f.core, c->id, WIRE_CODE_PROTOCOL, "for what the shell knows",
                                f.now_ns);
                        fake_room(sub, SIZE_MAX); /* its turn comes before the end is over */
                } else {
                        fake_close(c);
                }
                fake_room(sub, SIZE_MAX);
                if (way < 2)
                        expect_pub(watch, "w", "new");
                expect_nothing(watch);
                fake_forget(c);
                fake_deinit(&f);
        }
}

TEST(a_will_may_be_retained_and_have_descriptors)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f), *late = fake_open(&f);

        say_ingress(c, WIRE_INGRESS_WILL | WIRE_INGRESS_RETAIN, 0);
        say_fds(c, "w", 1, "x");
        fake_send(c, 1);
        fake_close(c);
        fake_sub_fds(late, 1, "w", 1);
        struct got *g = expect_pub(late, "w", "x");
        CHECK_EQ(g->delivery.flags, WIRE_DELIVERY_RETAINED);
        CHECK_EQ(g->n_fds, 1);
        fake_deinit(&f);
}

TEST(topics_of_the_broker_and_none_are_refused)
{
        static const char *const bad[] = {"$sys.session.opened", "a..b", "*"};
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                say_ingress(c, WIRE_INGRESS_WILL | WIRE_INGRESS_CONFIRM, i + 1);
                say_pub(c, bad[i], "x");
                fake_go(c);
                expect_err(c, i + 1, WIRE_CODE_BAD_TOPIC);
        }
        fake_deinit(&f);
}

TEST(a_broker_that_stops_publishes_no_wills)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, ">");
        leave_behind(c, 0, "w", "x");
        core_shutdown(f.core, f.now_ns);
        fake_flush(&f);
        expect_bye(sub, WIRE_CODE_SHUTDOWN);
        fake_forget(c);
        fake_deinit(&f);
}
