/* Ways around a policy, or a quota, that look open and are not: by waiting, by dying, by datagrams,
 * by groups, and by what is counted together. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <string.h>

static void keep(struct client *c, uint64_t flags, const char *topic)
{
        say_ingress(c, WIRE_INGRESS_RETAIN | flags, 0);
        say_pub(c, topic, "kept");
        fake_go(c);
}

static bool datagram(struct client *box, uint32_t uid, uint64_t flags, const char *topic)
{
        struct core_peer sender = {.pid = 77, .uid = uid, .gid = uid};
        struct fake *f = box->fake;

        say_ingress(box, flags, 0);
        say_pub(box, topic, "kept");
        bool is_fine =
                core_datagram(f->core, &sender, box->packet.data, box->packet.len, f->now_ns);
        buf_clear(&box->packet);
        fake_check(f);
        fake_flush(f);
        return is_fine;
}

/* How many values somebody who subscribes now gets. */
static size_t n_kept(struct fake *f)
{
        struct client *late = fake_open(f);

        fake_sub(late, 1, ">");
        return fake_count(late);
}

/* ----------------------------------------------------------------- waiting */

/* A publisher with one publication that waits for `slow`; what it says then waits behind it. */
static struct client *held_up(struct fake *f, struct client **ret_slow)
{
        struct client *slow = fake_open(f), *c;

        fake_sub(slow, 1, "hold");
        fake_room(slow, 0);
        c = fake_stranger(f, 2000);
        fake_pub(c, "hold", "1");
        fake_pub(c, "hold", "2");
        CHECK_EQ(fake_report(f, "parked"), 1);
        *ret_slow = slow;
        return c;
}

TEST(values_that_waited_together_are_not_kept_beyond_the_quota)
{
        struct fake f;
        struct client *slow;
        fake_init_with(&f, "queue_messages=1");
        fake_policy(&f, "any publish:> retain:> uid_retained:8");
        struct client *c = held_up(&f, &slow);
        char topic[16];

        for (int i = 0; i < 20; i++) {
                snprintf(topic, sizeof(topic), "r.%d", i);
                keep(c, 0, topic);
        }
        fake_room(slow, SIZE_MAX);
        CHECK_EQ(fake_report(&f, "parked"), 0);
        CHECK(slice_is(expect_err(c, 0, WIRE_CODE_LIMIT)->m.verdict.limit, "uid_retained"));
        CHECK_EQ(n_kept(&f), 4); /* a session alone: half of it */
        fake_deinit(&f);
}

TEST(values_that_waited_are_not_kept_beyond_the_limit_of_the_bus)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1 retained=3");
        struct client *slow = fake_open(&f), *c = fake_open(&f);
        char topic[16];

        fake_sub(slow, 1, "hold");
        fake_room(slow, 0);
        fake_pub(c, "hold", "1");
        fake_pub(c, "hold", "2");
        for (int i = 0; i < 6; i++) {
                snprintf(topic, sizeof(topic), "r.%d", i);
                keep(c, 0, topic);
        }
        fake_room(slow, SIZE_MAX);
        CHECK(slice_is(expect_err(c, 0, WIRE_CODE_LIMIT)->m.verdict.limit, "retained"));
        fake_tick(&f, 1);
        CHECK_EQ(n_kept(&f), 3);
        fake_deinit(&f);
}

TEST(a_value_that_waited_is_not_kept_when_the_right_is_gone)
{
        struct fake f;
        struct client *slow;
        fake_init_with(&f, "queue_messages=1");
        fake_policy(&f, "any publish:> retain:>");
        struct client *c = held_up(&f, &slow);

        keep(c, 0, "r");
        fake_policy(&f, "any publish:>");
        expect(c, WIRE_RIGHTS);
        fake_room(slow, SIZE_MAX);
        expect_err(c, 0, WIRE_CODE_REFUSED);
        CHECK_EQ(n_kept(&f), 0);
        fake_deinit(&f);
}

