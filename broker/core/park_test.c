/* Receivers without room: who waits, who does not, and that nothing is lost. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TEST(a_full_receiver_makes_its_publisher_wait)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=2");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        for (uint64_t id = 1; id <= 4; id++)
                fake_confirmed(pub, id, "a", "x");
        expect_ok(pub, 1, 1);
        expect_ok(pub, 2, 1);
        expect_nothing(pub);
        CHECK_EQ(fake_report(&f, "parked"), 2);
        CHECK_EQ(fake_report(&f, "queued"), 2);
        fake_room(sub, SIZE_MAX);
        expect_ok(pub, 3, 1);
        expect_ok(pub, 4, 1);
        CHECK_EQ(fake_report(&f, "parked"), 0);
        CHECK_EQ(sub->last_seq, 4);
        fake_deinit(&f);
}

TEST(bytes_make_a_receiver_full_too)
{
        struct fake f;
        fake_init_with(&f, "queue_bytes=65536");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        for (int i = 0; i < 4; i++) {
                say_large(pub, "a", "x", 30000);
                fake_go(pub);
        }
        CHECK_EQ(fake_report(&f, "queued"), 2);
        CHECK_EQ(fake_report(&f, "parked"), 2);
        fake_deinit(&f);
}

TEST(those_who_wait_are_admitted_only_as_there_is_room)
{
        enum { N = 6 };
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        for (int i = 0; i <= N; i++)
                fake_pub(fake_open(&f), "a", "x");
        CHECK_EQ(fake_report(&f, "parked"), N);
        fake_room(sub, 30); /* enough for one */
        CHECK_EQ(sub->last_seq, 1);
        CHECK_EQ(fake_report(&f, "queued"), 1);
        CHECK_EQ(fake_report(&f, "parked"), N - 1);
        fake_deinit(&f);
}

/* It was marked while it was flushed: what it waits for is core_writable, and nothing else. */
TEST(a_session_whose_socket_is_full_is_not_named_again)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *sub = fake_open(&f), *pub = fake_open(&f);
        struct session_id id;
        struct core_packet packet;

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        fake_pub(pub, "a", "1");
        fake_pub(pub, "a", "2"); /* parked */
        core_writable(f.core, sub->id, f.now_ns);
        CHECK(core_next(f.core, &id));
        CHECK(core_out_build(f.core, sub->id, &packet));
        core_out_done(f.core, sub->id, CORE_OUT_SENT, f.now_ns); /* the other one is admitted */
        CHECK(core_out_build(f.core, sub->id, &packet));
        core_out_done(f.core, sub->id, CORE_OUT_FULL, f.now_ns);
        CHECK(!core_next(f.core, &id));
        fake_deinit(&f);
}

TEST(whoever_has_room_gets_it_at_once)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *slow = fake_open(&f), *fast = fake_open(&f);

        fake_sub(slow, 1, "a");
        fake_sub(fast, 1, "a");
        fake_room(slow, 0);
        fake_confirmed(pub, 1, "a", "1");
        fake_confirmed(pub, 2, "a", "2");
        expect_ok(pub, 1, 2);
        expect_nothing(pub);
        expect_pub(fast, "a", "1");
        expect_pub(fast, "a", "2"); /* although `slow` has not got it */
        fake_room(slow, SIZE_MAX);
        expect_ok(pub, 2, 2);
        expect_pub(slow, "a", "1");
        expect_pub(slow, "a", "2");
        expect_nothing(fast);
        fake_deinit(&f);
}

TEST(behind_a_parked_one_everything_of_its_publisher_waits)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *slow = fake_open(&f), *fast = fake_open(&f);

        fake_sub(slow, 1, "a");
        fake_sub(fast, 1, ">");
        fake_room(slow, 0);
        fake_pub(pub, "a", "1");
        fake_pub(pub, "a", "2");
        fake_pub(pub, "b", "3");
        fake_pub(pub, "b", "4");
        expect_pub(fast, "a", "1");
        expect_pub(fast, "a", "2");
        expect_nothing(fast);
        fake_room(slow, SIZE_MAX);
        expect_pub(fast, "b", "3");
        expect_pub(fast, "b", "4");
        fake_deinit(&f);
}

