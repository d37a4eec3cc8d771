/* A payload in chunks is a while on its way: what the handle may do meanwhile, and how it ends when
 * it cannot be sent to its end. */
#include "client/fake_payload.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BIG = 3 * MIB };

static void check_whole(const struct got *got, size_t n)
{
        CHECK_EQ(got->type, WIRE_BEGIN);
        CHECK_EQ(got->bytes, n);
        CHECK_EQ(got->status, 0);
}

TEST(nothing_else_is_published_until_it_is_sent)
{
        void *bytes = payload_make(BIG);
        struct notes notes = {.len = 0};
        struct fake f;
        struct message m;

        fake_open_large(&f, 0, 0);
        baton_set_nonblocking(f.b, true);
        CHECK_EQ(baton_publish(f.b, "t", bytes, BIG), 0);
        free(bytes);
        CHECK_EQ(baton_publish(f.b, "t", "x", 1), -EAGAIN);
        CHECK_STR(baton_error(f.b), "@fake: a large payload is still being sent");
        CHECK_EQ(baton_reply(f.b, 5, "x", 1), -EAGAIN);
        CHECK_EQ(baton_flush(f.b, 0), -EAGAIN);
        CHECK_EQ(baton_events(f.b), POLLIN | POLLOUT);
        /* All else passes it. */
        CHECK_EQ(baton_subscribe_start(f.b, "a", NULL, note_message, note_done, &notes, NULL), 0);
        struct got got = fake_collect(&f, f.b);
        check_whole(&got, BIG);
        CHECK(got.n_chunks >= BIG / 65019);
        CHECK_EQ(baton_flush(f.b, 0), 0);
        CHECK_EQ(baton_publish(f.b, "t", "x", 1), 0);
        CHECK(fake_next(&f, &m));
        CHECK_EQ(m.type, WIRE_PUB);
        fake_close(&f);
}

TEST(credit_alone_lets_it_go_on)
{
        void *bytes = payload_make(2 * FAKE_WINDOW);
        struct fake f;

        fake_open_large(&f, 0, 0);
        baton_set_nonblocking(f.b, true);
        CHECK_EQ(baton_publish(f.b, "t", bytes, 2 * FAKE_WINDOW), 0);
        free(bytes);
        /* To the end of the window. */
        size_t n = 0, more;
        while ((more = fake_skip(&f, WIRE_CHUNK))) {
                n += more;
                CHECK_EQ(baton_process(f.b), 0);
        }
        CHECK(n >= 15);
        CHECK_EQ(baton_events(f.b), POLLIN);
        CHECK_EQ(baton_flush(f.b, 0), -EAGAIN);
        CHECK(f.left < 65019 + 5);
        CHECK(f.chunk_bytes < FAKE_WINDOW);
        fake_refund(&f);
        CHECK_EQ(baton_process(f.b), 0);
        CHECK(fake_skip(&f, WIRE_CHUNK) > 0);
        fake_close(&f);
}

TEST(the_end_waits_for_what_it_costs)
{
        enum { SIZE = 10 * MIB, COST = 3 + SIZE / 1024 };
        void *bytes = payload_make(SIZE);
        struct fake f;
        struct message m;

        fake_open_over(&f, SOCK_SEQPACKET, fake_welcome_large(4 * WIRE_PACKET_BYTES, 0), 0);
        baton_set_nonblocking(f.b, true);
        CHECK_EQ(baton_publish(f.b, "t", bytes, SIZE), 0);
        free(bytes);
        /* Just enough for one chunk more. */
        while (f.chunk_bytes < SIZE) {
                uint64_t next = 5 + size_min(SIZE - f.chunk_bytes, 65019);
                if (fake_next(&f, &m))
                        continue;
                if (f.left < next) {
                        fake_say(&f, fake_credit(next - f.left));
                        fake_send(&f);
                }
                CHECK_EQ(baton_process(f.b), 0);
        }
        CHECK(f.left < COST);
        for (uint64_t last = COST - 1 - f.left;; last = 1) {
                CHECK(!fake_next(&f, &m));
                fake_say(&f, fake_credit(last));
                fake_send(&f);
                CHECK_EQ(baton_process(f.b), 0);
                if (f.left == COST)
                        break;
        }
        (void)fake_expect(&f, WIRE_END);
        CHECK_EQ(f.left, 0);
        fake_close(&f);
}

TEST(a_packet_with_little_room_is_left_as_it_is)
{
        void *bytes = payload_make(130000);
        struct fake f;

        fake_open_large(&f, 0, 0);
        baton_cork(f.b);
        CHECK_EQ(baton_publish(f.b, "t", bytes, 62000), 0);
        CHECK_EQ(baton_publish(f.b, "t", bytes, 130000), 0);
        (void)fake_expect(&f, WIRE_PUB);
        struct got got = fake_collect(&f, NULL);
        CHECK_EQ(got.n_chunks, 2);
        check_whole(&got, 130000);
        free(bytes);
        fake_close(&f);
}

TEST(what_is_refused_meanwhile_is_cut_short)
{
        void *bytes = payload_make(BIG);
        struct baton_publication p = {.topic = "t", .payload = bytes, .payload_len = BIG};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open_large(&f, 0, 0);
        baton_set_nonblocking(f.b, true);
        CHECK_EQ(baton_publish_confirm(f.b, &p, note_done, &notes), 0);
        free(bytes);
        fake_say(&f, fake_err(1, WIRE_CODE_REFUSED, "no"));
        fake_send(&f);
        struct got got = fake_collect(&f, f.b);
        CHECK_EQ(got.status, 1);
        CHECK(got.bytes < BIG);
        CHECK_STR(notes.text, "done -13;");
        fake_refund(&f);
        CHECK_EQ(run(&f), 0);
        CHECK_EQ(f.b->out.window, f.window);
        CHECK_EQ(baton_publish(f.b, "t", "x", 1), 0);
        CHECK_EQ(fake_expect(&f, WIRE_PUB).pub.payload.len, 1);
        fake_close(&f);
}

