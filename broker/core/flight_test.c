/* Descriptors under way to receivers: the window of each, the budget of all, and what happens when
 * the kernel takes no more. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

static void publish_fds(struct client *pub, uint32_t n, size_t times)
{
        while (times--) {
                say_fds(pub, "t", n, "fd");
                fake_send(pub, n);
        }
}

static void credit(struct client *c, uint64_t amount)
{
        say_credit(c, amount);
        fake_go(c);
}

static size_t expect_all(struct client *c, uint32_t n_fds)
{
        size_t n = 0;

        for (const struct got *g; (g = fake_next(c)); n++)
                CHECK_EQ(g->n_fds, n_fds);
        return n;
}

TEST(a_receiver_has_64_descriptors_under_way)
{
        static const struct {
                uint32_t n_fds;
                size_t all, first, next; /* delivered at once; more, for a CREDIT of 2 */
        } cases[] = {
                {1, 70, 64, 2}, {4, 20, 16, 2}, {5, 20, 12, 2}, {16, 20, 4, 2}, {11, 20, 5, 2}};

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *sub = fake_open(&f), *plain = fake_open(&f);
                fake_sub_fds(sub, 1, "t", 16);
                fake_sub(plain, 1, "t");
                publish_fds(pub, cases[i].n_fds, cases[i].all);
                CHECK_EQ(expect_all(sub, cases[i].n_fds), cases[i].first);
                CHECK_EQ(expect_all(plain, 0), cases[i].all); /* who takes none waits for nothing */
                fake_tick(&f, 29000);
                CHECK(!sub->is_gone);
                credit(sub, 2);
                CHECK_EQ(expect_all(sub, cases[i].n_fds), cases[i].next);
                CHECK_EQ(fake_report(&f, "descriptors_in_flight"), cases[i].first * cases[i].n_fds);
                while (sub->last_seq < cases[i].all)
                        credit(sub, 1);
                credit(sub, INT64_MAX);
                CHECK_EQ(fake_report(&f, "descriptors_in_flight"), 0);
                fake_close_all(&f);
                fake_deinit(&f);
        }
}

TEST(what_stands_behind_keeps_its_place)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 16);
        publish_fds(pub, 16, 5);
        fake_pub(pub, "t", "behind");
        CHECK_EQ(expect_all(sub, 16), 4);
        say_number(sub, WIRE_PING, 1); /* answers overtake */
        fake_go(sub);
        expect(sub, WIRE_PONG);
        credit(sub, 1);
        CHECK_EQ(expect_pub(sub, "t", "fd")->delivery.seq, 5);
        CHECK_EQ(expect_pub(sub, "t", "behind")->delivery.seq, 6);
        fake_deinit(&f);
}

TEST(placed_payloads_and_begin_are_packets_with_descriptors_and_16_payloads_go)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *memfd = fake_open_memfd(&f), *sub = fake_open(&f);

        fake_sub(memfd, 1, "t");
        fake_sub_fds(sub, 1, "t", 16);
        for (uint64_t i = 0; i < 18; i++) {
                say_placed(pub, "t", 2, 70000);
                fake_feed_fds(pub, fake_placed_fds(&f, 1, i, 70000));
                fake_flush(&f);
        }
        CHECK_EQ(memfd->last_seq, 16);
        CHECK_EQ(sub->last_seq, 18); /* whose payloads go in chunks */
        CHECK_EQ(fake_report(&f, "descriptors_in_flight"), 16 + 18);
        credit(memfd, 1);
        for (uint64_t i = 0; i < 17; i++)
                expect_large(memfd, "t", i, 70000);
        expect_nothing(memfd);
        for (uint64_t i = 0; i < 18; i++)
                expect_large(sub, "t", i, 70000);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(credit_for_what_was_never_sent_is_nothing)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 16);
        credit(sub, INT64_MAX);
        publish_fds(pub, 1, 3);
        credit(sub, 0);
        CHECK_EQ(fake_report(&f, "descriptors_in_flight"), 3);
        credit(sub, 7);
        CHECK_EQ(fake_report(&f, "descriptors_in_flight"), 0);
        publish_fds(pub, 1, 70); /* and it is not remembered */
        CHECK_EQ(expect_all(sub, 1), 3 + 64);
        fake_close_all(&f);
        fake_deinit(&f);
}

/* ----------------------------------------------------------------- budget */

