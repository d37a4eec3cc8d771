/* Large payloads and handles that block: the broker is another thread. */
#include "client/fake_payload.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BIG = 3 * MIB };

struct peer {
        struct fake *f;
        size_t n;
        struct got got;
};

static void *read_publications(void *arg)
{
        struct peer *r = arg;

        for (size_t i = 0; i < r->n; i++)
                r->got = fake_collect(r->f, NULL);
        return NULL;
}

static void publish_blocking(int socket_type, uint64_t features)
{
        static const size_t sizes[] = {65016, MIB, 70 * MIB, 10};
        struct fake f;
        struct peer peer = {.f = &f, .n = ARRAY_LEN(sizes)};
        pthread_t thread;

        fake_open_over(&f, socket_type, fake_welcome_large(FAKE_WINDOW, features), 0);
        CHECK_EQ(pthread_create(&thread, NULL, read_publications, &peer), 0);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                void *bytes = payload_make(sizes[i]);
                CHECK_EQ(baton_publish(f.b, "t", bytes, sizes[i]), 0);
                free(bytes);
        }
        CHECK_EQ(baton_flush(f.b, -1), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_EQ(peer.got.bytes, 10);
        fake_close(&f);
}

TEST(a_blocking_publisher_waits_until_all_is_sent)
{
        publish_blocking(SOCK_SEQPACKET, 0);
}

TEST(chunks_go_over_a_stream_too)
{
        publish_blocking(SOCK_STREAM, 0);
}

TEST(placed_payloads_go_over_a_stream_too)
{
        NEEDS_MEMFD();
        publish_blocking(SOCK_STREAM, WIRE_FEATURE_MEMFD);
}

static void *hang_up(void *arg)
{
        struct fake *f = arg;
        struct message m;

        while (f->chunk_bytes < 4 * 65019) {
                if (!fake_next(f, &m))
                        assert_int_equal(link_wait(f->link, POLLIN, -1), 0);
        }
        f->link = link_free(f->link);
        return NULL;
}

TEST(a_broker_that_goes_in_the_middle_ends_blocking_calls_once)
{
        for (int i = 0; i < 4; i++) {
                struct notes notes = {.len = 0};
                pthread_t thread;
                struct fake f;
                fake_open_large(&f, 0, 0);
                CHECK_EQ(pthread_create(&thread, NULL, hang_up, &f), 0);
                void *bytes = payload_make(BIG);
                struct baton_publication p = {.topic = "t", .payload = bytes, .payload_len = BIG};
                int r = i == 0   ? baton_publish(f.b, "t", bytes, BIG)
                        : i == 1 ? baton_publish_wait(f.b, &p, -1)
                        : i == 2 ? baton_request(f.b, &p, 0, note_message, &notes)
                                 : baton_publish_confirm(f.b, &p, note_done, &notes);
                CHECK_EQ(pthread_join(thread, NULL), 0);
                /* What has an operation tells by it how it ended. */
                CHECK_EQ(r, i == 3 ? 0 : -ENOTCONN);
                CHECK_EQ(run(&f), -ENOTCONN);
                CHECK_STR(notes.text, i == 3 ? "done -107;" : "");
                free(bytes);
                fake_close(&f);
        }
}

static void *read_to_the_end(void *arg)
{
        struct fake *f = arg;
        struct message m;
        struct got got = fake_collect(f, NULL);

        assert_int_equal(got.bytes, BIG);
        while (!fake_next(f, &m))
                assert_int_equal(link_wait(f->link, POLLIN, -1), 0);
        assert_int_equal(m.type, WIRE_BYE);
        fake_say(f, fake_bye(0, ""));
        fake_send(f);
        return NULL;
}

TEST(close_waits_until_it_is_sent)
{
        void *bytes = payload_make(BIG);
        pthread_t thread;
        struct fake f;

        fake_open_large(&f, 0, 0);
        baton_set_nonblocking(f.b, true);
        CHECK_EQ(baton_publish(f.b, "t", bytes, BIG), 0);
        free(bytes);
        CHECK_EQ(pthread_create(&thread, NULL, read_to_the_end, &f), 0);
        CHECK_EQ(baton_close(f.b, -1), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        fake_close(&f);
}
