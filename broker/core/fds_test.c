/* Descriptors: with their publication, to whoever takes them, and never lost. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

TEST(descriptors_go_to_all_that_take_them)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);
        struct fdset *fds = fake_fds(&f, 2);
        int first = fdset_fds(fds)[0];

        fake_sub_fds(a, 1, "t", 2);
        fake_sub_fds(b, 1, "*", 16);
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 1);
        say_fds(pub, "t", 2, "fd");
        fake_feed_fds(pub, fds);
        fake_flush(&f);
        expect_ok(pub, 1, 2);
        for (int i = 0; i < 2; i++) {
                const struct got *g = expect_pub(i ? b : a, "t", "fd");
                CHECK_EQ(g->n_fds, 2);
                CHECK_EQ(g->fd, first);
                CHECK_EQ(g->delivery.withheld, 0);
        }
        fake_bury(&f); /* the last reference went with the second packet: the harness counts */
        fake_deinit(&f);
}

TEST(more_than_a_receiver_takes_are_withheld_as_a_whole)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *none = fake_open(&f), *one = fake_open(&f),
                      *most = fake_open(&f);

        fake_sub(none, 1, "t");
        fake_sub_fds(one, 1, "t", 1);
        fake_sub_fds(most, 1, "t", 1);
        fake_sub_fds(most, 2, "*", 3); /* of several, the largest counts */
        say_fds(pub, "t", 3, "fd");
        fake_send(pub, 3);
        CHECK_EQ(expect_pub(none, "t", "fd")->delivery.withheld, 3);
        CHECK_EQ(expect_pub(one, "t", "fd")->delivery.withheld, 3);
        const struct got *g = expect_pub(most, "t", "fd");
        CHECK_EQ(g->delivery.withheld, 0);
        CHECK_EQ(g->n_fds, 3);
        fake_deinit(&f);
}

TEST(of_more_than_64_subscriptions_the_largest_max_fds_counts_for_all)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        for (uint32_t i = 1; i <= 65; i++)
                fake_sub_fds(sub, i, "t", i == 65 ? 2 : 0);
        say_fds(pub, "t", 2, "fd");
        fake_send(pub, 2);
        for (int i = 0; i < 2; i++) {
                const struct got *g = expect_pub(sub, "t", "fd");
                CHECK_EQ(g->delivery.withheld, 0);
                CHECK_EQ(g->n_fds, 2);
        }
        fake_deinit(&f);
}

TEST(a_packet_with_descriptors_is_one_header_and_one_publication)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 4);
        fake_room(sub, 0);
        fake_pub(pub, "t", "before");
        for (int i = 0; i < 2; i++) {
                say_fds(pub, "t", 1, "fd");
                fake_send(pub, 1);
        }
        fake_pub(pub, "t", "behind");
        say_number(sub, WIRE_PING, 1);
        fake_go(sub);
        fake_room(sub, SIZE_MAX); /* the fake checks each packet */
        expect(sub, WIRE_PONG);
        size_t packet = expect_pub(sub, "t", "before")->packet;
        CHECK_EQ(expect_pub(sub, "t", "fd")->packet, packet + 1);
        CHECK_EQ(expect_pub(sub, "t", "fd")->packet, packet + 2);
        CHECK_EQ(expect_pub(sub, "t", "behind")->packet, packet + 3);
        fake_deinit(&f);
}

TEST(descriptors_that_the_kernel_does_not_take_are_withheld)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f), *fine = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 4);
        fake_sub_fds(fine, 1, "t", 4);
        sub->takes_no_fds = true;
        say_fds(pub, "t", 2, "fd");
        fake_send(pub, 2);
        fake_pub(pub, "t", "next");
        CHECK_EQ(expect_pub(sub, "t", "fd")->delivery.withheld, 2);
        CHECK_EQ(expect_pub(sub, "t", "next")->delivery.withheld, 0);
        CHECK_EQ(expect_pub(fine, "t", "fd")->n_fds, 2);
        fake_deinit(&f);
}

