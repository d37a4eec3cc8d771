/* Payloads that come in chunks: whole, in order, and as if they had come in one piece. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

#include <string.h>

/* Says a whole one; what does not fit the packet is fed. */
static void say_upload(
        struct client *c, const char *topic, uint64_t seed, uint64_t size, size_t piece)
{
        say_begin(c, topic, 0, size);
        fake_chunks(c, seed, size, piece);
        say_end(c, 0);
}

static void upload(struct client *c, const char *topic, uint64_t seed, uint64_t size, size_t piece)
{
        say_upload(c, topic, seed, size, piece);
        fake_go(c);
}

TEST(chunks_of_any_length_become_one_payload)
{
        static const uint64_t sizes[] = {
                1, 2, 255, 256, 4096, 64000, 65006, 65007, 65024, 65536, 200000, 3 << 20};
        static const size_t pieces[] = {1, 7, 1000, 4096, 60000, 65000};
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *plain = fake_open(&f), *memfd = fake_open_memfd(&f);
        uint64_t seed = 0;

        fake_sub(plain, 1, "t");
        fake_sub(memfd, 1, "t");
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                for (size_t j = 0; j < ARRAY_LEN(pieces); j++) {
                        if (sizes[i] / pieces[j] > 70000)
                                continue;
                        bool is_unknown = j % 2;
                        say_begin(pub, "t", 0, is_unknown ? 0 : sizes[i]);
                        fake_chunks(pub, ++seed, sizes[i], pieces[j]);
                        say_end(pub, 0);
                        fake_go(pub);
                        expect_large(plain, "t", seed, sizes[i]);
                        expect_large(memfd, "t", seed, sizes[i]);
                        say_credit(memfd, 1);
                        fake_go(memfd);
                        fake_bury(&f);
                }
        }
        expect_nothing(plain);
        expect_nothing(memfd);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(empty_chunks_are_nothing)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        say_begin(pub, "t", 0, 4);
        say_chunk(pub, "", 0);
        say_chunk(pub, "ab", 2);
        say_chunk(pub, "", 0);
        say_chunk(pub, "cd", 2);
        say_chunk(pub, "", 0);
        say_end(pub, 0);
        fake_go(pub);
        expect_pub(sub, "t", "abcd");
        say_begin(pub, "t", 0, 0);
        say_end(pub, 0);
        say_begin(pub, "t", 0, 0);
        say_chunk(pub, "", 0);
        say_end(pub, 0);
        fake_go(pub);
        for (int i = 0; i < 2; i++)
                CHECK_EQ(expect_pub(sub, "t", "")->m.pub.payload.len, 0);
        say_bytes(
                pub, "95 11 00 a1 74 80 00 92 12 c6 00 00 00 01 78 93 12 c5 00 01 79 c0 92 13 00");
        fake_go(pub);
        expect_pub(sub, "t", "xy"); /* in any encoding */
        fake_deinit(&f);
}

/* The frame that its publisher could have sent. */
TEST(what_fits_a_frame_is_delivered_as_a_plain_publication)
{
        enum { MOST = WIRE_FRAME_BYTES - 64 };
        static const uint8_t headers[] = {0x82, 0xa1, 'a', 0x01, 0xa1, 'b', 0xc4, 0x02, 'x', 'y'};
        static uint8_t payload[MOST];
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *subs[] = {fake_open(&f), fake_open_memfd(&f)};
        struct message m = {.type = WIRE_BEGIN,
                .pub = {.topic = {(const uint8_t *)"a.b", 3}, .headers = {headers, 10}}};
        struct buf want = BUF_INIT;

        fake_sub(subs[0], 1, "*.b");
        fake_sub(subs[1], 1, "a.b");
        fake_pattern(5, 0, payload, MOST);
        say(pub, &m);
        fake_chunks(pub, 5, MOST, 999);
        say_end(pub, 0);
        fake_go(pub);
        m.type = WIRE_PUB;
        m.pub.payload = (struct slice){payload, MOST};
        CHECK_EQ(message_encode(&want, &m), 0);
        for (int i = 0; i < 2; i++) {
                const struct got *g = expect_large(subs[i], "a.b", 5, MOST);
                CHECK_EQ(g->len, want.len);
                CHECK_BYTES(g->bytes, want.data, want.len);
                CHECK_EQ(g->delivery.session, pub->number);
        }
        buf_deinit(&want);
        fake_deinit(&f);
}

