/* Requests and replies among those who have no room. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

enum { MORE = WIRE_DELIVERY_MORE };

TEST(a_reply_uses_the_backlog_twice_over_and_then_ends_the_request)
{
        struct fake f;
        fake_init_with(&f, "queue_bytes=100000");
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "svc");
        uint64_t token = fake_ask(asker, 1, 0, "svc", svc);
        fake_room(asker, 0);
        uint64_t id = 1000;
        for (int i = 0; i < 4; i++) {
                say_reply(svc, token, MORE, ++id);
                say_large(svc, "", "x", 50000);
                fake_go(svc);
                expect_ok(svc, id, 1); /* the responder never waits */
        }
        say_reply(svc, token, MORE, ++id);
        say_large(svc, "", "x", 50000);
        fake_go(svc);
        expect_err(svc, id, WIRE_CODE_BAD_TOKEN);
        fake_room(asker, SIZE_MAX);
        for (int i = 0; i < 4; i++)
                expect_pub(asker, "", "x");
        CHECK(slice_is(expect_err(asker, 1, WIRE_CODE_LIMIT)->m.verdict.limit, "queue_bytes"));
        fake_deinit(&f);
}

/* Small ones weigh more than their bytes. */
TEST(replies_are_bounded_in_number_too)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=10");
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "svc");
        uint64_t token = fake_ask(asker, 1, 0, "svc", svc);
        fake_room(asker, 0);
        for (uint64_t id = 1001; id <= 1020; id++) {
                fake_reply(svc, token, MORE, id, "");
                expect_ok(svc, id, 1);
        }
        fake_reply(svc, token, MORE, 1021, "");
        expect_err(svc, 1021, WIRE_CODE_BAD_TOKEN);
        fake_deinit(&f);
}

TEST(a_request_waits_for_a_responder_without_room)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "svc");
        fake_room(svc, 0);
        fake_pub(asker, "svc", "x");
        fake_ask(asker, 1, 0, "svc", NULL);
        expect_nothing(asker);
        fake_room(svc, SIZE_MAX);
        expect_pub(svc, "svc", "x");
        uint64_t token = expect_pub(svc, "svc", "?")->delivery.token;
        fake_reply(svc, token, 0, 0, "yes");
        expect_pub(asker, "", "yes");
        fake_deinit(&f);
}

TEST(the_death_of_a_responder_is_no_end_while_another_has_no_room_yet)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *asker = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);

        fake_sub(a, 1, "svc");
        fake_sub(b, 1, "*");
        fake_room(b, 0);
        fake_pub(asker, "x", "x");
        fake_ask(asker, 1, 0, "svc", a);
        fake_close(a);
        expect_nothing(asker);
        fake_close(b);
        expect_err(asker, 1, WIRE_CODE_RESPONDER_GONE);
        fake_deinit(&f);
}

TEST(a_request_whose_only_responder_dies_before_it_has_room_has_none)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "*");
        fake_room(svc, 0);
        fake_pub(asker, "x", "x");
        fake_ask(asker, 1, 0, "svc", NULL);
        fake_close(svc);
        expect_err(asker, 1, WIRE_CODE_NO_RESPONDERS);
        fake_deinit(&f);
}

TEST(time_runs_for_a_request_that_waits_behind_others)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *asker = fake_open(&f), *slow = fake_open(&f), *svc = fake_open(&f);

        fake_sub(slow, 1, "a");
        fake_sub(svc, 1, "svc");
        fake_room(slow, 0);
        fake_pub(asker, "a", "1");
        fake_pub(asker, "a", "2"); /* parked */
        fake_ask(asker, 1, 100, "svc", NULL);
        fake_tick(&f, 100);
        expect_err(asker, 1, WIRE_CODE_TIMEOUT);
        fake_room(slow, SIZE_MAX);
        expect_nothing(svc); /* nobody waits for the answer any more */
        fake_deinit(&f);
}

TEST(a_request_that_waits_behind_others_can_be_cancelled)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *asker = fake_open(&f), *slow = fake_open(&f), *svc = fake_open(&f);

        fake_sub(slow, 1, "a");
        fake_sub(svc, 1, "svc");
        fake_room(slow, 0);
        fake_pub(asker, "a", "1");
        fake_pub(asker, "a", "2");
        fake_ask(asker, 1, 0, "svc", NULL);
        fake_ask(asker, 2, 0, "$sys.status", NULL);
        fake_ask(asker, 3, 0, "bad..topic", NULL);
        say_number(asker, WIRE_CANCEL, 1);
        fake_go(asker);
        expect_err(asker, 1, WIRE_CODE_CANCELLED);
        fake_room(slow, SIZE_MAX);
        CHECK_EQ(expect(asker, WIRE_PUB)->delivery.request, 2);
        expect_err(asker, 3, WIRE_CODE_BAD_TOPIC);
        expect_nothing(svc);
        CHECK_EQ(fake_report(&f, "requests"), 0);
        fake_deinit(&f);
}