TEST(other_publishers_to_other_receivers_do_not_wait)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *p = fake_open(&f), *q = fake_open(&f), *slow = fake_open(&f),
                      *fast = fake_open(&f);

        fake_sub(slow, 1, "a");
        fake_sub(fast, 1, "b");
        fake_room(slow, 0);
        fake_pub(p, "a", "1");
        fake_pub(p, "a", "2");
        fake_pub(q, "b", "3");
        expect_pub(fast, "b", "3");
        fake_deinit(&f);
}

TEST(control_frames_overtake_what_is_parked)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *slow = fake_open(&f), *other = fake_open(&f);

        fake_sub(slow, 1, "a");
        fake_room(slow, 0);
        fake_pub(pub, "a", "1");
        fake_pub(pub, "a", "2");
        say_number(pub, WIRE_PING, 9);
        say_sub(pub, 1, 1, "b");
        fake_go(pub);
        CHECK_EQ(expect(pub, WIRE_PONG)->m.number, 9);
        expect_ok(pub, 1, 0);
        fake_pub(other, "b", "3"); /* and it still receives */
        expect_pub(pub, "b", "3");
        say_unsub(pub, 2, 1);
        fake_go(pub);
        expect_ok(pub, 2, 0);
        fake_deinit(&f);
}

TEST(one_message_always_fits_an_empty_queue)
{
        struct fake f;
        fake_init_with(&f, "queue_bytes=65536 queue_messages=1");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 1);
        for (int i = 0; i < 10; i++)
                say_pub(pub, "a", "x"); /* one run of ten */
        fake_go(pub);
        expect_ok_run(pub, 1, 1, 10);
        fake_deinit(&f);
}

TEST(a_session_may_feed_itself)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=2");
        struct client *c = fake_open(&f);

        fake_sub(c, 1, "a");
        fake_room(c, 0);
        for (uint64_t id = 10; id < 16; id++)
                fake_confirmed(c, id, "a", "x");
        fake_room(c, SIZE_MAX);
        int n_pubs = 0;
        uint64_t n_oks = 0;
        for (const struct got *g; (g = fake_next(c));) {
                if (g->m.type == WIRE_PUB)
                        n_pubs++;
                else
                        n_oks += g->m.ok.n;
        }
        CHECK_EQ(n_pubs, 6);
        CHECK_EQ(n_oks, 6);
        fake_deinit(&f);
}

TEST(two_sessions_may_feed_each_other)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *a = fake_open(&f), *b = fake_open(&f);

        fake_sub(a, 1, "to.a");
        fake_sub(b, 1, "to.b");
        fake_room(a, 0);
        fake_room(b, 0);
        for (int i = 0; i < 5; i++) {
                fake_pub(a, "to.b", "x");
                fake_pub(b, "to.a", "y");
        }
        fake_room(a, SIZE_MAX);
        fake_room(b, SIZE_MAX);
        for (int i = 0; i < 5; i++) {
                expect_pub(a, "to.a", "y");
                expect_pub(b, "to.b", "x");
        }
        fake_deinit(&f);
}

TEST(waiting_publishers_are_admitted_first_come_first_served)
{
        enum { N = 6 };
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *sub = fake_open(&f), *pubs[N];

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        fake_pub(sub, "a", "first");
        for (int i = 0; i < N; i++) {
                pubs[i] = fake_open(&f);
                fake_pub(pubs[i], "a", "x");
                fake_pub(pubs[i], "a", "y");
        }
        fake_room(sub, SIZE_MAX);
        expect_pub(sub, "a", "first");
        for (int i = 0; i < 2 * N; i++) {
                const struct got *g = expect_pub(sub, "a", i < N ? "x" : "y");
                CHECK_EQ(g->delivery.session, pubs[i % N]->number);
        }
        fake_deinit(&f);
}

