/* How sessions end: in order, or because they do not read. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <stdio.h>

TEST(bye_is_answered_by_bye)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        say_bye(c);
        fake_go(c);
        expect_bye(c, WIRE_CODE_NONE);
        fake_deinit(&f);
}

TEST(what_comes_behind_bye_is_ignored)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        say_pub(c, "a", "before");
        say_bye(c);
        say_pub(c, "a", "behind");
        say_bytes(c, "c1");
        fake_feed(c);
        say_pub(c, "a", "later");
        fake_go(c);
        expect_bye(c, WIRE_CODE_NONE);
        expect_pub(sub, "a", "before");
        expect_nothing(sub);
        fake_deinit(&f);
}

TEST(a_leaving_session_gets_what_is_queued_and_then_bye)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        fake_pub(pub, "a", "1");
        fake_pub(pub, "a", "2");
        say_bye(sub);
        fake_go(sub);
        fake_pub(pub, "a", "3"); /* its subscription has ended */
        CHECK(!sub->is_gone);
        fake_room(sub, SIZE_MAX);
        expect_pub(sub, "a", "1");
        expect_pub(sub, "a", "2");
        expect_bye(sub, WIRE_CODE_NONE);
        fake_deinit(&f);
}

TEST(a_leaving_session_does_not_wait_for_ever)
{
        struct fake f;
        fake_init_with(&f, "drain_ms=5000");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        fake_pub(pub, "a", "1");
        say_bye(sub);
        fake_go(sub);
        CHECK_EQ(core_deadline(f.core), f.now_ns + 5000 * UINT64_C(1000000));
        fake_tick(&f, 4999);
        CHECK(!sub->is_gone);
        fake_tick(&f, 1);
        expect_bye(sub, WIRE_CODE_STALLED);
        CHECK_EQ(fake_report(&f, "discarded"), 1);
        fake_deinit(&f);
}

TEST(a_leaving_session_is_still_admitted_and_confirmed)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=4");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        for (uint64_t id = 1; id <= 6; id++) {
                say_ingress(pub, WIRE_INGRESS_CONFIRM, id);
                say_pub(pub, "a", "x");
        }
        say_bye(pub);
        fake_go(pub);
        for (uint64_t id = 1; id <= 4; id++)
                expect_ok(pub, id, 1);
        expect_nothing(pub);
        CHECK(!pub->is_gone);
        fake_room(sub, SIZE_MAX);
        expect_ok(pub, 5, 1);
        expect_ok(pub, 6, 1);
        expect_bye(pub, WIRE_CODE_NONE);
        for (int i = 0; i < 6; i++)
                expect_pub(sub, "a", "x");
        fake_deinit(&f);
}

TEST(a_stalled_receiver_is_ended_and_told_why)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=8 stall_ms=1000");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        fake_pub(pub, "a", "1");
        fake_pub(pub, "a", "2");
        CHECK_EQ(core_deadline(f.core), UINT64_MAX); /* at low water */
        fake_pub(pub, "a", "3");
        CHECK_EQ(core_deadline(f.core), f.now_ns + 1000 * UINT64_C(1000000));
        fake_tick(&f, 999);
        CHECK(!sub->is_gone);
        fake_tick(&f, 1);
        expect_bye(sub, WIRE_CODE_STALLED);
        CHECK_EQ(core_sessions(f.core), 1);
        fake_deinit(&f);
}

TEST(trickling_above_low_water_is_stalling)
{
        struct fake f;
        fake_init_with(&f, "queue_bytes=400000 stall_ms=1000"); /* low water: 100,000 */
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        for (int i = 0; i < 9; i++) {
                say_large(pub, "a", "x", 60000);
                fake_go(pub);
                if (i < 5)
                        continue;
                fake_tick(&f, 200);
                fake_room(sub, 61000); /* one packet out, and another one came in */
        }
        CHECK_EQ(sub->last_seq, 4);
        CHECK(!sub->is_gone);
        fake_tick(&f, 200);
        CHECK(sub->is_gone);
        fake_deinit(&f);
}

TEST(reaching_low_water_once_ends_the_watch)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=8 stall_ms=1000");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        for (int round = 0; round < 3; round++) {
                fake_room(sub, 0);
                for (int i = 0; i < 8; i++)
                        fake_pub(pub, "a", "x");
                fake_tick(&f, 900);
                fake_room(sub, SIZE_MAX);
        }
        CHECK(!sub->is_gone);
        CHECK_EQ(core_deadline(f.core), UINT64_MAX);
        fake_deinit(&f);
}

/* The shell is told of the end even while it waits for the socket to be writable: else a client
 * that never reads again would stay for ever. */
TEST(an_end_is_offered_although_the_socket_is_full)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);
        struct session_id id;
        struct core_packet packet;

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        fake_pub(pub, "a", "1");
        CHECK(!core_next(f.core, &id));
        core_end(f.core, sub->id, WIRE_CODE_PROTOCOL, "enough", f.now_ns);
        CHECK(core_next(f.core, &id));
        CHECK_EQ(id.slot, sub->id.slot);
        CHECK(core_is_ending(f.core, id));
        CHECK(core_out_build(f.core, id, &packet));
        core_out_done(f.core, id, CORE_OUT_FULL, f.now_ns);
        CHECK(!core_next(f.core, &id));
        fake_deinit(&f);
}