TEST(a_cancelled_request_is_cut_short)
{
        void *bytes = payload_make(BIG);
        struct baton_publication p = {.topic = "t", .payload = bytes, .payload_len = BIG};
        struct notes notes = {.len = 0};
        struct fake f;
        uint64_t id;

        fake_open_large(&f, 0, 0);
        baton_set_nonblocking(f.b, true);
        CHECK_EQ(baton_request_start(f.b, &p, 0, NULL, note_done, &notes, &id), 0);
        free(bytes);
        CHECK_EQ(baton_cancel(f.b, id), 0);
        struct got got = fake_collect(&f, f.b);
        CHECK_EQ(got.status, 1);
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "done -125;");
        fake_close(&f);
}

/* A blocking call that gives up in the middle; END(1) follows when there is window for it. */
static void give_up(struct fake *f, int expected, int (*call)(struct fake *f, void *bytes))
{
        void *bytes = payload_make(BIG);

        CHECK_EQ(call(f, bytes), expected);
        free(bytes);
        baton_set_nonblocking(f->b, true);
        struct got got = fake_collect(f, f->b);
        CHECK_EQ(got.type, WIRE_BEGIN);
        CHECK_EQ(got.status, 1);
        CHECK(got.bytes < BIG);
        fake_refund(f);
        CHECK(run(f) >= 0);
        CHECK_EQ(f->b->out.window, f->window);
        CHECK_EQ(baton_publish(f->b, "t", "x", 1), 0);
        CHECK_EQ(fake_expect(f, WIRE_PUB).pub.payload.len, 1);
        fake_close(f);
}

static int publish_wait(struct fake *f, void *bytes)
{
        struct baton_publication p = {.topic = "t", .payload = bytes, .payload_len = BIG};

        return baton_publish_wait(f->b, &p, 20);
}

TEST(a_call_that_runs_out_of_time_gives_it_up)
{
        struct fake f;

        fake_open_large(&f, 0, 0);
        give_up(&f, -ETIMEDOUT, publish_wait);
}

static int publish_plain(struct fake *f, void *bytes)
{
        return baton_publish(f->b, "t", bytes, BIG);
}

static int publish_confirm(struct fake *f, void *bytes)
{
        struct baton_publication p = {.topic = "t", .payload = bytes, .payload_len = BIG};
        static struct notes notes; /* not called, or the text is not empty */

        int r = baton_publish_confirm(f->b, &p, note_done, &notes);
        CHECK_EQ(notes.len, 0);
        return r;
}

TEST(a_full_inbox_gives_it_up)
{
        int (*const calls[])(struct fake * f, void *bytes) = {publish_plain, publish_confirm};

        for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
                struct notes notes = {.len = 0};
                struct fake f;
                fake_open_large(&f, 0, 0);
                uint32_t sub = fake_subscribe(&f, "a", note_message, &notes);
                baton_set_inbox(f.b, 10);
                fake_deliver(&f, 1, sub, "a", "1");
                give_up(&f, -ENOBUFS, calls[i]);
                CHECK_STR(notes.text, "a=1;");
        }
}

TEST(the_loss_of_the_connection_ends_it_once)
{
        void *bytes = payload_make(BIG);
        struct baton_publication p = {.topic = "t", .payload = bytes, .payload_len = BIG};

        for (int i = 0; i < 4; i++) {
                struct notes notes = {.len = 0};
                struct fake f;
                fake_open_large(&f, 0, 0);
                baton_set_nonblocking(f.b, i & 1);
                if (i & 1)
                        CHECK_EQ(baton_publish_confirm(f.b, &p, note_done, &notes), 0);
                f.link = link_free(f.link);
                if (i == 0)
                        CHECK_EQ(baton_publish(f.b, "t", bytes, BIG), -ENOTCONN);
                if (i == 2)
                        CHECK_EQ(baton_publish_confirm(f.b, &p, note_done, &notes), 0);
                if (i == 3)
                        f.b = baton_free(f.b);
                else
                        CHECK_EQ(run(&f), -ENOTCONN);
                CHECK_STR(notes.text, i ? "done -107;" : "");
                fake_close(&f);
        }
        free(bytes);
}

TEST(close_gives_up_what_was_begun)
{
        struct baton_publication p = {.topic = "t"};
        char bytes[1000] = "";

        for (uint64_t features = 0; features < 2; features++) {
                struct notes notes = {.len = 0};
                struct fake f;
                fake_open_large(&f, features, 0);
                CHECK_EQ(baton_begin(f.b, &p, 0, note_done, &notes), 0);
                CHECK_EQ(baton_write(f.b, bytes, sizeof(bytes)), 0);
                fake_say(&f, fake_bye(0, ""));
                fake_send(&f);
                CHECK_EQ(baton_close(f.b, 1000), 0);
                CHECK_STR(notes.text, "done -107;");
                if (!features || !memfile_can_seal()) {
                        (void)fake_expect(&f, WIRE_INGRESS);
                        (void)fake_expect(&f, WIRE_BEGIN);
                        CHECK_EQ(fake_expect(&f, WIRE_END).number, 1);
                }
                (void)fake_expect(&f, WIRE_BYE);
                fake_close(&f);
        }
}
