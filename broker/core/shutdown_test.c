/* The end of the broker, and what outlives its sessions. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

TEST(shutdown_tells_everybody_behind_what_is_queued)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f), *new = fake_connect(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        fake_pub(pub, "a", "1");
        core_shutdown(f.core, f.now_ns);
        fake_check(&f);
        fake_flush(&f);
        expect_bye(pub, WIRE_CODE_SHUTDOWN);
        expect_bye(new, WIRE_CODE_SHUTDOWN);
        CHECK(!sub->is_gone);
        fake_room(sub, SIZE_MAX);
        expect_pub(sub, "a", "1");
        expect_bye(sub, WIRE_CODE_SHUTDOWN);
        CHECK_EQ(core_sessions(f.core), 0);
        CHECK_EQ(core_deadline(f.core), UINT64_MAX);
        fake_deinit(&f);
}

TEST(shutdown_lets_parked_publications_through)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        for (uint64_t id = 1; id <= 3; id++) {
                say_ingress(pub, WIRE_INGRESS_CONFIRM, id);
                say_pub(pub, "a", "x");
        }
        fake_go(pub);
        core_shutdown(f.core, f.now_ns);
        fake_check(&f);
        /* The receiver's subscription ends with the shutdown: what was parked has nobody left. */
        fake_room(sub, SIZE_MAX);
        expect_ok(pub, 1, 1);
        expect_ok(pub, 2, 0);
        expect_ok(pub, 3, 0);
        expect_bye(pub, WIRE_CODE_SHUTDOWN);
        expect_pub(sub, "a", "x");
        expect_bye(sub, WIRE_CODE_SHUTDOWN);
        fake_deinit(&f);
}

TEST(shutdown_leaves_those_alone_that_end_already)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *leaving = fake_open(&f), *ending = fake_open(&f);

        fake_sub(leaving, 1, "a");
        fake_room(leaving, 0);
        fake_pub(pub, "a", "1");
        say_bye(leaving);
        fake_go(leaving);
        core_end(f.core, ending->id, WIRE_CODE_PROTOCOL, "enough", f.now_ns);
        uint64_t deadline = core_deadline(f.core);
        f.now_ns += 1000;
        core_shutdown(f.core, f.now_ns);
        fake_check(&f);
        CHECK_EQ(core_deadline(f.core), deadline);
        fake_flush(&f);
        expect_bye(ending, WIRE_CODE_PROTOCOL);
        fake_room(leaving, SIZE_MAX);
        expect_pub(leaving, "a", "1");
        expect_bye(leaving, WIRE_CODE_SHUTDOWN);
        fake_deinit(&f);
}

TEST(nobody_comes_in_after_shutdown)
{
        struct fake f;
        fake_init(&f);

        core_shutdown(f.core, f.now_ns);
        expect_bye(fake_connect(&f), WIRE_CODE_SHUTDOWN);
        CHECK_EQ(core_sessions(f.core), 0);
        fake_deinit(&f);
}

/* A client that comes, publishes and goes leaves its publications waiting for a full receiver: what
 * that costs the broker is bounded by the limit on sessions. */
TEST(publications_of_the_gone_count_as_their_sessions)
{
        struct fake f;
        fake_init_with(&f, "sessions=10 queue_messages=1");
        struct client *sub = fake_open(&f);
        int n_in = 0;

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        for (int i = 0; i < 30; i++) {
                struct client *pub = fake_connect(&f);
                if (pub->is_gone)
                        continue;
                say_hello(pub, "hit and run");
                fake_go(pub);
                say_pub(pub, "a", "x");
                say_pub(pub, "b", "x");
                say_pub(pub, "a", "x");
                fake_go(pub);
                fake_close(pub);
                n_in++;
        }
        CHECK(n_in <= 10);
        fake_room(sub, SIZE_MAX);
        for (int i = 0; i < 2 * n_in; i++)
                expect_pub(sub, "a", "x");
        CHECK(!fake_open(&f)->is_gone);
        fake_deinit(&f);
}
