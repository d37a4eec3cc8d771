/* Publishing without a connection: nobody is answered, nobody waits, and what a receiver loses it
 * is told. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

#include <stdlib.h>
#include <string.h>

static const struct core_peer SENDER = {.pid = 4711, .uid = 1000, .gid = 77};

/* Sends what `c`, which has no other use, has said. */
static bool send_from(struct client *c, const struct core_peer *sender)
{
        struct fake *f = c->fake;
        size_t len = c->packet.len;
        uint8_t *exact = malloc(len);

        if (!exact)
                abort();
        memcpy(exact, c->packet.data, len);
        buf_clear(&c->packet);
        bool is_fine = core_datagram(f->core, sender, exact, len, f->now_ns);
        free(exact);
        fake_check(f);
        fake_flush(f);
        return is_fine;
}

static void datagram(struct client *c, const char *topic, const char *payload)
{
        say_pub(c, topic, payload);
        CHECK(send_from(c, &SENDER));
}

TEST(a_datagram_is_published_as_its_sender)
{
        struct fake f;
        fake_init(&f);
        struct client *box = fake_connect(&f), *sub = fake_open(&f), *watch = fake_open(&f);

        fake_sub(sub, 1, "t");
        say(watch, &(struct message){.type = WIRE_SUB,
                           .sub = {.id = 1,
                                   .sub = 9,
                                   .filter = {(const uint8_t *)"*", 1},
                                   .observer = true}});
        fake_go(watch);
        expect_ok(watch, 1, 0);
        datagram(box, "t", "hello");
        struct client *const all[] = {sub, watch};
        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                const struct got *g = expect_pub(all[i], "t", "hello");
                CHECK_EQ(g->delivery.session, 0);
                CHECK_EQ(g->delivery.pid, 4711);
                CHECK_EQ(g->delivery.uid, 1000);
                CHECK_EQ(g->delivery.gid, 77);
                CHECK_EQ(g->delivery.seq, 1);
                CHECK_EQ(g->delivery.subs[0], i ? 9 : 1);
                CHECK_EQ(g->delivery.flags, 0);
        }
        CHECK_EQ(fake_report(&f, "datagrams"), 1);
        CHECK_EQ(fake_report(&f, "datagrams_refused"), 0);
        CHECK_EQ(fake_report(&f, "published"), 1);
        CHECK_EQ(fake_report(&f, "unrouted"), 0);
        datagram(box, "nobody", "x");
        CHECK_EQ(fake_report(&f, "unrouted"), 1);
        fake_deinit(&f);
}

