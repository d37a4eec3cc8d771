/* Placed payloads that the broker cannot read when it has to send them in chunks. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

enum { SIZE = 200000, REASON = WIRE_GAP_UNREADABLE };

/* From the first byte on, or with a packet of chunks out. */
static void make_unreadable(struct client *sub, bool has_begun)
{
        if (has_begun) {
                fake_room(sub, 66000);
                sub->room = 0;
        }
        sub->reads_nothing = true;
        fake_room(sub, SIZE_MAX);
}

TEST(an_unreadable_payload_is_a_gap)
{
        for (int has_begun = 0; has_begun < 2; has_begun++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *sub = fake_open(&f), *fine = fake_open(&f);
                fake_sub(sub, 3, "t");
                fake_sub(sub, 4, "*");
                fake_sub(fine, 1, "t");
                fake_pub(pub, "t", "before");
                expect_pub(sub, "t", "before");
                fake_room(sub, 0);
                fake_placed(pub, "t", 1, SIZE);
                fake_pub(pub, "t", "behind");
                make_unreadable(sub, has_begun);
                if (has_begun) {
                        CHECK_EQ(expect(sub, WIRE_BEGIN)->delivery.seq, 2);
                        CHECK_EQ(expect(sub, WIRE_END)->m.number, 1);
                }
                uint64_t seq = has_begun ? 3 : 2;
                expect_gap(sub, 3, 1, REASON, seq);
                expect_gap(sub, 4, 1, REASON, seq);
                CHECK_EQ(expect_pub(sub, "t", "behind")->delivery.seq, seq);
                expect_pub(fine, "t", "before");
                expect_large(fine, "t", 1, SIZE);
                expect_pub(fine, "t", "behind");
                CHECK_EQ(fake_report(&f, "dropped"), 1);
                CHECK_EQ(fake_report(&f, "delivered"), 5);
                fake_placed(pub, "t", 2, 5000);
                sub->reads_nothing = false;
                expect_gap(sub, 3, 1, REASON, seq + 1);
                expect_gap(sub, 4, 1, REASON, seq + 1);
                fake_placed(pub, "t", 3, SIZE);
                expect_large(sub, "t", 3, SIZE);
                fake_close_all(&f);
                fake_deinit(&f);
        }
}

/* A packet with descriptors holds BEGIN alone: it cannot fail for the payload. */
TEST(begin_with_descriptors_goes_before_the_payload_is_read)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 2);
        sub->reads_nothing = true;
        say_placed(pub, "t", 3, SIZE);
        fake_feed_fds(pub, fake_placed_fds(&f, 2, 1, SIZE));
        fake_flush(&f);
        CHECK_EQ(expect(sub, WIRE_BEGIN)->n_fds, 2);
        CHECK_EQ(expect(sub, WIRE_END)->m.number, 1);
        expect_gap(sub, 1, 1, REASON, 2);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(whoever_waited_for_an_unreadable_payload_goes_on)
{
        for (int has_begun = 0; has_begun < 2; has_begun++) {
                struct fake f;
                fake_init_with(&f, "queue_messages=1 stall_ms=1000");
                struct client *pub = fake_open(&f), *sub = fake_open(&f);
                fake_sub(sub, 1, "t");
                fake_room(sub, 0);
                fake_placed(pub, "t", 1, SIZE);
                fake_confirmed(pub, 1, "t", "2");
                fake_confirmed(pub, 2, "t", "3");
                make_unreadable(sub, has_begun);
                expect_ok(pub, 1, 1);
                expect_ok(pub, 2, 1);
                if (has_begun) {
                        expect(sub, WIRE_BEGIN);
                        expect(sub, WIRE_END);
                }
                expect(sub, WIRE_GAP);
                expect_pub(sub, "t", "2");
                expect_pub(sub, "t", "3");
                fake_tick(&f, 2000);
                CHECK(!sub->is_gone);
                fake_close_all(&f);
                fake_deinit(&f);
        }
}

TEST(a_leaving_session_leaves_although_the_last_was_unreadable)
{
        for (int has_begun = 0; has_begun < 2; has_begun++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *sub = fake_open(&f);
                fake_sub(sub, 1, "t");
                fake_room(sub, 0);
                fake_placed(pub, "t", 1, SIZE);
                say_bye(sub);
                fake_feed(sub);
                make_unreadable(sub, has_begun);
                if (has_begun) {
                        expect(sub, WIRE_BEGIN);
                        expect(sub, WIRE_END);
                }
                expect(sub, WIRE_GAP);
                expect_bye(sub, WIRE_CODE_NONE);
                fake_deinit(&f);
        }
}

