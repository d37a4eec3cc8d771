/* Large payloads on their way out: in which form, at what cost, and whatever may happen meanwhile.
 * The fake broker checks every byte, and the account of the window. */
#include "client/fake_payload.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* 95 10 00 a1 74 80 c5 nn nn: the frame of an inline payload with topic "t". */
enum { FRAME_REST = 9, INLINE_MOST = WIRE_FRAME_BYTES - FRAME_REST };

static const size_t sizes[] = {1, 255, 256, 4096, INLINE_MOST, INLINE_MOST + 1, 65023, 65024, 65025,
        2 * 65019, 2 * 65019 + 1, MIB, 70 * MIB};

static void check_inline(const struct got *got, size_t n)
{
        CHECK_EQ(got->type, WIRE_PUB);
        CHECK(!got->placed);
        CHECK_EQ(got->bytes, n);
}

static void check_form(const struct got *got, size_t n, bool placed)
{
        CHECK_STR(got->topic, "t");
        CHECK_EQ(got->bytes, n);
        CHECK_EQ(got->placed, placed);
        CHECK_EQ(got->type, placed ? WIRE_PUB : WIRE_BEGIN);
        CHECK_EQ(got->announced, n);
        CHECK_EQ(got->status, 0);
}

/* Both sides know what is left of the window. */
static void check_window(struct fake *f)
{
        CHECK_EQ(f->b->out.window, f->left);
        fake_refund(f);
        CHECK(baton_process(f->b) >= 0);
        CHECK_EQ(f->b->out.window, f->window);
        CHECK_EQ(f->left, f->window);
}

static void send_all_sizes(uint64_t features, size_t large, bool placed)
{
        struct fake f;

        fake_open_large(&f, features, large);
        CHECK_EQ(f.features, large != SIZE_MAX && memfile_can_seal() ? WIRE_FEATURE_MEMFD : 0);
        baton_set_nonblocking(f.b, true);
        size_t fds = test_open_fds();
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                void *bytes = payload_make(sizes[i]);
                CHECK_EQ(baton_publish(f.b, "t", bytes, sizes[i]), 0);
                free(bytes); /* nothing of it is lent any more */
                struct got got = fake_collect(&f, f.b);
                if (sizes[i] <= INLINE_MOST)
                        check_inline(&got, sizes[i]);
                else
                        check_form(&got, sizes[i], placed);
                check_window(&f);
        }
        f.fds = fdset_unref(f.fds);
        CHECK_EQ(test_open_fds(), fds);
        fake_close(&f);
}

TEST(what_fits_no_frame_is_placed_where_the_broker_takes_it)
{
        NEEDS_MEMFD();
        send_all_sizes(WIRE_FEATURE_MEMFD, 0, true);
}

TEST(what_fits_no_frame_goes_in_chunks_elsewhere)
{
        send_all_sizes(0, 0, false);
}

TEST(the_handle_may_forbid_memory_files)
{
        send_all_sizes(WIRE_FEATURE_MEMFD, SIZE_MAX, false);
}

TEST(a_session_without_the_right_sends_chunks)
{
        void *bytes = payload_make(MIB);
        struct fake f;

        fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
        baton_set_nonblocking(f.b, true);
        fake_say(&f, (struct message){.type = WIRE_RIGHTS, .number = WIRE_RIGHT_PUBLISH});
        fake_send(&f);
        CHECK_EQ(run(&f), 0);
        CHECK_EQ(baton_publish(f.b, "t", bytes, MIB), 0);
        struct got got = fake_collect(&f, f.b);
        check_form(&got, MIB, false);
        free(bytes);
        fake_close(&f);
}

