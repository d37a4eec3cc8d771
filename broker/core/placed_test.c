/* Placed payloads: the same memory file to those that take one, chunks to the others, in their
 * place among all else. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

#include <string.h>

/* A placed one with `n` descriptors of the user's, and how large it is said to be. */
static void send_placed(struct client *c, const char *topic, uint32_t n, uint64_t size)
{
        say_placed(c, topic, n + 1, size);
        fake_feed_fds(c, fake_placed_fds(c->fake, n, 1, size));
        fake_flush(c->fake);
}

TEST(a_placed_payload_travels_as_it_came)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open_memfd(&f), *b = fake_open_memfd(&f);
        struct fdset *fds = fake_placed_fds(&f, 0, 7, 100000);
        int fd = fdset_fds(fds)[0];
        struct buf sent = BUF_INIT;

        fake_sub(a, 1, "t"); /* max_fds 0: it is no descriptor of the user's */
        fake_sub_fds(b, 1, "*", 16);
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 1);
        size_t head = pub->packet.len;
        say_bytes(pub, "96 10 cd 00 01 d9 01 74 81 a1 6e 01 cf 00 00 00 00 00 01 86 a0 c0");
        CHECK_EQ(buf_push(&sent, pub->packet.data + head, pub->packet.len - head), 0);
        fake_feed_fds(pub, fds);
        fake_flush(&f);
        expect_ok(pub, 1, 2);
        for (int i = 0; i < 2; i++) {
                const struct got *g = expect_large(i ? b : a, "t", 7, 100000);
                CHECK_EQ(g->len, sent.len);
                CHECK_BYTES(g->bytes, sent.data, sent.len);
                CHECK_EQ(g->n_fds, 1);
                CHECK_EQ(g->fd, fd);
                CHECK_EQ(g->delivery.withheld, 0);
        }
        CHECK_EQ(fake_report(&f, "descriptors"), 0);
        fake_bury(&f); /* closed once */
        buf_deinit(&sent);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(withheld_descriptors_leave_the_payload)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *none = fake_open_memfd(&f), *few = fake_open_memfd(&f),
                      *all = fake_open_memfd(&f);

        fake_sub(none, 1, "t");
        fake_sub_fds(few, 1, "t", 2);
        fake_sub_fds(all, 1, "t", 3);
        send_placed(pub, "t", 3, 5000);
        struct client *const subs[] = {none, few, all};
        for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
                const struct got *g = expect_large(subs[i], "t", 1, 5000);
                CHECK_EQ(g->m.pub.n_fds, 4);
                CHECK_EQ(g->delivery.withheld, i < 2 ? 3 : 0);
                CHECK_EQ(g->n_fds, i < 2 ? 1 : 4);
        }
        fake_deinit(&f);
}

TEST(who_takes_no_memory_files_gets_chunks)
{
        static const uint64_t sizes[] = {1, 2, 1000, 65000, 65006, 65007, 65008, 65016, 65017,
                65024, 65025, 65535, 65536, 65537, 131072, 1000000, 5 << 20, 3, 70000};
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                fake_placed(pub, "t", i, sizes[i]);
                const struct got *g = expect_large(sub, "t", i, sizes[i]);
                CHECK_EQ(g->delivery.seq, i + 1);
                CHECK(g->n_chunks <= sizes[i] / 64000 + 1); /* none is smaller than it must be */
                fake_bury(&f);
        }
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(descriptors_come_with_begin_alone)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *all = fake_open(&f), *none = fake_open(&f);

        fake_sub_fds(all, 1, "t", 3);
        fake_sub(none, 1, "t");
        send_placed(pub, "t", 3, 1000);
        const struct got *g = expect(all, WIRE_BEGIN);
        CHECK_EQ(g->m.pub.n_fds, 3);
        CHECK_EQ(g->n_fds, 3);
        size_t packet = g->packet;
        CHECK_EQ(expect_end(all, 1, 1000)->packet, packet + 1);
        g = expect(none, WIRE_BEGIN);
        CHECK_EQ(g->m.pub.n_fds, 3);
        CHECK_EQ(g->delivery.withheld, 3);
        CHECK_EQ(g->n_fds, 0);
        packet = g->packet;
        CHECK_EQ(expect_end(none, 1, 1000)->packet, packet); /* small enough */
        fake_deinit(&f);
}

