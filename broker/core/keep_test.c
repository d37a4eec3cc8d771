/* Retained values: the last of each topic, for whoever comes later. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <string.h>

static void retain(struct client *c, const char *topic, const char *payload)
{
        say_ingress(c, WIRE_INGRESS_RETAIN, 0);
        say_pub(c, topic, payload);
        fake_go(c);
}

static struct got *expect_retained(struct client *c, const char *topic, const char *payload)
{
        struct got *g = expect_pub(c, topic, payload);

        CHECK_EQ(g->delivery.flags, WIRE_DELIVERY_RETAINED);
        return g;
}

TEST(who_subscribes_later_gets_the_last_value_with_its_sender_and_age)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *early = fake_open(&f), *late = fake_open(&f);

        fake_sub(early, 1, "a.>");
        retain(pub, "a.b", "old");
        retain(pub, "a.b", "new");
        retain(pub, "a.c", "x");
        CHECK_EQ(expect_pub(early, "a.b", "old")->delivery.flags, 0);
        expect_pub(early, "a.b", "new");
        expect_pub(early, "a.c", "x");
        fake_tick(&f, 1500);
        fake_sub(late, 1, "a.*");
        struct got *g = expect_retained(late, "a.b", "new");
        CHECK_EQ(g->delivery.session, pub->number);
        CHECK_EQ(g->delivery.age_ms, 1500);
        CHECK_EQ(g->delivery.subs[0], 1);
        expect_retained(late, "a.c", "x");
        expect_nothing(late);
        fake_pub(pub, "a.b", "live");
        CHECK_EQ(expect_pub(late, "a.b", "live")->delivery.flags, 0);
        fake_deinit(&f);
}

TEST(a_value_outlives_its_publisher_and_an_empty_one_clears_it)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *late = fake_open(&f);

        retain(pub, "a", "x");
        retain(pub, "b", "y");
        fake_close(pub);
        fake_sub(late, 1, "*");
        expect_retained(late, "a", "x");
        expect_retained(late, "b", "y");
        retain(late, "a", "");
        expect_pub(late, "a", "");
        fake_sub(late, 2, "a");
        expect_nothing(late);
        fake_deinit(&f);
}

TEST(not_where_nobody_asked_for_it)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);
        struct message m = {.type = WIRE_SUB,
                .sub = {.id = 1,
                        .sub = 1,
                        .filter = {(const uint8_t *)"a", 1},
                        .no_retained = true}};

        retain(c, "a", "x");
        retain(c, "_hidden", "x");
        fake_forget(c);
        say(c, &m);
        fake_go(c);
        expect_ok(c, 1, 0);
        c->last_id = 1;
        expect_nothing(c);
        fake_sub(c, 2, "*"); /* which does not match what hides */
        expect_retained(c, "a", "x");
        fake_sub(c, 3, "_hidden");
        expect_retained(c, "_hidden", "x");
        fake_deinit(&f);
}

TEST(the_last_of_a_burst_is_kept)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *late = fake_open(&f);

        say_ingress(pub, WIRE_INGRESS_RETAIN | WIRE_INGRESS_CONFIRM, 1);
        say_pub(pub, "a", "1");
        say_pub(pub, "a", "2");
        say_pub(pub, "a", "3");
        fake_go(pub);
        for (uint64_t id = 1; id <= 3; id++)
                expect_ok(pub, id, 0);
        fake_sub(late, 1, "a");
        expect_retained(late, "a", "3");
        expect_nothing(late);
        fake_deinit(&f);
}

TEST(descriptors_are_kept_with_it_and_given_back_when_it_is_cleared)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *late = fake_open(&f);

        say_ingress(pub, WIRE_INGRESS_RETAIN, 0);
        say_fds(pub, "a", 2, "x");
        fake_send(pub, 2);
        fake_close(pub);
        CHECK_EQ(fake_report(&f, "descriptors"), 2);
        for (uint32_t sub = 1; sub <= 2; sub++) {
                fake_sub_fds(late, sub, "a", 4);
                CHECK_EQ(expect_retained(late, "a", "x")->n_fds, 2);
        }
        fake_sub(late, 3, "a");
        struct got *g = expect_retained(late, "a", "x");
        CHECK_EQ(g->n_fds, 0);
        CHECK_EQ(g->delivery.withheld, 2);
        fake_forget(late);
        retain(late, "a", "");
        CHECK_EQ(fake_report(&f, "descriptors"), 0);
        fake_forget(late);
        fake_deinit(&f);
}

TEST(limits_refuse_before_anybody_gets_it_and_what_is_there_may_be_replaced)
{
        struct fake f;
        fake_init_with(&f, "retained=2");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, ">");
        retain(pub, "a", "1");
        retain(pub, "b", "1");
        retain(pub, "c", "1");
        expect_err(pub, 0, WIRE_CODE_LIMIT);
        expect_pub(sub, "a", "1");
        expect_pub(sub, "b", "1");
        expect_nothing(sub);
        retain(pub, "a", "2");
        expect_pub(sub, "a", "2");
        retain(pub, "b", "");
        expect_pub(sub, "b", "");
        retain(pub, "c", "2");
        expect_pub(sub, "c", "2");
        expect_nothing(pub);
        fake_deinit(&f);
        fake_init_with(&f, "retained_bytes=65024");
        pub = fake_open(&f);
        say_ingress(pub, WIRE_INGRESS_RETAIN, 0);
        say_large(pub, "a", "x", 40000);
        fake_go(pub);
        expect_nothing(pub);
        say_ingress(pub, WIRE_INGRESS_RETAIN, 0);
        say_large(pub, "b", "x", 40000);
        fake_go(pub);
        expect_err(pub, 0, WIRE_CODE_LIMIT);
        say_ingress(pub, WIRE_INGRESS_RETAIN, 0);
        say_large(pub, "a", "y", 50000);
        fake_go(pub);
        expect_nothing(pub);
        fake_deinit(&f);
}

TEST(without_the_right_nothing_is_kept)
{
        struct fake f;
        fake_init(&f);
        core_free(f.core);
        f.config.rights = 0xff & ~(uint64_t)WIRE_RIGHT_RETAIN;
        CHECK_EQ(core_new(&f.config, f.now_ns, &f.core), 0);
        struct client *c = fake_open(&f);

        retain(c, "a", "x");
        expect_err(c, 0, WIRE_CODE_REFUSED);
        fake_sub(c, 1, "a");
        expect_nothing(c);
        fake_deinit(&f);
}

TEST(more_values_than_a_backlog_holds_come_all_the_same)
{
        enum { N = 40 };
        struct fake f;
        fake_init_with(&f, "queue_messages=4");
        struct client *pub = fake_open(&f), *late = fake_open(&f);
        char topic[16];

        for (int i = 0; i < N; i++) {
                snprintf(topic, sizeof(topic), "t%d", i);
                retain(pub, topic, "x");
        }
        fake_room(late, 0);
        say_sub(late, 1, 1, "*");
        late->last_id = 1;
        fake_go(late);
        fake_room(late, SIZE_MAX);
        (void)expect(late, WIRE_OK);
        for (int i = 0; i < N; i++) {
                snprintf(topic, sizeof(topic), "t%d", i);
                expect_retained(late, topic, "x");
        }
        fake_deinit(&f);
}