TEST(the_threshold_places_what_would_fit)
{
        static const size_t thresholds[] = {1, 100, 255, 256, 10000, 65000};
        void *bytes = payload_make(65001);

        NEEDS_MEMFD();
        for (size_t i = 0; i < ARRAY_LEN(thresholds); i++) {
                size_t n = thresholds[i];
                struct fake f;
                fake_open_large(&f, WIRE_FEATURE_MEMFD, n);
                for (size_t len = n - 1; len <= n + 1; len++) {
                        CHECK_EQ(baton_publish(f.b, "t", bytes, len), 0);
                        struct got got = fake_collect(&f, f.b);
                        if (len <= n)
                                check_inline(&got, len);
                        else
                                check_form(&got, len, true);
                        check_window(&f);
                }
                fake_close(&f);
                /* What cannot be placed and fits a frame is in it all the same. */
                fake_open_large(&f, 0, n);
                CHECK_EQ(baton_publish(f.b, "t", bytes, n + 1), 0);
                struct got got = fake_collect(&f, f.b);
                check_inline(&got, n + 1);
                fake_close(&f);
        }
        free(bytes);
}

TEST(the_cost_is_capped_at_a_quarter_of_the_window)
{
        int fds[WIRE_FDS];
        struct baton_publication p = {.topic = "t", .fds = fds};
        void *bytes = payload_make(70 * MIB);
        struct fake f;

        NEEDS_MEMFD();
        for (size_t i = 0; i < WIRE_FDS; i++)
                fds[i] = 0;
        fake_open_over(&f, SOCK_SEQPACKET,
                fake_welcome_large(4 * WIRE_PACKET_BYTES, WIRE_FEATURE_MEMFD), 0);
        p.payload = bytes;
        p.payload_len = 30 * MIB;
        p.n_fds = 8;
        CHECK_EQ(baton_publish_with(f.b, &p), 0);
        (void)fake_collect(&f, NULL);
        /* 36 KiB for descriptors and 30 for the payload are more than a quarter. */
        CHECK_EQ(f.last_cost, 11 + 65536);
        check_window(&f);
        p.payload_len = 70000;
        CHECK_EQ(baton_publish_with(f.b, &p), 0);
        (void)fake_collect(&f, NULL);
        CHECK_EQ(f.last_cost, 11 + 9 * 4096 + 70000 / 1024);
        check_window(&f);
        p.n_fds = WIRE_FDS;
        p.payload_len = 70 * MIB;
        CHECK_EQ(baton_publish_with(f.b, &p), 0);
        struct got got = fake_collect(&f, NULL);
        CHECK_EQ(got.n_fds, WIRE_FDS);
        check_form(&got, 70 * MIB, true);
        CHECK_EQ(f.last_cost, 11 + 65536);
        check_window(&f);
        free(bytes);
        fake_close(&f);
}

TEST(descriptors_alone_cost_as_well)
{
        int fds[3] = {0, 0, 0};
        struct baton_publication p = {.topic = "t", .fds = fds, .n_fds = 3};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_publish_with(f.b, &p), 0);
        (void)fake_collect(&f, NULL);
        CHECK_EQ(f.last_cost, 8 + 3 * 4096);
        check_window(&f);
        fake_close(&f);
}

TEST(header_frames_stand_before_either_form)
{
        void *bytes = payload_make(MIB);
        struct baton_publication p = {.topic = "t",
                .payload = bytes,
                .payload_len = MIB,
                .flags = BATON_RETAIN,
                .ttl_ms = 5};
        struct baton_publication request = {.topic = "t", .payload = bytes, .payload_len = MIB};

        NEEDS_MEMFD();
        for (int placed = 0; placed < 2; placed++) {
                struct notes notes = {.len = 0};
                struct fake f;
                fake_open_large(&f, placed ? WIRE_FEATURE_MEMFD : 0, 0);
                baton_set_nonblocking(f.b, true);
                CHECK_EQ(baton_publish_confirm(f.b, &p, note_done, &notes), 0);
                struct got got = fake_collect(&f, f.b);
                check_form(&got, MIB, placed);
                CHECK_EQ(got.head, WIRE_INGRESS);
                CHECK_EQ(got.flags, WIRE_INGRESS_CONFIRM | WIRE_INGRESS_RETAIN);
                CHECK_EQ(got.id, 1);
                fake_refund(&f);
                CHECK_EQ(run(&f), 0);
                CHECK_EQ(baton_request_start(f.b, &request, 0, NULL, note_done, &notes, NULL), 0);
                got = fake_collect(&f, f.b);
                check_form(&got, MIB, placed);
                CHECK_EQ(got.head, WIRE_REQUEST);
                CHECK_EQ(got.id, 2);
                fake_refund(&f);
                CHECK_EQ(run(&f), 0);
                CHECK_EQ(baton_reply(f.b, 77, bytes, MIB), 0);
                got = fake_collect(&f, f.b);
                CHECK_EQ(got.head, WIRE_REPLY);
                CHECK_EQ(got.token, 77);
                CHECK_STR(got.topic, "");
                CHECK_EQ(got.bytes, MIB);
                fake_say(&f, fake_ok(1, 4, 1));
                fake_say(&f, fake_reply(2, 0));
                fake_say(&f, fake_pub("", "r"));
                fake_send(&f);
                CHECK_EQ(run(&f), 0);
                CHECK_STR(notes.text, "done 4;done 0;");
                fake_close(&f);
        }
        free(bytes);
}

