/* Placed payloads that are refused, that wait, and that cannot be read. */
#include "broker/core/fake.h"
#include "proto/base/memfile.h"
#include "tests/harness/test.h"

#include <string.h>
#include <unistd.h>

/* -------------------------------------------------------------- refused */

static void init_with(struct fake *f, uint64_t rights, uint64_t features)
{
        fake_init(f);
        core_free(f->core);
        f->config.rights = rights;
        f->config.features = features;
        CHECK_EQ(core_new(&f->config, f->now_ns, &f->core), 0);
}

/* A placed publication as `id`, and what it is answered. */
static void refuse(struct client *c, uint64_t size, struct fdset *fds, enum wire_code code)
{
        uint64_t id = c->last_id + 1;

        say_ingress(c, WIRE_INGRESS_CONFIRM, id);
        say_placed(c, "t", (uint32_t)fdset_n(fds), size);
        fake_feed_fds(c, fds);
        fake_flush(c->fake);
        expect_err(c, id, code);
        CHECK_EQ(fake_report(c->fake, "descriptors"), 0);
}

static struct fdset *set_of(struct fake *f, int fd)
{
        struct fdset *set = NULL;

        CHECK_EQ(fdset_new_take(&fd, 1, &f->yard, &set), 0);
        return set;
}

/* The sealed file first, so that it is not the last of them. */
static struct fdset *wrong_order(struct fake *f)
{
        struct fdset *set = fake_placed_fds(f, 0, 1, 1000);
        int fds[2] = {dup(fdset_fds(set)[0]), fake_memfile(1, 1000)};

        fdset_unref(set);
        CHECK_EQ(fdset_new_take(fds, 2, &f->yard, &set), 0);
        return set;
}

TEST(what_is_not_sealed_or_of_another_size_is_refused)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *subs[] = {fake_open(&f), fake_open_memfd(&f)};

        for (int i = 0; i < 2; i++)
                fake_sub_fds(subs[i], 1, "t", 16);
        refuse(pub, 1000, set_of(&f, fake_memfile(1, 1000)), WIRE_CODE_PAYLOAD);
        refuse(pub, 1001, fake_placed_fds(&f, 0, 1, 1000), WIRE_CODE_PAYLOAD);
        refuse(pub, 999, fake_placed_fds(&f, 0, 1, 1000), WIRE_CODE_PAYLOAD);
        refuse(pub, 1, fake_placed_fds(&f, 0, 1, 0), WIRE_CODE_PAYLOAD);
        refuse(pub, 1000, fake_fds(&f, 1), WIRE_CODE_PAYLOAD);
        refuse(pub, 1000, wrong_order(&f), WIRE_CODE_PAYLOAD);
        for (int i = 0; i < 2; i++)
                expect_nothing(subs[i]);
        fake_placed(pub, "t", 1, 1000);
        for (int i = 0; i < 2; i++)
                expect_large(subs[i], "t", 1, 1000);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(a_sealed_file_may_be_a_descriptor_like_others)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 1);
        say_fds(pub, "t", 1, "here is a file");
        fake_feed_fds(pub, fake_placed_fds(&f, 0, 1, 1000));
        fake_flush(&f);
        CHECK_EQ(expect_pub(sub, "t", "here is a file")->n_fds, 1);
        fake_deinit(&f);
}

TEST(a_placed_payload_above_the_limit_is_refused)
{
        struct fake f;
        fake_init_with(&f, "payload_bytes=100000");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        refuse(pub, 100001, fake_placed_fds(&f, 0, 1, 100001), WIRE_CODE_LIMIT);
        fake_placed(pub, "t", 1, 100000);
        expect_large(sub, "t", 1, 100000);
        fake_deinit(&f);
}

