/* Design note. Policies in a word or two, so that a test shows what it is about:
 *
 *      "user:2000 publish:a.> see-sys uid_sessions:3 any connect:no"
 *
 * A word before any section, one that is no word, and a bad filter are errors of the test. */
#include "broker/core/fake.h"

#include "tests/harness/test.h"

#include <stdlib.h>
#include <string.h>

static bool begin_section(struct policy *p, const char *word, const char *value)
{
        uint32_t id = value ? (uint32_t)strtoul(value, NULL, 10) : 0;
        enum policy_who who;

        if (!strcmp(word, "any"))
                who = POLICY_ANY;
        else if (!strcmp(word, "user"))
                who = POLICY_USER;
        else if (!strcmp(word, "group"))
                who = POLICY_GROUP;
        else
                return false;
        CHECK_EQ(policy_add_section(p, who, id, word), 0);
        return true;
}

static void add_word(struct policy *p, const char *word, const char *value)
{
        enum policy_quota quota = policy_quota_find(word);
        enum policy_action action = policy_action_find(word);

        if (begin_section(p, word, value))
                return;
        if (quota != QUOTAS) {
                policy_set_quota(p, quota, strtoull(value, NULL, 10));
                return;
        }
        CHECK_NE(action, POLICY_ACTIONS);
        if (policy_action_has_filters(action))
                CHECK_EQ(policy_grant(p, action, value, strlen(value), 1), 0);
        else if (value)
                CHECK_EQ(policy_deny_connect(p, 1), 0);
        else
                CHECK_EQ(policy_allow(p, action, 1), 0);
}

struct policy *fake_make_policy(const char *words)
{
        struct policy *p = policy_new("test.policy");
        char *copy = strdup(words), *rest = copy;

        if (!p || !copy)
                abort();
        for (char *word; (word = strtok_r(rest, " ", &rest));) {
                char *value = strchr(word, ':');
                if (value)
                        *value++ = 0;
                add_word(p, word, value);
        }
        free(copy);
        return p;
}

void fake_policy(struct fake *f, const char *words)
{
        struct policy *policy = words ? fake_make_policy(words) : NULL;

        if (f->inside)
                f->inside(true);
        core_set_policy(f->core, policy, f->now_ns);
        if (f->inside)
                f->inside(false);
        fake_check(f);
        fake_flush(f);
}

struct client *fake_stranger(struct fake *f, uint32_t uid)
{
        struct core_peer peer = {.pid = 500 + (int)f->n_clients, .uid = uid, .gid = uid};
        struct client *c = fake_connect_as(f, &peer);

        if (c->is_gone)
                return c;
        say(c, &(struct message){.type = WIRE_HELLO,
                       .hello = {.version = WIRE_VERSION,
                               .name = fake_text("stranger"),
                               .features = WIRE_FEATURE_MEMFD}});
        fake_go(c);
        if (!f->inside)
                expect(c, WIRE_WELCOME);
        return c;
}

void fake_sub_stranger(struct client *c, uint32_t sub, const char *filter)
{
        say_sub(c, c->last_id + 1, sub, filter);
        fake_go(c);
        expect_ok(c, c->last_id, WIRE_OVERFLOW_DROP_OLDEST);
}
