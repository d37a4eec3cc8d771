/* What every system can do, in its own way; and what some cannot, and then say so. */
#include "proto/base/sys.h"

#include "tests/harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

TEST(the_environment_is_read_as_usual)
{
        setenv("SYS_TEST", "value", 1);
        CHECK_STR(sys_getenv("SYS_TEST"), "value");
        unsetenv("SYS_TEST");
        CHECK_NULL(sys_getenv("SYS_TEST"));
}

TEST(a_timer_becomes_readable_when_its_time_is_over)
{
        int fd = sys_timer_new();
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (fd == -ENOTSUP) {
                CHECK_EQ(sys_timer_set(fd, 1), -ENOTSUP);
                return;
        }
        CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
        CHECK_EQ(poll(&p, 1, 0), 0);
        CHECK_EQ(sys_timer_set(fd, 1000), 0);
        CHECK_EQ(poll(&p, 1, -1), 1);
        CHECK_EQ(sys_timer_set(fd, UINT64_C(3600000000000)), 0);
        CHECK_EQ(poll(&p, 1, 0), 0);
        CHECK_EQ(sys_timer_set(fd, 1), 0);
        CHECK_EQ(poll(&p, 1, -1), 1);
        CHECK_EQ(sys_timer_set(fd, 0), 0);
        CHECK_EQ(poll(&p, 1, 0), 0);
        CHECK_EQ(sys_timer_set(-1, 1), -EBADF);
        close(fd);
}

static void check_pipe(bool nonblocking)
{
        int fds[2];
        char got;

        CHECK_EQ(sys_pipe(nonblocking, fds), 0);
        for (int i = 0; i < 2; i++) {
                CHECK_EQ(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
                CHECK_EQ(!!(fcntl(fds[i], F_GETFL) & O_NONBLOCK), nonblocking);
        }
        CHECK_EQ(write(fds[1], "x", 1), 1);
        CHECK_EQ(read(fds[0], &got, 1), 1);
        CHECK_EQ(got, 'x');
        close(fds[0]);
        close(fds[1]);
}

TEST(a_pipe_is_closed_on_exec)
{
        check_pipe(false);
}

TEST(a_pipe_may_be_nonblocking)
{
        check_pipe(true);
}

TEST(without_a_descriptor_to_spare_there_is_no_pipe)
{
        struct rlimit before, few;
        int fds[2] = {-1, -1};
        int free_fd = dup(STDIN_FILENO);

        CHECK(free_fd >= 0);
        close(free_fd);
        CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
        few = (struct rlimit){.rlim_cur = (rlim_t)free_fd + 1, .rlim_max = before.rlim_max};
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
        int r = sys_pipe(false, fds);
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
        CHECK_EQ(r, -EMFILE);
        CHECK_EQ(fds[0], -1);
        CHECK_EQ(fds[1], -1);
}

static int new_file(const char *content)
{
        char path[] = "sys-test-XXXXXX";
        int fd = mkstemp(path);

        CHECK(fd >= 0);
        unlink(path);
        CHECK_EQ(write(fd, content, strlen(content)), strlen(content));
        return fd;
}

TEST(a_file_that_is_opened_again_has_an_offset_of_its_own)
{
        int fd = new_file("0123456789");
        char got[4] = {0};
        int again = sys_reopen(fd);

        if (again == -ENOTSUP) { /* said so; whoever asks winds the file back instead */
                close(fd);
                return;
        }
        CHECK(again >= 0);
        CHECK_EQ(fcntl(again, F_GETFD), FD_CLOEXEC);
        CHECK_EQ(fcntl(again, F_GETFL) & O_ACCMODE, O_RDWR);
        CHECK_EQ(read(again, got, 3), 3);
        CHECK_STR(got, "012");
        CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
        close(again);
        close(fd);
        CHECK_EQ(sys_reopen(fd), -EBADF);
}

TEST(an_ordinary_descriptor_is_neither_a_memfd_nor_an_eventfd)
{
        int file = new_file("x"), fds[2];

        CHECK_EQ(sys_pipe(false, fds), 0);
        CHECK(!sys_is_memfd(file) && !sys_is_eventfd(file));
        CHECK(!sys_is_memfd(fds[0]) && !sys_is_eventfd(fds[0]));
        CHECK(!sys_is_memfd(-1) && !sys_is_eventfd(-1));
        close(file);
        close(fds[0]);
        close(fds[1]);
}

TEST(the_own_program_is_a_file_that_can_be_run)
{
        char path[4096], little[4] = "abc";
        struct stat st;
        int r = sys_own_path(sizeof(path), path);

        if (r == -ENOTSUP)
                return; /* said so */
        CHECK_EQ(r, 0);
        CHECK_EQ(path[0], '/');
        CHECK_EQ(stat(path, &st), 0);
        CHECK(S_ISREG(st.st_mode));
        CHECK_EQ(sys_own_path(sizeof(little), little), -ENAMETOOLONG);
        CHECK_EQ(sys_own_path(strlen(path), path), -ENAMETOOLONG);
}

TEST(the_coarse_clock_does_not_go_back)
{
        uint64_t before = sys_coarse_ns();

        for (int i = 0; i < 1000; i++) {
                uint64_t now = sys_coarse_ns();
                CHECK(now >= before);
                before = now;
        }
        CHECK(before > 0);
}
