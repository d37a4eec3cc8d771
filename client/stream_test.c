/* Streams: a packet may be sent in part, and then it is not sent. */
#include "client/fake_payload.h"

#include "proto/link/listener.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

static void open_stream(struct fake *f)
{
        fake_open_over(f, SOCK_STREAM, fake_welcome_large(FAKE_WINDOW, WIRE_FEATURE_MEMFD), 0);
}

/* Publishes until half a packet lies in the link and nothing waits behind it. Returns how many. */
static size_t send_half(struct fake *f)
{
        void *bytes = payload_make(60000);
        size_t n = 0;

        baton_set_nonblocking(f->b, true);
        while (!link_is_unsent(f->b->link)) {
                /* So that it does not end at the end of a packet. */
                CHECK_EQ(baton_publish(f->b, "t", bytes, 60000 - 100 * n), 0);
                n++;
        }
        CHECK_EQ(f->b->out.len, 0);
        free(bytes);
        return n;
}

static size_t count_pubs(struct fake *f)
{
        size_t n = 0;

        for (int i = 0; i < 50; i++) {
                n += fake_skip(f, WIRE_PUB);
                CHECK(baton_process(f->b) >= 0);
        }
        return n;
}

TEST(the_rest_of_a_packet_is_waited_for)
{
        struct fake f;

        open_stream(&f);
        size_t n = send_half(&f);
        CHECK_EQ(baton_events(f.b), POLLIN | POLLOUT);
        CHECK_EQ(baton_flush(f.b, 0), -EAGAIN);
        /* What is published now is gathered behind it. */
        CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
        CHECK_EQ(count_pubs(&f), n + 1);
        CHECK_EQ(baton_flush(f.b, 0), 0);
        CHECK_EQ(baton_events(f.b), POLLIN);
        fake_close(&f);
}

TEST(descriptors_wait_behind_the_rest_of_a_packet)
{
        int fd = 0;
        struct baton_publication p = {.topic = "t", .fds = &fd, .n_fds = 1};
        struct fake f;

        open_stream(&f);
        size_t n = send_half(&f);
        uint64_t window = f.b->out.window;
        CHECK_EQ(baton_publish_with(f.b, &p), -EAGAIN);
        CHECK_EQ(f.b->out.window, window);
        CHECK_EQ(baton_events(f.b), POLLIN | POLLOUT);
        CHECK_EQ(count_pubs(&f), n);
        CHECK_EQ(baton_publish_with(f.b, &p), 0);
        CHECK_EQ(fake_expect(&f, WIRE_PUB).pub.n_fds, 1);
        fake_close(&f);
}

struct peer {
        struct fake *f;
        size_t n;
        bool says_bye;
};

static void *read_pubs(void *arg)
{
        struct peer *p = arg;
        struct message m = {.type = 0};

        for (size_t i = 0; i < p->n || (p->says_bye && m.type != WIRE_BYE);) {
                if (fake_next(p->f, &m))
                        i += m.type == WIRE_PUB;
                else
                        assert_int_equal(link_wait(p->f->link, POLLIN, -1), 0);
        }
        if (p->says_bye) {
                fake_say(p->f, fake_bye(0, ""));
                fake_send(p->f);
        }
        return NULL;
}

TEST(flush_and_close_wait_for_the_rest)
{
        for (int closes = 0; closes < 2; closes++) {
                struct fake f;
                struct peer peer = {.f = &f, .says_bye = closes};
                pthread_t thread;
                open_stream(&f);
                peer.n = send_half(&f);
                baton_set_nonblocking(f.b, false);
                CHECK_EQ(pthread_create(&thread, NULL, read_pubs, &peer), 0);
                CHECK_EQ(closes ? baton_close(f.b, -1) : baton_flush(f.b, -1), 0);
                CHECK_EQ(pthread_join(thread, NULL), 0);
                fake_close(&f);
        }
}

TEST(a_handle_that_is_freed_tries_to_send_the_rest)
{
        struct message m;
        struct fake f;

        open_stream(&f);
        size_t n = send_half(&f);
        /* Room for it. */
        CHECK(fake_next(&f, &m));
        f.b = baton_free(f.b);
        CHECK_EQ(fake_skip(&f, WIRE_PUB), n - 1);
        fake_close(&f);
}

static void *serve(void *arg)
{
        struct listener *l = arg;
        struct fake f = {.b = NULL};
        struct pollfd p = {.fd = listener_fd(l), .events = POLLIN};
        int fd;

        assert_int_equal(poll(&p, 1, -1), 1);
        assert_int_equal(listener_accept(l, &fd), 0);
        assert_int_equal(link_new_adopt(fd, TRANSPORT_STREAM, NULL, &f.link), 0);
        fake_say(&f, fake_welcome(FAKE_WINDOW, FAKE_RIGHTS));
        fake_send(&f);
        struct got got = fake_collect(&f, NULL);
        assert_int_equal(got.bytes, 5);
        fake_close(&f);
        return NULL;
}

TEST(an_address_may_be_that_of_a_stream)
{
        char room[32];
        struct listener_why why;
        struct address_why bad;
        struct listener *l;
        struct address a;
        pthread_t thread;
        baton *b;

        fake_enter_room(room);
        CHECK_EQ(address_parse("stream:./s.sock", ADDRESS_BROKER, &a, &bad), 0);
        CHECK_EQ(listener_open(&a, 16, &l, &why), 0);
        CHECK_EQ(pthread_create(&thread, NULL, serve, l), 0);
        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect(b, "./s.sock,stream:./s.sock", 5000), 0);
        CHECK_STR(baton_address(b), "stream:./s.sock");
        CHECK_EQ(baton_publish(b, "t", "\0\1\2\3\4", 5), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_NULL(baton_free(b));
        listener_close(l);
        fake_leave_room(room);
}