TEST(a_newcomer_does_not_overtake_who_waits)
{
        struct fake f;
        fake_init_with(&f, "queue_bytes=65536");
        struct client *large = fake_open(&f), *small = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        say_large(large, "a", "1", 40000);
        fake_go(large);
        say_large(large, "a", "2", 40000); /* no room */
        fake_go(large);
        fake_pub(small, "a", "3"); /* there would be room for that */
        fake_room(sub, SIZE_MAX);
        expect_pub(sub, "a", "1");
        expect_pub(sub, "a", "2");
        expect_pub(sub, "a", "3");
        fake_deinit(&f);
}

TEST(answers_about_publications_keep_the_order_of_publishing)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 1);
        say_pub(pub, "a", "1");
        say_pub(pub, "b", "2");
        say_pub(pub, "a", "3");                          /* parked */
        say_pub(pub, "..", "4");                         /* a bad topic */
        say_bytes(pub, "95 10 00 a1 61 81 01 02 c4 00"); /* 5: bad headers */
        say_bytes(pub, "95 11 00 a1 2a 80 00 92 13 00"); /* 6: chunks */
        say_ingress(pub, WIRE_INGRESS_CONFIRM | 16, 7);
        say_pub(pub, "c", "7"); /* a flag that is not supported */
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 8);
        say_pub(pub, "b", "8");
        fake_go(pub);
        expect_ok(pub, 1, 1);
        expect_ok(pub, 2, 0);
        expect_nothing(pub);
        fake_room(sub, SIZE_MAX);
        expect_ok(pub, 3, 1);
        expect_err(pub, 4, WIRE_CODE_BAD_TOPIC);
        expect_err(pub, 5, WIRE_CODE_BAD_HEADERS);
        expect_err(pub, 6, WIRE_CODE_BAD_TOPIC);
        expect_err(pub, 7, WIRE_CODE_UNSUPPORTED);
        expect_ok(pub, 8, 0);
        fake_deinit(&f);
}

TEST(a_subscription_that_ends_meanwhile_may_still_get_what_waited)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        fake_confirmed(pub, 1, "a", "1");
        fake_confirmed(pub, 2, "a", "2"); /* routed, waits */
        fake_confirmed(pub, 3, "a", "3"); /* not looked at yet */
        say_unsub(sub, ++sub->last_id, 1);
        fake_go(sub);
        fake_room(sub, SIZE_MAX);
        expect_ok(sub, sub->last_id, 0);
        expect_pub(sub, "a", "1");
        expect_pub(sub, "a", "2");
        expect_nothing(sub);
        expect_ok(pub, 1, 1);
        expect_ok(pub, 2, 1);
        expect_ok(pub, 3, 0);
        fake_deinit(&f);
}

TEST(nothing_is_lost_between_many)
{
        enum { PUBS = 5, SUBS = 4, EACH = 400 };
        struct fake f;
        fake_init_with(&f, "queue_messages=16 window_bytes=262144");
        struct client *pubs[PUBS], *subs[SUBS];
        size_t n_got = 0;
        char text[16];

        for (int i = 0; i < PUBS; i++)
                pubs[i] = fake_open(&f);
        for (int i = 0; i < SUBS; i++) {
                subs[i] = fake_open(&f);
                fake_sub(subs[i], 1, i % 2 ? "*" : "a");
                fake_sub(subs[i], 2, "b");
                subs[i]->room = 0;
        }
        for (int n = 0; n < EACH; n++) {
                for (int i = 0; i < PUBS; i++) {
                        snprintf(text, sizeof(text), "%d", n);
                        fake_pub(pubs[i], n % 3 ? "a" : "b", text);
                }
                fake_room(subs[n % SUBS], 500);
        }
        for (int i = 0; i < SUBS; i++)
                fake_room(subs[i], SIZE_MAX);
        for (int i = 0; i < SUBS; i++) {
                int next[PUBS] = {0};
                for (const struct got *g; (g = fake_next(subs[i]));) {
                        size_t from = g->delivery.session - pubs[0]->number;
                        CHECK_EQ(atoi((const char *)g->m.pub.payload.data), next[from]++);
                        n_got++;
                }
        }
        CHECK_EQ(n_got, PUBS * SUBS * EACH);
        CHECK_EQ(fake_report(&f, "queued"), 0);
        CHECK_EQ(fake_report(&f, "parked"), 0);
        fake_deinit(&f);
}
