/* Bursts: what is gathered leaves by itself, whatever the application does next. */
#include "client/fake_broker.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 1000, PATIENCE_MS = 20000 };

static void publish_n(struct fake *f, int n)
{
        for (int i = 0; i < n; i++)
                CHECK_EQ(baton_publish(f->b, "burst.test", &i, sizeof(i)), 0);
}

/* Reads publications until there are `n`, and checks that they are `first`, `first` + 1, ... */
static void expect_n(struct fake *f, int first, int n)
{
        struct message m;

        for (int i = 0; i < n;) {
                if (!fake_next(f, &m)) {
                        CHECK_EQ(link_wait(f->link, POLLIN, PATIENCE_MS), 0);
                        continue;
                }
                if (m.type != WIRE_PUB)
                        continue;
                int want = first + i++, got = -1;
                CHECK_EQ(m.pub.payload.len, sizeof(got));
                memcpy(&got, m.pub.payload.data, sizeof(got));
                CHECK_EQ(got, want);
        }
}

static void expect_no_more(struct fake *f)
{
        CHECK_EQ(fake_skip(f, WIRE_PUB), 0);
}

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
                expect_n(&f, i, 1);
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
        publish_n(&f, N);
        CHECK_EQ(n_threads(), before);
        CHECK_EQ(baton_timeout(f.b), 0);
        CHECK_EQ(baton_process(f.b), 0);
        CHECK_EQ(baton_timeout(f.b), -1);
        expect_n(&f, 0, N);
        fake_close(&f);
}

TEST(a_loop_of_publications_shares_packets)
{
        struct fake f;

        fake_open(&f);
        publish_n(&f, N);
        expect_n(&f, 0, N);
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
                publish_n(&f, n);
                expect_n(&f, 0, n);
                expect_no_more(&f);
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
                        publish_n(&fakes[i], 20);
                for (int i = 0; i < HANDLES; i++)
                        expect_n(&fakes[i], 0, 20);
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
                publish_n(&f, 30);
                CHECK_EQ(baton_subscribe_start(f.b, "a", NULL, note_message, NULL, NULL, &sub), 0);
                CHECK_EQ(baton_unsubscribe(f.b, sub), 0);
                publish_n(&f, 30);
                CHECK_EQ(baton_request_start(f.b, &p, 0, NULL, NULL, NULL, &id), 0);
                CHECK_EQ(baton_cancel(f.b, id), 0);
                publish_n(&f, 30);
                baton_cork(f.b);
                CHECK_EQ(baton_uncork(f.b), 0);
                CHECK_EQ(baton_publish_with(f.b, &(struct baton_publication){.topic = "burst.test",
                                                         .payload = &i,
                                                         .payload_len = sizeof(i),
                                                         .flags = BATON_NO_ECHO}),
                        0);
                CHECK_EQ(baton_wait(f.b, 0), 0);
                expect_n(&f, 0, 30);
                expect_n(&f, 0, 30);
                CHECK_EQ(fake_expect(&f, WIRE_REQUEST).request.id, id);
                (void)fake_expect(&f, WIRE_PUB);
                (void)fake_expect(&f, WIRE_CANCEL);
                expect_n(&f, 0, 30);
                expect_n(&f, round, 1);
                fake_refund(&f);
        }
        CHECK_EQ(notes.len, 0);
        fake_close(&f);
}

/* Fills the socket and the buffer behind it. Returns the number of publications. */
static int fill(struct fake *f)
{
        int n = 0, r;

        baton_set_nonblocking(f->b, true);
        while ((r = baton_publish(f->b, "burst.test", &n, sizeof(n))) == 0)
                n++;
        CHECK_EQ(r, -EAGAIN);
        CHECK(f->b->out.len > 0 || link_is_unsent(f->b->link));
        baton_set_nonblocking(f->b, false);
        CHECK_EQ(baton_flush(f->b, 0), -ETIMEDOUT);
        return n;
}

/* The socket is full, a packet and more wait behind it, and the application has gone away. */
static void arrives_under_back_pressure(int socket_type)
{
        struct fake f;

        fake_open_over(&f, socket_type, fake_welcome(UINT32_MAX, FAKE_RIGHTS), 0);
        int n = fill(&f);
        expect_n(&f, 0, n);
        expect_no_more(&f);
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

/* ---------------------------------------------------------------- other ends than a call */

static void await_child(pid_t pid)
{
        int status = 0;

        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 0);
}

