/* Sessions of other uids keep or lose publications in the pieces that they came in: to take these
 * apart would cost their publisher's turn. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

static void publish_run(struct client *pub, const char *topic, int n)
{
        for (int i = 0; i < n; i++)
                say_pub(pub, topic, "x");
        fake_go(pub);
}

TEST(strangers_keep_or_lose_what_came_in_one_piece_as_a_whole)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any subscribe:>");
        struct client *pub = fake_open(&f), *sub = fake_stranger(&f, 2000);

        say(sub, &(struct message){.type = WIRE_SUB,
                         .sub = {.id = ++sub->last_id,
                                 .sub = 1,
                                 .filter = fake_text("a"),
                                 .overflow = WIRE_OVERFLOW_DROP_OLDEST,
                                 .queue_messages = 15}});
        fake_go(sub);
        (void)expect(sub, WIRE_OK);
        fake_room(sub, 0);
        publish_run(pub, "a", 100);
        publish_run(pub, "a", 10);
        publish_run(pub, "a", 4);
        fake_room(sub, SIZE_MAX);
        expect_gap(sub, 1, 100, WIRE_GAP_OVERFLOW, 1);
        CHECK_EQ(fake_count(sub), 14);
        fake_deinit(&f);
}

/* A thousand messages for thirty who do not read are thirty pieces, and not thirty thousand. */
TEST(strangers_who_do_not_read_cost_no_more_for_many_messages_than_for_one)
{
        struct fake f;
        fake_init(&f);
        fake_policy(&f, "any subscribe:> uid_queue_bytes:1000000");
        struct client *pub = fake_open(&f);
        uint64_t one, many;

        for (int i = 0; i < 30; i++) {
                struct client *sub = fake_stranger(&f, 2000);
                fake_sub_stranger(sub, 1, ">");
                fake_room(sub, 0);
        }
        publish_run(pub, "a", 1000);
        one = core_work(f.core);
        publish_run(pub, "a", 1);
        one = core_work(f.core) - one;
        many = core_work(f.core);
        publish_run(pub, "a", 1000);
        many = core_work(f.core) - many;
        CHECK(many < one + 1100); /* a frame each */
        fake_deinit(&f);
}