/* Each: a packet with `n` descriptors that ends the session, with nothing of it delivered. */
TEST(wrong_descriptors_end_the_session_and_are_closed)
{
        static const struct {
                const char *hex;
                size_t n;
                enum wire_code code;
        } bad[] = {
                {"95 10 01 a1 74 80 c4 00", 2, WIRE_CODE_DESCRIPTORS}, /* fewer wanted */
                {"95 10 02 a1 74 80 c4 00", 1, WIRE_CODE_DESCRIPTORS}, /* more wanted */
                {"95 10 00 a1 74 80 c4 00", 1, WIRE_CODE_DESCRIPTORS}, /* none wanted */
                {"95 10 01 a1 74 80 c4 00 95 10 00 a1 74 80 c4 00", 1, WIRE_CODE_DESCRIPTORS},
                {"95 10 00 a1 74 80 c4 00 95 10 01 a1 74 80 c4 00", 1, WIRE_CODE_DESCRIPTORS},
                {"95 10 01 a1 74 80 c4 00 95 10 01 a1 74 80 c4 00", 2, WIRE_CODE_DESCRIPTORS},
                {"93 15 07 00 95 10 01 a1 74 80 c4 00 95 10 00 a1 74 80 c4 00", 1,
                        WIRE_CODE_DESCRIPTORS},
                {"91 40", 1, WIRE_CODE_DESCRIPTORS},                         /* no publication */
                {"92 14 00", 1, WIRE_CODE_DESCRIPTORS},                      /* only its header */
                {"92 05 01", 1, WIRE_CODE_PROTOCOL},                         /* PING */
                {"95 10 01 a1 74 80 c4 00 92 05 01", 1, WIRE_CODE_PROTOCOL}, /* PUB, PING */
                {"92 05 01 95 10 01 a1 74 80 c4 00", 1, WIRE_CODE_PROTOCOL}, /* PING, PUB */
                {"92 14 00 92 14 00 95 10 01 a1 74 80 c4 00", 1, WIRE_CODE_PROTOCOL},
                {"95 10 01 a1 74 80 c4 00 92 14 00", 1, WIRE_CODE_PROTOCOL}, /* PUB, INGRESS */
                {"95 10 01 a1 74 80 c4 00 c1", 1, WIRE_CODE_PROTOCOL},
                {"95 10 01 a1 74 80 c4 00 92 13 00", 1, WIRE_CODE_PROTOCOL}, /* PUB, END */
                {"95 10 01 a1 74 80 c4 00 95 09 09 01 a1 61 81 a1 7a 01", 1, WIRE_CODE_PROTOCOL},
                {"95 11 02 a1 74 80 00", 1, WIRE_CODE_DESCRIPTORS}, /* BEGIN */
        };

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *sub = fake_open(&f);
                fake_sub_fds(sub, 1, "t", 16);
                say_bytes(pub, bad[i].hex);
                fake_send(pub, bad[i].n);
                const struct got *g = fake_next(pub);
                if (!g || g->m.type != WIRE_BYE || g->m.verdict.code != bad[i].code)
                        fail_msg("not ended as it should: %s", bad[i].hex);
                if (fake_next(sub))
                        fail_msg("delivered: %s", bad[i].hex);
                size_t before = test_open_fds();
                fake_bury(&f);
                CHECK_EQ(test_open_fds(), before - bad[i].n);
                fake_deinit(&f);
        }
}

TEST(ignorable_frames_may_stand_beside_descriptors)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 1);
        say_bytes(pub, "91 40 92 14 00 91 40 95 10 01 a1 74 80 c4 00 91 40");
        fake_send(pub, 1);
        CHECK_EQ(expect_pub(sub, "t", "")->n_fds, 1);
        CHECK(!pub->is_gone);
        fake_deinit(&f);
}

TEST(descriptors_before_hello_end_the_session)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_connect(&f);

        say_hello(c, "x");
        fake_send(c, 1);
        expect_bye(c, WIRE_CODE_PROTOCOL);
        fake_deinit(&f);
}

TEST(descriptors_to_a_session_that_is_gone_are_closed)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        fake_close(c);
        say_fds(c, "t", 1, "fd");
        fake_send(c, 1);
        fake_deinit(&f);
}

TEST(without_the_right_descriptors_are_refused)
{
        struct fake f;
        fake_init(&f);
        core_free(f.core);
        f.config.rights = WIRE_RIGHT_PUBLISH | WIRE_RIGHT_SUBSCRIBE | WIRE_RIGHT_BLOCK;
        CHECK_EQ(core_new(&f.config, f.now_ns, &f.core), 0);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 1);
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 1);
        say_fds(pub, "t", 1, "fd");
        fake_send(pub, 1);
        expect_err(pub, 1, WIRE_CODE_REFUSED);
        expect_nothing(sub);
        CHECK(!pub->is_gone);
        fake_deinit(&f);
}