TEST(a_value_that_waited_is_not_kept_for_who_is_kept_out)
{
        struct fake f;
        struct client *slow;
        fake_init_with(&f, "queue_messages=1");
        fake_policy(&f, "any publish:> retain:>");
        struct client *c = held_up(&f, &slow);

        keep(c, 0, "r");
        fake_policy(&f, "any publish:> retain:> user:2000 connect:no");
        expect_bye(c, WIRE_CODE_REFUSED);
        fake_room(slow, SIZE_MAX);
        CHECK_EQ(fake_report(&f, "parked"), 0);
        CHECK_EQ(n_kept(&f), 0);
        fake_deinit(&f);
}

/* ------------------------------------------------------------------- dying */

TEST(wills_are_not_kept_beyond_the_quota)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any publish:> retain:> will:> uid_retained:8");
        struct client *all[12];
        char topic[16];

        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                all[i] = fake_stranger(&f, 2000);
                snprintf(topic, sizeof(topic), "r.%zu", i);
                keep(all[i], WIRE_INGRESS_WILL, topic);
                expect_nothing(all[i]);
        }
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
                fake_close(all[i]);
        CHECK(n_kept(&f) < 8);
        fake_deinit(&f);
}

TEST(who_may_only_leave_a_will_can)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any will:w");
        struct client *c = fake_stranger(&f, 2000), *own = fake_open(&f);

        fake_sub(own, 1, ">");
        say_ingress(c, WIRE_INGRESS_WILL, 0);
        say_pub(c, "w", "x");
        fake_go(c);
        fake_pub(c, "w", "now");
        expect_err(c, 0, WIRE_CODE_REFUSED);
        fake_close(c);
        expect_pub(own, "w", "x");
        expect_nothing(own);
        fake_deinit(&f);
}

TEST(who_is_kept_out_leaves_no_will)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any publish:> will:>");
        struct client *c = fake_stranger(&f, 2000), *own = fake_open(&f);

        fake_sub(own, 1, ">");
        say_ingress(c, WIRE_INGRESS_WILL, 0);
        say_pub(c, "w", "x");
        fake_go(c);
        fake_policy(&f, "any publish:> will:> user:2000 connect:no");
        expect_bye(c, WIRE_CODE_REFUSED);
        expect_nothing(own);
        fake_deinit(&f);
}

TEST(a_will_with_descriptors_that_may_not_be_sent_any_more_is_none)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any publish:> will:> send-fds:>");
        struct client *c = fake_stranger(&f, 2000), *own = fake_open(&f);

        fake_sub_fds(own, 1, ">", 4);
        say_ingress(c, WIRE_INGRESS_WILL, 0);
        say_fds(c, "w", 1, "x");
        fake_send(c, 1);
        fake_policy(&f, "any publish:> will:>");
        fake_close(c);
        expect_nothing(own);
        fake_deinit(&f);
}

/* --------------------------------------------------------------- datagrams */

TEST(whose_groups_are_not_known_may_not_do_what_a_group_may_not)
{
        struct fake f;
        fake_init(&f);
        struct client *box = fake_connect(&f);

        fake_policy(&f, "any publish:> group:4000 connect:no");
        CHECK(!datagram(box, 2000, 0, "a"));
        CHECK(datagram(box, f.config.self.uid, 0, "a"));
        fake_policy(&f, "any publish:> group:4000 publish:b");
        CHECK(datagram(box, 2000, 0, "a"));
        fake_deinit(&f);
}

TEST(values_of_datagrams_are_counted_for_who_owns_them)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "user:2000 publish:> retain:> uid_retained:1000 "
                        "user:2001 publish:> retain:> uid_retained:4");
        struct client *box = fake_connect(&f);
        char topic[16];
        int n = 0;

        for (int i = 0; i < 10; i++) {
                snprintf(topic, sizeof(topic), "r.%d", i);
                CHECK(datagram(box, 2000, WIRE_INGRESS_RETAIN, topic));
        }
        for (int i = 0; i < 10; i++) {
                snprintf(topic, sizeof(topic), "r.%d", i);
                n += datagram(box, 2001, WIRE_INGRESS_RETAIN, topic);
        }
        CHECK_EQ(n, 4);
        fake_deinit(&f);
}

/* ------------------------------------------------------------------ groups */

