/* What only Linux knows of a descriptor. */
#include "proto/base/sys.h"

#include "tests/harness/test.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(abstract_names_are_there)
{
        CHECK(sys_has_abstract());
}

TEST(memfds_and_eventfds_are_told_apart)
{
        int memfd = memfd_create("m", MFD_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);

        CHECK(memfd >= 0 && event >= 0);
        CHECK(sys_is_memfd(memfd) && !sys_is_eventfd(memfd));
        CHECK(sys_is_eventfd(event) && !sys_is_memfd(event));
        close(memfd);
        close(event);
}

/* A child's child: it holds the pipe open for as long as it lives. */
TEST(what_is_watched_already_may_be_watched)
{
        int epoll = epoll_create1(EPOLL_CLOEXEC), ends[2];

        CHECK(epoll >= 0);
        CHECK_EQ(sys_pipe(false, ends), 0);
        CHECK_EQ(sys_watch(epoll, ends[0]), 0);
        CHECK_EQ(sys_watch(epoll, ends[0]), 0);
        CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_DEL, ends[0], NULL), 0);
        close(ends[0]);
        CHECK_EQ(sys_watch(epoll, ends[0]), -EBADF);
        close(ends[1]);
        close(epoll);
}

TEST(a_process_dies_with_its_parent_if_it_wants_to)
{
        int alive[2], ready[2];
        char got;

        CHECK_EQ(sys_pipe(false, alive), 0);
        CHECK_EQ(sys_pipe(false, ready), 0);
        pid_t child = fork();
        if (child == 0) {
                if (fork() == 0) {
                        sys_die_with_parent();
                        (void)!write(ready[1], "x", 1);
                        for (;;)
                                pause();
                }
                (void)!read(ready[0], &got, 1);
                _exit(0);
        }
        close(alive[1]);
        CHECK_EQ(waitpid(child, NULL, 0), child);
        CHECK_EQ(read(alive[0], &got, 1), 0);
        close(alive[0]);
        close(ready[0]);
        close(ready[1]);
}

TEST(the_memory_of_a_process_is_told)
{
        CHECK(sys_resident_kib(getpid()) > 100);
        CHECK_EQ(sys_resident_kib(-1), -1);
}
