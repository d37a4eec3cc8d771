/* Sessions of other uids: a policy says what they may, word by word, and everything else is refused
 * and told. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <string.h>

static struct client *begin(struct fake *f, const char *policy)
{
        fake_init(f);
        fake_policy(f, policy);
        return fake_stranger(f, 2000);
}

static void confirmed(struct client *c, uint64_t flags, const char *topic)
{
        say_ingress(c, flags | WIRE_INGRESS_CONFIRM, ++c->last_id);
        say_pub(c, topic, "x");
        fake_go(c);
}

static void check_pub(struct client *c, uint64_t flags, const char *topic, bool may)
{
        confirmed(c, flags, topic);
        if (may)
                expect_ok(c, c->last_id, 0);
        else
                expect_err(c, c->last_id, WIRE_CODE_REFUSED);
}

static void check_sub(struct client *c, uint32_t sub, const char *filter, bool may)
{
        say_sub(c, ++c->last_id, sub, filter);
        fake_go(c);
        if (may)
                (void)expect(c, WIRE_OK);
        else
                expect_err(c, c->last_id, WIRE_CODE_REFUSED);
}

TEST(without_a_policy_only_the_own_uid_and_root_come_in)
{
        struct core_peer peer = {.pid = 9, .uid = 2000, .gid = 2000};
        struct fake f;
        fake_init(&f);

        expect_bye(fake_connect_as(&f, &peer), WIRE_CODE_REFUSED);
        fake_policy(&f, "");
        expect_bye(fake_connect_as(&f, &peer), WIRE_CODE_REFUSED);
        fake_policy(&f, "user:2001 connect");
        expect_bye(fake_connect_as(&f, &peer), WIRE_CODE_REFUSED);
        fake_deinit(&f);
}

TEST(the_own_uid_and_root_are_not_subject_to_a_policy)
{
        struct core_peer root = {.pid = 9, .uid = 0, .gid = 0};
        struct fake f;
        fake_init(&f);

        fake_policy(&f, "any connect:no uid_sessions:1 uid_subscriptions:0");
        struct client *own = fake_open(&f), *other = fake_connect_as(&f, &root);
        say_hello(other, "root");
        fake_go(other);
        CHECK_EQ(expect(other, WIRE_WELCOME)->m.welcome.rights, f.config.rights);
        check_sub(own, 1, "a.>", true);
        check_pub(other, 0, "b", true);
        fake_deinit(&f);
}

TEST(who_may_only_connect_may_nothing_else)
{
        struct fake f;
        struct client *c = begin(&f, "any connect");

        check_pub(c, 0, "a", false);
        check_sub(c, 1, "a", false);
        fake_deinit(&f);
}

TEST(it_publishes_where_it_may)
{
        struct fake f;
        struct client *c = begin(&f, "user:2000 publish:a.*");

        check_pub(c, 0, "a.b", true);
        check_pub(c, 0, "a.b.c", false);
        check_pub(c, 0, "b", false);
        check_pub(c, WIRE_INGRESS_RETAIN, "a.b", false);
        check_pub(c, WIRE_INGRESS_WILL, "a.b", false);
        fake_deinit(&f);
}

TEST(what_is_refused_does_not_arrive_and_leaves_its_neighbours_alone)
{
        struct fake f;
        struct client *c = begin(&f, "user:2000 publish:a.*"), *sub = fake_open(&f);

        fake_sub(sub, 1, ">");
        say_pub(c, "a.1", "x");
        say_pub(c, "secret", "x");
        say_pub(c, "a.2", "x");
        fake_go(c);
        expect_pub(sub, "a.1", "x");
        expect_pub(sub, "a.2", "x");
        expect_nothing(sub);
        expect_err(c, 0, WIRE_CODE_REFUSED);
        fake_deinit(&f);
}

TEST(it_subscribes_to_what_is_contained_in_an_allowed_filter)
{
        struct fake f;
        struct client *c = begin(&f, "user:2000 subscribe:a.>");

        check_sub(c, 1, "a.b", true);
        check_sub(c, 2, ">", false);
        check_sub(c, 2, "a", false);
        check_sub(c, 2, "$sys.session.opened", false);
        check_sub(c, 2, "a.*.c", true);
        fake_deinit(&f);
}

TEST(without_the_right_to_block_it_drops_and_has_no_window)
{
        struct fake f;
        struct client *c = begin(&f, "user:2000 subscribe:a.> block:a.b");

        say_sub(c, ++c->last_id, 1, "a.c");
        fake_go(c);
        expect_ok(c, c->last_id, WIRE_OVERFLOW_DROP_OLDEST);
        say_sub(c, ++c->last_id, 2, "a.b");
        fake_go(c);
        expect_ok(c, c->last_id, WIRE_OVERFLOW_BLOCK);
        say(c, &(struct message){.type = WIRE_SUB,
                       .sub = {.id = ++c->last_id,
                               .sub = 3,
                               .filter = fake_text("a.c"),
                               .window = 4,
                               .has_window = true}});
        fake_go(c);
        expect_err(c, c->last_id, WIRE_CODE_REFUSED);
        fake_deinit(&f);
}

TEST(joining_a_group_is_a_right_of_its_own)
{
        struct fake f;
        struct client *c = begin(&f, "user:2000 subscribe:a.> join:jobs.>");

        say_member(c, 1, "a.b", "g", &(struct fake_ack){.window = 1});
        fake_go(c);
        expect_err(c, c->last_id, WIRE_CODE_REFUSED);
        check_sub(c, 1, "jobs.x", false);
        fake_member(c, 1, "jobs.x", "g", &(struct fake_ack){.window = 1});
        fake_deinit(&f);
}

TEST(requests_are_publications_and_replies_need_no_right)
{
        struct fake f;
        struct client *c = begin(&f, "user:2000 publish:svc.a user:2001 subscribe:svc.>");
        struct client *server = fake_stranger(&f, 2001);

        fake_sub_stranger(server, 1, "svc.*");
        uint64_t token = fake_ask(c, 10, 1000, "svc.a", server);
        fake_reply(server, token, 0, 0, "yes");
        expect_pub(c, "", "yes");
        CHECK_EQ(fake_ask(c, 11, 1000, "svc.b", server), 0);
        expect_err(c, 11, WIRE_CODE_REFUSED);
        fake_deinit(&f);
}

TEST(retaining_and_wills_are_rights_of_their_own)
{
        struct fake f;
        struct client *c = begin(&f, "user:2000 publish:a.> retain:a.r will:w.* retain:w.r");

        check_pub(c, WIRE_INGRESS_RETAIN, "a.r", true);
        check_pub(c, WIRE_INGRESS_RETAIN, "a.s", false);
        check_pub(c, WIRE_INGRESS_WILL, "w.x", true);
        check_pub(c, WIRE_INGRESS_WILL | WIRE_INGRESS_RETAIN, "w.x", false);
        check_pub(c, WIRE_INGRESS_WILL | WIRE_INGRESS_RETAIN, "w.r", true);
        check_pub(c, WIRE_INGRESS_WILL, "a.x", false);
        fake_deinit(&f);
}

/* ------------------------------------------------------------- descriptors */

