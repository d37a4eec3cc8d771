/* From publishers to receivers: bytes, delivery headers, order. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------- what arrives */

/* Odd but valid encodings: an array 16, wide numbers and texts, headers, fields of a later version.
 */
TEST(a_publication_arrives_byte_for_byte)
{
        static const char *const frames[] = {
                "95 10 00 a1 61 80 c4 00",
                "dc 00 05 cd 00 10 ce 00 00 00 00 d9 01 61 80 c4 01 78",
                "95 10 00 a1 61 de 00 01 a1 6b c4 01 76 c6 00 00 00 01 78",
                "97 10 00 a1 61 80 c4 01 78 93 01 02 03 c0",
                "dd 00 00 00 05 10 d3 00 00 00 00 00 00 00 00 da 00 01 61 82 a1 6b ff a1 6c cb 00 "
                "00"
                " 00 00 00 00 00 00 c5 00 01 00",
        };
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
                say_bytes(pub, frames[i]);
                struct buf sent cleanup_(buf_deinit) = BUF_INIT;
                CHECK_EQ(buf_push(&sent, pub->packet.data, pub->packet.len), 0);
                fake_go(pub);
                const struct got *g = expect(sub, WIRE_PUB);
                CHECK_EQ(g->len, sent.len);
                CHECK_BYTES(g->bytes, sent.data, sent.len);
        }
        fake_deinit(&f);
}

TEST(the_largest_frame_arrives_with_the_largest_header)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        for (uint32_t i = 0; i < WIRE_DELIVERY_SUBS; i++)
                fake_sub(sub, UINT32_MAX - 100 + i, "a");
        say_large(pub, "a", "big", WIRE_FRAME_BYTES);
        fake_go(pub);
        const struct got *g = expect_pub(sub, "a", "big");
        CHECK_EQ(g->len, WIRE_FRAME_BYTES);
        CHECK_EQ(g->delivery.n_subs, WIRE_DELIVERY_SUBS);
        fake_deinit(&f);
}

/* A packet full of one topic is more than fits behind the largest delivery header: it is two runs.
 */
TEST(a_full_packet_of_one_topic_arrives_with_the_largest_header)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);
        int n = 0;

        for (uint32_t i = 0; i < WIRE_DELIVERY_SUBS; i++)
                fake_sub(sub, UINT32_MAX - 100 + i, "a");
        for (; pub->packet.len < WIRE_PACKET_BYTES; n++)
                say_bytes(pub, "95 10 00 a1 61 80 c4 00");
        CHECK_EQ(pub->packet.len, WIRE_PACKET_BYTES);
        fake_go(pub);
        for (int i = 0; i < n; i++)
                expect_pub(sub, "a", "");
        fake_deinit(&f);
}

TEST(a_delivery_says_who_sent_it_and_to_which_subscriptions)
{
        struct fake f;
        fake_init(&f);
        struct core_peer peer = {.pid = 4711, .uid = 0, .gid = 44};
        struct client *pub = fake_connect_as(&f, &peer), *sub = fake_open(&f);

        say_hello(pub, "p");
        fake_go(pub);
        fake_sub(sub, 3, "a.*");
        fake_sub(sub, 7, "b");
        fake_sub(sub, 9, ">");
        fake_pub(pub, "a.b", "x");
        const struct msg_delivery *d = &expect_pub(sub, "a.b", "x")->delivery;
        CHECK_EQ(d->seq, 1);
        CHECK_EQ(d->session, pub->number);
        CHECK_EQ(d->pid, 4711);
        CHECK_EQ(d->uid, 0);
        CHECK_EQ(d->gid, 44);
        CHECK_EQ(d->n_subs, 2);
        CHECK_EQ(d->subs[0], 3);
        CHECK_EQ(d->subs[1], 9);
        CHECK_EQ(d->flags, 0);
        fake_deinit(&f);
}

TEST(more_than_64_subscriptions_get_it_again_for_the_rest)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        for (uint32_t i = 1; i <= 150; i++)
                fake_sub(sub, i, i % 2 ? "a" : "*");
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 1);
        say_pub(pub, "a", "x");
        fake_go(pub);
        expect_ok(pub, 1, 1); /* one session */
        uint32_t next = 1;
        for (uint32_t n = 150; n > 0;) {
                const struct got *g = expect_pub(sub, "a", "x");
                CHECK_EQ(g->delivery.n_subs, n < 64 ? n : 64);
                for (uint32_t i = 0; i < g->delivery.n_subs; i++)
                        CHECK_EQ(g->delivery.subs[i], next++);
                n -= g->delivery.n_subs;
        }
        expect_nothing(sub);
        fake_deinit(&f);
}