/* The shell can make a little room in a full socket: for BYE, not for all that was not read. */
TEST(why_it_ends_is_told_also_to_one_with_much_unread)
{
        for (int when = 0; when < 2; when++) {
                struct fake f;
                fake_init(&f);
                struct client *c = fake_open(&f);
                if (when == 0)
                        fake_room(c, 0); /* known to be full */
                else
                        c->room = 0; /* found to be full when the end is to be sent */
                for (int i = 0; i < 5000; i++)
                        say_number(c, WIRE_PING, 1);
                if (when == 0)
                        fake_go(c);
                say_bytes(c, "c1");
                fake_go(c);
                uint64_t code = 0;
                for (const struct got *g; (g = fake_next(c));)
                        code = g->m.type == WIRE_BYE ? g->m.verdict.code : 0;
                CHECK_EQ(code, WIRE_CODE_PROTOCOL);
                CHECK(c->is_gone);
                fake_deinit(&f);
        }
}

TEST(an_end_comes_behind_all_answers_to_one_who_reads)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        for (int i = 0; i < 20000; i++)
                say_number(c, WIRE_PING, 1);
        say_bytes(c, "c1");
        fake_go(c);
        for (int i = 0; i < 20000; i++)
                expect(c, WIRE_PONG);
        expect_bye(c, WIRE_CODE_PROTOCOL);
        fake_deinit(&f);
}

TEST(answers_that_are_not_read_end_the_session)
{
        struct fake f;
        fake_init_with(&f, "control_bytes=4096");
        struct client *c = fake_open(&f);

        fake_room(c, 0);
        for (int i = 0; i < 2000 && !c->is_gone; i++) {
                say_number(c, WIRE_PING, 1);
                fake_go(c);
        }
        CHECK(c->is_gone);
        uint64_t code = 0;
        for (const struct got *g; (g = fake_next(c));)
                code = g->m.type == WIRE_BYE ? g->m.verdict.code : 0;
        CHECK_EQ(code, WIRE_CODE_STALLED);
        fake_deinit(&f);
}

/* Errors that keep their place in the queue are answers too. */
TEST(errors_of_requests_that_are_not_read_end_the_session)
{
        struct fake f;
        fake_init_with(&f, "control_bytes=4096");
        struct client *c = fake_open(&f), *pub = fake_open(&f);

        fake_sub(c, 1, "a");
        fake_room(c, 0);
        fake_pub(pub, "a", "x"); /* so that its queue is not empty */
        for (uint64_t id = 10; id < 2000 && !c->is_gone; id++) {
                say_request(c, id, 0);
                say_pub(c, "nobody", "?");
                fake_go(c);
        }
        CHECK(c->is_gone);
        CHECK(c->last_id < 500);
        fake_deinit(&f);
}

/* 1 MiB of small publications, each confirmed alone, all in one turn of the loop: the answers are
 * more than control_bytes, but nobody had a chance to read them. */
TEST(a_window_of_confirms_in_one_turn_is_no_stall)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f), *sub = fake_open(&f);
        uint64_t id = 1, sent = 0, answered = 0;
        char topic[2] = "a";

        fake_sub(sub, 1, "a"); /* so that answers differ from one to the next */
        for (bool more = true; more;) {
                while (c->packet.len < WIRE_PACKET_BYTES - 32 && more) {
                        say_ingress(c, WIRE_INGRESS_CONFIRM, id);
                        topic[0] = id % 2 ? 'a' : 'b';
                        id++;
                        say_pub(c, topic, "");
                        sent += 8;
                        more = sent + 8 <= c->window;
                }
                fake_feed(c);
        }
        fake_flush(&f);
        CHECK(!c->is_gone);
        for (const struct got *g; (g = fake_next(c));)
                answered += g->m.ok.n;
        CHECK_EQ(answered, id - 1);
        fake_deinit(&f);
}

TEST(a_packet_that_is_not_whole_in_time_ends_its_session)
{
        struct fake f;
        fake_init_with(&f, "stall_ms=1000");
        struct client *c = fake_open(&f);

        core_set_partial(f.core, c->id, true, f.now_ns);
        fake_tick(&f, 999);
        core_set_partial(f.core, c->id, false, f.now_ns);
        core_set_partial(f.core, c->id, true, f.now_ns);
        fake_tick(&f, 999);
        CHECK(!c->is_gone);
        fake_tick(&f, 1);
        expect_bye(c, WIRE_CODE_TIMEOUT);
        CHECK_EQ(core_deadline(f.core), UINT64_MAX);
        fake_deinit(&f);
}

TEST(what_is_not_whole_when_its_session_begins_or_leaves_changes_no_deadline)
{
        struct fake f;
        fake_init_with(&f, "stall_ms=1000 handshake_ms=500");
        struct client *c = fake_connect(&f);

        core_set_partial(f.core, c->id, true, f.now_ns);
        fake_tick(&f, 500);
        expect_bye(c, WIRE_CODE_TIMEOUT);
        struct client *last = fake_open(&f);
        core_set_partial(f.core, last->id, true, f.now_ns);
        fake_close(last);
        CHECK_EQ(core_deadline(f.core), UINT64_MAX);
        fake_deinit(&f);
}