static void send_fds(struct client *c, const char *topic, bool odd, bool may)
{
        c->fake->odd_fds = odd;
        say_ingress(c, WIRE_INGRESS_CONFIRM, ++c->last_id);
        say_fds(c, topic, 2, "x");
        fake_send(c, 2);
        if (may)
                expect_ok(c, c->last_id, 0);
        else
                expect_err(c, c->last_id, WIRE_CODE_REFUSED);
}

TEST(descriptors_are_a_right_and_odd_ones_another)
{
        struct fake f;
        struct client *c = begin(&f, "user:2000 publish:> send-fds:a.plain send-any-fds:a.any");

        send_fds(c, "a.plain", false, true);
        send_fds(c, "a.plain", true, false);
        send_fds(c, "a.any", false, true);
        send_fds(c, "a.any", true, true);
        send_fds(c, "b", false, false);
        fake_bury(&f);
        fake_deinit(&f);
}

TEST(odd_descriptors_of_a_chunked_publication_are_judged_too)
{
        struct fake f;
        struct client *c = begin(&f, "user:2000 publish:> send-fds:>");

        f.odd_fds = true;
        say_ingress(c, WIRE_INGRESS_CONFIRM, ++c->last_id);
        say_begin(c, "a", 1, 0);
        fake_send(c, 1);
        expect_err(c, c->last_id, WIRE_CODE_REFUSED);
        say_end(c, 0);
        fake_go(c);
        expect_nothing(c);
        fake_deinit(&f);
}

TEST(its_socket_lets_descriptors_in_only_with_a_right_to_some)
{
        struct fake f;
        struct client *without = begin(&f, "user:2000 publish:> user:2001 publish:> send-fds:a");
        struct client *with = fake_stranger(&f, 2001);

        CHECK(!core_may_send_fds(f.core, without->id));
        CHECK(core_may_send_fds(f.core, with->id));
        CHECK(core_asks_fd_kinds(f.core, with->id));
        CHECK(!core_asks_fd_kinds(f.core, fake_open(&f)->id));
        fake_deinit(&f);
}

/* --------------------------------------------------------------- the broker */

