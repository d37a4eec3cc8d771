/* $sys.status: JSON that a parser takes and a frame holds. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A checker of RFC 8259, without numbers' fractions: each returns what stands behind, or NULL. */
static const char *value(const char *p, int depth);

static const char *blank(const char *p)
{
        while (p && (*p == ' ' || *p == '\n'))
                p++;
        return p;
}

static const char *text(const char *p)
{
        if (*p++ != '"')
                return NULL;
        for (; *p && *p != '"'; p++) {
                if ((unsigned char)*p < 0x20)
                        return NULL;
                if (*p == '\\' && *++p != '"' && *p != '\\')
                        return NULL;
        }
        return *p ? p + 1 : NULL;
}

static const char *list(const char *p, char close, bool named, int depth)
{
        p = blank(p + 1);
        if (*p == close)
                return p + 1;
        for (;; p++) {
                p = blank(p);
                if (named) {
                        p = blank(text(p));
                        if (!p || *p++ != ':')
                                return NULL;
                }
                p = blank(value(blank(p), depth + 1));
                if (!p || (*p != ',' && *p != close))
                        return NULL;
                if (*p == close)
                        return p + 1;
        }
}

static const char *value(const char *p, int depth)
{
        if (!p || depth > 8)
                return NULL;
        if (*p == '{')
                return list(p, '}', true, depth);
        if (*p == '[')
                return list(p, ']', false, depth);
        if (*p == '"')
                return text(p);
        if (!isdigit((unsigned char)*p))
                return NULL;
        while (isdigit((unsigned char)*p))
                p++;
        return p;
}

static bool is_json(const char *p)
{
        p = value(p, 0);
        return p && !*p;
}

/* Asks for the status and returns the payload as text, good until the next call. */
static const char *status_of(struct client *c, uint64_t id)
{
        static char json[WIRE_FRAME_BYTES + 1];

        say_request(c, id, 0);
        say_pub(c, "$sys.status", "");
        fake_go(c);
        const struct got *g = expect(c, WIRE_PUB);
        CHECK(slice_is(g->m.pub.topic, ""));
        CHECK_EQ(g->delivery.flags, WIRE_DELIVERY_REPLY);
        CHECK_EQ(g->delivery.request, id);
        CHECK_EQ(g->delivery.session, 0);
        CHECK(g->len <= WIRE_FRAME_BYTES);
        memcpy(json, g->m.pub.payload.data, g->m.pub.payload.len);
        json[g->m.pub.payload.len] = 0;
        return json;
}

TEST(the_checker_of_json_sees_what_is_none)
{
        CHECK(is_json("{\"a\":[1,{\"b\":\"\\\"\"},[]],\"c\":{}}"));
        CHECK(!is_json("{\"a\":1"));
        CHECK(!is_json("{\"a\":1}}"));
        CHECK(!is_json("{a:1}"));
        CHECK(!is_json("[1,]"));
        CHECK(!is_json("{\"a\":\"\x01\"}"));
}

TEST(the_status_is_json_about_broker_counts_and_clients)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open_named(&f, "a \"quoted\\name\"");

        fake_sub(c, 1, "a");
        const char *json = status_of(c, 5);
        CHECK(is_json(json));
        CHECK_PTR(strstr(json, "\"version\":\"baton test\""));
        CHECK_PTR(strstr(json, "\"sessions\":1"));
        CHECK_PTR(strstr(json, "\"subscriptions\":1"));
        CHECK_PTR(strstr(json, "\"name\":\"a \\\"quoted\\\\name\\\"\""));
        CHECK_PTR(strstr(json, "\"clients_omitted\":0"));
        fake_deinit(&f);
}

TEST(the_status_says_how_far_each_session_is)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f), *leaving = fake_open(&f), *ending = fake_open(&f);

        fake_connect(&f);
        fake_sub(leaving, 1, "a");
        fake_room(leaving, 0);
        fake_pub(c, "a", "x");
        say_bye(leaving);
        fake_go(leaving);
        core_end(f.core, ending->id, WIRE_CODE_PROTOCOL, "enough", f.now_ns);
        say_request(c, 1, 0);
        say_pub(c, "$sys.status", "");
        fake_feed(c); /* and nobody is flushed meanwhile */
        fake_flush(&f);
        const struct got *g = expect(c, WIRE_PUB);
        const char *json = (const char *)g->m.pub.payload.data;
        CHECK(is_json(json));
        CHECK_PTR(strstr(json, "\"state\":\"connected\""));
        CHECK_PTR(strstr(json, "\"state\":\"open\""));
        CHECK_PTR(strstr(json, "\"state\":\"leaving\""));
        CHECK_PTR(strstr(json, "\"state\":\"ending\""));
        fake_deinit(&f);
}