TEST(where_descriptors_are_scarce_who_reads_is_always_served)
{
        struct fake f;
        fake_init_with(&f, "flight_fds=17");
        struct client *pub = fake_open(&f), *hog = fake_open(&f), *reader = fake_open(&f);

        fake_sub_fds(hog, 1, "t", 16);
        fake_sub_fds(reader, 1, "t", 16);
        for (uint64_t i = 1; i <= 30; i++) {
                publish_fds(pub, 5, 1);
                fake_pub(pub, "t", "between");
                CHECK_EQ(expect_pub(reader, "t", "fd")->n_fds, 5);
                expect_pub(reader, "t", "between");
                credit(reader, 1);
        }
        CHECK(hog->last_seq < 10);
        CHECK_EQ(fake_report(&f, "descriptors_in_flight") % 5, 0);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(the_budget_of_one_that_goes_is_for_the_others)
{
        struct fake f;
        fake_init_with(&f, "flight_fds=20");
        struct client *pub = fake_open(&f), *hog = fake_open(&f), *next = fake_open(&f);

        fake_sub_fds(hog, 1, "t", 16);
        publish_fds(pub, 10, 3); /* one waits */
        CHECK_EQ(fake_report(&f, "descriptors_in_flight"), 20);
        fake_sub_fds(next, 1, "t", 16);
        publish_fds(pub, 10, 2);
        CHECK_EQ(next->last_seq, 1); /* one packet goes even so */
        CHECK_EQ(fake_report(&f, "descriptors_in_flight"), 30);
        fake_close(hog);
        CHECK_EQ(next->last_seq, 2);
        CHECK_EQ(fake_report(&f, "descriptors_in_flight"), 20);
        fake_close_all(&f);
        fake_deinit(&f);
}

/* One that has all of the budget and is silent, and one that wants some. */
static void make_short(struct fake *f, struct client *pub, struct client *hog, struct client *sub)
{
        fake_sub_fds(hog, 1, "h", 16);
        fake_sub_fds(sub, 1, "t", 16);
        say_fds(pub, "h", 16, "fd");
        fake_send(pub, 16);
        expect_pub(hog, "h", "fd");
        publish_fds(pub, 1, 1);
        expect_pub(sub, "t", "fd");
        CHECK_EQ(fake_report(f, "descriptors_in_flight"), 17);
}

TEST(who_never_credits_is_ended_if_others_wait)
{
        struct fake f;
        fake_init_with(&f, "flight_fds=17 stall_ms=1000");
        struct client *pub = fake_open(&f), *hog = fake_open(&f), *sub = fake_open(&f);

        make_short(&f, pub, hog, sub);
        fake_tick(&f, 500);
        credit(sub, 1);
        publish_fds(pub, 1, 2); /* the second waits */
        CHECK_EQ(sub->last_seq, 2);
        fake_tick(&f, 400);
        CHECK(!hog->is_gone);
        fake_tick(&f, 100);
        fake_tick(&f, 100); /* it is looked at every so often */
        expect_bye(hog, WIRE_CODE_STALLED);
        CHECK(!sub->is_gone);
        CHECK_EQ(sub->last_seq, 3);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(who_never_credits_is_left_alone_if_nobody_waits)
{
        struct fake f;
        fake_init_with(&f, "flight_fds=17 stall_ms=1000");
        struct client *pub = fake_open(&f), *hog = fake_open(&f), *sub = fake_open(&f);

        make_short(&f, pub, hog, sub);
        publish_fds(pub, 1, 1);
        credit(sub, 1); /* it waited; not any more */
        CHECK_EQ(sub->last_seq, 2);
        for (int i = 0; i < 50; i++)
                fake_tick(&f, 1000);
        CHECK(!hog->is_gone && !sub->is_gone);
        CHECK_EQ(core_deadline(f.core), UINT64_MAX);
        fake_close_all(&f);
        fake_deinit(&f);
}

/* However lively all the others are. */
TEST(credits_of_others_save_nobody)
{
        struct fake f;
        fake_init_with(&f, "flight_fds=17 stall_ms=1000");
        struct client *pub = fake_open(&f), *hog = fake_open(&f), *sub = fake_open(&f);

        make_short(&f, pub, hog, sub);
        for (int i = 0; i < 30; i++) {
                publish_fds(pub, 1, 1); /* waits at once */
                fake_tick(&f, 50);
                credit(sub, 1);
        }
        CHECK(hog->is_gone);
        CHECK(!sub->is_gone);
        CHECK_EQ(sub->last_seq, 31);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(an_empty_credit_is_no_sign_of_life)
{
        struct fake f;
        fake_init_with(&f, "flight_fds=17 stall_ms=1000");
        struct client *pub = fake_open(&f), *hog = fake_open(&f), *sub = fake_open(&f);

        make_short(&f, pub, hog, sub);
        publish_fds(pub, 1, 1);
        for (int i = 0; i < 12 && !hog->is_gone; i++) {
                credit(hog, 0);
                fake_tick(&f, 100);
        }
        CHECK(hog->is_gone);
        fake_deinit(&f);
}
