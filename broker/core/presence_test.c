/* Who comes and who goes, as the broker tells it. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <string.h>

static void expect_told(struct client *c, const char *topic, const char *what)
{
        struct got *g = fake_next(c);

        CHECK_PTR(g);
        CHECK_EQ(g->m.type, WIRE_PUB);
        CHECK(slice_is(g->m.pub.topic, topic));
        CHECK_EQ(g->delivery.session, 0);
        char text[512];
        snprintf(text, sizeof(text), "%.*s", (int)g->m.pub.payload.len,
                (const char *)g->m.pub.payload.data);
        if (!strstr(text, what))
                fail_msg("%s is not in %s", what, text);
}

TEST(sessions_that_come_and_go_are_told_with_who_they_are_and_why)
{
        struct core_peer peer = {.pid = 4711, .uid = 0, .gid = 7};
        struct fake f;
        fake_init(&f);
        struct client *sub = fake_open(&f);
        char text[256];

        fake_sub(sub, 1, "$sys.session.*");
        struct client *a = fake_connect_as(&f, &peer);
        say_hello(a, "a \"name\" with \\");
        fake_go(a);
        fake_forget(a);
        expect_told(sub, "$sys.session.opened",
                "\"pid\":4711,\"uid\":0,\"gid\":7,\"name\":\"a \\\"name\\\" with \\\\\"}");
        fake_close(a);
        expect_told(sub, "$sys.session.closed", "\"reason\":\"lost\",\"discarded\":0}");

        struct client *b = fake_open(&f);
        snprintf(text, sizeof(text), "{\"session\":%d,", (int)b->number);
        expect_told(sub, "$sys.session.opened", text);
        say_bye(b);
        fake_go(b);
        expect_told(sub, "$sys.session.closed", "\"reason\":\"left\"");
        fake_forget(b);

        struct client *c = fake_open(&f);
        expect_told(sub, "$sys.session.opened", "");
        say_bytes(c, "91 3f");
        fake_go(c);
        expect_told(sub, "$sys.session.closed", "\"reason\":\"PROTOCOL\"");
        fake_forget(c);
        fake_close(fake_connect(&f)); /* said nothing: was nobody */
        expect_nothing(sub);
        fake_deinit(&f);
}

TEST(what_was_queued_for_who_is_gone_is_counted)
{
        struct fake f;
        fake_init(&f);
        struct client *watch = fake_open(&f), *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(watch, 1, "$sys.session.closed");
        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        for (int i = 0; i < 3; i++)
                fake_pub(pub, "a", "x");
        fake_close(sub);
        expect_told(watch, "$sys.session.closed", "\"discarded\":3}");
        fake_deinit(&f);
}

TEST(who_watches_slowly_holds_nobody_up_and_is_told_of_gaps)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=2");
        struct client *watch = fake_open(&f);

        fake_sub(watch, 1, "$sys.session.opened");
        fake_room(watch, 0);
        for (int i = 0; i < 5; i++)
                (void)fake_open(&f);
        fake_room(watch, SIZE_MAX);
        expect_told(watch, "$sys.session.opened", "");
        expect_told(watch, "$sys.session.opened", "");
        expect_gap(watch, 1, 3, WIRE_GAP_OVERFLOW, 3);
        fake_deinit(&f);
}
