/* The rules by themselves: what is written is allowed, and nothing else. */
#include "broker/core/policy.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct policy *fresh(void)
{
        struct policy *p = policy_new("test.policy");

        if (!p)
                abort();
        return p;
}

static void begin(struct policy *p, enum policy_who who, uint32_t id, const char *title)
{
        CHECK_EQ(policy_add_section(p, who, id, title), 0);
}

static void grant(struct policy *p, enum policy_action action, const char *filter, unsigned line)
{
        CHECK_EQ(policy_grant(p, action, filter, strlen(filter), line), 0);
}

static bool may(const struct policy *p, uint32_t uid, uint32_t gid, enum policy_action action,
        const char *what)
{
        struct policy_subject who = {.uid = uid, .gid = gid};
        struct policy_reason why;

        return policy_may(p, &who, action, what, strlen(what), &why);
}

static bool may_connect(const struct policy *p, uint32_t uid, uint32_t gid)
{
        struct policy_subject who = {.uid = uid, .gid = gid};
        struct policy_reason why;

        return policy_may_connect(p, &who, &why);
}

TEST(an_empty_policy_refuses_everything)
{
        struct policy *p = fresh();

        CHECK(!may_connect(p, 1000, 1000));
        for (int a = POLICY_PUBLISH; a < POLICY_ACTIONS; a++)
                CHECK(!may(p, 1000, 1000, (enum policy_action)a, "a.b"));
        begin(p, POLICY_ANY, 0, "any");
        CHECK(!may_connect(p, 1000, 1000));
        policy_free(p);
}

TEST(what_is_written_is_allowed_to_whom_it_is_about_and_nothing_else)
{
        struct policy *p = fresh();

        begin(p, POLICY_USER, 7, "user seven");
        grant(p, POLICY_PUBLISH, "sensors.*", 2);
        begin(p, POLICY_GROUP, 50, "group video");
        grant(p, POLICY_SUBSCRIBE, "camera.>", 4);
        CHECK(may(p, 7, 1, POLICY_PUBLISH, "sensors.a"));
        CHECK(!may(p, 7, 1, POLICY_PUBLISH, "sensors.a.b"));
        CHECK(!may(p, 7, 1, POLICY_SUBSCRIBE, "sensors.a"));
        CHECK(!may(p, 8, 1, POLICY_PUBLISH, "sensors.a"));
        CHECK(may(p, 8, 50, POLICY_SUBSCRIBE, "camera.front"));
        CHECK(!may(p, 8, 51, POLICY_SUBSCRIBE, "camera.front"));
        CHECK(may_connect(p, 7, 1));
        CHECK(may_connect(p, 9, 50));
        CHECK(!may_connect(p, 9, 51));
        policy_free(p);
}

TEST(supplementary_groups_count)
{
        const uint32_t groups[] = {4, 50};
        struct policy_subject who = {.uid = 1, .gid = 1, .groups = groups, .n_groups = 2};
        struct policy *p = fresh();
        struct policy_reason why;

        begin(p, POLICY_GROUP, 50, "group video");
        grant(p, POLICY_PUBLISH, ">", 2);
        CHECK(policy_may(p, &who, POLICY_PUBLISH, "a", 1, &why));
        who.n_groups = 1;
        CHECK(!policy_may(p, &who, POLICY_PUBLISH, "a", 1, &why));
        policy_free(p);
}

TEST(a_subscription_must_be_contained_in_one_allowed_filter)
{
        static const struct {
                const char *wanted;
                bool may;
        } cases[] = {{"a.b", true}, {"a.*", true}, {"a.>", false}, {"a.b.c", false}, {">", false},
                {"*.b", false}, {"c.x.y", true}, {"c.>", true}, {"c.*.>", true}, {"c", false}};
        struct policy *p = fresh();

        begin(p, POLICY_ANY, 0, "any");
        grant(p, POLICY_SUBSCRIBE, "a.*", 2);
        grant(p, POLICY_SUBSCRIBE, "c.>", 2);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                CHECK_EQ(may(p, 5, 5, POLICY_SUBSCRIBE, cases[i].wanted), cases[i].may);
        policy_free(p);
}

