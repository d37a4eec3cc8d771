/* Subscribing: numbers, filters, options, rights. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <string.h>

TEST(subscription_numbers_must_increase)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        fake_sub(c, 5, "a");
        say_sub(c, 2, 5, "b");
        say_sub(c, 3, 4, "b");
        say_unsub(c, 4, 5);
        say_sub(c, 5, 5, "a");
        fake_go(c);
        expect_err(c, 2, WIRE_CODE_DUPLICATE);
        expect_err(c, 3, WIRE_CODE_DUPLICATE);
        expect_ok(c, 4, 0);
        expect_err(c, 5, WIRE_CODE_DUPLICATE);
        fake_deinit(&f);
}

TEST(unsubscribing_what_is_not_there_is_an_error)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        say_unsub(c, 1, 9);
        fake_go(c);
        expect_err(c, 1, WIRE_CODE_NO_SUCH_SUB);
        fake_deinit(&f);
}

TEST(a_bad_filter_is_an_error)
{
        static const char *const bad[] = {"", "a..b", "a.>.b", "a*", ".", " ", "\x01"};
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                say_sub(c, i + 1, 1, bad[i]);
                fake_go(c);
                expect_err(c, i + 1, WIRE_CODE_BAD_TOPIC);
        }
        fake_deinit(&f);
}

TEST(one_subscription_too_many_names_the_limit)
{
        struct fake f;
        fake_init_with(&f, "subscriptions=2");
        struct client *c = fake_open(&f);

        fake_sub(c, 1, "a");
        fake_sub(c, 2, "b");
        say_sub(c, 9, 3, "c");
        fake_go(c);
        CHECK(slice_is(expect_err(c, 9, WIRE_CODE_LIMIT)->m.verdict.limit, "subscriptions"));
        say_unsub(c, 10, 1);
        fake_go(c);
        expect_ok(c, 10, 0);
        fake_sub(c, 3, "c");
        fake_deinit(&f);
}

TEST(options_of_later_versions_are_refused_by_name)
{
        static const struct {
                const char *hex, *text;
        } subs[] = {
                /* Known to the protocol, not to this broker. */
                {"95 09 01 01 a1 61 81 a3 61 63 6b c3", "this broker has no ack without a group"},
                /* Unknown. */
                {"95 09 02 01 a1 61 81 a3 66 6f 6f 01", "unknown option foo"},
                /* Not fit to be shown. */
                {"95 09 03 01 a1 61 81 a1 ff 01", "unknown option"},
                {"95 09 04 01 a1 61 81 a1 0a 01", "unknown option"},
                {"95 09 05 01 a1 61 81 d9 42"
                 " 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61"
                 " 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61"
                 " 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 c3 a9 61"
                 " 01",
                        "unknown option"}, /* 64 bytes would end within a character */
        };
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
                say_bytes(c, subs[i].hex);
                fake_go(c);
                const struct got *g = expect_err(c, i + 1, WIRE_CODE_UNSUPPORTED);
                if (!slice_is(g->m.verdict.text, subs[i].text))
                        fail_msg("%zu: %.*s", i, (int)g->m.verdict.text.len,
                                (const char *)g->m.verdict.text.data);
        }
        c->last_id = ARRAY_LEN(subs);
        fake_sub(c, 1, "a"); /* the number is still free */
        fake_deinit(&f);
}

TEST(what_a_session_has_no_right_to_is_refused)
{
        struct fake f;
        fake_init(&f);
        core_free(f.core);
        f.config.rights = 0;
        CHECK_EQ(core_new(&f.config, f.now_ns, &f.core), 0);
        struct client *c = fake_open(&f);

        say_sub(c, 1, 1, "a");
        say_ingress(c, WIRE_INGRESS_CONFIRM, 2);
        say_pub(c, "a", "x");
        say_pub(c, "a", "y");
        say_ingress(c, 0, 0);
        say_pub(c, "a", "z");
        fake_go(c);
        expect_err(c, 1, WIRE_CODE_REFUSED);
        expect_err(c, 2, WIRE_CODE_REFUSED);
        expect_err(c, 3, WIRE_CODE_REFUSED);
        expect_err(c, 0, WIRE_CODE_REFUSED);
        CHECK(!c->is_gone);
        fake_deinit(&f);
}
