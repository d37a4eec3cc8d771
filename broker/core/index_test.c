/* The index of filters, compared with the plain definition of what a filter matches. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "proto/wire/topic.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t seed;

static uint32_t rnd(uint32_t n)
{
        seed = seed * 1664525 + 1013904223;
        return (seed >> 8) % n;
}

/* Few tokens, so that filters and topics meet. */
static void make(char *to, bool filter)
{
        static const char *const tokens[] = {"a", "b", "ab", "_a", "$a", "\xc3\xa9"};
        size_t n = 1 + rnd(4), at = 0;

        for (size_t i = 0; i < n; i++) {
                const char *token = tokens[rnd(i ? 3 : ARRAY_LEN(tokens))];
                if (filter && rnd(4) == 0)
                        token = "*";
                if (filter && i == n - 1 && rnd(4) == 0)
                        token = ">";
                at += (size_t)sprintf(to + at, "%s%s", i ? "." : "", token);
        }
}

enum { FILTERS = 120 };

struct book {
        struct client *sub;
        char text[FILTERS + 1][32]; /* by subscription number; "": ended */
        uint32_t n;
};

static void check_delivery(struct book *b, const char *topic)
{
        uint32_t n_got = 0;
        bool is_matched[FILTERS + 1] = {false};

        for (const struct got *g; (g = fake_next(b->sub));) {
                for (uint32_t i = 0; i < g->delivery.n_subs; i++) {
                        CHECK(!is_matched[g->delivery.subs[i]]);
                        is_matched[g->delivery.subs[i]] = true;
                        n_got++;
                }
        }
        for (uint32_t i = 1; i <= b->n; i++) {
                bool should = b->text[i][0] &&
                              filter_matches(b->text[i], strlen(b->text[i]), topic, strlen(topic));
                if (should != is_matched[i])
                        fail_msg("'%s' and topic '%s'", b->text[i], topic);
        }
}

static void subscribe(struct book *b)
{
        char text[32];

        make(text, true);
        if (b->n == FILTERS)
                return;
        fake_sub(b->sub, ++b->n, text);
        strcpy(b->text[b->n], text);
}

static void unsubscribe(struct book *b)
{
        uint32_t i = b->n ? 1 + rnd(b->n) : 0;

        if (!i || !b->text[i][0])
                return;
        b->text[i][0] = 0;
        say_unsub(b->sub, ++b->sub->last_id, i);
        fake_go(b->sub);
        expect_ok(b->sub, b->sub->last_id, 0);
}

TEST(the_index_finds_what_the_definition_says)
{
        for (uint32_t round = 1; round <= 40; round++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f);
                struct book b = {.sub = fake_open(&f)};
                char topic[32];
                seed = round;
                for (int step = 0; step < 200; step++) {
                        uint32_t what = rnd(10);
                        if (what < 3)
                                subscribe(&b);
                        else if (what < 4)
                                unsubscribe(&b);
                        make(topic, false);
                        if (topic[0] == '$')
                                continue; /* the broker's: refused */
                        fake_pub(pub, topic, "x");
                        check_delivery(&b, topic);
                }
                fake_close(b.sub); /* core_check: the index is empty */
                fake_deinit(&f);
        }
}

TEST(wildcards_do_not_see_hidden_topics)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *wild = fake_open(&f), *plain = fake_open(&f);

        fake_sub(wild, 1, ">");
        fake_sub(wild, 2, "*");
        fake_sub(wild, 3, "*.b");
        fake_sub(plain, 1, "_a");
        fake_sub(plain, 2, "_a.*");
        fake_sub(plain, 3, "_a.>");
        fake_pub(pub, "_a", "1");
        fake_pub(pub, "_a.b", "2");
        expect_nothing(wild);
        CHECK_EQ(expect_pub(plain, "_a", "1")->delivery.n_subs, 1);
        CHECK_EQ(expect_pub(plain, "_a.b", "2")->delivery.n_subs, 2);
        fake_deinit(&f);
}

