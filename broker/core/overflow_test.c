/* What is lost, and how it is told, when a receiver has no room: each policy's promise. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <string.h>

struct rules {
        enum wire_overflow overflow;
        uint64_t bytes, messages;
};

static void subscribe(
        struct client *c, uint32_t sub, const char *filter, struct rules r, uint64_t in_force)
{
        struct message m = {
                .type = WIRE_SUB,
                .sub = {.id = ++c->last_id,
                        .sub = sub,
                        .filter = {(const uint8_t *)filter, strlen(filter)},
                        .overflow = r.overflow,
                        .queue_bytes = r.bytes,
                        .queue_messages = r.messages},
        };

        say(c, &m);
        fake_go(c);
        expect_ok(c, c->last_id, in_force);
}

/* A subscriber to `filter` whose socket is full, and a publisher. */
struct pair {
        struct fake f;
        struct client *pub, *sub;
};

static void begin(struct pair *p, struct rules r)
{
        fake_init(&p->f);
        p->pub = fake_open(&p->f);
        p->sub = fake_open(&p->f);
        subscribe(p->sub, 1, "a.>", r, r.overflow);
        fake_room(p->sub, 0);
}

/* Publishes `first`, ... `last` to a.b, confirmed. */
static void publish(struct pair *p, int first, int last)
{
        char text[16];

        for (int i = first; i <= last; i++) {
                snprintf(text, sizeof(text), "%d", i);
                fake_confirmed(p->pub, ++p->pub->last_id, "a.b", text);
        }
}

static void expect_range(struct client *c, int first, int last)
{
        char text[16];

        for (int i = first; i <= last; i++) {
                snprintf(text, sizeof(text), "%d", i);
                expect_pub(c, "a.b", text);
        }
}

TEST(drop_oldest_keeps_the_newest_and_tells_the_gap_before_them)
{
        struct pair p;

        begin(&p, (struct rules){WIRE_OVERFLOW_DROP_OLDEST, 0, 3});
        publish(&p, 1, 10);
        for (uint64_t id = 1; id <= 10; id++)
                expect_ok(p.pub, id, 1); /* nobody waits */
        CHECK_EQ(fake_report(&p.f, "queued"), 3);
        CHECK_EQ(fake_report(&p.f, "dropped"), 7);
        fake_room(p.sub, SIZE_MAX);
        expect_gap(p.sub, 1, 7, WIRE_GAP_OVERFLOW, 1);
        expect_range(p.sub, 8, 10);
        publish(&p, 11, 11);
        expect_range(p.sub, 11, 11);
        expect_nothing(p.sub);
        fake_deinit(&p.f);
}

TEST(drop_newest_keeps_the_oldest_and_tells_the_gap_behind_them)
{
        struct pair p;

        begin(&p, (struct rules){WIRE_OVERFLOW_DROP_NEWEST, 0, 3});
        publish(&p, 1, 10);
        for (uint64_t id = 1; id <= 10; id++)
                expect_ok(p.pub, id, id <= 3); /* by whom it was received */
        fake_room(p.sub, SIZE_MAX);
        expect_range(p.sub, 1, 3);
        expect_gap(p.sub, 1, 7, WIRE_GAP_OVERFLOW, 4);
        expect_nothing(p.sub);
        fake_deinit(&p.f);
}

TEST(latest_keeps_one_of_each_topic_with_room_for_all)
{
        struct pair p;

        begin(&p, (struct rules){WIRE_OVERFLOW_LATEST, 0, 0});
        for (int i = 0; i < 5; i++) {
                fake_pub(p.pub, "a.x", "old");
                fake_pub(p.pub, "a.y", "old");
        }
        fake_pub(p.pub, "a.x", "new");
        fake_pub(p.pub, "a.z", "only");
        fake_pub(p.pub, "a.y", "new");
        CHECK_EQ(fake_report(&p.f, "queued"), 3);
        fake_room(p.sub, SIZE_MAX);
        expect_gap(p.sub, 1, 10, WIRE_GAP_OVERFLOW, 1);
        expect_pub(p.sub, "a.x", "new");
        expect_pub(p.sub, "a.z", "only");
        expect_pub(p.sub, "a.y", "new");
        fake_deinit(&p.f);
}