TEST(the_status_with_a_thousand_sessions_fits_a_frame)
{
        struct fake f;
        fake_init(&f);
        char name[WIRE_NAME_BYTES + 1];
        struct client *busy = NULL;

        memset(name, '"', WIRE_NAME_BYTES);
        name[WIRE_NAME_BYTES] = 0;
        for (int i = 0; i < 1000; i++) {
                struct client *c = fake_open_named(&f, i == 500 ? "the busy one" : name);
                if (i == 500)
                        busy = c;
        }
        fake_sub(busy, 1, "a");
        fake_room(busy, 0);
        fake_pub(f.clients[0], "a", "x");
        const char *json = status_of(f.clients[999], 1);
        CHECK(is_json(json));
        CHECK_PTR(strstr(json, "\"clients\":[{\"session\":501,\"name\":\"the busy one\""));
        CHECK_PTR(strstr(json, "\"clients_omitted\":904"));
        fake_deinit(&f);
}

TEST(status_that_is_not_read_is_refused_cheaply)
{
        struct fake f;
        fake_init_with(&f, "queue_bytes=65536");
        struct client *c = fake_open(&f), *pub = fake_open(&f);
        struct got *g;
        int n_reports = 0, n_limits = 0;

        fake_sub(c, 1, "a");
        fake_room(c, 0);
        fake_pub(pub, "a", "x");
        for (uint64_t id = 2; id < 400; id++) {
                say_request(c, id, 0);
                say_pub(c, "$sys.status", "");
        }
        fake_go(c);
        fake_room(c, SIZE_MAX);
        expect_pub(c, "a", "x");
        while ((g = fake_next(c))) {
                n_reports += g->m.type == WIRE_PUB;
                n_limits += g->m.type == WIRE_ERR && g->m.verdict.code == WIRE_CODE_LIMIT;
        }
        CHECK_EQ(n_reports + n_limits, 398);
        CHECK(n_limits > 0);
        fake_deinit(&f);
}

TEST(publishing_to_the_broker_is_refused)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "$sys.status");
        fake_pub(c, "$sys.status", "x");
        expect_err(c, 0, WIRE_CODE_REFUSED);
        expect_nothing(sub);
        fake_deinit(&f);
}

/* As large as it can get: it is one frame all the same. */
TEST(a_crowd_of_many_uids_with_long_names_and_every_refusal_fits_one_frame)
{
        struct fake f;
        struct buf json = BUF_INIT;
        char name[WIRE_NAME_BYTES + 1];
        fake_init_with(&f, "sessions=1024");
        fake_policy(&f, "any publish:> uid_sessions:8");

        memset(name, '"', WIRE_NAME_BYTES);
        name[WIRE_NAME_BYTES] = 0;
        for (uint32_t i = 0; i < 900; i++) {
                struct core_peer peer = {.pid = INT32_MAX - (int)i,
                        .uid = i % 3 ? UINT32_MAX - 1 - i % 300 : 1000,
                        .gid = UINT32_MAX - 1};
                struct client *c = fake_connect_as(&f, &peer);
                say_hello(c, name);
                fake_go(c);
                if (i == 500)
                        fake_tick(&f, 5000);
        }
        CHECK_EQ(core_report(f.core, f.now_ns, &json), 0);
        CHECK(json.len < WIRE_FRAME_BYTES * 8 / 10);
        buf_deinit(&json);
        fake_deinit(&f);
}

TEST(what_a_policy_is_called_is_a_json_string_whatever_it_is)
{
        struct fake f;
        struct policy *p = policy_new("/x\n\"\x01\xff.conf");
        fake_init(&f);
        struct client *own = fake_open(&f);

        if (!p)
                abort();
        CHECK_EQ(policy_add_section(p, POLICY_ANY, 0, "any"), 0);
        CHECK_EQ(policy_allow(p, POLICY_CONNECT, 2), 0);
        core_set_policy(f.core, p, f.now_ns);
        say_request(own, 1, 1000);
        say_pub(own, "$sys.may", "connect - 2000 2000");
        fake_go(own);
        expect_pub(own, "",
                "{\"may\":true,\"because\":\"the policy\",\"file\":\"/x?\\\"??.conf\",\"line\":2,"
                "\"section\":\"any\"}");
        fake_deinit(&f);
}
