/* Bursts of a process that forks, or ends. */
#include "client/fake_burst.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 1000 };

static bool is_child;

/* With AddressSanitizer a child may inherit the allocator's lock from a thread that it does not
 * have, and would wait for it at exit, looking for leaks (gcc 12). Its parent looks for them.
 * A question of sanitizer/lsan_interface.h, which asks it by this name. */
BATON_API int __lsan_is_turned_off(void); /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c) */
int __lsan_is_turned_off(void)            /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c) */
{
        return is_child;
}

static pid_t split(void)
{
        pid_t pid = fork();

        CHECK(pid >= 0);
        is_child |= pid == 0;
        return pid;
}

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
                fake_publish_n(&f, 100);
                pid_t pid = split();
                if (pid == 0)
                        exit(0); /* by its handlers, which must not send it again */
                fake_expect_n(&f, 0, 100);
                await_child(pid);
                fake_expect_no_more(&f);
                fake_refund(&f);
                CHECK_EQ(baton_process(f.b), 0);
        }
        fake_close(&f);
}

TEST(the_handle_may_move_to_the_child_of_a_fork)
{
        struct fake f;

        fake_open(&f);
        fake_publish_n(&f, 100);
        pid_t pid = split();
        if (pid == 0) {
                fake_publish_n(&f, 100); /* with a thread of its own, and nothing else */
                _exit(link_wait(f.b->link, POLLIN, FAKE_PATIENCE_MS) != 0);
        }
        fake_expect_n(&f, 0, 100);
        fake_expect_n(&f, 0, 100);
        fake_expect_no_more(&f);
        fake_say(&f, fake_credit(1));
        fake_send(&f);
        await_child(pid);
        fake_close(&f);
}

/* The socket is full, and the child has a copy of what waits behind it. */
TEST(what_a_full_socket_does_not_take_before_a_fork_is_the_parents)
{
        struct fake f;

        fake_open_with(&f, UINT32_MAX, FAKE_RIGHTS);
        int n = fake_fill_up(&f);
        pid_t pid = split();
        if (pid == 0) {
                f.b = baton_free(f.b);
                exit(0);
        }
        fake_expect_n(&f, 0, n);
        await_child(pid);
        fake_expect_no_more(&f);
        fake_close(&f);
}

static void arrives_at_exit(bool nonblocking)
{
        struct fake f;

        fake_open(&f);
        baton_set_nonblocking(f.b, nonblocking);
        for (int round = 0; round < 20; round++) {
                pid_t pid = split();
                if (pid == 0) {
                        fake_publish_n(&f, N);
                        exit(0);
                }
                fake_expect_n(&f, 0, N);
                await_child(pid);
                fake_expect_no_more(&f);
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
        pid_t pid = split();
        if (pid == 0) {
                n = fake_fill_up(&f);
                CHECK_EQ(write(pipe_fds[1], &n, sizeof(n)), sizeof(n));
                end(&f);
        }
        CHECK_EQ(read(pipe_fds[0], &n, sizeof(n)), sizeof(n));
        fake_expect_n(&f, 0, n);
        await_child(pid);
        fake_expect_no_more(&f);
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
