/* What a publisher is told: confirms, refusals, its window. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

/* --------------------------------------------------------------- confirms */

TEST(a_confirm_counts_the_sessions_that_took_it)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);

        fake_sub(a, 1, "t");
        fake_sub(a, 2, "*");
        fake_sub(b, 1, ">");
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 5);
        say_pub(pub, "t", "two");
        say_pub(pub, "u", "both, too");
        say_pub(pub, "v.w", "b alone");
        fake_go(pub);
        expect_ok(pub, 5, 2);
        expect_ok(pub, 6, 2);
        expect_ok(pub, 7, 1);
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 8);
        say_pub(pub, "_hidden", "nobody");
        fake_go(pub);
        expect_ok(pub, 8, 0);
        fake_deinit(&f);
}

/* A window full of them, for one that is slow for a moment: it has done nothing wrong. */
TEST(confirms_that_are_not_read_at_once_end_nobody)
{
        enum { N = 8000 };
        struct fake f;
        fake_init_with(&f, "control_bytes=4096 window_bytes=262144");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "b");
        pub->room = 0;
        for (uint64_t id = 1; id <= N; id++) { /* no two in turn have the same answer */
                say_ingress(pub, WIRE_INGRESS_CONFIRM, id);
                say_pub(pub, id % 2 ? "a" : "b", "x");
                if (pub->packet.len > 60000)
                        fake_go(pub);
        }
        fake_go(pub);
        CHECK(!pub->is_gone);
        fake_room(pub, SIZE_MAX);
        for (uint64_t id = 1; id <= N; id++)
                expect_ok(pub, id, id % 2 ? 0 : 1);
        fake_deinit(&f);
}

TEST(nor_do_refusals_and_confirmed_replies)
{
        enum { N = 6000 };
        struct fake f;
        fake_init_with(&f, "control_bytes=4096 window_bytes=262144 queue_messages=65536");
        struct client *asker = fake_open(&f), *c = fake_open(&f);

        fake_sub(c, 1, "svc");
        uint64_t token = fake_ask(asker, 1, 0, "svc", c);
        c->room = 0;
        for (uint64_t i = 0; i < N; i++) {
                if (i % 3) {
                        say_reply(c, token, WIRE_DELIVERY_MORE, 10 + i);
                        say_pub(c, "", "x");
                } else {
                        say_ingress(c, WIRE_INGRESS_CONFIRM, 10 + i);
                        say_pub(c, "a..b", "x");
                }
                if (c->packet.len > 60000)
                        fake_go(c);
        }
        fake_go(c);
        CHECK(!c->is_gone);
        fake_deinit(&f);
}

TEST(confirms_that_say_the_same_are_one_answer_whatever_their_topics)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "*");
        for (uint64_t id = 1; id <= 6; id++) {
                say_ingress(pub, WIRE_INGRESS_CONFIRM, id);
                say_pub(pub, id % 2 ? "a" : id < 6 ? "b" : "b.c", "x");
        }
        say_number(pub, WIRE_PING, 1);
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 7);
        say_pub(pub, "b.c", "x");
        fake_go(pub);
        expect_ok_run(pub, 1, 1, 5);
        expect_ok(pub, 6, 0);
        expect(pub, WIRE_PONG);
        expect_ok(pub, 7, 0);
        fake_deinit(&f);
}

TEST(a_run_of_confirms_is_one_answer)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a.b");
        say_bytes(pub, "93 14 01 02"
                       " 95 10 00 a3 61 2e 62 80 c4 01 78"
                       " 95 10 00 a3 61 2e 62 81 a1 6e 01 c4 01 79");
        fake_go(pub);
        const struct got *g = expect_ok_run(pub, 2, 1, 2);
        CHECK_BYTES(g->bytes, "\x94\x07\x02\x01\x02", 5);
        fake_deinit(&f);
}

