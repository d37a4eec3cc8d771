/* What a uid may have, all its sessions together, and what each of them. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void begin(struct fake *f, const char *limits, const char *policy)
{
        fake_init_with(f, limits);
        fake_policy(f, policy);
}

static struct client *connect_as(struct fake *f, uint32_t uid)
{
        struct core_peer peer = {.pid = 900 + (int)f->n_clients, .uid = uid, .gid = uid};

        return fake_connect_as(f, &peer);
}

static void check_limit(struct client *c, uint64_t id, const char *limit)
{
        CHECK(slice_is(expect_err(c, id, WIRE_CODE_LIMIT)->m.verdict.limit, limit));
}

static void check_bye(struct client *c, const char *limit)
{
        const struct got *g = expect(c, WIRE_BYE);

        CHECK_EQ(g->m.verdict.code, WIRE_CODE_LIMIT);
        CHECK_PTR(memmem(g->m.verdict.text.data, g->m.verdict.text.len, limit, strlen(limit)));
}

/* ------------------------------------------------------------- connections */

TEST(a_uid_has_so_many_sessions_and_another_uid_its_own)
{
        struct fake f;
        begin(&f, "", "any connect uid_sessions:2");
        struct client *first = fake_stranger(&f, 2000);

        fake_stranger(&f, 2000);
        check_bye(connect_as(&f, 2000), "uid_sessions");
        fake_stranger(&f, 2001);
        fake_close(first);
        fake_stranger(&f, 2000);
        fake_deinit(&f);
}

TEST(who_says_no_hello_uses_up_its_own_places_only)
{
        struct fake f;
        begin(&f, "", "any connect uid_unready:3");

        for (int i = 0; i < 3; i++)
                expect_nothing(connect_as(&f, 2000));
        check_bye(connect_as(&f, 2000), "uid_unready");
        fake_stranger(&f, 2001);
        fake_deinit(&f);
}

TEST(sessions_are_shared_fairly_where_they_are_scarce)
{
        struct fake f;
        size_t n[3] = {0};
        begin(&f, "sessions=24", "any connect uid_sessions:1000 uid_unready:1000");

        for (uint32_t uid = 0; uid < 3; uid++) {
                for (;;) {
                        struct client *c = connect_as(&f, 2000 + uid);
                        struct got *g = fake_next(c);
                        if (g)
                                break;
                        n[uid]++;
                }
        }
        /* Half of all, then a third of what is left, then a fourth. */
        CHECK_EQ(n[0], 12);
        CHECK_EQ(n[1], 4);
        CHECK_EQ(n[2], 2);
        fake_deinit(&f);
}

TEST(connections_come_at_a_rate)
{
        struct fake f;
        begin(&f, "", "any connect uid_connects:4");

        for (int i = 0; i < 4; i++)
                fake_close(fake_stranger(&f, 2000));
        check_bye(connect_as(&f, 2000), "uid_connects");
        fake_stranger(&f, 2001);
        fake_tick(&f, 250);
        fake_close(fake_stranger(&f, 2000));
        check_bye(connect_as(&f, 2000), "uid_connects");
        fake_tick(&f, 10000);
        for (int i = 0; i < 4; i++)
                fake_close(fake_stranger(&f, 2000));
        check_bye(connect_as(&f, 2000), "uid_connects");
        fake_deinit(&f);
}

TEST(a_rate_is_remembered_beyond_the_last_session)
{
        struct fake f;
        begin(&f, "", "any connect uid_connects:1");

        fake_close(fake_stranger(&f, 2000));
        for (uint32_t uid = 3000; uid < 3200; uid++)
                fake_close(fake_stranger(&f, uid));
        check_bye(connect_as(&f, 2000), "uid_connects");
        fake_deinit(&f);
}

/* ----------------------------------------------------------- subscriptions */

static size_t subscribe_until_refused(struct client *c)
{
        for (uint32_t n = 0;; n++) {
                say_sub(c, ++c->last_id, n + 1, "a.b");
                fake_go(c);
                struct got *g = fake_next(c);
                if (g->m.type == WIRE_OK)
                        continue;
                CHECK(slice_is(g->m.verdict.limit, "uid_subscriptions"));
                return n;
        }
}