TEST(latest_drops_the_oldest_topic_when_there_are_too_many)
{
        struct pair p;

        begin(&p, (struct rules){WIRE_OVERFLOW_LATEST, 0, 2});
        fake_pub(p.pub, "a.x", "1");
        fake_pub(p.pub, "a.y", "2");
        fake_pub(p.pub, "a.z", "3");
        fake_room(p.sub, SIZE_MAX);
        expect_gap(p.sub, 1, 1, WIRE_GAP_OVERFLOW, 1);
        expect_pub(p.sub, "a.y", "2");
        expect_pub(p.sub, "a.z", "3");
        fake_deinit(&p.f);
}

TEST(disconnect_ends_the_session_and_says_why)
{
        struct pair p;

        begin(&p, (struct rules){WIRE_OVERFLOW_DISCONNECT, 0, 3});
        publish(&p, 1, 3);
        CHECK(!p.sub->is_gone);
        publish(&p, 4, 4);
        expect_ok_run(p.pub, 1, 1, 1);
        fake_room(p.sub, SIZE_MAX);
        expect_bye(p.sub, WIRE_CODE_LIMIT);
        CHECK_EQ(fake_report(&p.f, "discarded"), 4); /* with the one that had no room */
        fake_deinit(&p.f);
}

TEST(block_with_a_limit_of_its_own_waits_at_that_limit)
{
        struct pair p;

        begin(&p, (struct rules){WIRE_OVERFLOW_BLOCK, 0, 2});
        publish(&p, 1, 4);
        expect_ok(p.pub, 1, 1);
        expect_ok(p.pub, 2, 1);
        expect_nothing(p.pub);
        fake_room(p.sub, SIZE_MAX);
        expect_range(p.sub, 1, 4);
        CHECK_EQ(fake_report(&p.f, "dropped"), 0);
        fake_deinit(&p.f);
}

TEST(bytes_are_a_limit_too_and_one_message_always_fits)
{
        struct pair p;

        begin(&p, (struct rules){WIRE_OVERFLOW_DROP_OLDEST, 1000, 0});
        say_large(p.pub, "a.b", "large", 5000);
        fake_go(p.pub);
        CHECK_EQ(fake_report(&p.f, "queued"), 1);
        fake_pub(p.pub, "a.b", "small");
        CHECK_EQ(fake_report(&p.f, "queued"), 1);
        fake_room(p.sub, SIZE_MAX);
        expect_gap(p.sub, 1, 1, WIRE_GAP_OVERFLOW, 1);
        expect_pub(p.sub, "a.b", "small");
        fake_deinit(&p.f);
}

TEST(a_limit_above_the_brokers_is_the_brokers)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=3"); /* of which the gap takes one */
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        subscribe(sub, 1, "a", (struct rules){WIRE_OVERFLOW_DROP_OLDEST, 0, 1000000}, 1);
        fake_room(sub, 0);
        for (int i = 0; i < 5; i++)
                fake_pub(pub, "a", "x");
        CHECK_EQ(fake_report(&f, "queued"), 2);
        fake_deinit(&f);
}

TEST(a_burst_in_one_packet_is_counted_message_by_message)
{
        struct pair p;
        char text[16];

        begin(&p, (struct rules){WIRE_OVERFLOW_DROP_OLDEST, 0, 3});
        say_ingress(p.pub, WIRE_INGRESS_CONFIRM, 1);
        for (int i = 1; i <= 10; i++) {
                snprintf(text, sizeof(text), "%d", i);
                say_pub(p.pub, "a.b", text);
        }
        fake_go(p.pub);
        for (uint64_t id = 1; id <= 10; id++)
                expect_ok(p.pub, id, 1);
        fake_room(p.sub, SIZE_MAX);
        expect_gap(p.sub, 1, 7, WIRE_GAP_OVERFLOW, 1);
        expect_range(p.sub, 8, 10);
        fake_deinit(&p.f);
}

