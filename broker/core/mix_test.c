/* Publications on several topics in one packet, which travel as one piece where just the same
 * receivers get them: nobody may see a difference. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

#include <stdio.h>

static const char *letter(int c)
{
        static char text[2];

        text[0] = (char)c;
        return text;
}

/* What a publication costs that travels alone, in units of core_work. */
enum { ALONE = 20 };

/* Travelling together costs little, so that is how it shows. */
static uint64_t work_of(struct client *pub, const char *const *topics, size_t n, int times)
{
        uint64_t before = core_work(pub->fake->core);

        for (int i = 0; i < times; i++) {
                for (size_t k = 0; k < n; k++)
                        say_pub(pub, topics[k], "x");
        }
        fake_go(pub);
        return (core_work(pub->fake->core) - before) / ((uint64_t)times * n);
}

TEST(topics_with_the_same_receivers_travel_together)
{
        static const char *const topics[] = {"t.a", "t.b", "t.c"}, *const others[] = {"t.a", "u.b"};
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f), *other = fake_open(&f);

        fake_sub(sub, 1, ">");
        fake_sub(other, 1, "u.*");
        CHECK(work_of(pub, topics, 3, 50) < ALONE / 2);
        CHECK(work_of(pub, others, 2, 50) > ALONE);
        for (int i = 0; i < 150; i++)
                expect_pub(sub, topics[i % 3], "x");
        CHECK_EQ(fake_count(sub), 100);
        CHECK_EQ(fake_count(other), 50);
        fake_deinit(&f);
}

TEST(nobody_at_all_is_the_same_receivers_too)
{
        static const char *const topics[] = {"a", "b"};
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f);

        CHECK(work_of(pub, topics, 2, 50) < ALONE / 2);
        CHECK_EQ(fake_report(&f, "unrouted"), 100);
        fake_deinit(&f);
}

TEST(each_is_confirmed)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "*");
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 5);
        say_pub(pub, "a", "1");
        say_pub(pub, "b", "2");
        say_pub(pub, "c", "3");
        fake_go(pub);
        expect_ok_run(pub, 5, 1, 3);
        fake_deinit(&f);
}

/* ------------------------------------------------------------ what stands alone */

TEST(a_topic_that_is_refused_is_refused_alone)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "*");
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 1);
        say_pub(pub, "a", "1");
        say_pub(pub, "$sys.x", "2");
        say_pub(pub, "b", "3");
        say_pub(pub, "c..d", "4");
        say_pub(pub, "e", "5");
        fake_go(pub);
        expect_ok(pub, 1, 1);
        expect_err(pub, 2, WIRE_CODE_REFUSED);
        expect_ok(pub, 3, 1);
        expect_err(pub, 4, WIRE_CODE_BAD_TOPIC);
        expect_ok(pub, 5, 1);
        expect_pub(sub, "a", "1");
        expect_pub(sub, "b", "3");
        expect_pub(sub, "e", "5");
        fake_deinit(&f);
}

TEST(what_nobody_receives_is_not_therefore_alike)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f);

        say_ingress(pub, WIRE_INGRESS_CONFIRM, 1);
        say_pub(pub, "a", "1");
        say_pub(pub, "$sys.x", "2");
        say_pub(pub, "b", "3");
        fake_go(pub);
        expect_ok(pub, 1, 0);
        expect_err(pub, 2, WIRE_CODE_REFUSED);
        expect_ok(pub, 3, 0);
        fake_deinit(&f);
}

TEST(the_policy_is_asked_for_each_topic)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any publish:a publish:b publish:c");
        struct client *pub = fake_stranger(&f, 2000), *sub = fake_open(&f);

        fake_sub(sub, 1, "*");
        say_ingress(pub, WIRE_INGRESS_CONFIRM, 1);
        say_pub(pub, "a", "1");
        say_pub(pub, "b", "2");
        say_pub(pub, "x", "3");
        say_pub(pub, "c", "4");
        fake_go(pub);
        expect_ok_run(pub, 1, 1, 2);
        expect_err(pub, 3, WIRE_CODE_REFUSED);
        expect_ok(pub, 4, 1);
        expect_pub(sub, "a", "1");
        expect_pub(sub, "b", "2");
        expect_pub(sub, "c", "4");
        fake_deinit(&f);
}

TEST(what_is_kept_is_kept_for_each_topic)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *late = fake_open(&f);

        say_ingress(pub, WIRE_INGRESS_RETAIN, 0);
        say_pub(pub, "a", "1");
        say_pub(pub, "b", "2");
        fake_go(pub);
        fake_sub(late, 1, "*");
        expect_pub(late, "a", "1");
        expect_pub(late, "b", "2");
        fake_deinit(&f);
}

static void sub_latest(struct client *c, const char *filter)
{
        struct message m = {
                .type = WIRE_SUB,
                .sub = {.id = ++c->last_id,
                        .sub = 1,
                        .filter = fake_text(filter),
                        .overflow = WIRE_OVERFLOW_LATEST},
        };

        say(c, &m);
        fake_go(c);
        expect_ok(c, c->last_id, WIRE_OVERFLOW_LATEST);
}