/* ------------------------------------------------- among other publications */

/* Trickles to `c` until it has everything. */
static void trickle(struct client *c, size_t step)
{
        for (size_t room = step; c->is_full; room += step) {
                size_t before = c->n_packets;
                fake_room(c, room);
                if (c->n_packets != before)
                        room = 0;
        }
        fake_room(c, SIZE_MAX);
}

TEST(chunks_keep_their_place_however_little_the_socket_takes)
{
        enum { SIZE = 300000 };
        static const size_t steps[] = {11, 501, 1500, 20000, 66000};

        for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *other = fake_open(&f), *sub = fake_open(&f);
                fake_sub(sub, 1, "t");
                fake_room(sub, 0);
                fake_pub(pub, "t", "before");
                fake_placed(pub, "t", 1, SIZE);
                fake_pub(other, "t", "between");
                fake_placed(other, "t", 2, SIZE / 3);
                fake_placed(pub, "t", 3, 1);
                fake_pub(pub, "t", "behind");
                trickle(sub, steps[i]);
                CHECK_EQ(expect_pub(sub, "t", "before")->delivery.seq, 1);
                CHECK_EQ(expect_large(sub, "t", 1, SIZE)->delivery.seq, 2);
                const struct got *g = expect_pub(sub, "t", "between");
                CHECK_EQ(g->delivery.seq, 3);
                CHECK_EQ(g->delivery.session, other->number);
                g = expect_large(sub, "t", 2, SIZE / 3);
                CHECK_EQ(g->delivery.session, other->number);
                CHECK_EQ(expect_large(sub, "t", 3, 1)->delivery.seq, 5);
                CHECK_EQ(expect_pub(sub, "t", "behind")->delivery.seq, 6);
                fake_close_all(&f);
                fake_deinit(&f);
        }
}

TEST(answers_come_between_chunks)
{
        enum { SIZE = 400000 };
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        fake_room(sub, 0);
        fake_placed(pub, "t", 1, SIZE);
        fake_pub(pub, "t", "behind");
        for (uint64_t i = 0; i < 5; i++) { /* each: one packet of chunks goes */
                fake_room(sub, 66000);
                say_number(sub, WIRE_PING, i);
                say_sub(sub, sub->last_id + 1, (uint32_t)i + 2, "x");
                fake_go(sub);
        }
        fake_room(sub, SIZE_MAX);
        expect(sub, WIRE_BEGIN);
        for (uint64_t i = 0; i < 5; i++) {
                CHECK_EQ(expect(sub, WIRE_PONG)->m.number, i);
                expect_ok(sub, 2 + i, 0);
        }
        expect_end(sub, 1, SIZE);
        expect_pub(sub, "t", "behind");
        fake_deinit(&f);
}

TEST(a_leaving_session_gets_the_rest_of_its_chunks)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        fake_room(sub, 0);
        fake_placed(pub, "t", 1, 400000);
        fake_placed(pub, "t", 2, 100000);
        fake_room(sub, 66000);
        say_bye(sub);
        fake_go(sub);
        fake_room(sub, SIZE_MAX);
        expect_large(sub, "t", 1, 400000);
        expect_large(sub, "t", 2, 100000);
        expect_bye(sub, WIRE_CODE_NONE);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(a_session_may_end_between_chunks)
{
        for (int i = 0; i < 2; i++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *sub = fake_open(&f);
                fake_sub(sub, 1, "t");
                fake_room(sub, 0);
                fake_placed(pub, "t", 1, 400000);
                fake_pub(pub, "t", "behind");
                fake_room(sub, 66000);
                if (i) {
                        fake_close(sub);
                } else {
                        say_bytes(sub, "c1");
                        fake_go(sub);
                }
                CHECK(sub->is_gone);
                CHECK_EQ(fake_report(&f, "delivered"), 0); /* nothing whole */
                CHECK_EQ(fake_report(&f, "discarded"), 2);
                fake_close_all(&f);
                fake_deinit(&f);
        }
}