TEST(different_senders_have_headers_of_their_own)
{
        static const struct core_peer other = {.pid = 5, .uid = 0, .gid = 0};
        struct fake f;
        fake_init(&f);
        struct client *box = fake_connect(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        fake_room(sub, 0);
        datagram(box, "t", "1");
        say_pub(box, "t", "2");
        CHECK(send_from(box, &other));
        datagram(box, "t", "3");
        fake_room(sub, SIZE_MAX);
        CHECK_EQ(expect_pub(sub, "t", "1")->delivery.pid, 4711);
        CHECK_EQ(expect_pub(sub, "t", "2")->delivery.pid, 5);
        CHECK_EQ(expect_pub(sub, "t", "3")->delivery.pid, 4711);
        fake_deinit(&f);
}

TEST(only_who_may_use_the_bus_may_send)
{
        static const struct core_peer stranger = {.pid = 1, .uid = 1001, .gid = 1000},
                                      root = {.pid = 1, .uid = 0, .gid = 0};
        struct fake f;
        fake_init(&f);
        struct client *box = fake_connect(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        say_pub(box, "t", "stranger");
        CHECK(!send_from(box, &stranger));
        CHECK_EQ(fake_report(&f, "datagrams_refused"), 1);
        CHECK_EQ(fake_report(&f, "published"), 0);
        say_pub(box, "t", "root");
        CHECK(send_from(box, &root));
        expect_pub(sub, "t", "root");
        expect_nothing(sub);
        fake_deinit(&f);
}

TEST(what_is_wrong_with_a_datagram_is_counted_and_nothing_else)
{
        static const char *const bad[] = {
                "c1", "91 40", "92 05 01", "00", "92 14 00",       /* no publication */
                "95 10 00 a1 74 80 c4",                            /* cut short */
                "95 10 00 a1 74 80 c4 00 c1",                      /* and something behind */
                "95 10 00 a1 74 80 c4 00 95 10 00 a1 74 80 c4 00", /* two */
                "95 10 00 a1 74 80 c4 00 92 14 00",                /* INGRESS behind */
                "92 14 00 92 14 00 95 10 00 a1 74 80 c4 00",       /* twice */
                "92 05 01 95 10 00 a1 74 80 c4 00",                /* PING */
                "93 15 01 00 95 10 00 a1 74 80 c4 00",             /* REQUEST */
                "92 16 01 95 10 00 a0 80 c4 00",                   /* REPLY */
                "95 11 00 a1 74 80 00",                            /* BEGIN */
                "95 11 00 a1 74 80 00 92 13 00",                   /* BEGIN, END */
                "94 01 01 a1 78 00",                               /* HELLO */
                "94 09 01 01 a1 74",                               /* SUB */
                "95 10 01 a1 74 80 c4 00",                         /* a descriptor */
                "95 10 01 a1 74 80 05",                            /* placed */
                "95 10 00 a1 2a 80 c4 00", "95 10 00 a0 80 c4 00", /* no topics */
                "95 10 00 a4 24 73 79 73 80 c4 00",                /* $sys */
                "95 10 00 a1 74 81 01 02 c4 00",                   /* headers */
                "95 10 00 a1 74 81 a2 24 78 02 c4 00",             /* $x */
                "94 10 00 a1 74 80",                               /* too few fields */
                "95 3f 00 a1 74 80 c4 00",                         /* an unknown type */
        };
        struct fake f;
        fake_init(&f);
        struct client *box = fake_connect(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, ">");
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                say_bytes(box, bad[i]);
                if (send_from(box, &SENDER))
                        fail_msg("published: %s", bad[i]);
                CHECK_EQ(fake_report(&f, "datagrams"), i + 1);
                CHECK_EQ(fake_report(&f, "datagrams_refused"), i + 1);
        }
        expect_nothing(sub);
        CHECK_EQ(fake_report(&f, "published"), 0);
        CHECK_EQ(sub->n_packets, 2); /* WELCOME and OK */
        fake_deinit(&f);
}

TEST(flags_and_ids_mean_nothing_to_a_datagram)
{
        static const char *const good[] = {"93 14 01 05 95 10 00 a1 74 80 c4 00",
                "93 14 0d 05 95 10 00 a1 74 80 c4 00", "92 14 10 95 10 00 a1 74 80 c4 00",
                "93 14 01 00 95 10 00 a1 74 80 c4 00",
                "91 40 92 14 00 91 41 95 10 00 a1 74 80 c4 00 91 42"};
        struct fake f;
        fake_init(&f);
        struct client *box = fake_connect(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        for (size_t i = 0; i < ARRAY_LEN(good); i++) {
                say_bytes(box, good[i]);
                if (!send_from(box, &SENDER))
                        fail_msg("refused: %s", good[i]);
                expect_pub(sub, "t", "");
        }
        fake_deinit(&f);
}

/* ---------------------------------------------------------------- no room */

TEST(what_a_full_receiver_loses_is_one_gap_in_its_place)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=2");
        struct client *box = fake_connect(&f), *pub = fake_open(&f), *sub = fake_open(&f),
                      *fine = fake_open(&f);

        fake_sub(sub, 3, "t");
        fake_sub(sub, 5, "*");
        fake_sub(fine, 1, "t");
        fake_room(sub, 0);
        datagram(box, "t", "1");
        fake_pub(pub, "t", "2");
        for (int i = 0; i < 100; i++)
                datagram(box, "t", "lost");
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 1);
        say_pub(pub, "t", "3"); /* waits, as ever */
        fake_go(pub);
        datagram(box, "t", "lost too");
        CHECK_EQ(fake_report(&f, "dropped"), 101);
        CHECK_EQ(fake_report(&f, "parked"), 1);
        fake_room(sub, SIZE_MAX);
        expect_ok(pub, 1, 2);
        datagram(box, "t", "4");
        CHECK_EQ(expect_pub(sub, "t", "1")->delivery.seq, 1);
        CHECK_EQ(expect_pub(sub, "t", "2")->delivery.seq, 2);
        expect_gap(sub, 3, 101, WIRE_GAP_OVERFLOW, 3);
        expect_gap(sub, 5, 101, WIRE_GAP_OVERFLOW, 3);
        CHECK_EQ(expect_pub(sub, "t", "3")->delivery.seq, 3);
        CHECK_EQ(expect_pub(sub, "t", "4")->delivery.seq, 4);
        expect_nothing(sub);
        CHECK_EQ(fake_report(&f, "delivered"), 4 + 105);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(losses_of_each_subscription_are_counted_apart)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *box = fake_connect(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_sub(sub, 2, "b");
        fake_sub(sub, 3, "b");
        fake_room(sub, 0);
        datagram(box, "a", "x");
        for (int i = 0; i < 1000; i++) {
                datagram(box, "a", "lost");
                datagram(box, "b", "lost");
                datagram(box, "b", "lost");
        }
        fake_room(sub, SIZE_MAX);
        expect_pub(sub, "a", "x");
        expect_gap(sub, 1, 1000, WIRE_GAP_OVERFLOW, 2);
        expect_gap(sub, 2, 2000, WIRE_GAP_OVERFLOW, 2);
        expect_gap(sub, 3, 2000, WIRE_GAP_OVERFLOW, 2);
        expect_nothing(sub);
        CHECK_EQ(fake_report(&f, "dropped"), 3000);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(more_than_64_subscriptions_are_told_of_their_losses)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *box = fake_connect(&f), *sub = fake_open(&f);

        for (uint32_t n = 1; n <= 70; n++)
                fake_sub(sub, n, "t");
        fake_room(sub, 0);
        fake_pub(sub, "x", "no matter");
        datagram(box, "t", "some"); /* fits for the first 64 */
        datagram(box, "t", "none");
        fake_room(sub, SIZE_MAX);
        CHECK_EQ(expect_pub(sub, "t", "some")->delivery.n_subs, 64);
        for (uint64_t n = 65; n <= 70; n++)
                expect_gap(sub, n, 2, WIRE_GAP_OVERFLOW, 2);
        for (uint64_t n = 1; n <= 64; n++)
                expect_gap(sub, n, 1, WIRE_GAP_OVERFLOW, 2);
        expect_nothing(sub);
        fake_deinit(&f);
}

TEST(gaps_that_do_not_fit_the_packet_lead_the_next)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *box = fake_connect(&f), *sub = fake_open(&f);

        for (uint32_t n = 1; n <= 64; n++)
                fake_sub(sub, n, "t");
        fake_room(sub, 0);
        say_large(box, "t", "x", 64500);
        CHECK(send_from(box, &SENDER));
        datagram(box, "t", "lost");
        fake_room(sub, SIZE_MAX);
        size_t packet = expect_pub(sub, "t", "x")->packet;
        for (uint64_t n = 1; n <= 64; n++)
                CHECK_EQ(expect_gap(sub, n, 1, WIRE_GAP_OVERFLOW, 2)->packet, packet + 1);
        fake_deinit(&f);
}