TEST(observers_see_everything_and_are_not_counted)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *log = fake_open(&f), *both = fake_open(&f);

        say(log, &(struct message){.type = WIRE_SUB,
                         .sub = {.id = 1,
                                 .sub = 1,
                                 .filter = {(const uint8_t *)">", 1},
                                 .observer = true}});
        fake_go(log);
        expect_ok(log, 1, 0);
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 1);
        say_pub(pub, "a", "x");
        fake_go(pub);
        expect_ok(pub, 1, 0);
        expect_pub(log, "a", "x");
        say(both, &(struct message){.type = WIRE_SUB,
                          .sub = {.id = 1,
                                  .sub = 1,
                                  .filter = {(const uint8_t *)">", 1},
                                  .observer = true}});
        say_sub(both, 2, 2, "a");
        fake_go(both);
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 2);
        say_pub(pub, "a", "y");
        fake_go(pub);
        expect_ok(pub, 2, 1);
        fake_deinit(&f);
}

TEST(no_echo_spares_the_publisher_alone)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(pub, 1, "a");
        fake_sub(sub, 1, "a");
        say_ingress(pub, WIRE_INGRESS_NO_ECHO | WIRE_INGRESS_CONFIRM, 5);
        say_pub(pub, "a", "not me");
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 6);
        say_pub(pub, "a", "me too");
        fake_go(pub);
        expect_ok(pub, 5, 1);
        expect_ok(pub, 6, 2);
        expect_pub(pub, "a", "me too");
        expect_pub(sub, "a", "not me");
        expect_pub(sub, "a", "me too");
        fake_deinit(&f);
}

/* --------------------------------------------------------------- refusals */

TEST(what_breaks_the_rules_is_told_and_dropped)
{
        static const struct {
                const char *hex;
                enum wire_code code;
        } bad[] = {
                {"95 10 00 a0 80 c4 00", WIRE_CODE_BAD_TOPIC},
                {"95 10 00 a2 61 2e 80 c4 00", WIRE_CODE_BAD_TOPIC},
                {"95 10 00 a1 2a 80 c4 00", WIRE_CODE_BAD_TOPIC},
                {"95 10 00 a1 ff 80 c4 00", WIRE_CODE_BAD_TOPIC},
                {"95 10 00 a1 61 81 01 02 c4 00", WIRE_CODE_BAD_HEADERS},
                {"95 10 00 a1 61 81 a1 24 02 c4 00", WIRE_CODE_BAD_HEADERS},
                {"95 10 00 a1 61 81 a1 6b 90 c4 00", WIRE_CODE_BAD_HEADERS},
                {"95 10 00 a1 24 80 c4 00", WIRE_CODE_REFUSED},
                {"95 10 00 a4 24 73 79 73 80 c4 00", WIRE_CODE_REFUSED},
                {"95 11 00 a2 61 2e 80 00 92 13 00", WIRE_CODE_BAD_TOPIC}, /* in chunks */
                {"95 11 00 a1 61 80 ce ff ff ff ff 92 13 01", WIRE_CODE_LIMIT},
        };
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);
        uint64_t id = 0;

        fake_sub(sub, 1, ">");
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                say_bytes(pub, bad[i].hex);
                say_ingress(pub, WIRE_INGRESS_CONFIRM, ++id);
                say_bytes(pub, bad[i].hex);
                say_pub(pub, "fine", "x");
                id++;
                fake_go(pub);
                expect_err(pub, 0, bad[i].code);
                expect_err(pub, id - 1, bad[i].code);
                expect_ok(pub, id, 1);
                expect_pub(sub, "fine", "x");
                expect_nothing(sub);
        }
        CHECK_EQ(fake_report(&f, "refused"), 2 * ARRAY_LEN(bad));
        fake_deinit(&f);
}

TEST(flags_of_later_versions_are_refused)
{
        static const uint64_t flags[] = {16, 1 << 20, UINT64_MAX};
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);
        uint64_t id = 0;

        fake_sub(sub, 1, ">");
        for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
                say_ingress(pub, flags[i] | WIRE_INGRESS_CONFIRM, ++id);
                say_pub(pub, "a", "x");
                fake_go(pub);
                expect_err(pub, id, WIRE_CODE_UNSUPPORTED);
        }
        expect_nothing(sub);
        fake_deinit(&f);
}