/* So many answers that there is hardly room for data. */
TEST(a_packet_full_of_answers_leaves_the_chunks_to_the_next)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        for (size_t n = WIRE_PACKET_BYTES - 10000; n <= WIRE_PACKET_BYTES + 20; n += 499) {
                fake_room(sub, 0);
                fake_placed(pub, "t", n, 100000);
                fake_room(sub, 66000); /* BEGIN and the first chunk */
                sub->room = 0;
                for (size_t i = 0; i < n / 3; i++) { /* PONG(1): 3 bytes */
                        say_number(sub, WIRE_PING, 1);
                        if (sub->packet.len > 60000)
                                fake_feed(sub);
                }
                fake_feed(sub);
                fake_room(sub, SIZE_MAX);
                expect(sub, WIRE_BEGIN);
                for (size_t i = 0; i < n / 3; i++)
                        expect(sub, WIRE_PONG);
                expect_end(sub, n, 100000);
                fake_bury(&f);
        }
        fake_deinit(&f);
}

TEST(both_kinds_of_receivers_get_the_same)
{
        enum { N = 6, SIZE = 200000 };
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *subs[N];

        for (int i = 0; i < N; i++) {
                subs[i] = i % 2 ? fake_open_memfd(&f) : fake_open(&f);
                fake_sub(subs[i], 1, "t");
                fake_room(subs[i], i < 4 ? SIZE_MAX : 0);
        }
        for (uint64_t seed = 1; seed <= 3; seed++) {
                say_ingress(pub, WIRE_INGRESS_CONFIRM, seed);
                fake_placed(pub, "t", seed, SIZE);
                fake_pub(pub, "t", "plain");
                expect_ok(pub, seed, N);
        }
        for (int i = 0; i < N; i++) {
                fake_room(subs[i], SIZE_MAX);
                for (uint64_t seed = 1; seed <= 3; seed++) {
                        expect_large(subs[i], "t", seed, SIZE);
                        expect_pub(subs[i], "t", "plain");
                }
        }
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(more_than_64_subscriptions_get_a_placed_one_again)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *subs[] = {fake_open(&f), fake_open_memfd(&f)};

        for (int i = 0; i < 2; i++) {
                for (uint32_t n = 1; n <= 65; n++)
                        fake_sub(subs[i], n, "t");
        }
        fake_placed(pub, "t", 1, 70000);
        for (int i = 0; i < 2; i++) {
                CHECK_EQ(expect_large(subs[i], "t", 1, 70000)->delivery.n_subs, 64);
                CHECK_EQ(expect_large(subs[i], "t", 1, 70000)->delivery.n_subs, 1);
        }
        fake_deinit(&f);
}

TEST(the_largest_topic_and_headers_fit_a_begin)
{
        static uint8_t headers[WIRE_HEADER_BYTES];
        char topic[WIRE_TOPIC_BYTES + 1] = {0};
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        memset(topic, 'x', WIRE_TOPIC_BYTES);
        memcpy(headers, "\x81\xa1k\xc5", 4);
        headers[4] = (WIRE_HEADER_BYTES - 6) >> 8;
        headers[5] = (WIRE_HEADER_BYTES - 6) & 0xff;
        for (uint32_t n = 1; n <= 64; n++)
                fake_sub(sub, n, "*");
        say(pub, &(struct message){.type = WIRE_PUB,
                         .pub = {.n_fds = 1,
                                 .topic = {(const uint8_t *)topic, WIRE_TOPIC_BYTES},
                                 .headers = {headers, WIRE_HEADER_BYTES},
                                 .size = 200000}});
        fake_feed_fds(pub, fake_placed_fds(&f, 0, 1, 200000));
        fake_flush(&f);
        const struct got *g = fake_next(sub);
        CHECK_EQ(g->m.type, WIRE_BEGIN);
        CHECK_EQ(g->m.pub.headers.len, WIRE_HEADER_BYTES);
        CHECK_BYTES(g->m.pub.headers.data, headers, WIRE_HEADER_BYTES);
        expect_end(sub, 1, 200000);
        fake_deinit(&f);
}