TEST(what_is_gathered_leaves_before_a_fork_and_once)
{
        struct fake f;

        fake_open(&f);
        for (int round = 0; round < 20; round++) {
                publish_n(&f, 100);
                pid_t pid = fork();
                CHECK(pid >= 0);
                if (pid == 0)
                        exit(0); /* by its handlers, which must not send it again */
                expect_n(&f, 0, 100);
                await_child(pid);
                expect_no_more(&f);
                fake_refund(&f);
                CHECK_EQ(baton_process(f.b), 0);
        }
        fake_close(&f);
}

TEST(the_handle_may_move_to_the_child_of_a_fork)
{
        struct fake f;

        fake_open(&f);
        publish_n(&f, 100);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
                publish_n(&f, 100); /* with a thread of its own, and nothing else */
                _exit(link_wait(f.b->link, POLLIN, PATIENCE_MS) != 0);
        }
        expect_n(&f, 0, 100);
        expect_n(&f, 0, 100);
        expect_no_more(&f);
        fake_say(&f, fake_credit(1));
        fake_send(&f);
        await_child(pid);
        fake_close(&f);
}

static void arrives_at_exit(bool nonblocking)
{
        struct fake f;

        fake_open(&f);
        baton_set_nonblocking(f.b, nonblocking);
        for (int round = 0; round < 20; round++) {
                pid_t pid = fork();
                CHECK(pid >= 0);
                if (pid == 0) {
                        publish_n(&f, N);
                        exit(0);
                }
                expect_n(&f, 0, N);
                await_child(pid);
                expect_no_more(&f);
                f.left = FAKE_WINDOW;
        }
        fake_close(&f);
}

TEST(what_is_gathered_leaves_at_exit)
{
        arrives_at_exit(false);
}

TEST(what_an_event_loops_handle_has_gathered_leaves_at_exit_too)
{
        arrives_at_exit(true);
}

static void end_by_exit(struct fake *f)
{
        (void)f;
        exit(0);
}

static void end_by_free(struct fake *f)
{
        f->b = baton_free(f->b);
        _exit(0);
}

/* Another process fills the socket, and ends while nobody reads. */
static void waits_for_a_full_socket(void (*end)(struct fake *f))
{
        struct fake f;
        int n = 0, pipe_fds[2];

        fake_open_with(&f, UINT32_MAX, FAKE_RIGHTS);
        CHECK_EQ(pipe(pipe_fds), 0);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
                n = fill(&f);
                CHECK_EQ(write(pipe_fds[1], &n, sizeof(n)), sizeof(n));
                end(&f);
        }
        CHECK_EQ(read(pipe_fds[0], &n, sizeof(n)), sizeof(n));
        expect_n(&f, 0, n);
        await_child(pid);
        expect_no_more(&f);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        fake_close(&f);
}

TEST(exit_waits_for_a_full_socket)
{
        waits_for_a_full_socket(end_by_exit);
}

TEST(so_does_free_on_a_handle_that_blocks)
{
        waits_for_a_full_socket(end_by_free);
}

TEST(no_signal_of_the_application_goes_to_the_thread)
{
        sigset_t set, old, pending;
        struct fake f;

        fake_open(&f);
        publish_n(&f, N);
        expect_n(&f, 0, N);
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
        publish_n(&f, 10);
        publish_n(&other, 100); /* sent by the thread, which then has seen both twice */
        expect_n(&other, 0, 100);
        expect_no_more(&f);
        CHECK_EQ(baton_uncork(f.b), 0);
        expect_n(&f, 0, 10);
        fake_close(&f);
        fake_close(&other);
}

TEST(a_broker_that_is_gone_ends_the_burst_with_the_next_call)
{
        struct fake f;
        int r = 0;

        fake_open(&f);
        publish_n(&f, 100);
        f.link = link_free(f.link);
        for (int i = 0; i < 1000000 && r == 0; i++)
                r = baton_publish(f.b, "burst.test", &i, sizeof(i));
        CHECK_EQ(r, -ENOTCONN);
        fake_close(&f);
}