TEST(topic_and_headers_of_a_large_one_are_kept)
{
        static const uint8_t headers[] = {0x81, 0xa1, 'n', 0x01};
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *subs[] = {fake_open(&f), fake_open_memfd(&f)};

        for (int i = 0; i < 2; i++)
                fake_sub(subs[i], 1, ">");
        say(pub, &(struct message){.type = WIRE_BEGIN,
                         .pub = {.topic = {(const uint8_t *)"a.b", 3}, .headers = {headers, 4}}});
        fake_chunks(pub, 1, 100000, 30000);
        say_end(pub, 0);
        fake_go(pub);
        for (int i = 0; i < 2; i++) {
                const struct got *g = fake_next(subs[i]);
                CHECK_EQ(g->m.type, i ? WIRE_PUB : WIRE_BEGIN);
                CHECK(slice_is(g->m.pub.topic, "a.b"));
                CHECK_EQ(g->m.pub.headers.len, 4);
                CHECK_BYTES(g->m.pub.headers.data, headers, 4);
                CHECK_EQ(g->m.pub.size, 100000);
                CHECK_EQ(g->delivery.session, pub->number);
                CHECK_EQ(g->delivery.subs[0], 1);
        }
        expect_end(subs[0], 1, 100000);
        fake_deinit(&f);
}

TEST(other_frames_may_stand_between_chunks)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        say_begin(pub, "t", 0, 6);
        say_chunk(pub, "ab", 2);
        say_number(pub, WIRE_PING, 7);
        say_bytes(pub, "91 40");
        fake_go(pub);
        expect(pub, WIRE_PONG);
        say_sub(pub, 1, 1, "own");
        say_chunk(pub, "cd", 2);
        say_ingress(pub, 0, 0);
        say_credit(pub, 3);
        fake_go(pub);
        expect_ok(pub, 1, 0);
        say_unsub(pub, 2, 1);
        fake_go(pub);
        expect_ok(pub, 2, 0);
        expect_nothing(sub);
        say_chunk(pub, "ef", 2);
        say_end(pub, 0);
        fake_go(pub);
        expect_pub(sub, "t", "abcdef");
        fake_deinit(&f);
}

TEST(a_chunked_publication_takes_its_id_at_begin)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 5);
        say_pub(pub, "t", "5");
        say_begin(pub, "t", 0, 0);
        say_chunk(pub, "6", 1);
        say_end(pub, 0);
        say_pub(pub, "t", "7");
        say_begin(pub, "t", 0, 0);
        fake_go(pub);
        say_sub(pub, 9, 1, "own"); /* beyond 8: what comes has its id already */
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 10);
        say_chunk(pub, "8", 1);
        say_end(pub, 0);
        say_pub(pub, "t", "10");
        fake_go(pub);
        expect_ok(pub, 5, 1);
        expect_ok(pub, 6, 1);
        expect_ok(pub, 7, 1);
        expect_ok(pub, 9, 0);
        expect_ok(pub, 8, 1);
        expect_ok(pub, 10, 1);
        for (const char *const *want = (const char *const[]){"5", "6", "7", "8", "10", NULL}; *want;
                want++)
                expect_pub(sub, "t", *want);
        fake_deinit(&f);
}

TEST(no_echo_holds_for_chunks)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(pub, 1, "t");
        fake_sub(sub, 1, "t");
        say_ingress(pub, WIRE_INGRESS_NO_ECHO, 0);
        say_begin(pub, "t", 0, 0);
        fake_go(pub);
        fake_chunks(pub, 1, 90000, 9000);
        say_end(pub, 0);
        fake_go(pub);
        expect_large(sub, "t", 1, 90000);
        expect_nothing(pub);
        upload(pub, "t", 2, 90000, 9000);
        expect_large(pub, "t", 2, 90000);
        fake_deinit(&f);
}

TEST(confirms_of_chunked_publications_keep_the_order)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        fake_room(sub, 0);
        fake_confirmed(pub, 2, "t", "first");
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 3);
        say_upload(pub, "t", 1, 150000, 50000); /* parked */
        fake_go(pub);
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 4);
        say_begin(pub, "t", 0, 0); /* given up */
        say_end(pub, 1);
        say_begin(pub, "..", 0, 0); /* 5: a bad topic */
        say_end(pub, 0);
        say_begin(pub, "nobody", 0, 0);
        say_end(pub, 0);
        fake_go(pub);
        fake_confirmed(pub, 7, "t", "last");
        expect_ok(pub, 2, 1);
        expect_nothing(pub);
        CHECK_EQ(fake_report(&f, "parked"), 5);
        CHECK_EQ(fake_report(&f, "spooled_bytes"), 0);
        fake_room(sub, SIZE_MAX);
        expect_ok(pub, 3, 1);
        expect_err(pub, 4, WIRE_CODE_CANCELLED);
        expect_err(pub, 5, WIRE_CODE_BAD_TOPIC);
        expect_ok(pub, 6, 0);
        expect_ok(pub, 7, 1);
        expect_pub(sub, "t", "first");
        expect_large(sub, "t", 1, 150000);
        expect_pub(sub, "t", "last");
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(sessions_upload_side_by_side)
{
        enum { N = 5, SIZE = 120000, PIECE = 10000 };
        static uint8_t data[PIECE];
        struct fake f;
        fake_init(&f);
        struct client *pubs[N], *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        for (int i = 0; i < N; i++) {
                pubs[i] = fake_open(&f);
                say_begin(pubs[i], "t", 0, SIZE);
        }
        for (size_t at = 0; at < SIZE; at += PIECE) {
                for (int i = 0; i < N; i++) {
                        fake_pattern((uint64_t)i, at, data, PIECE);
                        say_chunk(pubs[i], data, PIECE);
                        fake_go(pubs[i]);
                }
        }
        CHECK_EQ(fake_report(&f, "spooled_bytes"), N * SIZE);
        for (int i = N; i-- > 0;) {
                say_end(pubs[i], 0);
                fake_go(pubs[i]);
                expect_large(sub, "t", (uint64_t)i, SIZE);
        }
        CHECK_EQ(fake_report(&f, "spooled_bytes"), 0);
        fake_close_all(&f);
        fake_deinit(&f);
}

