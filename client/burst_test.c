/* Bursts: what is gathered leaves by itself, whatever the application does next. */
#include "client/fake_burst.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { N = 1000 };

static size_t n_threads(void)
{
        DIR *dir = opendir("/proc/self/task");
        size_t n = 0;

        CHECK_PTR(dir);
        for (struct dirent *e; (e = readdir(dir));)
                n += e->d_name[0] != '.';
        closedir(dir);
        return n;
}

/* First in this file: no burst has started the thread yet. */
LINUX_TEST(who_publishes_now_and_then_needs_no_thread, "/proc")
{
        size_t before = n_threads();
        struct fake f;

        fake_open(&f);
        for (int i = 0; i < 100; i++) {
                CHECK_EQ(baton_publish(f.b, "burst.test", &i, sizeof(i)), 0);
                fake_expect_n(&f, i, 1);
                CHECK_EQ(baton_process(f.b), 0);
        }
        CHECK_EQ(n_threads(), before);
        fake_close(&f);
}

LINUX_TEST(an_event_loops_handle_needs_no_thread, "/proc")
{
        size_t before = n_threads();
        struct fake f;

        fake_open(&f);
        baton_set_nonblocking(f.b, true);
        fake_publish_n(&f, N);
        CHECK_EQ(n_threads(), before);
        CHECK_EQ(baton_timeout(f.b), 0);
        CHECK_EQ(baton_process(f.b), 0);
        CHECK_EQ(baton_timeout(f.b), -1);
        fake_expect_n(&f, 0, N);
        fake_close(&f);
}

TEST(a_loop_of_publications_shares_packets)
{
        struct fake f;

        fake_open(&f);
        fake_publish_n(&f, N);
        fake_expect_n(&f, 0, N);
        /* Those that left before it was known to be a burst, and those of a loop that was kept
         * from running for a while; never one each. */
        CHECK(f.n_packets < N / 10);
        fake_close(&f);
}

TEST(a_burst_arrives_though_nothing_more_is_called)
{
        struct fake f;

        fake_open(&f);
        for (int n = 1; n < 60; n++) {
                fake_publish_n(&f, n);
                fake_expect_n(&f, 0, n);
                fake_expect_no_more(&f);
        }
        fake_close(&f);
}

LINUX_TEST(one_thread_serves_all_handles, "/proc")
{
        enum { HANDLES = 20 };
        static struct fake fakes[HANDLES];
        size_t before = n_threads(); /* ours among them, if a test before needed it */

        for (int i = 0; i < HANDLES; i++)
                fake_open(&fakes[i]);
        for (int round = 0; round < 10; round++) {
                for (int i = 0; i < HANDLES; i++)
                        fake_publish_n(&fakes[i], 20);
                for (int i = 0; i < HANDLES; i++)
                        fake_expect_n(&fakes[i], 0, 20);
        }
        CHECK(n_threads() <= before + 1);
        for (int i = 0; i < HANDLES; i++)
                fake_close(&fakes[i]);
}

TEST(calls_of_every_kind_may_follow_a_burst)
{
        struct baton_publication p = {.topic = "burst.test"};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        for (int round = 0; round < 200; round++) {
                int i = round;
                uint32_t sub = 0;
                uint64_t id = 0;
                fake_publish_n(&f, 30);
                CHECK_EQ(baton_subscribe_start(f.b, "a", NULL, note_message, NULL, NULL, &sub), 0);
                CHECK_EQ(baton_unsubscribe(f.b, sub), 0);
                fake_publish_n(&f, 30);
                CHECK_EQ(baton_request_start(f.b, &p, 0, NULL, NULL, NULL, &id), 0);
                CHECK_EQ(baton_cancel(f.b, id), 0);
                fake_publish_n(&f, 30);
                baton_cork(f.b);
                CHECK_EQ(baton_uncork(f.b), 0);
                CHECK_EQ(baton_publish_with(f.b, &(struct baton_publication){.topic = "burst.test",
                                                         .payload = &i,
                                                         .payload_len = sizeof(i),
                                                         .flags = BATON_NO_ECHO}),
                        0);
                CHECK_EQ(baton_wait(f.b, 0), 0);
                fake_expect_n(&f, 0, 30);
                fake_expect_n(&f, 0, 30);
                CHECK_EQ(fake_expect(&f, WIRE_REQUEST).request.id, id);
                (void)fake_expect(&f, WIRE_PUB);
                (void)fake_expect(&f, WIRE_CANCEL);
                fake_expect_n(&f, 0, 30);
                fake_expect_n(&f, round, 1);
                fake_refund(&f);
        }
        CHECK_EQ(notes.len, 0);
        fake_close(&f);
}

/* The socket is full, a packet and more wait behind it, and the application has gone away. */
static void arrives_under_back_pressure(int socket_type)
{
        struct fake f;

        fake_open_over(&f, socket_type, fake_welcome(UINT32_MAX, FAKE_RIGHTS), 0);
        int n = fake_fill_up(&f);
        fake_expect_n(&f, 0, n);
        fake_expect_no_more(&f);
        fake_close(&f);
}

TEST(a_burst_arrives_under_back_pressure)
{
        arrives_under_back_pressure(SOCK_SEQPACKET);
}

TEST(a_burst_arrives_under_back_pressure_on_a_stream)
{
        arrives_under_back_pressure(SOCK_STREAM);
}

TEST(no_signal_of_the_application_goes_to_the_thread)
{
        sigset_t set, old, pending;
        struct fake f;

        fake_open(&f);
        fake_publish_n(&f, N);
        fake_expect_n(&f, 0, N);
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        CHECK_EQ(sigprocmask(SIG_BLOCK, &set, &old), 0);
        CHECK_EQ(kill(getpid(), SIGUSR1), 0); /* would end the process on a thread that takes it */
        CHECK_EQ(sigpending(&pending), 0);
        CHECK(sigismember(&pending, SIGUSR1));
        CHECK_EQ(signal(SIGUSR1, SIG_IGN) == SIG_ERR, 0);
        CHECK_EQ(sigprocmask(SIG_SETMASK, &old, NULL), 0);
        fake_close(&f);
}

TEST(a_corked_handle_is_left_alone)
{
        struct fake f, other;

        fake_open(&f);
        fake_open(&other);
        baton_cork(f.b);
        for (int i = 0; i < 10; i++) {
                struct baton_publication p = {
                        .topic = "t", .payload = &i, .payload_len = sizeof(i)};
                CHECK_EQ(i % 2 ? baton_publish_with(f.b, &p)
                               : baton_publish(f.b, "t", &i, sizeof(i)),
                        0);
        }
        fake_publish_n(&other, 100); /* sent by the thread, which then has seen both twice */
        fake_expect_n(&other, 0, 100);
        fake_expect_no_more(&f);
        CHECK_EQ(baton_uncork(f.b), 0);
        fake_expect_n(&f, 0, 10);
        fake_close(&f);
        fake_close(&other);
}

TEST(a_broker_that_is_gone_ends_the_burst_with_the_next_call)
{
        struct fake f;
        int r = 0;

        fake_open(&f);
        fake_publish_n(&f, 100);
        f.link = link_free(f.link);
        for (int i = 0; i < 1000000 && r == 0; i++)
                r = baton_publish(f.b, "burst.test", &i, sizeof(i));
        CHECK_EQ(r, -ENOTCONN);
        fake_close(&f);
}