TEST(the_rest_of_a_chunked_payload_is_skipped)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, ">");
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 3);
        say_bytes(pub, "95 11 00 a1 2a 80 00");
        say_bytes(pub, "92 12 c4 02 01 02");
        fake_go(pub);
        say_bytes(pub, "92 13 00");
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 4);
        say_pub(pub, "a", "x");
        fake_go(pub);
        expect_err(pub, 3, WIRE_CODE_BAD_TOPIC);
        expect_ok(pub, 4, 1);
        expect_pub(sub, "a", "x");
        fake_deinit(&f);
}

/* The frames before the offending one stand: the last id there is has been used, the next is none.
 */
TEST(a_publication_before_one_without_a_valid_id_is_answered)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        say_ingress(pub, WIRE_INGRESS_CONFIRM, INT64_MAX);
        say_pub(pub, "a", "1");
        say_pub(pub, "a", "2");
        fake_go(pub);
        expect_ok(pub, INT64_MAX, 1);
        expect_bye(pub, WIRE_CODE_PROTOCOL);
        expect_pub(sub, "a", "1");
        expect_nothing(sub);
        fake_deinit(&f);
}

/* ----------------------------------------------------------------- window */

TEST(credit_comes_back_before_half_the_window_is_owed)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f);
        uint64_t sent = 0;

        for (int i = 0; i < 200; i++) {
                say_large(pub, "a", "x", 30000);
                sent += pub->packet.len;
                fake_go(pub);
                CHECK(sent - pub->credited < pub->window / 2);
        }
        CHECK(!pub->is_gone);
        CHECK(pub->n_credits < 30); /* and not for every little thing */
        fake_deinit(&f);
}

TEST(what_is_refused_gets_its_window_back_too)
{
        static const char *const bad[] = {"95 10 00 a0 80 c4 00", "95 10 00 a1 61 81 01 02 c4 00",
                "95 10 00 a1 24 80 c4 00", "95 11 00 a1 2a 80 00 92 12 c4 02 01 02 92 13 00",
                "93 14 02 00 95 10 00 a1 61 80 c4 00", "92 16 01 95 10 00 a0 80 c4 00"};
        struct fake f;
        fake_init_with(&f, "window_bytes=262144");
        struct client *pub = fake_open(&f);

        for (int round = 0; round < 100; round++) {
                for (size_t i = 0; i < 4000; i++) {
                        if (pub->packet.len > 60000)
                                break;
                        say_bytes(pub, bad[(i + (size_t)round) % ARRAY_LEN(bad)]);
                }
                fake_go(pub);
                fake_forget(pub);
                CHECK(!pub->is_gone);
        }
        fake_deinit(&f);
}

TEST(publishing_beyond_the_window_ends_the_session)
{
        struct fake f;
        fake_init_with(&f, "window_bytes=262144 queue_messages=1");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        for (int i = 0; i < 4; i++) {
                say_large(pub, "a", "x", 65000);
                fake_go(pub);
        }
        CHECK(!pub->is_gone);
        say_large(pub, "a", "x", 65000);
        fake_go(pub);
        expect_bye(pub, WIRE_CODE_WINDOW);
        fake_room(sub, SIZE_MAX);
        for (int i = 0; i < 4; i++)
                expect_pub(sub, "a", "x");
        expect_nothing(sub);
        fake_deinit(&f);
}

TEST(headers_and_control_frames_cost_no_window)
{
        struct fake f;
        fake_init_with(&f, "window_bytes=262144 control_bytes=1000000");
        struct client *c = fake_open(&f);

        for (int round = 0; round < 10; round++) {
                while (c->packet.len < 60000) {
                        say_ingress(c, 0, 0);
                        say_number(c, WIRE_PING, 1);
                }
                fake_go(c);
        }
        CHECK(!c->is_gone);
        CHECK_EQ(c->credited, 0);
        fake_deinit(&f);
}