TEST(a_session_has_a_fair_share_of_what_its_uid_may_have)
{
        struct fake f;
        begin(&f, "", "any subscribe:> uid_subscriptions:60");
        struct client *bad = fake_stranger(&f, 2000), *mate = fake_stranger(&f, 2000);

        CHECK_EQ(subscribe_until_refused(bad), 30);
        CHECK_EQ(subscribe_until_refused(mate), 10);
        fake_close(bad);
        fake_close(mate);
        CHECK_EQ(subscribe_until_refused(fake_stranger(&f, 2000)), 30);
        fake_deinit(&f);
}

/* ---------------------------------------------------------------- requests */

TEST(requests_are_counted_by_uid)
{
        struct fake f;
        begin(&f, "", "any publish:> subscribe:> uid_requests:4");
        struct client *server = fake_open(&f), *c = fake_stranger(&f, 2000);

        fake_sub(server, 1, "svc");
        uint64_t token = fake_ask(c, 1, 1000, "svc", server);
        fake_ask(c, 2, 1000, "svc", server);
        fake_ask(c, 3, 1000, "svc", server);
        check_limit(c, 3, "uid_requests");
        fake_reply(server, token, 0, 0, "done");
        expect_pub(c, "", "done");
        CHECK_NE(fake_ask(c, 4, 1000, "svc", server), 0);
        fake_deinit(&f);
}

/* ---------------------------------------------------------------- backlogs */

static size_t publish_until_dropped(struct client *pub, struct client *sub, const char *topic)
{
        static char payload[4000];
        size_t n = 0;

        memset(payload, 'x', sizeof(payload) - 1);
        for (; n < 200; n++) {
                uint64_t before = fake_report(pub->fake, "dropped");
                fake_pub(pub, topic, payload);
                if (fake_report(pub->fake, "dropped") > before)
                        break;
        }
        (void)sub;
        return n;
}

TEST(backlogs_of_a_uid_are_bounded_together_and_shared_by_its_sessions)
{
        struct fake f;
        begin(&f, "", "any subscribe:> uid_queue_bytes:240000");
        struct client *pub = fake_open(&f), *bad = fake_stranger(&f, 2000),
                      *mate = fake_stranger(&f, 2000), *other = fake_stranger(&f, 2001);

        fake_sub_stranger(bad, 1, "a");
        fake_sub_stranger(mate, 1, "b");
        fake_sub_stranger(other, 1, "c");
        fake_room(bad, 0);
        fake_room(mate, 0);
        fake_room(other, 0);
        CHECK_EQ(publish_until_dropped(pub, bad, "a"), 29);
        CHECK_EQ(publish_until_dropped(pub, mate, "b"), 10);
        CHECK_EQ(publish_until_dropped(pub, other, "c"), 29);
        fake_deinit(&f);
}

TEST(what_has_no_room_by_its_uid_waits_where_it_may_block_and_goes_on)
{
        struct fake f;
        begin(&f, "", "any subscribe:> block:> uid_queue_bytes:20000");
        struct client *pub = fake_open(&f), *sub = fake_stranger(&f, 2000);
        char payload[3000];

        memset(payload, 'x', sizeof(payload));
        payload[sizeof(payload) - 1] = 0;
        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        for (int i = 0; i < 20; i++)
                fake_pub(pub, "a", payload);
        CHECK(fake_report(&f, "parked") > 10);
        fake_room(sub, SIZE_MAX);
        CHECK_EQ(fake_count(sub), 20);
        CHECK_EQ(fake_report(&f, "parked"), 0);
        fake_deinit(&f);
}

/* ------------------------------------------------------------ what is kept */

static void retain(struct client *c, const char *topic, size_t len)
{
        char *payload = calloc(1, len + 1);

        memset(payload, 'x', len);
        say_ingress(c, WIRE_INGRESS_RETAIN | WIRE_INGRESS_CONFIRM, ++c->last_id);
        say_pub(c, topic, payload);
        fake_go(c);
        free(payload);
}

TEST(retained_values_are_counted_for_who_owns_them)
{
        struct fake f;
        begin(&f, "", "any publish:> retain:> uid_retained:4 uid_retained_bytes:20000");
        struct client *c = fake_stranger(&f, 2000), *own = fake_open(&f);

        retain(c, "a", 100);
        expect_ok(c, c->last_id, 0);
        retain(c, "b", 100);
        expect_ok(c, c->last_id, 0);
        retain(c, "c", 100);
        check_limit(c, c->last_id, "uid_retained");
        retain(c, "b", 9000);
        expect_ok(c, c->last_id, 0);
        retain(c, "a", 9000);
        check_limit(c, c->last_id, "uid_retained_bytes");
        retain(own, "b", 30000); /* it is another's now */
        expect_ok(own, own->last_id, 0);
        retain(c, "a", 9000);
        expect_ok(c, c->last_id, 0);
        fake_deinit(&f);
}