TEST(a_receiver_that_keeps_up_loses_nothing_however_small_its_backlog)
{
        static const enum wire_overflow all[] = {WIRE_OVERFLOW_DROP_OLDEST,
                WIRE_OVERFLOW_DROP_NEWEST, WIRE_OVERFLOW_LATEST, WIRE_OVERFLOW_DISCONNECT};

        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                struct pair p;
                begin(&p, (struct rules){all[i], 0, 1});
                fake_room(p.sub, SIZE_MAX);
                for (int n = 0; n < 20; n++)
                        say_pub(p.pub, "a.b", "x");
                fake_feed(p.pub); /* read twice before anything is sent */
                for (int n = 0; n < 20; n++)
                        say_pub(p.pub, "a.b", "x");
                fake_go(p.pub);
                for (int n = 0; n < 40; n++)
                        expect_pub(p.sub, "a.b", "x");
                expect_nothing(p.sub);
                CHECK(!p.sub->is_gone);
                fake_deinit(&p.f);
        }
}

TEST(one_receiver_that_drops_does_not_keep_another_from_blocking)
{
        struct pair p;

        begin(&p, (struct rules){WIRE_OVERFLOW_DROP_OLDEST, 0, 1});
        struct client *blocker = fake_open(&p.f);
        subscribe(blocker, 1, "a.b", (struct rules){WIRE_OVERFLOW_BLOCK, 0, 2}, 0);
        fake_room(blocker, 0);
        publish(&p, 1, 3);
        expect_ok(p.pub, 1, 2);
        expect_ok(p.pub, 2, 2);
        expect_nothing(p.pub); /* the third waits, for one of them */
        CHECK_EQ(fake_report(&p.f, "parked"), 1);
        fake_room(blocker, SIZE_MAX);
        expect_range(blocker, 1, 3);
        fake_room(p.sub, SIZE_MAX);
        expect_gap(p.sub, 1, 2, WIRE_GAP_OVERFLOW, 1);
        expect_range(p.sub, 3, 3);
        fake_deinit(&p.f);
}

TEST(where_several_match_the_strictest_rules_hold)
{
        static const struct {
                enum wire_overflow a, b;
                size_t queued, parked;
        } cases[] = {
                {WIRE_OVERFLOW_LATEST, WIRE_OVERFLOW_DROP_OLDEST, 2, 0},
                {WIRE_OVERFLOW_DROP_OLDEST, WIRE_OVERFLOW_DROP_NEWEST, 2, 0},
                {WIRE_OVERFLOW_DROP_NEWEST, WIRE_OVERFLOW_BLOCK, 2, 2},
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *sub = fake_open(&f);
                subscribe(sub, 1, "a", (struct rules){cases[i].a, 0, 2}, cases[i].a);
                subscribe(sub, 2, "*", (struct rules){cases[i].b, 0, 2}, cases[i].b);
                fake_room(sub, 0);
                for (int n = 0; n < 4; n++)
                        fake_pub(pub, "a", "x");
                CHECK_EQ(fake_report(&f, "queued"), cases[i].queued);
                CHECK_EQ(fake_report(&f, "parked"), cases[i].parked);
                fake_deinit(&f);
        }
}

TEST(each_matching_subscription_is_told_its_own_gap)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);
        struct rules r = {WIRE_OVERFLOW_DROP_OLDEST, 0, 1};

        subscribe(sub, 1, "a", r, r.overflow);
        subscribe(sub, 2, "*", r, r.overflow);
        fake_room(sub, 0);
        for (int n = 0; n < 3; n++)
                fake_pub(pub, "a", "x");
        fake_room(sub, SIZE_MAX);
        expect_gap(sub, 1, 2, WIRE_GAP_OVERFLOW, 1);
        expect_gap(sub, 2, 2, WIRE_GAP_OVERFLOW, 1);
        expect_pub(sub, "a", "x");
        fake_deinit(&f);
}