TEST(wildcards_do_not_open_hidden_topics)
{
        struct policy *p = fresh();

        begin(p, POLICY_ANY, 0, "any");
        grant(p, POLICY_SUBSCRIBE, ">", 2);
        grant(p, POLICY_PUBLISH, ">", 2);
        CHECK(!may(p, 5, 5, POLICY_SUBSCRIBE, "_private.a"));
        CHECK(!may(p, 5, 5, POLICY_SUBSCRIBE, "$sys.session.opened"));
        CHECK(!may(p, 5, 5, POLICY_PUBLISH, "_private.a"));
        CHECK(may(p, 5, 5, POLICY_SUBSCRIBE, ">"));
        policy_free(p);
}

TEST(connect_no_keeps_out_whatever_else_is_said)
{
        struct policy *p = fresh();

        begin(p, POLICY_USER, 66, "user mallory");
        CHECK_EQ(policy_deny_connect(p, 2), 0);
        begin(p, POLICY_ANY, 0, "any");
        CHECK_EQ(policy_allow(p, POLICY_CONNECT, 4), 0);
        begin(p, POLICY_USER, 66, "user mallory");
        grant(p, POLICY_PUBLISH, ">", 6);
        CHECK(!may_connect(p, 66, 66));
        CHECK(may_connect(p, 67, 67));
        policy_free(p);
}

TEST(uid_in_a_filter_stands_for_whoever_is_judged)
{
        struct policy *p = fresh();

        begin(p, POLICY_ANY, 0, "any");
        grant(p, POLICY_PUBLISH, "home.%uid.>", 2);
        grant(p, POLICY_SUBSCRIBE, "home.*.%uid", 3);
        CHECK(may(p, 1000, 1, POLICY_PUBLISH, "home.1000.x"));
        CHECK(!may(p, 1000, 1, POLICY_PUBLISH, "home.1001.x"));
        CHECK(!may(p, 1000, 1, POLICY_PUBLISH, "home.%uid.x"));
        CHECK(may(p, 4294967294u, 1, POLICY_SUBSCRIBE, "home.a.4294967294"));
        policy_free(p);
}

/* `%uid` makes a filter longer than it was written. */
TEST(a_filter_that_gets_too_long_by_a_uid_allows_nothing)
{
        char filter[256], topic[256];
        struct policy *p = fresh();

        memset(filter, 'a', sizeof(filter));
        memcpy(filter, "%uid.", 5);
        filter[255] = 0;
        memset(topic, 'a', sizeof(topic));
        memcpy(topic, "10000.", 6);
        topic[255] = 0;
        begin(p, POLICY_ANY, 0, "any");
        grant(p, POLICY_PUBLISH, filter, 2);
        CHECK(!may(p, 10000, 1, POLICY_PUBLISH, topic));
        policy_free(p);
}

TEST(what_is_no_filter_or_reserved_is_not_taken)
{
        struct policy *p = fresh();

        begin(p, POLICY_ANY, 0, "any");
        CHECK_EQ(policy_grant(p, POLICY_PUBLISH, "a..b", 4, 1), POLICY_E_FILTER);
        CHECK_EQ(policy_grant(p, POLICY_PUBLISH, "", 0, 1), POLICY_E_FILTER);
        CHECK_EQ(policy_grant(p, POLICY_PUBLISH, "$sys.>", 6, 1), POLICY_E_RESERVED);
        CHECK(!may_connect(p, 5, 5));
        policy_free(p);
}

TEST(the_reason_names_section_line_and_filter)
{
        struct policy_subject who = {.uid = 7, .gid = 7};
        struct policy *p = fresh();
        struct policy_reason why;

        begin(p, POLICY_ANY, 0, "any");
        grant(p, POLICY_PUBLISH, "a.*", 3);
        grant(p, POLICY_PUBLISH, "b.>", 4);
        CHECK(policy_may(p, &who, POLICY_PUBLISH, "b.c", 3, &why));
        CHECK_STR(why.title, "any");
        CHECK_STR(why.filter, "b.>");
        CHECK_EQ(why.line, 4);
        policy_free(p);
}