TEST(who_sees_sys_takes_nothing_of_it_away_from_others)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any see-sys join:>");
        struct client *c = fake_stranger(&f, 2000), *own = fake_open(&f);

        fake_join(own, 1, "$sys.dead", "g", 1);
        say(c, &(struct message){.type = WIRE_SUB,
                       .sub = {.id = ++c->last_id,
                               .sub = 1,
                               .filter = fake_text("$sys.dead"),
                               .group = fake_text("g"),
                               .window = 100,
                               .has_window = true}});
        fake_go(c);
        expect_err(c, c->last_id, WIRE_CODE_REFUSED);
        fake_sub_stranger(c, 1, "$sys.dead");
        fake_deinit(&f);
}

/* ------------------------------------------------------------------ shares */

TEST(a_quota_of_one_is_one)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any publish:> subscribe:> join:> retain:> send-fds:> uid_subscriptions:1 "
                        "uid_requests:1 uid_retained:1 uid_fds:16");
        struct client *c = fake_stranger(&f, 2000), *own = fake_open(&f);

        fake_sub_stranger(c, 1, "a");
        say_sub(c, ++c->last_id, 2, "b");
        fake_go(c);
        expect_err(c, c->last_id, WIRE_CODE_LIMIT);
        fake_sub_fds(own, 1, "svc", 16);
        CHECK(fake_ask(c, ++c->last_id, 1000, "svc", own));
        keep(c, 0, "r.1");
        expect_nothing(c);
        keep(c, 0, "r.2");
        expect_err(c, 0, WIRE_CODE_LIMIT);
        say_fds(c, "svc", 16, "x");
        fake_send(c, 16);
        expect_nothing(c);
        say_begin(c, "svc", 16, 0);
        fake_send(c, 16);
        say_end(c, 0);
        fake_go(c);
        expect_nothing(c);
        fake_deinit(&f);
}

TEST(descriptors_that_wait_for_their_uid_are_no_reason_to_end_others)
{
        struct fake f;
        fake_init_with(&f, "stall_ms=2000");
        fake_policy(&f, "user:2000 subscribe:> uid_flight_fds:16 user:2001 subscribe:>");
        struct client *pub = fake_open(&f), *calm = fake_stranger(&f, 2001),
                      *one = fake_stranger(&f, 2000), *two = fake_stranger(&f, 2000);
        struct client *const all[] = {calm, one, two};

        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                say(all[i], &(struct message){.type = WIRE_SUB,
                                    .sub = {.id = ++all[i]->last_id,
                                            .sub = 1,
                                            .filter = fake_text(i ? "b" : "a"),
                                            .max_fds = 16}});
                fake_go(all[i]);
                expect(all[i], WIRE_OK);
        }
        say_fds(pub, "a", 4, "x");
        fake_send(pub, 4);
        for (int i = 0; i < 3; i++) { /* the second of each waits */
                say_fds(pub, "b", 12, "x");
                fake_send(pub, 12);
        }
        for (int i = 0; i < 50; i++)
                fake_tick(&f, 100);
        CHECK(!calm->is_gone);
        fake_deinit(&f);
}

/* Its backlog has room by another's reading alone, and so one message at a time. */
TEST(who_reads_is_served_although_its_mate_has_used_up_their_quota)
{
        struct fake f;
        fake_init_with(&f, "stall_ms=2000");
        fake_policy(&f, "any subscribe:> block:a uid_queue_bytes:8000");
        struct client *pub = fake_open(&f), *other = fake_open(&f), *mate = fake_stranger(&f, 2000),
                      *one = fake_stranger(&f, 2000);
        char payload[400];
        size_t n = 0;

        memset(payload, 'x', sizeof(payload) - 1);
        payload[sizeof(payload) - 1] = 0;
        fake_sub_stranger(mate, 1, "m");
        fake_sub(one, 1, "a");
        fake_room(mate, 0);
        fake_room(one, 0);
        for (int i = 0; i < 40; i++)
                fake_pub(other, "m", payload);
        for (int i = 0; i < 20; i++)
                fake_pub(pub, "a", payload);
        CHECK(fake_report(&f, "parked") > 10);
        for (int i = 0; i < 40; i++) {
                fake_tick(&f, 1000);
                fake_room(one, 2000);
                n += fake_count(one);
        }
        CHECK(!one->is_gone && !mate->is_gone);
        CHECK_EQ(n, 20);
        CHECK_EQ(fake_report(&f, "parked"), 0);
        fake_deinit(&f);
}
