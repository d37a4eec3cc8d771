/* Descriptors that the kernel does not take, or that are still under way when a session ends. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

enum { SIZE = 100000 };

static void publish_placed(struct client *pub, uint32_t n, uint64_t seed)
{
        say_placed(pub, "t", n + 1, SIZE);
        fake_feed_fds(pub, fake_placed_fds(pub->fake, n, seed, SIZE));
        fake_flush(pub->fake);
}

/* -------------------------------------------- a receiver that takes none */

/* With stall_ms=1000. */
enum { WITHHELD_TICKS = (1000 + LIMIT_FLIGHT_PATIENCE_MS) / LIMIT_FLIGHT_RETRY_MS };

TEST(a_placed_payload_that_is_not_taken_goes_in_chunks)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open_memfd(&f), *fine = fake_open_memfd(&f);

        fake_sub_fds(sub, 1, "t", 4);
        fake_sub_fds(fine, 1, "t", 4);
        sub->takes_no_fds = true;
        publish_placed(pub, 0, 1);
        publish_placed(pub, 2, 2);
        const struct got *g = expect_large(sub, "t", 1, SIZE);
        CHECK_EQ(g->m.type, WIRE_END);
        CHECK_EQ(g->delivery.withheld, 0);
        g = expect_large(sub, "t", 2, SIZE);
        CHECK_EQ(g->m.type, WIRE_END);
        CHECK_EQ(g->delivery.withheld, 2);
        CHECK_EQ(expect_large(fine, "t", 1, SIZE)->n_fds, 1);
        CHECK_EQ(expect_large(fine, "t", 2, SIZE)->n_fds, 3);
        sub->takes_no_fds = false; /* it may have been about that file */
        publish_placed(pub, 1, 3);
        CHECK_EQ(expect_large(sub, "t", 3, SIZE)->n_fds, 2);
        expect_nothing(pub);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(descriptors_of_begin_that_are_not_taken_are_withheld)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 4);
        sub->takes_no_fds = true;
        publish_placed(pub, 2, 1);
        const struct got *g = expect_large(sub, "t", 1, SIZE);
        CHECK_EQ(g->delivery.withheld, 2);
        CHECK_EQ(g->n_fds, 0);
        fake_deinit(&f);
}

/* ------------------------------------------- a kernel that has too many */

TEST(scarce_descriptors_are_tried_again)
{
        struct fake f;
        fake_init_with(&f, "stall_ms=1000");
        struct client *pub = fake_open(&f), *sub = fake_open_memfd(&f);

        fake_sub_fds(sub, 1, "t", 4);
        f.scarce = true;
        say_fds(pub, "t", 2, "fd");
        fake_send(pub, 2);
        publish_placed(pub, 0, 1);
        fake_pub(pub, "t", "behind");
        expect_nothing(sub);
        CHECK(core_deadline(f.core) <= f.now_ns + LIMIT_FLIGHT_RETRY_MS * UINT64_C(1000000));
        for (int i = 0; i < WITHHELD_TICKS - 1; i++)
                fake_tick(&f, LIMIT_FLIGHT_RETRY_MS);
        expect_nothing(sub);
        say_number(sub, WIRE_PING, 1); /* all but descriptors goes */
        fake_go(sub);
        expect(sub, WIRE_PONG);
        f.scarce = false;
        fake_tick(&f, LIMIT_FLIGHT_RETRY_MS);
        CHECK_EQ(expect_pub(sub, "t", "fd")->n_fds, 2);
        CHECK_EQ(expect_large(sub, "t", 1, SIZE)->n_fds, 1);
        expect_pub(sub, "t", "behind");
        expect_nothing(pub);
        fake_close_all(&f);
        fake_deinit(&f);
}

/* Without hurry: another's credit says that there may be room. */
TEST(scarce_descriptors_are_tried_when_others_have_received_theirs)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f), *other = fake_open(&f);

        fake_sub_fds(other, 1, "o", 4);
        fake_sub_fds(sub, 1, "t", 4);
        say_fds(pub, "o", 1, "fd");
        fake_send(pub, 1);
        f.scarce = true;
        say_fds(pub, "t", 1, "fd");
        fake_send(pub, 1);
        f.scarce = false;
        say_credit(other, 1);
        fake_go(other);
        CHECK_EQ(expect_pub(sub, "t", "fd")->n_fds, 1);
        fake_deinit(&f);
}

TEST(after_stall_ms_they_are_withheld_and_the_sender_is_told)
{
        struct fake f;
        fake_init_with(&f, "stall_ms=1000");
        struct client *pub = fake_open(&f), *sub = fake_open(&f), *plain = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 4);
        fake_sub(plain, 1, "t");
        f.scarce = true;
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 1);
        say_fds(pub, "t", 2, "fd");
        fake_send(pub, 2);
        fake_pub(pub, "t", "behind");
        expect_ok(pub, 1, 2);
        for (int i = 0; i < WITHHELD_TICKS - 1; i++)
                fake_tick(&f, LIMIT_FLIGHT_RETRY_MS);
        expect_nothing(sub);
        expect_nothing(pub);
        fake_tick(&f, LIMIT_FLIGHT_RETRY_MS);
        const struct got *g = expect_pub(sub, "t", "fd");
        CHECK_EQ(g->delivery.withheld, 2);
        CHECK_EQ(g->n_fds, 0);
        expect_pub(sub, "t", "behind");
        expect_err(pub, 0, WIRE_CODE_DESCRIPTORS);
        expect_nothing(pub);
        CHECK_EQ(fake_report(&f, "descriptors_in_flight"), 0);
        f.scarce = false;
        say_fds(pub, "t", 2, "fd");
        fake_send(pub, 2);
        CHECK_EQ(expect_pub(sub, "t", "fd")->n_fds, 2);
        fake_close_all(&f);
        fake_deinit(&f);
}