TEST(what_may_be_dropped_is_no_reason_to_end_a_session_that_stalls)
{
        for (int policy = 0; policy < 2; policy++) {
                enum wire_overflow o = policy ? WIRE_OVERFLOW_DROP_OLDEST : WIRE_OVERFLOW_BLOCK;
                struct fake f;
                fake_init_with(&f, "queue_messages=16");
                struct client *pub = fake_open(&f), *sub = fake_open(&f);
                subscribe(sub, 1, "a", (struct rules){o, 0, 15}, o);
                fake_room(sub, 0);
                for (int i = 0; i < 12; i++)
                        fake_pub(pub, "a", "");
                fake_tick(&f, 10 * LIMIT_STALL_MS);
                CHECK_EQ(fake_report(&f, "queued"), policy ? 12 : 0);
                fake_deinit(&f);
        }
}

TEST(a_responder_that_lost_the_request_is_gone_for_its_asker)
{
        struct pair p;

        begin(&p, (struct rules){WIRE_OVERFLOW_DROP_OLDEST, 0, 1});
        say_request(p.pub, 1, 0);
        say_pub(p.pub, "a.b", "?");
        fake_go(p.pub);
        expect_nothing(p.pub);
        struct client *other = fake_open(&p.f);
        fake_pub(other, "a.b", "x");
        expect_err(p.pub, 1, WIRE_CODE_RESPONDER_GONE);
        fake_deinit(&p.f);
}

TEST(without_the_right_to_block_a_subscription_drops_the_oldest_and_is_told_so)
{
        struct fake f;
        fake_init(&f);
        core_free(f.core);
        f.config.rights = 0xff & ~(uint64_t)WIRE_RIGHT_BLOCK;
        CHECK_EQ(core_new(&f.config, f.now_ns, &f.core), 0);
        struct client *c = fake_open(&f);

        subscribe(c, 1, "a", (struct rules){WIRE_OVERFLOW_BLOCK, 0, 0}, WIRE_OVERFLOW_DROP_OLDEST);
        subscribe(c, 2, "b", (struct rules){WIRE_OVERFLOW_LATEST, 0, 0}, WIRE_OVERFLOW_LATEST);
        fake_deinit(&f);
}

TEST(what_is_queued_outlives_its_subscription)
{
        struct pair p;

        begin(&p, (struct rules){WIRE_OVERFLOW_LATEST, 0, 5});
        publish(&p, 1, 1);
        say_unsub(p.sub, ++p.sub->last_id, 1);
        fake_go(p.sub);
        fake_room(p.sub, SIZE_MAX);
        (void)expect(p.sub, WIRE_OK);
        expect_range(p.sub, 1, 1);
        fake_deinit(&p.f);
}

TEST(a_datagram_finds_room_by_the_same_rules)
{
        struct core_peer self = {.pid = 1};
        struct fake f;
        fake_init(&f);
        struct client *sub = fake_open(&f);
        static const uint8_t packet[] = {0x95, 0x10, 0, 0xa1, 'a', 0x80, 0xc4, 1, 'x'};

        self.uid = f.config.self.uid;
        subscribe(sub, 1, "a", (struct rules){WIRE_OVERFLOW_DROP_OLDEST, 0, 1}, 1);
        fake_room(sub, 0);
        for (int i = 0; i < 3; i++) {
                CHECK(core_datagram(f.core, &self, packet, sizeof(packet), f.now_ns));
                fake_flush(&f);
        }
        fake_room(sub, SIZE_MAX);
        expect_gap(sub, 1, 2, WIRE_GAP_OVERFLOW, 1);
        expect_pub(sub, "a", "x");
        fake_deinit(&f);
}