TEST(placed_payloads_need_their_right_and_a_broker_that_has_them)
{
        static const struct {
                uint64_t rights, features;
                size_t n_fds; /* beside the payload's */
                enum wire_code code;
        } cases[] = {
                {0xff, 0, 0, WIRE_CODE_UNSUPPORTED},
                {0xff & ~(unsigned)WIRE_RIGHT_MEMFD, WIRE_FEATURE_MEMFD, 0, WIRE_CODE_REFUSED},
                {0xff & ~(unsigned)WIRE_RIGHT_FDS, WIRE_FEATURE_MEMFD, 1, WIRE_CODE_REFUSED},
                {0xff & ~(unsigned)WIRE_RIGHT_FDS, WIRE_FEATURE_MEMFD, 0, WIRE_CODE_NONE},
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct fake f;
                init_with(&f, cases[i].rights, cases[i].features);
                struct client *pub = fake_open(&f), *sub = fake_open_memfd(&f);
                fake_sub(sub, 1, "t");
                if (cases[i].code) {
                        struct fdset *fds = fake_placed_fds(&f, cases[i].n_fds, 1, 1000);
                        refuse(pub, 1000, fds, cases[i].code);
                        expect_nothing(sub);
                } else {
                        fake_placed(pub, "t", 1, 1000);
                        expect_large(sub, "t", 1, 1000);
                }
                /* In chunks it goes in either case, and to a broker without MEMFD comes so. */
                say_begin(pub, "t", 0, 0);
                fake_chunks(pub, 2, 100000, 50000);
                say_end(pub, 0);
                fake_go(pub);
                const struct got *g = expect_large(sub, "t", 2, 100000);
                CHECK_EQ(g->m.type, cases[i].features ? WIRE_PUB : WIRE_END);
                fake_deinit(&f);
        }
}

/* ----------------------------------------------------------------- parked */

TEST(placed_bytes_and_descriptors_make_a_receiver_full)
{
        static const char *const limits[] = {"placed_bytes=300000", "queue_fds=18"};

        for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
                enum { SIZE = 100000, N = 5 };
                uint64_t fit = 3;
                uint32_t n_fds = i == 1 ? 5 : 0; /* of 6 each, three fit 18 */
                struct fake f;
                fake_init_with(&f, limits[i]);
                struct client *pub = fake_open(&f), *sub = fake_open_memfd(&f), *c = fake_open(&f);
                fake_sub_fds(sub, 1, "t", 16);
                fake_room(sub, 0);
                for (uint64_t n = 1; n <= N; n++) {
                        say_ingress(pub, WIRE_INGRESS_CONFIRM, n);
                        say_placed(pub, "t", n_fds + 1, SIZE);
                        fake_feed_fds(pub, fake_placed_fds(&f, n_fds, n, SIZE));
                }
                fake_flush(&f);
                for (uint64_t n = 1; n <= fit; n++)
                        expect_ok(pub, n, 1);
                expect_nothing(pub);
                CHECK_EQ(fake_report(&f, "parked"), N - fit);
                CHECK_EQ(fake_report(&f, "placed_bytes"), fit * SIZE);
                fake_pub(c, "t", "behind who waits");
                CHECK_EQ(fake_report(&f, "parked"), N - fit + 1);
                fake_room(sub, SIZE_MAX);
                for (uint64_t n = 1; n <= N; n++) {
                        expect_large(sub, "t", n, SIZE);
                        if (n == fit + 1) /* the only one whose turn had come */
                                expect_pub(sub, "t", "behind who waits");
                        if (n > fit)
                                expect_ok(pub, n, 1);
                }
                fake_close_all(&f);
                fake_deinit(&f);
        }
}

