/* Who begins a payload and does not go on may not keep what the broker has collected of it. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

static void expect_stalled(struct client *c, uint64_t id)
{
        CHECK(slice_is(expect_err(c, id, WIRE_CODE_LIMIT)->m.verdict.limit, "stall_ms"));
}

static void begin(struct client *c, uint64_t size)
{
        say_ingress(c, WIRE_INGRESS_CONFIRM, c->last_id + 1);
        say_begin(c, "t", 2, size);
        fake_send(c, 2);
        fake_chunks(c, 1, 100000, 20000);
        fake_go(c);
}

/* Skipped like the rest of all that is refused, and the session goes on. */
static void end_it(struct client *pub, struct client *sub)
{
        fake_chunks(pub, 1, 100000, 20000);
        say_end(pub, 0);
        fake_go(pub);
        expect_nothing(pub);
        fake_confirmed(pub, pub->last_id + 1, "t", "next");
        expect_ok(pub, pub->last_id, 1);
        expect_pub(sub, "t", "next");
}

TEST(an_upload_that_makes_no_progress_is_given_up_and_its_sender_told)
{
        struct fake f;
        fake_init_with(&f, "stall_ms=1000");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        begin(pub, 200000);
        CHECK_EQ(fake_report(&f, "spooled_bytes"), 100000);
        CHECK_EQ(fake_report(&f, "descriptors"), 3);
        fake_tick(&f, 999);
        expect_nothing(pub);
        fake_tick(&f, 1);
        expect_stalled(pub, pub->last_id);
        CHECK_EQ(fake_report(&f, "spooled_bytes"), 0);
        CHECK_EQ(fake_report(&f, "descriptors"), 0);
        fake_tick(&f, 100000); /* once */
        expect_nothing(pub);
        end_it(pub, sub);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(an_upload_without_an_id_is_given_up_too)
{
        struct fake f;
        fake_init_with(&f, "stall_ms=1000");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        say_begin(pub, "t", 0, 0); /* and not one chunk */
        fake_go(pub);
        fake_tick(&f, 1000);
        expect_stalled(pub, 0);
        end_it(pub, sub);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(each_byte_is_progress_and_an_empty_chunk_is_none)
{
        struct fake f;
        fake_init_with(&f, "stall_ms=1000");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        say_begin(pub, "t", 0, 0);
        for (int i = 0; i < 5; i++) {
                say_chunk(pub, "x", 1);
                fake_go(pub);
                fake_tick(&f, 999);
        }
        say_chunk(pub, "", 0);
        say_number(pub, WIRE_PING, 5); /* nor is anything else */
        fake_go(pub);
        expect(pub, WIRE_PONG);
        fake_tick(&f, 1);
        expect_stalled(pub, 0);
        say_end(pub, 0);
        fake_go(pub);
        expect_nothing(pub);
        expect_nothing(sub);
        fake_close_all(&f);
        fake_deinit(&f);
}

/* Its own publications wait for others who do not read, and may have all of its window. */
TEST(who_is_held_up_by_receivers_is_given_its_time)
{
        struct fake f;
        fake_init_with(&f, "stall_ms=1000 queue_messages=1");
        struct client *pub = fake_open(&f), *other = fake_open(&f);
        struct client *a = fake_open(&f), *b = fake_open(&f);

        fake_sub(a, 1, "a");
        fake_sub(b, 1, "b");
        fake_room(a, 0);
        fake_room(b, 0);
        fake_pub(other, "a", "fills it");
        fake_pub(pub, "a", "waits");
        fake_pub(pub, "b", "waits behind");
        say_begin(pub, "t", 0, 0);
        fake_go(pub);
        fake_tick(&f, 500);
        fake_pub(other, "b", "fills it");
        fake_tick(&f, 500); /* `a` is ended, and it waits for `b` */
        CHECK_EQ(fake_report(&f, "parked"), 1);
        fake_tick(&f, 999);
        CHECK_EQ(fake_report(&f, "parked"), 0);
        expect_nothing(pub);
        fake_tick(&f, 1);
        expect_stalled(pub, 0);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(what_is_refused_cancelled_or_ended_has_no_deadline)
{
        struct fake f;
        fake_init_with(&f, "stall_ms=1000 payload_bytes=100000");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        say_begin(pub, "t", 0, 200000);
        fake_go(pub);
        expect_err(pub, 0, WIRE_CODE_LIMIT);
        fake_tick(&f, 5000);
        say_end(pub, 1);
        say_request(pub, pub->last_id + 1, 0);
        say_begin(pub, "t", 0, 0);
        say_number(pub, WIRE_CANCEL, pub->last_id);
        fake_go(pub);
        expect_err(pub, pub->last_id, WIRE_CODE_CANCELLED);
        fake_tick(&f, 5000);
        say_end(pub, 0);
        say_begin(pub, "t", 0, 0);
        say_end(pub, 1);
        fake_go(pub);
        fake_tick(&f, 5000);
        expect_nothing(pub);
        say_begin(pub, "t", 0, 0);
        say_bye(pub);
        fake_go(pub);
        fake_tick(&f, 5000);
        fake_close_all(&f);
        fake_deinit(&f);
}
