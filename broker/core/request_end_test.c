/* How a request ends without a final reply. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

enum { MORE = WIRE_DELIVERY_MORE };

TEST(without_responders_a_request_ends_at_once)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *log = fake_open(&f);

        fake_ask(asker, 1, 0, "svc", NULL);
        expect_err(asker, 1, WIRE_CODE_NO_RESPONDERS);
        say(log, &(struct message){.type = WIRE_SUB,
                         .sub = {.id = 1,
                                 .sub = 1,
                                 .filter = {(const uint8_t *)">", 1},
                                 .observer = true}});
        fake_go(log);
        expect_ok(log, 1, 0);
        fake_ask(asker, 2, 0, "svc", NULL);
        expect_err(asker, 2, WIRE_CODE_NO_RESPONDERS);
        expect_pub(log, "svc", "?");
        fake_ask(asker, 3, 0, "$sys.nothing", NULL);
        expect_err(asker, 3, WIRE_CODE_NO_RESPONDERS);
        CHECK_EQ(fake_report(&f, "requests"), 0);
        fake_deinit(&f);
}

TEST(an_observer_without_room_does_not_hold_up_no_responders)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *asker = fake_open(&f), *log = fake_open(&f);

        say(log, &(struct message){.type = WIRE_SUB,
                         .sub = {.id = 1,
                                 .sub = 1,
                                 .filter = {(const uint8_t *)">", 1},
                                 .observer = true}});
        fake_go(log);
        fake_room(log, 0);
        fake_pub(asker, "a", "x");
        fake_ask(asker, 1, 0, "svc", NULL);
        expect_err(asker, 1, WIRE_CODE_NO_RESPONDERS);
        fake_deinit(&f);
}

TEST(the_death_of_the_last_responder_is_told_at_once)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f),
                      *c = fake_open(&f);

        fake_sub(a, 1, "svc");
        fake_sub(b, 1, "svc");
        fake_sub(c, 1, "svc");
        fake_ask(asker, 1, 0, "svc", a);
        fake_close(a);
        say_bye(b);
        fake_go(b);
        expect_nothing(asker);
        say_bytes(c, "c1");
        fake_go(c);
        expect_err(asker, 1, WIRE_CODE_RESPONDER_GONE);
        fake_deinit(&f);
}

TEST(a_responder_that_only_unsubscribes_may_still_reply)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "svc");
        uint64_t token = fake_ask(asker, 1, 0, "svc", svc);
        say_unsub(svc, 9, 1);
        fake_go(svc);
        expect_ok(svc, 9, 0);
        fake_reply(svc, token, 0, 10, "late");
        expect_ok(svc, 10, 1);
        expect_pub(asker, "", "late");
        fake_deinit(&f);
}

TEST(a_request_that_is_not_answered_in_time_ends)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "svc");
        uint64_t token = fake_ask(asker, 1, 2000, "svc", svc);
        CHECK_EQ(core_deadline(f.core), f.now_ns + 2000 * UINT64_C(1000000));
        fake_tick(&f, 1999);
        expect_nothing(asker);
        fake_tick(&f, 1);
        expect_err(asker, 1, WIRE_CODE_TIMEOUT);
        fake_reply(svc, token, 0, 5, "late");
        expect_err(svc, 5, WIRE_CODE_BAD_TOKEN);
        fake_ask(asker, 2, 0, "svc", svc);
        fake_tick(&f, WIRE_REQUEST_MS_DEFAULT - 1);
        expect_nothing(asker);
        fake_tick(&f, 1);
        expect_err(asker, 2, WIRE_CODE_TIMEOUT);
        fake_deinit(&f);
}

TEST(cancel_ends_ones_own_request_alone)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *other = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "svc");
        uint64_t token = fake_ask(asker, 7, 0, "svc", svc);
        say_number(other, WIRE_CANCEL, 7);
        fake_go(other);
        expect_nothing(asker);
        say_number(asker, WIRE_CANCEL, 7);
        say_number(asker, WIRE_CANCEL, 7); /* it is over */
        fake_go(asker);
        expect_err(asker, 7, WIRE_CODE_CANCELLED);
        expect_nothing(asker);
        expect_nothing(other);
        fake_reply(svc, token, 0, 9, "late");
        expect_err(svc, 9, WIRE_CODE_BAD_TOKEN);
        fake_deinit(&f);
}

TEST(a_requester_that_goes_voids_its_tokens)
{
        struct fake f;
        fake_init(&f);
        struct client *a = fake_open(&f), *b = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "svc");
        uint64_t token_a = fake_ask(a, 1, 0, "svc", svc), token_b = fake_ask(b, 1, 0, "svc", svc);
        fake_close(a);
        say_bye(b);
        fake_go(b);
        expect_bye(b, WIRE_CODE_NONE); /* without any answer */
        fake_reply(svc, token_a, 0, 9, "late");
        fake_reply(svc, token_b, 0, 10, "late");
        expect_err(svc, 9, WIRE_CODE_BAD_TOKEN);
        expect_err(svc, 10, WIRE_CODE_BAD_TOKEN);
        CHECK_EQ(fake_report(&f, "requests"), 0);
        fake_deinit(&f);
}

TEST(one_request_too_many_names_the_limit)
{
        struct fake f;
        fake_init_with(&f, "requests=2");
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "svc");
        uint64_t token = fake_ask(asker, 1, 0, "svc", svc);
        fake_ask(asker, 2, 0, "svc", svc);
        fake_ask(asker, 3, 0, "svc", NULL);
        CHECK(slice_is(expect_err(asker, 3, WIRE_CODE_LIMIT)->m.verdict.limit, "requests"));
        expect_nothing(svc);
        fake_reply(svc, token, 0, 0, "done");
        expect_pub(asker, "", "done");
        CHECK(fake_ask(asker, 4, 0, "svc", svc) > 0);
        fake_deinit(&f);
}

/* An error that keeps its place does not end the scope of the delivery header before it. */
TEST(an_error_between_publications_costs_no_further_header)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *pub = fake_open(&f);

        fake_sub(asker, 1, "a");
        fake_room(asker, 0);
        fake_pub(pub, "a", "1");
        fake_ask(asker, 2, 0, "nobody", NULL);
        fake_pub(pub, "a", "2");
        fake_room(asker, SIZE_MAX);
        CHECK(expect_pub(asker, "a", "1")->leads);
        expect_err(asker, 2, WIRE_CODE_NO_RESPONDERS);
        CHECK(!expect_pub(asker, "a", "2")->leads);
        fake_deinit(&f);
}

TEST(what_ends_a_request_comes_behind_its_replies)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "svc");
        uint64_t token = fake_ask(asker, 1, 100, "svc", svc);
        fake_room(asker, 0);
        fake_reply(svc, token, MORE, 0, "1");
        fake_reply(svc, token, MORE, 0, "2");
        fake_tick(&f, 100);
        fake_room(asker, SIZE_MAX);
        expect_pub(asker, "", "1");
        expect_pub(asker, "", "2");
        expect_err(asker, 1, WIRE_CODE_TIMEOUT);
        fake_deinit(&f);
}