TEST(one_larger_than_the_account_is_admitted_alone)
{
        enum { SIZE = 200000 };
        for (int memfd = 0; memfd < 2; memfd++) {
                struct fake f;
                fake_init_with(&f, "placed_bytes=100000");
                struct client *pub = fake_open(&f),
                              *sub = memfd ? fake_open_memfd(&f) : fake_open(&f);
                fake_sub(sub, 1, "t");
                fake_room(sub, 0);
                fake_pub(pub, "t", "small");
                fake_placed(pub, "t", 1, SIZE);
                CHECK_EQ(fake_report(&f, "parked"), 0); /* small ones do not count there */
                fake_pub(pub, "t", "small");
                fake_placed(pub, "t", 2, 1);
                CHECK_EQ(fake_report(&f, "parked"), 1);
                fake_room(sub, SIZE_MAX);
                expect_pub(sub, "t", "small");
                expect_large(sub, "t", 1, SIZE);
                expect_pub(sub, "t", "small");
                expect_large(sub, "t", 2, 1);
                fake_close_all(&f);
                fake_deinit(&f);
        }
}

/* Its backlog is one publication, and somebody waits for it to be read. */
TEST(who_does_not_read_a_single_large_one_is_stalled_if_others_wait)
{
        struct fake f;
        fake_init_with(&f, "placed_bytes=100000 stall_ms=1000");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        fake_room(sub, 0);
        fake_placed(pub, "t", 1, 300000);
        fake_tick(&f, 5000); /* nobody minds */
        CHECK(!sub->is_gone);
        fake_placed(pub, "t", 2, 10);
        CHECK_EQ(fake_report(&f, "parked"), 1);
        fake_tick(&f, 999);
        fake_room(sub, 66000); /* some of it */
        fake_tick(&f, 999);
        CHECK(!sub->is_gone);
        fake_tick(&f, 1);
        CHECK(sub->is_gone);
        CHECK_EQ(fake_report(&f, "parked"), 0);
        fake_close_all(&f);
        fake_deinit(&f);
}

/* However low the backlog is: it cannot be taken, and its publisher waits. */
TEST(who_has_somebody_waiting_and_does_not_read_is_stalled)
{
        struct fake f;
        fake_init_with(&f, "queue_bytes=65536 stall_ms=1000");
        struct client *pub = fake_open(&f), *sub = fake_open(&f), *next = fake_open(&f);

        fake_sub(sub, 1, "t");
        fake_sub(next, 1, "next");
        fake_room(sub, 0);
        say_large(pub, "t", "low", 10000);
        fake_go(pub);
        say_large(pub, "t", "waits", 60000);
        fake_go(pub);
        fake_pub(pub, "next", "x");
        fake_tick(&f, 999);
        CHECK(!sub->is_gone);
        fake_tick(&f, 1);
        expect_pub(next, "next", "x");
        fake_deinit(&f);
}

TEST(replies_have_twice_the_accounts_and_no_more)
{
        enum { SIZE = 100000 };
        static const struct {
                const char *limits, *named;
                uint32_t n_fds;
        } cases[] = {{"placed_bytes=200000", "placed_bytes", 0}, {"queue_fds=20", "queue_fds", 9}};

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct fake f;
                fake_init_with(&f, cases[i].limits);
                struct client *asker = fake_open_memfd(&f), *svc = fake_open(&f);
                fake_sub(svc, 1, "s");
                uint64_t token = fake_ask(asker, 1, 0, "s", svc);
                fake_room(asker, 0);
                for (uint64_t id = 1; id <= 5; id++) {
                        say_reply(svc, token, WIRE_DELIVERY_MORE, id + 1);
                        say_placed(svc, "", cases[i].n_fds + 1, SIZE);
                        fake_feed_fds(svc, fake_placed_fds(&f, cases[i].n_fds, id, SIZE));
                        fake_flush(&f);
                        if (id <= 4)
                                expect_ok(svc, id + 1, 1);
                        else
                                expect_err(svc, id + 1, WIRE_CODE_BAD_TOKEN);
                }
                fake_room(asker, SIZE_MAX);
                for (uint64_t id = 1; id <= 4; id++)
                        expect_large(asker, "", id, SIZE);
                const struct got *g = expect_err(asker, 1, WIRE_CODE_LIMIT);
                CHECK(slice_is(g->m.verdict.limit, cases[i].named));
                fake_close_all(&f);
                fake_deinit(&f);
        }
}