/* ------------------------------------------------------------- descriptors */

static void send_fds(struct client *c, const char *topic, size_t n)
{
        say_ingress(c, WIRE_INGRESS_CONFIRM, ++c->last_id);
        say_fds(c, topic, (uint32_t)n, "x");
        fake_send(c, n);
}

TEST(descriptors_that_wait_are_charged_to_who_sent_them)
{
        struct fake f;
        begin(&f, "", "any publish:> send-fds:> uid_fds:40");
        struct client *sub = fake_open(&f), *bad = fake_stranger(&f, 2000),
                      *mate = fake_stranger(&f, 2000), *other = fake_stranger(&f, 2001);

        fake_sub_fds(sub, 1, "a", 16);
        fake_room(sub, 0);
        send_fds(bad, "a", 16);
        expect_ok(bad, bad->last_id, 1);
        send_fds(bad, "a", 5);
        check_limit(bad, bad->last_id, "uid_fds");
        send_fds(mate, "a", 8);
        expect_ok(mate, mate->last_id, 1);
        send_fds(other, "a", 16);
        expect_ok(other, other->last_id, 1);
        fake_close(bad); /* what it has sent is still here */
        struct client *again = fake_stranger(&f, 2000);
        send_fds(again, "a", 6);
        check_limit(again, again->last_id, "uid_fds");
        fake_room(sub, SIZE_MAX);
        fake_bury(&f);
        send_fds(again, "a", 16);
        expect_ok(again, again->last_id, 1);
        fake_deinit(&f);
}

TEST(unfinished_payloads_are_charged_to_who_sends_them)
{
        struct fake f;
        begin(&f, "", "any publish:> uid_spool_bytes:200000");
        struct client *c = fake_stranger(&f, 2000);

        say_ingress(c, WIRE_INGRESS_CONFIRM, ++c->last_id);
        say_begin(c, "a", 0, 0);
        fake_go(c);
        fake_chunks(c, 1, 150000, 30000);
        fake_go(c);
        check_limit(c, c->last_id, "uid_spool_bytes");
        fake_deinit(&f);
}

/* ------------------------------------------------------------------ groups */

TEST(groups_are_charged_to_who_made_them)
{
        struct fake f;
        begin(&f, "", "any join:> uid_groups:4");
        struct client *c = fake_stranger(&f, 2000), *own = fake_open(&f);

        fake_member(c, 1, "a", "g1", &(struct fake_ack){.window = 1});
        fake_member(c, 2, "a", "g2", &(struct fake_ack){.window = 1});
        say_member(c, 3, "a", "g3", &(struct fake_ack){.window = 1});
        fake_go(c);
        check_limit(c, c->last_id, "uid_groups");
        fake_member(own, 1, "a", "g3", &(struct fake_ack){.window = 1});
        fake_member(c, 3, "a", "g3", &(struct fake_ack){.window = 1});
        fake_deinit(&f);
}

/* ------------------------------------------------------------- the account */

TEST(refusals_are_counted_by_name_with_the_worst_offender)
{
        struct fake f;
        struct buf json = BUF_INIT;
        begin(&f, "", "user:2000 publish:a uid_sessions:1 user:2001 connect");
        struct client *c = fake_stranger(&f, 2000), *d = fake_stranger(&f, 2001);

        for (int i = 0; i < 3; i++)
                fake_pub(c, "b", "x");
        fake_pub(d, "b", "x");
        connect_as(&f, 2000);
        connect_as(&f, 4000);
        CHECK_EQ(core_report(f.core, f.now_ns, &json), 0);
        CHECK_EQ(buf_push(&json, "", 1), 0);
        CHECK_PTR(strstr((char *)json.data, "{\"limit\":\"policy\",\"count\":5,\"worst\":{\"uid\":"
                                            "2000,\"pid\":500,\"count\":3}}"));
        CHECK_PTR(strstr((char *)json.data, "{\"limit\":\"uid_sessions\",\"count\":1,\"worst\":{"
                                            "\"uid\":2000,\"pid\":902,\"count\":1}}"));
        CHECK_PTR(strstr((char *)json.data, "{\"uid\":2001,\"sessions\":1,"));
        buf_deinit(&json);
        fake_deinit(&f);
}