/* A receiver that reads a packet at a time, and a sender that uses each place that becomes free to
 * have all subscriptions lose something behind it. */
TEST(gaps_take_room_in_the_backlog_too)
{
        enum { SUBS = 10, ROUNDS = 100, LIMIT = 20 };
        struct fake f;
        fake_init_with(&f, "queue_messages=20");
        struct client *box = fake_connect(&f), *sub = fake_open(&f);
        size_t n_gaps = 0;

        for (uint32_t n = 1; n <= SUBS; n++)
                fake_sub(sub, n, (char[]){(char)('a' + n), 0});
        fake_room(sub, 0);
        for (int i = 0; i < ROUNDS; i++) {
                for (int n = 1; n <= 2 * SUBS; n++) {
                        say_large(box, (char[]){(char)('a' + (i + n) % SUBS + 1), 0}, "", 40000);
                        CHECK(send_from(box, &SENDER));
                }
                fake_room(sub, 65000);
        }
        fake_forget(sub);
        CHECK(sub->last_seq > ROUNDS / 2);
        fake_room(sub, SIZE_MAX);
        for (const struct got *g; (g = fake_next(sub));)
                n_gaps += g->m.type == WIRE_GAP;
        CHECK(n_gaps <= LIMIT + SUBS);
        CHECK_EQ(fake_report(&f, "delivered") + fake_report(&f, "dropped"), 2 * SUBS * ROUNDS);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(gaps_are_told_before_a_session_leaves)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *box = fake_connect(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        fake_room(sub, 0);
        datagram(box, "t", "1");
        datagram(box, "t", "2");
        say_bye(sub);
        fake_go(sub);
        datagram(box, "t", "3"); /* nothing to it any more */
        fake_room(sub, SIZE_MAX);
        expect_pub(sub, "t", "1");
        expect_gap(sub, 1, 1, WIRE_GAP_OVERFLOW, 2);
        expect_bye(sub, WIRE_CODE_NONE);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(gaps_that_wait_go_with_their_session)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *box = fake_connect(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_sub(sub, 2, "b");
        fake_room(sub, 0);
        for (int i = 0; i < 3; i++) {
                datagram(box, "a", "x");
                datagram(box, "b", "x");
        }
        say_unsub(sub, sub->last_id + 1, 1);
        fake_go(sub);
        fake_close(sub);
        fake_close_all(&f);
        fake_deinit(&f);
}