/* The kernel counts what the silent had until they have closed: that takes them a moment, and is
 * what everybody waited for. */
TEST(who_waits_is_not_given_up_when_the_silent_have_just_been_ended)
{
        struct fake f;
        fake_init_with(&f, "stall_ms=1000");
        struct client *pub = fake_open(&f), *sub = fake_open(&f), *hog = fake_open(&f);

        fake_sub_fds(hog, 1, "h", 4);
        fake_sub_fds(sub, 1, "t", 4);
        say_fds(pub, "h", 1, "fd");
        fake_send(pub, 1);
        f.scarce = true;
        say_fds(pub, "t", 1, "fd");
        fake_send(pub, 1);
        for (int i = 0; i < 10; i++)
                fake_tick(&f, LIMIT_FLIGHT_RETRY_MS);
        CHECK(hog->is_gone);
        expect_nothing(sub);
        f.scarce = false;
        fake_tick(&f, LIMIT_FLIGHT_RETRY_MS);
        CHECK_EQ(expect_pub(sub, "t", "fd")->n_fds, 1);
        expect_nothing(pub);
        fake_close_all(&f);
        fake_deinit(&f);
}

/* The payload arrives all the same; only descriptors of the user's are missed. */
TEST(after_stall_ms_a_placed_payload_goes_in_chunks)
{
        for (uint32_t n = 0; n < 3; n += 2) {
                struct fake f;
                fake_init_with(&f, "stall_ms=1000");
                struct client *pub = fake_open(&f), *sub = fake_open_memfd(&f);
                fake_sub_fds(sub, 1, "t", 4);
                f.scarce = true;
                publish_placed(pub, n, 1);
                for (int i = 0; i < WITHHELD_TICKS - 1; i++)
                        fake_tick(&f, LIMIT_FLIGHT_RETRY_MS);
                expect_nothing(sub);
                fake_tick(&f, LIMIT_FLIGHT_RETRY_MS);
                const struct got *g = expect_large(sub, "t", 1, SIZE);
                CHECK_EQ(g->m.type, WIRE_END);
                CHECK_EQ(g->delivery.withheld, n);
                if (n)
                        expect_err(pub, 0, WIRE_CODE_DESCRIPTORS);
                expect_nothing(pub);
                f.scarce = false;
                publish_placed(pub, n, 2); /* it was no fault of this receiver's */
                CHECK_EQ(expect_large(sub, "t", 2, SIZE)->n_fds, n + 1);
                fake_close_all(&f);
                fake_deinit(&f);
        }
}

TEST(the_sender_may_have_gone_meanwhile)
{
        struct fake f;
        fake_init_with(&f, "stall_ms=1000");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 4);
        f.scarce = true;
        say_fds(pub, "t", 1, "fd");
        fake_send(pub, 1);
        fake_close(pub);
        for (int i = 0; i <= WITHHELD_TICKS; i++)
                fake_tick(&f, LIMIT_FLIGHT_RETRY_MS);
        CHECK_EQ(expect_pub(sub, "t", "fd")->delivery.withheld, 1);
        fake_close_all(&f);
        fake_deinit(&f);
}

/* ----------------------------------------------------- at a session's end */

TEST(a_session_may_close_with_descriptors_under_way_or_held_back)
{
        struct fake f;
        fake_init_with(&f, "flight_fds=17 stall_ms=1000");
        struct client *pub = fake_open(&f), *sub = fake_open(&f), *next = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 16);
        fake_sub_fds(next, 1, "t", 16);
        for (int i = 0; i < 5; i++) {
                f.scarce = i == 4;
                say_fds(pub, "t", 5, "fd");
                fake_send(pub, 5);
        }
        fake_close(sub);
        say_credit(next, 16);
        fake_go(next); /* held back by the kernel now */
        fake_close(next);
        CHECK_EQ(fake_report(&f, "descriptors_in_flight"), 0);
        CHECK_EQ(fake_report(&f, "descriptors"), 0);
        fake_tick(&f, 5000);
        fake_close_all(&f);
        fake_deinit(&f);
}

/* It said BYE, or hears that the broker stops: what is queued for it still comes, through its
 * window. */
TEST(a_leaving_session_still_credits_descriptors)
{
        for (int shutdown = 0; shutdown < 2; shutdown++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *sub = fake_open(&f);
                fake_sub_fds(sub, 1, "t", 16);
                for (int i = 0; i < 90; i++) {
                        say_fds(pub, "t", 1, "fd");
                        fake_send(pub, 1);
                }
                CHECK_EQ(sub->last_seq, 64);
                if (shutdown) {
                        core_shutdown(f.core, f.now_ns);
                        fake_check(&f);
                        fake_flush(&f);
                } else {
                        say_bye(sub);
                        fake_go(sub);
                }
                say_bytes(sub, "91 40 92 05 01"); /* all else is ignored */
                say_credit(sub, 10);
                say_pub(sub, "t", "ignored");
                say_credit(sub, 6);
                say_bytes(sub, "c1");
                fake_go(sub);
                CHECK_EQ(sub->last_seq, 64 + 16);
                CHECK(!sub->is_gone);
                say_credit(sub, 10);
                fake_go(sub);
                for (int i = 0; i < 90; i++)
                        CHECK_EQ(expect_pub(sub, "t", "fd")->n_fds, 1);
                expect_bye(sub, shutdown ? WIRE_CODE_SHUTDOWN : WIRE_CODE_NONE);
                fake_close_all(&f);
                fake_deinit(&f);
        }
}