TEST(a_reply_that_waits_behind_others_outlives_its_responder)
{
        for (int how = 0; how < 3; how++) {
                struct fake f;
                fake_init_with(&f, "queue_messages=1");
                struct client *asker = fake_open(&f), *svc = fake_open(&f), *slow = fake_open(&f);
                fake_sub(slow, 1, "a");
                fake_sub(svc, 1, "svc");
                fake_room(slow, 0);
                fake_pub(svc, "a", "1");
                fake_pub(svc, "a", "2"); /* parked */
                uint64_t token = fake_ask(asker, 1, 0, "svc", svc);
                uint64_t other = fake_ask(asker, 2, 0, "svc", svc);
                CHECK(token && other);
                fake_reply(svc, token, MORE, 0, "one");
                fake_reply(svc, token, 0, 0, "two");
                expect_nothing(asker);
                if (how == 0)
                        fake_close(svc);
                else
                        say_bytes(svc, how == 1 ? "93 03 00 a0" : "c1"), fake_go(svc);
                expect_err(asker, 2, WIRE_CODE_RESPONDER_GONE);
                expect_nothing(asker);
                fake_room(slow, SIZE_MAX);
                expect_pub(asker, "", "one");
                expect_pub(asker, "", "two");
                expect_nothing(asker);
                CHECK_EQ(fake_report(&f, "requests"), 0);
                fake_deinit(&f);
        }
}

/* The first of two waiting replies ends its requester, which has read nothing for too long. */
TEST(a_requester_may_end_between_two_waiting_replies)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1 control_bytes=4096");
        struct client *asker = fake_open(&f), *svc = fake_open(&f), *slow = fake_open(&f),
                      *more = fake_open(&f);

        fake_sub(slow, 1, "a");
        fake_sub(svc, 1, "svc");
        fake_sub(more, 1, "more");
        uint64_t tokens[2] = {fake_ask(asker, 1, 0, "svc", svc), fake_ask(asker, 2, 0, "svc", svc)};
        uint64_t other = fake_ask(asker, 3, 0, "more", more);
        fake_room(slow, 0);
        fake_pub(svc, "a", "1");
        fake_pub(svc, "a", "2"); /* parked */
        fake_reply(svc, tokens[0], 0, 0, "one");
        fake_reply(svc, tokens[1], 0, 0, "two");
        fake_close(svc);
        fake_room(asker, 0);
        for (int i = 0; i < 2; i++)
                fake_reply(more, other, MORE, 0, "full");
        for (int i = 0; i < 1360; i++)
                say_number(asker, WIRE_PING, 1); /* answered by 3 bytes each */
        fake_go(asker);
        CHECK(!asker->is_gone);
        fake_room(slow, SIZE_MAX);
        CHECK(asker->is_gone);
        fake_deinit(&f);
}

/* Replies that wait only to be refused hold nothing up either. */
TEST(a_waiting_reply_that_is_none_leaves_nobody_behind)
{
        for (int how = 0; how < 2; how++) {
                struct fake f;
                fake_init_with(&f, "queue_messages=1");
                struct client *asker = fake_open(&f), *svc = fake_open(&f), *slow = fake_open(&f);
                fake_sub(slow, 1, "a");
                fake_sub(svc, 1, "svc");
                fake_room(slow, 0);
                fake_pub(svc, "a", "1");
                fake_pub(svc, "a", "2"); /* parked */
                uint64_t token = fake_ask(asker, 1, 0, "svc", svc);
                say_reply(svc, token, how ? 4 : 0, 0); /* a flag of a later version */
                say_pub(svc, how ? "" : "svc", "x");   /* a topic of its own */
                fake_go(svc);
                fake_close(svc);
                fake_room(slow, SIZE_MAX);
                expect_err(asker, 1, WIRE_CODE_RESPONDER_GONE);
                fake_deinit(&f);
        }
}

/* Tokens are a counter and may be guessed: a reply from before the right to give it. */
TEST(a_waiting_reply_to_a_guessed_token_changes_nothing)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *asker = fake_open(&f), *svc = fake_open(&f), *slow = fake_open(&f);

        fake_sub(slow, 1, "a");
        fake_sub(svc, 1, "svc");
        uint64_t token = fake_ask(asker, 1, 0, "svc", svc);
        fake_reply(svc, token++, 0, 0, "first");
        expect_pub(asker, "", "first");
        fake_room(slow, 0);
        fake_pub(svc, "a", "1");
        fake_pub(svc, "a", "2");                  /* parked */
        fake_reply(svc, token, MORE, 0, "guess"); /* so is this */
        CHECK_EQ(fake_ask(asker, 2, 0, "svc", svc), token);
        fake_reply(svc, token, MORE, 0, "right");
        fake_close(svc);
        fake_room(slow, SIZE_MAX);
        expect_pub(asker, "", "guess");
        expect_pub(asker, "", "right");
        expect_err(asker, 2, WIRE_CODE_RESPONDER_GONE);
        fake_deinit(&f);
}

TEST(a_waiting_reply_with_more_leaves_nobody_behind)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *asker = fake_open(&f), *svc = fake_open(&f), *slow = fake_open(&f);

        fake_sub(slow, 1, "a");
        fake_sub(svc, 1, "svc");
        fake_room(slow, 0);
        fake_pub(svc, "a", "1");
        fake_pub(svc, "a", "2"); /* parked */
        uint64_t token = fake_ask(asker, 1, 0, "svc", svc);
        fake_reply(svc, token, MORE, 0, "one");
        fake_close(svc);
        expect_nothing(asker);
        fake_room(slow, SIZE_MAX);
        expect_pub(asker, "", "one");
        expect_err(asker, 1, WIRE_CODE_RESPONDER_GONE);
        fake_deinit(&f);
}