/* It has room for one of each topic, and no more. */
static void check_latest(struct client *pub, struct client *sub)
{
        size_t last_a = 0, last_b = 0, n = 0;

        sub_latest(sub, "*");
        fake_room(sub, 0);
        for (int i = 0; i < 3; i++) {
                fake_pub(pub, "a", "old");
                fake_pub(pub, "b", "old");
        }
        say_pub(pub, "a", "last");
        say_pub(pub, "b", "last");
        fake_go(pub);
        fake_room(sub, SIZE_MAX);
        for (const struct got *g; (g = fake_next(sub));) {
                bool is_last = g->m.type == WIRE_PUB && slice_is(g->m.pub.payload, "last");
                last_a += is_last && slice_is(g->m.pub.topic, "a");
                last_b += is_last && slice_is(g->m.pub.topic, "b");
                n += g->m.type == WIRE_PUB;
        }
        CHECK_EQ(last_a, 1);
        CHECK_EQ(last_b, 1);
        CHECK_EQ(n, 2);
}

TEST(who_wants_the_latest_of_each_topic_gets_it)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any subscribe:>");

        check_latest(fake_open(&f), fake_open(&f));
        fake_close_all(&f);
        check_latest(fake_open(&f), fake_stranger(&f, 2000));
        fake_deinit(&f);
}

/* ----------------------------------------------------------------- what waits */

TEST(what_waits_goes_to_those_who_subscribe_when_it_goes_on)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=2");
        struct client *pub = fake_open(&f), *sub = fake_open(&f), *late = fake_open(&f);

        fake_sub(sub, 1, "*");
        fake_room(sub, 0);
        fake_pub(pub, "a", "1");
        fake_pub(pub, "a", "2");
        say_pub(pub, "a", "3"); /* waits, and is routed */
        say_pub(pub, "b", "4");
        fake_go(pub);
        say_pub(pub, "a", "5"); /* waits behind it */
        say_pub(pub, "b", "6");
        fake_go(pub);
        fake_sub(late, 1, "b");
        fake_room(sub, SIZE_MAX);
        for (int i = 1; i <= 6; i++)
                expect_pub(sub, i == 4 || i == 6 ? "b" : "a", letter('0' + i));
        expect_pub(late, "b", "6");
        expect_nothing(late);
        fake_deinit(&f);
}

TEST(a_forgotten_route_takes_nothing_with_it)
{
        struct fake f;
        fake_init_with(&f, "routes=1");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "*");
        for (int i = 0; i < 9; i++)
                say_pub(pub, letter('a' + i % 3), "x");
        fake_go(pub);
        for (int i = 0; i < 9; i++)
                expect_pub(sub, letter('a' + i % 3), "x");
        fake_deinit(&f);
}

/* --------------------------------------------------- whole, and piece by piece */

enum { SUBS = 6, PACKETS = 30, FRAMES = 40, ROUNDS = 300 };

static uint64_t next(uint64_t *state)
{
        *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
        return *state >> 33;
}

static void sub_at_random(struct client *c, uint64_t *state)
{
        static const char *const filters[] = {"*.*", "a.*", "*.b", "a.b", "b.a", "c.c", ">", "b.>"};

        c->last_id++;
        say_sub(c, c->last_id, (uint32_t)c->last_id, filters[next(state) % 8]);
        fake_go(c);
}

static void say_at_random(struct client *c, uint64_t *state)
{
        char topic[] = "a.a", payload[24];

        if (next(state) % 16 == 0)
                say_ingress(c, next(state) % 2 ? WIRE_INGRESS_NO_ECHO : 0, 0);
        topic[0] = (char)('a' + next(state) % 3);
        topic[2] = (char)('a' + next(state) % 3);
        snprintf(payload, sizeof(payload), "%llu", (unsigned long long)next(state));
        say_pub(c, next(state) % 50 ? topic : "$x", payload);
}

static void play(struct fake *f, uint64_t seed, uint64_t budget)
{
        struct client *clients[SUBS];

        fake_init(f);
        for (int i = 0; i < SUBS; i++)
                clients[i] = fake_open(f);
        for (int i = 0; i < PACKETS; i++) {
                struct client *c = clients[next(&seed) % SUBS];
                f->budget = 0;
                if (next(&seed) % 4 == 0)
                        sub_at_random(clients[next(&seed) % SUBS], &seed);
                f->budget = budget;
                for (uint64_t n = next(&seed) % FRAMES + 1; n; n--)
                        say_at_random(c, &seed);
                fake_go(c);
        }
}

/* Answers aside: one ERR may speak for a run. */
static struct got *next_pub(struct client *c)
{
        struct got *g = fake_next(c);

        while (g && g->m.type != WIRE_PUB)
                g = fake_next(c);
        return g;
}

static void check_same(const struct msg_pub *a, const struct msg_pub *b)
{
        CHECK_EQ(a->topic.len, b->topic.len);
        CHECK_BYTES(a->topic.data, b->topic.data, a->topic.len);
        CHECK_EQ(a->payload.len, b->payload.len);
        CHECK_BYTES(a->payload.data, b->payload.data, a->payload.len);
}

static void live(uint64_t seed)
{
        struct fake whole, pieces;

        play(&whole, seed, 0);
        play(&pieces, seed, 1);
        for (size_t i = 0; i < SUBS; i++) {
                struct got *a, *b;
                do {
                        a = next_pub(whole.clients[i]);
                        b = next_pub(pieces.clients[i]);
                        CHECK_EQ(!a, !b);
                        if (a)
                                check_same(&a->m.pub, &b->m.pub);
                } while (a);
                CHECK_EQ(whole.clients[i]->last_seq, pieces.clients[i]->last_seq);
        }
        fake_deinit(&whole);
        fake_deinit(&pieces);
}

TEST(a_packet_taken_in_whole_is_the_same_as_frame_by_frame)
{
        fake_seeds(ROUNDS, live);
}
