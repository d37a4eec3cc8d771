/* A policy that changes while the bus is in use. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

TEST(who_may_not_connect_any_more_is_told_and_ended)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any connect");
        struct client *c = fake_stranger(&f, 2000), *own = fake_open(&f);

        fake_policy(&f, "user:2001 connect");
        expect_bye(c, WIRE_CODE_REFUSED);
        fake_sub(own, 1, "a");
        fake_policy(&f, NULL);
        fake_pub(own, "a", "x");
        expect_pub(own, "a", "x");
        fake_deinit(&f);
}

TEST(rights_that_change_are_told)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any publish:a");
        struct client *c = fake_stranger(&f, 2000);

        fake_policy(&f, "any publish:a subscribe:b send-fds:a");
        CHECK_EQ(expect(c, WIRE_RIGHTS)->m.number,
                WIRE_RIGHT_PUBLISH | WIRE_RIGHT_SUBSCRIBE | WIRE_RIGHT_FDS);
        CHECK(core_may_send_fds(f.core, c->id));
        fake_policy(&f, "any publish:b subscribe:a send-fds:c");
        expect_nothing(c);
        fake_policy(&f, "any connect");
        CHECK_EQ(expect(c, WIRE_RIGHTS)->m.number, 0);
        CHECK(!core_may_send_fds(f.core, c->id));
        fake_deinit(&f);
}

TEST(a_subscription_that_is_not_allowed_any_more_ends_behind_what_was_queued)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any subscribe:a.> subscribe:b");
        struct client *c = fake_stranger(&f, 2000), *own = fake_open(&f);

        fake_sub_stranger(c, 1, "a.*.>");
        fake_sub_stranger(c, 2, "b");
        fake_room(c, 0);
        fake_pub(own, "a.x.y", "before");
        fake_policy(&f, "any subscribe:a.x subscribe:b");
        fake_pub(own, "a.x.y", "after");
        fake_pub(own, "b", "other");
        fake_room(c, SIZE_MAX);
        expect_pub(c, "a.x.y", "before");
        expect_gap(c, 1, 0, WIRE_GAP_REVOKED, 2);
        expect_pub(c, "b", "other");
        expect_nothing(c);
        say_unsub(c, ++c->last_id, 1);
        fake_go(c);
        expect_err(c, c->last_id, WIRE_CODE_NO_SUCH_SUB);
        fake_deinit(&f);
}

TEST(a_member_of_a_group_that_may_not_be_one_any_more_leaves_its_work_to_others)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any join:jobs.>");
        struct client *c = fake_stranger(&f, 2000), *own = fake_open(&f);

        fake_member(c, 1, "jobs.*", "g", &(struct fake_ack){.window = 1});
        fake_pub(own, "jobs.1", "x");
        expect_pub(c, "jobs.1", "x");
        fake_policy(&f, "any join:jobs.other");
        expect_gap(c, 1, 0, WIRE_GAP_REVOKED, 2);
        fake_member(own, 1, "jobs.*", "g", &(struct fake_ack){.window = 1});
        expect_again(own, "jobs.1", "x", 1);
        fake_deinit(&f);
}

TEST(who_may_not_block_any_more_loses_what_blocks)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any subscribe:> block:>");
        struct client *c = fake_stranger(&f, 2000);

        fake_sub(c, 1, "a");
        fake_policy(&f, "any subscribe:>");
        CHECK_EQ(expect(c, WIRE_RIGHTS)->m.number, WIRE_RIGHT_SUBSCRIBE);
        expect_gap(c, 1, 0, WIRE_GAP_REVOKED, 1);
        fake_deinit(&f);
}

static void retain(struct client *c, const char *topic)
{
        say_ingress(c, WIRE_INGRESS_RETAIN, 0);
        say_pub(c, topic, "kept");
        fake_go(c);
}

TEST(retained_values_go_with_the_right_of_their_owner)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any publish:> retain:>");
        struct client *c = fake_stranger(&f, 2000), *gone = fake_stranger(&f, 2001),
                      *own = fake_open(&f);

        retain(c, "a");
        retain(c, "b");
        retain(gone, "c");
        retain(own, "d");
        fake_close(gone);
        fake_policy(&f, "user:2000 publish:> retain:a user:2001 connect:no");
        fake_sub(own, 1, ">");
        expect_pub(own, "a", "kept");
        expect_pub(own, "d", "kept");
        expect_nothing(own);
        fake_deinit(&f);
}

TEST(a_will_is_judged_when_it_is_published)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any will:>");
        struct client *c = fake_stranger(&f, 2000), *own = fake_open(&f);

        fake_sub(own, 1, ">");
        say_ingress(c, WIRE_INGRESS_WILL, 0);
        say_pub(c, "gone", "x");
        fake_go(c);
        fake_policy(&f, "any will:other");
        fake_close(c);
        expect_nothing(own);
        fake_deinit(&f);
}

TEST(quotas_hold_from_the_next_thing_on)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any subscribe:>");
        struct client *c = fake_stranger(&f, 2000);

        fake_sub_stranger(c, 1, "a");
        fake_sub_stranger(c, 2, "b");
        fake_policy(&f, "any subscribe:> uid_subscriptions:1");
        say_sub(c, ++c->last_id, 3, "c");
        fake_go(c);
        CHECK(slice_is(
                expect_err(c, c->last_id, WIRE_CODE_LIMIT)->m.verdict.limit, "uid_subscriptions"));
        expect_nothing(c); /* what it has it keeps */
        fake_deinit(&f);
}

static void will_in_pieces(struct client *c, const char *topic, uint32_t n_fds)
{
        say_ingress(c, WIRE_INGRESS_WILL, 0);
        say_begin(c, topic, n_fds, 0);
        fake_send(c, n_fds);
        say_end(c, 0);
        fake_go(c);
}

TEST(a_will_with_a_descriptor_that_may_not_be_sent_any_more_is_not)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any will:> send-any-fds:>");
        struct client *c = fake_stranger(&f, 2000), *own = fake_open(&f);

        fake_sub_fds(own, 1, ">", 1);
        f.odd_fds = true;
        will_in_pieces(c, "gone", 1);
        fake_policy(&f, "any will:> send-fds:>");
        fake_close(c);
        expect_nothing(own);
        fake_deinit(&f);
}