TEST(the_quota_of_the_user_counts_before_that_of_a_group_and_of_any)
{
        struct policy_subject seven = {.uid = 7, .gid = 50}, eight = {.uid = 8, .gid = 50},
                              nine = {.uid = 9, .gid = 9};
        struct policy *p = fresh();

        begin(p, POLICY_ANY, 0, "any");
        policy_set_quota(p, QUOTA_SESSIONS, 3);
        policy_set_quota(p, QUOTA_FDS, 1);
        begin(p, POLICY_GROUP, 50, "group video");
        policy_set_quota(p, QUOTA_SESSIONS, 2);
        begin(p, POLICY_USER, 7, "user seven");
        policy_set_quota(p, QUOTA_SESSIONS, 1);
        CHECK_EQ(policy_quota_of(p, &seven, QUOTA_SESSIONS), 1);
        CHECK_EQ(policy_quota_of(p, &eight, QUOTA_SESSIONS), 2);
        CHECK_EQ(policy_quota_of(p, &nine, QUOTA_SESSIONS), 3);
        CHECK_EQ(policy_quota_of(p, &seven, QUOTA_FDS), 1);
        CHECK_EQ(policy_quota_of(p, &seven, QUOTA_REQUESTS), UINT64_MAX);
        CHECK(!may_connect(p, 7, 50)); /* a quota is no right */
        policy_free(p);
}

TEST(names_lead_back_to_what_they_name)
{
        for (int a = 0; a < POLICY_ACTIONS; a++)
                CHECK_EQ(policy_action_find(policy_action_name((enum policy_action)a)), a);
        for (int q = 0; q < QUOTAS; q++)
                CHECK_EQ(policy_quota_find(policy_quota_name((enum policy_quota)q)), q);
        CHECK_EQ(policy_action_find("fly"), POLICY_ACTIONS);
        CHECK_EQ(policy_quota_find("uid_"), QUOTAS);
}

TEST(it_explains_itself)
{
        struct buf text = BUF_INIT;
        struct policy *p = fresh();

        begin(p, POLICY_USER, 7, "user seven");
        grant(p, POLICY_PUBLISH, "a.*", 2);
        grant(p, POLICY_PUBLISH, "b", 2);
        CHECK_EQ(policy_allow(p, POLICY_SEE_SYS, 3), 0);
        policy_set_quota(p, QUOTA_SESSIONS, 3);
        begin(p, POLICY_ANY, 0, "any");
        CHECK_EQ(policy_deny_connect(p, 5), 0);
        CHECK_EQ(policy_explain(p, &text), 0);
        CHECK_EQ(buf_push(&text, "", 1), 0);
        CHECK_STR((char *)text.data, "user seven (uid 7):\n"
                                     "  may see-sys\n"
                                     "  may publish a.*, b\n"
                                     "  uid_sessions is 3\n"
                                     "any:\n"
                                     "  may not connect\n");
        buf_deinit(&text);
        policy_free(p);
}

TEST(a_filter_that_a_uid_makes_too_long_allows_nothing)
{
        struct policy *p = fresh();
        char filter[WIRE_TOPIC_BYTES + 1], topic[WIRE_TOPIC_BYTES + 1];
        size_t len = 0;

        begin(p, POLICY_ANY, 0, "any");
        while (len < 15 * strlen("%uid."))
                len += (size_t)snprintf(filter + len, sizeof(filter) - len, "%%uid.");
        memset(filter + len, 'x', WIRE_TOPIC_BYTES - len);
        filter[WIRE_TOPIC_BYTES] = 0;
        grant(p, POLICY_PUBLISH, filter, 1);
        CHECK(!may(p, 4294967294, 1, POLICY_PUBLISH, "a"));
        CHECK(!may(p, 12345, 1, POLICY_PUBLISH, "a"));
        memcpy(topic, filter, sizeof(topic));
        for (size_t at = 0; at < 15 * strlen("%uid."); at += strlen("%uid."))
                memcpy(topic + at, "1234", 4);
        CHECK(may(p, 1234, 1, POLICY_PUBLISH, topic));
        policy_free(p);
}