/* ---------------------------------------------------- requests and replies */

TEST(a_request_that_cannot_be_read_has_no_responder)
{
        for (int has_begun = 0; has_begun < 2; has_begun++) {
                struct fake f;
                fake_init(&f);
                struct client *asker = fake_open(&f), *svc = fake_open(&f);
                fake_sub(svc, 1, "s");
                fake_room(svc, 0);
                say_request(asker, 1, 0);
                say_placed(asker, "s", 1, SIZE);
                fake_feed_fds(asker, fake_placed_fds(&f, 0, 1, SIZE));
                fake_flush(&f);
                make_unreadable(svc, has_begun);
                expect_err(asker, 1, WIRE_CODE_RESPONDER_GONE);
                CHECK_EQ(fake_report(&f, "requests"), 0);
                fake_close_all(&f);
                fake_deinit(&f);
        }
}

static void reply_placed(struct client *svc, uint64_t token, uint64_t flags)
{
        say_reply(svc, token, flags, 0);
        say_placed(svc, "", 1, SIZE);
        fake_feed_fds(svc, fake_placed_fds(svc->fake, 0, 1, SIZE));
        fake_flush(svc->fake);
}

/* Whatever else is queued for it: an id is answered once. */
enum behind { NOTHING, MORE, LAST, ITS_END, BEHINDS };

static void send_behind(struct fake *f, struct client *svc, uint64_t token, enum behind what)
{
        if (what == MORE || what == LAST)
                fake_reply(svc, token, WIRE_DELIVERY_MORE, 0, "more");
        if (what == LAST)
                fake_reply(svc, token, 0, 0, "last");
        if (what == ITS_END)
                fake_tick(f, 1000);
}

TEST(a_reply_that_cannot_be_read_ends_the_request)
{
        for (int i = 0; i < 2 * BEHINDS; i++) {
                bool has_begun = i % 2;
                struct fake f;
                fake_init(&f);
                struct client *asker = fake_open(&f), *svc = fake_open(&f);
                fake_sub(svc, 1, "s");
                fake_sub(asker, 1, "t");
                uint64_t token = fake_ask(asker, 2, 1000, "s", svc);
                uint64_t other = fake_ask(asker, 3, 5000, "s", svc);
                fake_room(asker, 0);
                fake_reply(svc, token, WIRE_DELIVERY_MORE, 0, "first");
                reply_placed(svc, token, WIRE_DELIVERY_MORE);
                fake_pub(svc, "t", "between");
                fake_reply(svc, other, 0, 0, "other");
                send_behind(&f, svc, token, i / 2);
                make_unreadable(asker, has_begun);
                expect_pub(asker, "", "first");
                if (has_begun) {
                        expect(asker, WIRE_BEGIN);
                        CHECK_EQ(expect(asker, WIRE_END)->m.number, 1);
                }
                expect_err(asker, 2, WIRE_CODE_PAYLOAD);
                expect_pub(asker, "t", "between");
                CHECK_EQ(expect_pub(asker, "", "other")->delivery.request, 3);
                expect_nothing(asker);
                CHECK_EQ(fake_report(&f, "requests"), 0);
                say_reply(svc, token, 0, 1);
                say_pub(svc, "", "late");
                fake_go(svc);
                fake_close_all(&f);
                fake_deinit(&f);
        }
}

TEST(a_final_reply_that_cannot_be_read_is_an_error)
{
        for (int has_begun = 0; has_begun < 2; has_begun++) {
                struct fake f;
                fake_init(&f);
                struct client *asker = fake_open(&f), *svc = fake_open(&f);
                fake_sub(svc, 1, "s");
                uint64_t token = fake_ask(asker, 1, 1000, "s", svc);
                fake_room(asker, 0);
                reply_placed(svc, token, 0);
                make_unreadable(asker, has_begun);
                if (has_begun) {
                        expect(asker, WIRE_BEGIN);
                        expect(asker, WIRE_END);
                }
                expect_err(asker, 1, WIRE_CODE_PAYLOAD);
                fake_tick(&f, 2000);
                expect_nothing(asker);
                CHECK_EQ(fake_report(&f, "queued"), 0);
                fake_close_all(&f);
                fake_deinit(&f);
        }
}