static struct got *ask(struct client *c, const char *topic, const char *what)
{
        say_request(c, ++c->last_id, 1000);
        say_pub(c, topic, what);
        fake_go(c);
        return fake_next(c);
}

static void check_may(struct client *c, const char *what, const char *answer)
{
        struct got *g = ask(c, "$sys.may", what);

        CHECK_PTR(g);
        CHECK_EQ(g->m.type, WIRE_PUB);
        CHECK(slice_is(g->m.pub.payload, answer));
}

TEST(the_report_is_for_those_who_may_see_it)
{
        struct fake f;
        struct client *c = begin(&f, "user:2000 publish:> user:2001 see-sys");
        struct client *watcher = fake_stranger(&f, 2001);

        CHECK_EQ(ask(c, "$sys.status", "")->m.verdict.code, WIRE_CODE_REFUSED);
        CHECK_EQ(ask(watcher, "$sys.status", "")->m.type, WIRE_PUB);
        check_sub(watcher, 1, "$sys.session.*", true);
        check_sub(watcher, 2, "a", false);
        fake_deinit(&f);
}

TEST(who_may_what_is_answered_with_the_reason)
{
        struct fake f;
        struct client *c = begin(&f, "user:2000 publish:a.> group:50 subscribe:b");
        struct client *own = fake_open(&f);

        check_may(own, "publish a.b 2000 2000",
                "{\"may\":true,\"because\":\"the policy\",\"file\":\"test.policy\",\"line\":1,"
                "\"section\":\"user\",\"filter\":\"a.>\"}");
        check_may(own, "publish b 2000 2000", "{\"may\":false,\"because\":\"nothing allows it\"}");
        check_may(own, "subscribe b 2001 2001", "{\"may\":false,\"because\":\"may not connect\"}");
        check_may(own, "subscribe b 2001 2001 4 50",
                "{\"may\":true,\"because\":\"the policy\",\"file\":\"test.policy\",\"line\":1,"
                "\"section\":\"group\",\"filter\":\"b\"}");
        check_may(own, "administer - 0 0",
                "{\"may\":true,\"because\":\"the broker's own uid and root may do everything\"}");
        check_may(c, "publish b 2000 2000", "{\"may\":false,\"because\":\"nothing allows it\"}");
        CHECK_EQ(ask(c, "$sys.may", "publish b 2001 2001")->m.verdict.code, WIRE_CODE_REFUSED);
        fake_deinit(&f);
}

TEST(what_is_asked_about_has_the_groups_that_are_said_and_no_unknown_ones)
{
        struct fake f;
        struct client *c = begin(&f, "any connect group:7 connect:no");

        check_may(c, "connect - 2000 2000",
                "{\"may\":true,\"because\":\"the policy\",\"file\":\"test.policy\",\"line\":1,"
                "\"section\":\"any\"}");
        fake_deinit(&f);
}

TEST(a_question_that_is_none_is_refused)
{
        static const char *const bad[] = {"", "publish", "publish a", "publish a 1", "fly a 1 1",
                "publish a..b 1 1", "publish a 1 x", "connect a 1 1", "publish a 4294967296 1",
                "publish  1 1", "publish a 1 1 ", "publish a 1 1  2", "subscribe >.a 1 1"};
        struct fake f;
        fake_init(&f);
        struct client *own = fake_open(&f);

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                struct got *g = ask(own, "$sys.may", bad[i]);
                CHECK_PTR(g);
                if (g->m.type == WIRE_ERR)
                        CHECK_EQ(g->m.verdict.code, WIRE_CODE_PAYLOAD);
                else
                        CHECK_STR(bad[i], "publish a 1 1 "); /* a blank at the end is no harm */
        }
        fake_deinit(&f);
}

/* --------------------------------------------------------------- datagrams */

TEST(datagrams_are_judged_too)
{
        static const uint8_t packet[] = {0x95, 0x10, 0, 0xa1, 'a', 0x80, 0xc4, 1, 'x'};
        struct core_peer peer = {.pid = 9, .uid = 2000, .gid = 2000};
        struct fake f;
        fake_init(&f);

        CHECK(!core_datagram(f.core, &peer, packet, sizeof(packet), f.now_ns));
        fake_policy(&f, "user:2000 publish:b");
        CHECK(!core_datagram(f.core, &peer, packet, sizeof(packet), f.now_ns));
        fake_policy(&f, "user:2000 publish:a");
        CHECK(core_datagram(f.core, &peer, packet, sizeof(packet), f.now_ns));
        fake_policy(&f, "user:2000 publish:a any connect:no");
        CHECK(!core_datagram(f.core, &peer, packet, sizeof(packet), f.now_ns));
        fake_deinit(&f);
}