TEST(unsubscribing_in_any_order_leaves_an_empty_index)
{
        static const char *const filters[] = {
                "a.b.c", "a.b", "a.*.c", "a.>", ">", "*", "a.b.c.>", "a.b", "*.*.*", "a"};
        enum { N = ARRAY_LEN(filters) };

        for (uint32_t round = 0; round < 200; round++) {
                struct fake f;
                fake_init(&f);
                struct client *c = fake_open(&f);
                bool ended[N] = {false};
                seed = round;
                for (uint32_t i = 0; i < N; i++)
                        fake_sub(c, i + 1, filters[i]);
                for (uint32_t n = 0; n < N; n++) {
                        uint32_t i = rnd(N);
                        while (ended[i])
                                i = (i + 1) % N;
                        ended[i] = true;
                        say_unsub(c, ++c->last_id, i + 1);
                        fake_go(c); /* core_check: no node leads nowhere */
                        expect_ok(c, c->last_id, 0);
                }
                CHECK_EQ(fake_report(&f, "subscriptions"), 0);
                fake_deinit(&f);
        }
}

/* The longest topic there is, with the smallest limit there may be. */
TEST(a_topic_of_16_tokens_is_within_the_least_match_nodes)
{
        uint64_t least = 0;
        struct core_limits limits;
        struct fake f;
        char text[32];

        CHECK_EQ(core_limits_set(&limits, "match_nodes", 0, &least), LIMITS_E_VALUE);
        snprintf(text, sizeof(text), "match_nodes=%d", (int)least);
        fake_init_with(&f, text);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);
        fake_sub(sub, 1, "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p");
        fake_pub(pub, "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", "x");
        expect_pub(sub, "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", "x");
        fake_deinit(&f);
}

TEST(a_match_beyond_the_limit_is_refused_and_harms_nobody)
{
        struct fake f;
        fake_init_with(&f, "match_nodes=100");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);
        uint32_t n = 0;

        /* Every filter of eight `a` or `*`: a match of a.a.a... would walk 511 nodes. */
        for (unsigned mask = 0; mask < 256; mask++) {
                char filter[16];
                for (unsigned i = 0; i < 8; i++) {
                        filter[2 * i] = mask >> i & 1 ? '*' : 'a';
                        filter[2 * i + 1] = i < 7 ? '.' : 0;
                }
                fake_sub(sub, ++n, filter);
        }
        for (int i = 0; i < 2; i++) {
                fake_pub(pub, "a.a.a.a.a.a.a.a", "x");
                CHECK(slice_is(
                        expect_err(pub, 0, WIRE_CODE_LIMIT)->m.verdict.limit, "match_nodes"));
        }
        fake_pub(pub, "a.b", "y");
        expect_nothing(sub);
        expect_nothing(pub);
        fake_deinit(&f);
}

TEST(few_remembered_routes_are_enough_for_many_topics)
{
        struct fake f;
        fake_init_with(&f, "routes=3");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);
        char topic[16];

        fake_sub(sub, 1, "t.*");
        for (int i = 0; i < 50; i++) {
                snprintf(topic, sizeof(topic), "t.%d", i % 7);
                fake_pub(pub, topic, "x");
                expect_pub(sub, topic, "x");
        }
        CHECK_EQ(fake_report(&f, "topics"), 3);
        fake_deinit(&f);
}

/* What is remembered about a topic does not outlive a change of subscriptions. */
TEST(a_change_of_subscriptions_is_seen_at_once)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_pub(pub, "t", "1");
        fake_sub(a, 1, "t");
        fake_pub(pub, "t", "2");
        expect_pub(a, "t", "2");
        struct client *b = fake_open(&f);
        fake_sub(b, 1, "*");
        fake_pub(pub, "t", "3");
        fake_close(a);
        fake_pub(pub, "t", "4");
        expect_pub(b, "t", "3");
        expect_pub(b, "t", "4");
        fake_deinit(&f);
}