TEST(more_descriptors_than_may_be_held_are_refused)
{
        struct fake f;
        fake_init_with(&f, "held_fds=17");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 16);
        fake_room(sub, 0);
        say_fds(pub, "t", 10, "fd");
        fake_send(pub, 10);
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 1);
        say_fds(pub, "t", 8, "fd");
        fake_send(pub, 8);
        CHECK(slice_is(expect_err(pub, 1, WIRE_CODE_LIMIT)->m.verdict.limit, "held_fds"));
        say_fds(pub, "t", 7, "fd");
        fake_send(pub, 7);
        fake_room(sub, SIZE_MAX);
        CHECK_EQ(expect_pub(sub, "t", "fd")->n_fds, 10);
        CHECK_EQ(expect_pub(sub, "t", "fd")->n_fds, 7);
        CHECK_EQ(fake_report(&f, "descriptors"), 0);
        fake_deinit(&f);
}

TEST(refused_publications_close_their_descriptors)
{
        static const char *const refused[] = {"95 10 01 a1 24 80 c4 00", "95 10 01 a1 2e 80 c4 00",
                "95 10 01 a1 74 81 01 02 c4 00", "95 10 01 a1 74 80 05", "95 11 01 a1 2a 80 00",
                "92 16 63 95 10 01 a0 80 c4 00"};
        struct fake f;
        fake_init(&f);

        for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
                struct client *pub = fake_open(&f);
                say_bytes(pub, refused[i]);
                fake_send(pub, 1);
                expect(pub, WIRE_ERR);
                size_t before = test_open_fds();
                fake_bury(&f);
                CHECK_EQ(test_open_fds(), before - 1);
        }
        fake_deinit(&f);
}

TEST(parked_and_queued_descriptors_are_closed_with_their_sessions)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 1);
        fake_room(sub, 0);
        for (int i = 0; i < 3; i++) {
                say_fds(pub, "t", 1, "fd");
                fake_send(pub, 1);
        }
        size_t before = test_open_fds();
        fake_close(pub);
        fake_close(sub);
        fake_bury(&f);
        CHECK_EQ(test_open_fds(), before - 3);
        fake_deinit(&f);
}

/* Whoever reads nothing keeps nothing open for longer (CVE-2014-3637). */
TEST(parked_descriptors_are_open_no_longer_than_stall_ms)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1 stall_ms=1000");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 1);
        fake_room(sub, 0);
        size_t before = test_open_fds();
        for (int i = 0; i < 3; i++) {
                say_fds(pub, "t", 1, "fd");
                fake_send(pub, 1);
        }
        fake_tick(&f, 999);
        fake_bury(&f);
        CHECK_EQ(test_open_fds(), before + 3);
        fake_tick(&f, 1);
        fake_tick(&f, 0);
        fake_bury(&f);
        CHECK_EQ(test_open_fds(), before);
        fake_deinit(&f);
}

TEST(parked_descriptors_arrive_although_their_publisher_has_gone)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 1);
        fake_room(sub, 0);
        for (int i = 0; i < 3; i++) {
                say_fds(pub, "t", 1, "fd");
                fake_send(pub, 1);
        }
        fake_close(pub);
        fake_room(sub, SIZE_MAX);
        for (int i = 0; i < 3; i++)
                CHECK_EQ(expect_pub(sub, "t", "fd")->n_fds, 1);
        fake_deinit(&f);
}

TEST(a_core_that_is_freed_closes_all)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 1);
        fake_room(sub, 0);
        for (int i = 0; i < 3; i++) {
                say_fds(pub, "t", 1, "fd");
                fake_send(pub, 1);
        }
        fake_deinit(&f);
}

TEST(a_reply_carries_what_the_requester_takes)
{
        static const struct {
                const char *request;
                size_t n_fds, withheld;
        } cases[] = {
                {"93 15 01 00", 0, 1},
                {"94 15 01 00 02", 1, 0},
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct fake f;
                fake_init(&f);
                struct client *asker = fake_open(&f), *svc = fake_open(&f);
                fake_sub(svc, 1, "s");
                say_bytes(asker, cases[i].request);
                say_pub(asker, "s", "?");
                fake_go(asker);
                say_reply(svc, expect_pub(svc, "s", "?")->delivery.token, 0, 0);
                say(svc, &(struct message){.type = WIRE_PUB,
                                 .pub = {.n_fds = 1,
                                         .topic = {(const uint8_t *)"", 0},
                                         .payload = {(const uint8_t *)"fd", 2}}});
                fake_send(svc, 1);
                const struct got *g = expect_pub(asker, "", "fd");
                CHECK_EQ(g->n_fds, cases[i].n_fds);
                CHECK_EQ(g->delivery.withheld, cases[i].withheld);
                fake_deinit(&f);
        }
}