/* Its clock runs from END. */
TEST(a_large_request_is_answered_by_a_large_reply)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open_memfd(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "s");
        say_request(asker, 1, 1000);
        say_begin(asker, "s", 0, 0);
        fake_chunks(asker, 1, 300000, 40000);
        fake_go(asker);
        fake_tick(&f, 5000);
        expect_nothing(asker);
        CHECK_EQ(fake_report(&f, "requests"), 0);
        say_end(asker, 0);
        fake_go(asker);
        const struct got *g = expect_large(svc, "s", 1, 300000);
        CHECK_EQ(g->delivery.flags, WIRE_DELIVERY_REQUEST);
        uint64_t token = g->delivery.token;
        say_reply(svc, token, WIRE_DELIVERY_MORE, 2);
        say_upload(svc, "", 2, 5000, 1000);
        fake_go(svc);
        say_reply(svc, token, 0, 3);
        say_upload(svc, "", 3, 400000, 50000);
        fake_go(svc);
        expect_ok(svc, 2, 1);
        expect_ok(svc, 3, 1);
        CHECK_EQ(expect_large(asker, "", 2, 5000)->delivery.flags,
                WIRE_DELIVERY_REPLY | WIRE_DELIVERY_MORE);
        g = expect_large(asker, "", 3, 400000);
        CHECK_EQ(g->delivery.flags, WIRE_DELIVERY_REPLY);
        CHECK_EQ(g->delivery.request, 1);
        say_request(asker, 2, 1000);
        say_upload(asker, "s", 1, 70000, 50000);
        fake_go(asker);
        fake_tick(&f, 999);
        expect_nothing(asker);
        fake_tick(&f, 1);
        expect_err(asker, 2, WIRE_CODE_TIMEOUT);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(begin_brings_the_descriptors)
{
        static const uint64_t sizes[] = {10, 100000};

        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *all[] = {fake_open(&f), fake_open_memfd(&f)},
                              *few = fake_open_memfd(&f), *none = fake_open(&f);
                struct fdset *fds = fake_fds(&f, 2);
                int first = fdset_fds(fds)[0];
                bool is_placed = sizes[i] > WIRE_FRAME_BYTES;

                fake_sub_fds(all[0], 1, "t", 2);
                fake_sub_fds(all[1], 1, "t", 16);
                fake_sub_fds(few, 1, "t", 1);
                fake_sub(none, 1, "t");
                say_begin(pub, "t", 2, 0);
                fake_feed_fds(pub, fds);
                CHECK_EQ(fake_report(&f, "descriptors"), 2);
                fake_chunks(pub, 1, sizes[i], 30000);
                say_end(pub, 0);
                fake_go(pub);
                for (int j = 0; j < 2; j++) {
                        const struct got *g = expect_large(all[j], "t", 1, sizes[i]);
                        CHECK_EQ(g->delivery.withheld, 0);
                        CHECK_EQ(g->n_fds, 2 + (j && is_placed));
                        CHECK_EQ(g->fd, first);
                }
                const struct got *g = expect_large(few, "t", 1, sizes[i]);
                CHECK_EQ(g->delivery.withheld, 2);
                CHECK_EQ(g->n_fds, is_placed);
                g = expect_large(none, "t", 1, sizes[i]);
                CHECK_EQ(g->delivery.withheld, 2);
                CHECK_EQ(g->n_fds, 0);
                CHECK_EQ(fake_report(&f, "descriptors"), 0);
                fake_close_all(&f);
                fake_deinit(&f);
        }
}
