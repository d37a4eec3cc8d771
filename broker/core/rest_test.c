/* Packets that are taken in piece by piece, so that others have their turn in between. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <stdio.h>

enum { MANY = 500 };

TEST(a_packet_in_pieces_is_the_same_packet)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);
        char payload[16];

        f.budget = 1;
        fake_sub(sub, 1, ">");
        for (int i = 0; i < MANY; i++) {
                snprintf(payload, sizeof(payload), "%d", i);
                say_pub(pub, i % 2 ? "a" : "b", payload);
        }
        fake_go(pub);
        for (int i = 0; i < MANY; i++) {
                snprintf(payload, sizeof(payload), "%d", i);
                expect_pub(sub, i % 2 ? "a" : "b", payload);
        }
        fake_deinit(&f);
}

TEST(what_a_header_says_holds_in_the_next_piece)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        f.budget = 1;
        fake_sub(sub, 1, ">");
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 5);
        for (int i = 0; i < 4; i++)
                say_pub(pub, i % 2 ? "a" : "b", "x");
        fake_go(pub);
        expect_ok_run(pub, 5, 1, 4);
        fake_deinit(&f);
}

TEST(a_header_of_one_packet_does_not_hold_in_the_next)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f);

        f.budget = 1;
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 5);
        say_pub(pub, "a", "x");
        say_pub(pub, "b", "x");
        fake_go(pub);
        expect_ok_run(pub, 5, 0, 2);
        say_pub(pub, "a", "x");
        fake_go(pub);
        expect_nothing(pub);
        fake_deinit(&f);
}

TEST(a_request_is_not_torn_from_its_publication)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        f.budget = 1;
        say_pub(c, "a", "x");
        say_request(c, 3, 1000);
        say_pub(c, "svc", "?");
        say_pub(c, "b", "x");
        fake_go(c);
        expect_err(c, 3, WIRE_CODE_NO_RESPONDERS);
        fake_deinit(&f);
}

TEST(what_is_broken_ends_the_session_in_its_piece)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        f.budget = 1;
        fake_sub(sub, 1, ">");
        say_pub(pub, "a", "x");
        say_pub(pub, "b", "x");
        say_bytes(pub, "c1");
        fake_go(pub);
        expect_pub(sub, "a", "x");
        expect_pub(sub, "b", "x");
        expect_bye(pub, WIRE_CODE_PROTOCOL);
        fake_deinit(&f);
}

TEST(a_header_at_the_end_of_the_last_piece_is_one_without_its_publication)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        f.budget = 1;
        say_pub(c, "a", "x");
        say_request(c, 3, 1000);
        fake_go(c);
        expect_bye(c, WIRE_CODE_PROTOCOL);
        fake_deinit(&f);
}

TEST(work_is_counted_by_what_it_costs)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f), *other = fake_open(&f);
        uint64_t before = core_work(f.core), run, each;

        fake_sub(other, 1, "b");
        before = core_work(f.core);
        for (int i = 0; i < MANY; i++)
                say_pub(pub, "a", "x");
        fake_go(pub);
        run = core_work(f.core) - before;
        before = core_work(f.core);
        for (int i = 0; i < MANY; i++)
                say_pub(pub, i % 2 ? "a" : "b", "x");
        fake_go(pub);
        each = core_work(f.core) - before;
        CHECK(each > 5 * run);
        fake_sub(sub, 1, ">");
        before = core_work(f.core);
        for (int i = 0; i < MANY; i++)
                say_pub(pub, i % 2 ? "a" : "b", "x");
        fake_go(pub);
        CHECK(core_work(f.core) - before > each);
        fake_deinit(&f);
}