TEST(a_header_stands_only_where_what_it_says_changes)
{
        struct fake f;
        fake_init(&f);
        struct client *p = fake_open(&f), *q = fake_open(&f), *sub = fake_open(&f);
        static const bool leads[] = {
                true, false, false, /* p: a a a */
                true, false,        /* q: a a */
                true, false,        /* p: a c, other topic, same subscriptions */
                true, true,         /* p: b, a */
        };

        fake_sub(sub, 1, "b");
        fake_sub(sub, 2, "x.*");
        say_pub(p, "x.a", "1");
        say_pub(p, "x.a", "2");
        fake_feed(p);
        say_pub(p, "x.a", "3");
        fake_feed(p);
        say_pub(q, "x.a", "4");
        say_pub(q, "x.a", "5");
        fake_feed(q);
        say_pub(p, "x.a", "6");
        say_pub(p, "x.c", "7");
        say_pub(p, "b", "8");
        say_pub(p, "x.a", "9");
        fake_feed(p);
        fake_flush(&f);
        for (size_t i = 0; i < ARRAY_LEN(leads); i++) {
                const struct got *g = expect(sub, WIRE_PUB);
                CHECK_EQ(g->leads, leads[i]);
                CHECK_EQ(g->delivery.seq, i + 1);
                CHECK_EQ(g->m.pub.payload.data[0], '1' + i);
                CHECK_EQ(g->packet, sub->n_packets); /* all share one packet */
                CHECK_EQ(g->delivery.session, i == 3 || i == 4 ? q->number : p->number);
        }
        fake_deinit(&f);
}

TEST(sequence_numbers_have_no_holes_whatever_the_packets)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);
        char text[16];

        fake_sub(sub, 1, ">");
        for (int round = 0; round < 20; round++) {
                for (int i = 0; i < 200; i++) {
                        snprintf(text, sizeof(text), "%d", round * 200 + i);
                        if (i % 50 == 0)
                                say_large(pub, "large", text, 5000);
                        else
                                say_pub(pub, i % 7 ? "a" : "b", text);
                }
                fake_feed(pub);
        }
        fake_flush(&f); /* the fake compares the numbers */
        CHECK_EQ(sub->last_seq, 4000);
        for (int i = 0; i < 4000; i++) {
                snprintf(text, sizeof(text), "%d", i);
                const struct got *g = expect(sub, WIRE_PUB);
                CHECK_BYTES(g->m.pub.payload.data, text, strlen(text));
        }
        fake_deinit(&f);
}

TEST(everybody_gets_it_and_nobody_else)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f),
                      *c = fake_open(&f);

        fake_sub(a, 1, "x.y");
        fake_sub(b, 1, "x.>");
        fake_sub(c, 1, "x");
        fake_pub(pub, "x.y", "1");
        expect_pub(a, "x.y", "1");
        expect_pub(b, "x.y", "1");
        expect_nothing(c);
        expect_nothing(pub);
        CHECK_EQ(fake_report(&f, "delivered"), 2);
        fake_deinit(&f);
}

TEST(an_unsubscribed_filter_gets_no_more)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_pub(pub, "a", "1");
        say_unsub(sub, ++sub->last_id, 1);
        fake_go(sub);
        fake_pub(pub, "a", "2");
        expect_pub(sub, "a", "1");
        expect_ok(sub, sub->last_id, 0);
        expect_nothing(sub);
        CHECK_EQ(fake_report(&f, "unrouted"), 1);
        fake_deinit(&f);
}

TEST(the_ok_of_a_subscription_comes_before_its_first_publication)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        fake_pub(pub, "a", "1");
        say_sub(sub, 2, 2, "b");
        fake_feed(sub);
        fake_pub(pub, "b", "2");
        fake_room(sub, SIZE_MAX);
        expect_ok(sub, 2, 0);
        expect_pub(sub, "a", "1");
        expect_pub(sub, "b", "2");
        fake_deinit(&f);
}

/* ------------------------------------------------------------------ order */

TEST(order_holds_per_publisher_and_receiver_across_topics_and_sizes)
{
        struct fake f;
        fake_init(&f);
        struct client *p = fake_open(&f), *q = fake_open(&f), *sub = fake_open(&f);
        char text[32];
        int next_p = 0, next_q = 0;

        fake_sub(sub, 1, "*");
        for (int i = 0; i < 300; i++) {
                struct client *c = i % 3 ? p : q;
                snprintf(text, sizeof(text), "%d!", i);
                if (i % 20 == 7)
                        say_large(c, "large", text, 3000);
                else
                        say_pub(c, i % 2 ? "a" : "b", text);
                if (i % 5 == 0)
                        fake_feed(c);
        }
        if (p->packet.len)
                fake_feed(p);
        if (q->packet.len)
                fake_feed(q);
        fake_flush(&f);
        for (int i = 0; i < 300; i++) {
                const struct got *g = expect(sub, WIRE_PUB);
                int n = atoi((const char *)g->m.pub.payload.data);
                int *next = g->delivery.session == p->number ? &next_p : &next_q;
                CHECK(n >= *next);
                *next = n + 1;
        }
        expect_nothing(sub);
        fake_deinit(&f);
}