TEST(descriptors_go_with_begin_in_a_packet_of_their_own)
{
        int fds[2] = {0, 0};
        void *bytes = payload_make(MIB);
        struct baton_publication p = {
                .topic = "t", .payload = bytes, .payload_len = MIB, .fds = fds, .n_fds = 2};
        struct message m;
        struct fake f;

        fake_open_large(&f, 0, 0);
        baton_set_nonblocking(f.b, true);
        baton_cork(f.b);
        CHECK_EQ(baton_publish(f.b, "before", "", 0), 0);
        CHECK_EQ(baton_publish_with(f.b, &p), 0);
        CHECK(slice_is(fake_expect(&f, WIRE_PUB).pub.topic, "before"));
        m = fake_expect(&f, WIRE_BEGIN);
        CHECK_EQ(m.pub.n_fds, 2);
        CHECK_EQ(m.pub.size, MIB);
        CHECK_EQ(f.last_cost, 11 + 2 * 4096);
        CHECK(f.at == f.end);
        fake_close(&f);
        free(bytes);
}

TEST(the_largest_is_refused_by_the_name_of_the_limit_and_its_value)
{
        static const uint8_t byte;
        struct fake f;

        fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
        /* It is not looked at. */
        CHECK_EQ(baton_publish(f.b, "t", &byte, (size_t)FAKE_LARGEST + 1), -EMSGSIZE);
        CHECK_STR(baton_error(f.b),
                "@fake: payload of 1073741825 bytes: 1073741824 are the limit (payload_bytes)");
        CHECK_EQ(baton_publish(f.b, "t", &byte, SIZE_MAX), -EMSGSIZE);
        fake_close(&f);
        struct message welcome = fake_welcome_large(FAKE_WINDOW, WIRE_FEATURE_MEMFD);
        welcome.welcome.limits[1].value = 1000;
        fake_open_over(&f, SOCK_SEQPACKET, welcome, 0);
        char small[1001] = "";
        CHECK_EQ(baton_publish(f.b, "t", small, 1000), 0);
        CHECK_EQ(baton_publish(f.b, "t", small, 1001), -EMSGSIZE);
        CHECK(strstr(baton_error(f.b), "1000 are the limit (payload_bytes)"));
        fake_close(&f);
}

TEST(a_placed_payload_is_taken_back_when_a_nonblocking_socket_is_full)
{
        void *bytes = payload_make(MIB);
        struct fake f;

        NEEDS_MEMFD();
        fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
        baton_set_nonblocking(f.b, true);
        size_t fds = test_open_fds();
        int r, n = 0;
        while ((r = baton_publish(f.b, "t", bytes, MIB)) == 0 && ++n < 1000)
                continue;
        CHECK_EQ(r, -EAGAIN);
        CHECK_EQ(test_open_fds(), fds);
        CHECK(n > 1 && n < 1000);
        CHECK(baton_events(f.b) & POLLIN);
        for (int i = 0; i < n; i++)
                (void)fake_collect(&f, f.b);
        CHECK_EQ(baton_process(f.b), 0);
        check_window(&f);
        CHECK_EQ(baton_publish(f.b, "t", bytes, MIB), 0);
        struct got got = fake_collect(&f, f.b);
        check_form(&got, MIB, true);
        free(bytes);
        fake_close(&f);
}
