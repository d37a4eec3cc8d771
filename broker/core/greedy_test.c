/* What a stranger takes by ways that look harmless: told losses, kept values, answers of the
 * broker's own. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <string.h>

static void begin(struct fake *f, const char *limits, const char *policy)
{
        fake_init_with(f, limits);
        fake_policy(f, policy);
}

static void retain(struct client *c, const char *topic, size_t n)
{
        static char payload[4000];

        memset(payload, 'x', sizeof(payload));
        payload[n] = 0;
        say_ingress(c, WIRE_INGRESS_CONFIRM | WIRE_INGRESS_RETAIN, ++c->last_id);
        say_pub(c, topic, payload);
        fake_go(c);
}

static void ask(struct client *c, const char *topic, const char *payload)
{
        say_request(c, ++c->last_id, 1000);
        say_pub(c, topic, payload);
        fake_go(c);
}

/* ------------------------------------------------------------------- losses */

enum { ROWS = 40 };

static void sub_crosswise(struct client *c)
{
        char filter[32];

        for (uint32_t i = 0; i < ROWS; i++) {
                snprintf(filter, sizeof(filter), "g.r%u.*", i);
                fake_sub_stranger(c, 2 * i + 1, filter);
                snprintf(filter, sizeof(filter), "g.*.c%u", i);
                fake_sub_stranger(c, 2 * i + 2, filter);
        }
}

/* Each topic has receivers of its own, so no loss is like another one. */
static void publish_crosswise(struct client *pub)
{
        char topic[32];

        for (unsigned i = 0; i < ROWS; i++) {
                for (unsigned k = 0; k < ROWS; k++) {
                        snprintf(topic, sizeof(topic), "g.r%u.c%u", i, k);
                        say_pub(pub, topic, "");
                }
                fake_go(pub);
        }
}

TEST(losses_that_wait_to_be_told_are_charged_to_who_does_not_read_of_them)
{
        struct fake f;
        begin(&f, "queue_messages=1", "any subscribe:> uid_queue_bytes:20000");
        struct client *pub = fake_open(&f), *bad = fake_stranger(&f, 2000);

        sub_crosswise(bad);
        fake_room(bad, 0);
        publish_crosswise(pub);
        CHECK(!pub->is_gone);
        fake_room(bad, SIZE_MAX);
        const struct got *g = fake_next(bad);
        while (g && g->m.type != WIRE_BYE)
                g = fake_next(bad);
        CHECK_PTR(g);
        CHECK_EQ(g->m.verdict.code, WIRE_CODE_LIMIT);
        CHECK_PTR(memmem(g->m.verdict.text.data, g->m.verdict.text.len, "uid_queue_bytes", 15));
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(looking_for_a_loss_like_the_last_one_has_an_end_and_is_counted_as_work)
{
        struct fake f;
        begin(&f, "queue_messages=1", "any subscribe:>");
        struct client *pub = fake_open(&f), *bad = fake_stranger(&f, 2000);
        uint64_t before = core_work(f.core), read, unread;

        sub_crosswise(bad);
        publish_crosswise(pub);
        before = core_work(f.core);
        publish_crosswise(pub); /* all topics are known now */
        read = core_work(f.core) - before;
        fake_room(bad, 0);
        before = core_work(f.core);
        publish_crosswise(pub);
        unread = core_work(f.core) - before;
        CHECK(unread > read + ROWS * ROWS);
        CHECK(unread < 4 * read);
        fake_deinit(&f);
}

/* ----------------------------------------------------------------- retained */

TEST(retained_values_are_queued_for_a_stranger_as_far_as_its_quota_goes)
{
        struct fake f;
        char topic[16];
        begin(&f, "", "any subscribe:> block:> uid_queue_bytes:100000");
        struct client *own = fake_open(&f), *bad = fake_stranger(&f, 2000);
        struct client *trusted = fake_open(&f);

        for (int i = 0; i < 10; i++) {
                snprintf(topic, sizeof(topic), "r.%d", i);
                retain(own, topic, 3000);
        }
        fake_room(bad, 0);
        for (uint32_t sub = 1; sub <= 10; sub++) {
                say_sub(bad, ++bad->last_id, sub, "r.*");
                fake_go(bad);
        }
        CHECK(fake_report(&f, "queued_bytes") <= 52000);
        CHECK(fake_report(&f, "queued_bytes") > 40000);
        CHECK(fake_report(&f, "dropped") > 0); /* and told, by gaps */
        fake_sub(trusted, 1, "r.*");
        CHECK_EQ(fake_count(trusted), 10);
        fake_deinit(&f);
}

TEST(who_has_more_than_a_share_may_still_change_what_it_has)
{
        struct fake f;
        begin(&f, "", "any publish:> retain:> uid_retained:12");
        struct client *a = fake_stranger(&f, 2000), *b = fake_stranger(&f, 2000);
        char topic[16];

        for (int i = 0; i < 6; i++) {
                snprintf(topic, sizeof(topic), "r.%d", i);
                retain(a, topic, 10);
                expect_ok(a, a->last_id, 0);
        }
        retain(b, "b", 10);
        expect_ok(b, b->last_id, 0);
        retain(a, "r.0", 10);
        expect_ok(a, a->last_id, 0);
        fake_deinit(&f);
}

/* ------------------------------------------------------------------ answers */

TEST(the_answers_of_the_broker_count_in_the_quota_of_who_asks)
{
        struct fake f;
        begin(&f, "", "any connect uid_queue_bytes:20000");
        struct client *c = fake_stranger(&f, 2000);

        fake_room(c, 0);
        for (int i = 0; i < 500; i++)
                ask(c, "$sys.may", "connect - 2000 2000");
        fake_room(c, SIZE_MAX);
        size_t n = 0, n_refused = 0, bytes = 0;
        for (const struct got *g; (g = fake_next(c));) {
                n += g->m.type == WIRE_PUB;
                bytes += g->m.type == WIRE_PUB ? g->m.pub.payload.len : 0;
                n_refused +=
                        g->m.type == WIRE_ERR && slice_is(g->m.verdict.limit, "uid_queue_bytes");
        }
        CHECK_EQ(n + n_refused, 500);
        CHECK(bytes > 5000 && bytes < 10000); /* half of what the uid may have */
        fake_deinit(&f);
}

TEST(a_report_costs_what_it_is_long)
{
        struct fake f;
        begin(&f, "", "any see-sys");
        struct client *c = fake_stranger(&f, 2000);
        uint64_t before = core_work(f.core);

        ask(c, "$sys.status", "");
        CHECK(core_work(f.core) - before > 200);
        fake_deinit(&f);
}

TEST(refusals_cost_what_they_say)
{
        struct fake f;
        begin(&f, "", "any connect");
        struct client *c = fake_stranger(&f, 2000);
        uint64_t before = core_work(f.core);

        say_ingress(c, WIRE_INGRESS_CONFIRM, c->last_id + 1);
        for (int i = 0; i < 100; i++)
                say_pub(c, "a", "");
        fake_go(c);
        CHECK(core_work(f.core) - before > 1000);
        fake_deinit(&f);
}

TEST(a_limit_of_one_is_one)
{
        struct fake f;
        begin(&f, "unready=1", "any connect");
        struct client *c = fake_stranger(&f, 2000);

        CHECK(!c->is_gone);
        fake_close(c);
        fake_deinit(&f);
}
