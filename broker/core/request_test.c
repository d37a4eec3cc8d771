/* Requests and replies: the token, and who may use it. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <string.h>

enum { REPLY = WIRE_DELIVERY_REPLY, MORE = WIRE_DELIVERY_MORE, FAILED = WIRE_DELIVERY_FAILED };

TEST(a_request_is_answered_by_its_responder)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 2, "svc.time");
        say_request(asker, 4, 2000);
        say_pub(asker, "svc.time", "now?");
        fake_go(asker);
        const struct got *g = expect_pub(svc, "svc.time", "now?");
        CHECK_EQ(g->delivery.flags, WIRE_DELIVERY_REQUEST);
        CHECK_EQ(g->delivery.session, asker->number);
        CHECK_EQ(g->delivery.request, 0);
        CHECK(g->delivery.token > 0);
        fake_reply(svc, g->delivery.token, 0, 0, "12:00");
        g = expect_pub(asker, "", "12:00");
        CHECK_EQ(g->delivery.flags, REPLY);
        CHECK_EQ(g->delivery.request, 4);
        CHECK_EQ(g->delivery.token, 0);
        CHECK_EQ(g->delivery.n_subs, 0);
        CHECK_EQ(g->delivery.session, svc->number);
        CHECK_EQ(g->delivery.seq, 1);
        expect_nothing(svc);
        CHECK_EQ(fake_report(&f, "requests"), 0);
        CHECK_EQ(core_deadline(f.core), UINT64_MAX);
        fake_deinit(&f);
}

TEST(a_request_among_publications_is_delivered_as_one)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "svc");
        say_pub(asker, "svc", "1");
        say_request(asker, 1, 0);
        say_pub(asker, "svc", "2");
        say_pub(asker, "svc", "3");
        say_request(asker, 2, 0);
        say_pub(asker, "svc", "4");
        fake_go(asker);
        uint64_t tokens[4];
        static const char *const texts[] = {"1", "2", "3", "4"};
        for (int i = 0; i < 4; i++) {
                const struct got *g = expect_pub(svc, "svc", texts[i]);
                CHECK(g->leads); /* what is said changes each time */
                tokens[i] = g->delivery.token;
        }
        CHECK_EQ(tokens[0], 0);
        CHECK_EQ(tokens[2], 0);
        CHECK_NE(tokens[1], tokens[3]);
        fake_deinit(&f);
}

TEST(more_replies_may_follow_until_one_without_more)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "svc");
        uint64_t token = fake_ask(asker, 1, 0, "svc", svc);
        fake_reply(svc, token, MORE, 1001, "1");
        fake_reply(svc, token, MORE | FAILED, 1002, "2");
        fake_reply(svc, token, FAILED, 1003, "3");
        fake_reply(svc, token, 0, 1004, "4");
        fake_reply(svc, token, 0, 0, "5");
        CHECK_EQ(expect_pub(asker, "", "1")->delivery.flags, REPLY | MORE);
        CHECK_EQ(expect_pub(asker, "", "2")->delivery.flags, REPLY | MORE | FAILED);
        CHECK_EQ(expect_pub(asker, "", "3")->delivery.flags, REPLY | FAILED);
        expect_nothing(asker);
        expect_ok(svc, 1001, 1);
        expect_ok(svc, 1002, 1);
        expect_ok(svc, 1003, 1);
        expect_err(svc, 1004, WIRE_CODE_BAD_TOKEN);
        expect_err(svc, 0, WIRE_CODE_BAD_TOKEN);
        fake_deinit(&f);
}

TEST(only_those_who_received_it_may_reply)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *svc = fake_open(&f), *thief = fake_open(&f),
                      *log = fake_open(&f);

        fake_sub(svc, 1, "svc");
        say(log, &(struct message){.type = WIRE_SUB,
                         .sub = {.id = 1,
                                 .sub = 1,
                                 .filter = {(const uint8_t *)">", 1},
                                 .observer = true}});
        fake_go(log);
        expect_ok(log, 1, 0);
        uint64_t token = fake_ask(asker, 1, 0, "svc", svc);
        const struct got *g = expect_pub(log, "svc", "?");
        CHECK_EQ(g->delivery.flags, WIRE_DELIVERY_REQUEST);
        CHECK_EQ(g->delivery.token, 0);
        fake_reply(thief, token, 0, 9, "mine");
        fake_reply(log, token, 0, 9, "mine");
        fake_reply(asker, token, 0, 9, "mine");
        expect_err(thief, 9, WIRE_CODE_BAD_TOKEN);
        expect_err(log, 9, WIRE_CODE_BAD_TOKEN);
        expect_err(asker, 9, WIRE_CODE_BAD_TOKEN);
        fake_reply(svc, token, 0, 9, "right");
        expect_ok(svc, 9, 1);
        expect_pub(asker, "", "right");
        expect_nothing(log); /* nobody listens to replies */
        fake_deinit(&f);
}

TEST(the_first_final_reply_of_whichever_responder_completes)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);

        fake_sub(a, 1, "svc");
        fake_sub(b, 1, "svc");
        uint64_t token = fake_ask(asker, 1, 0, "svc", a);
        CHECK_EQ(expect_pub(b, "svc", "?")->delivery.token, token);
        fake_reply(b, token, MORE, 0, "b1");
        fake_reply(a, token, 0, 0, "a1");
        fake_reply(b, token, 0, 5, "b2");
        expect_pub(asker, "", "b1");
        expect_pub(asker, "", "a1");
        expect_nothing(asker);
        expect_err(b, 5, WIRE_CODE_BAD_TOKEN);
        fake_deinit(&f);
}

TEST(a_session_may_answer_itself)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        fake_sub(c, 1, "svc");
        uint64_t token = fake_ask(c, 5, 0, "svc", c);
        fake_reply(c, token, 0, 6, "me");
        expect_ok(c, 6, 1);
        expect_pub(c, "", "me");
        fake_deinit(&f);
}

TEST(a_reply_has_an_empty_topic)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "svc");
        uint64_t token = fake_ask(asker, 1, 0, "svc", svc);
        say_reply(svc, token, 0, 7);
        say_pub(svc, "svc", "x");
        fake_go(svc);
        expect_err(svc, 7, WIRE_CODE_BAD_TOPIC);
        say_reply(svc, token, 4, 8);
        say_pub(svc, "", "x");
        fake_go(svc);
        expect_err(svc, 8, WIRE_CODE_UNSUPPORTED);
        expect_nothing(asker);
        fake_reply(svc, token, 0, 9, "now");
        expect_pub(asker, "", "now");
        fake_deinit(&f);
}
