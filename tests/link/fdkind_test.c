/* What a stranger's descriptor is: each kind by a real one. That a file whose server hangs is told
 * too is shown by tests/e2e/hostile_fds_test.py, which has such files. */
#include "proto/link/fdkind.h"

#include "tests/link/support.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* Takes the descriptor. */
static void check_kind(int fd, enum fdkind kind)
{
        CHECK(fd >= 0);
        CHECK_STR(fdkind_name(fdkind_of(fd)), fdkind_name(kind));
        close(fd);
}

static void check_both(const int fds[2], enum fdkind kind)
{
        check_kind(fds[0], kind);
        check_kind(fds[1], kind);
}

TEST(memory_files_are_told_whatever_seals_they_have)
{
        check_kind(memfd_create("m", MFD_CLOEXEC), FDKIND_MEMFD);
        check_kind(memfd_create("m", MFD_CLOEXEC | MFD_ALLOW_SEALING), FDKIND_MEMFD);
        int fd = memfd_create("m", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_WRITE | F_SEAL_SHRINK), 0);
        check_kind(fd, FDKIND_MEMFD);
        fd = memfd_create("m", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
        if (fd >= 0) /* Linux 6.3 */
                check_kind(fd, FDKIND_MEMFD);
}

TEST(pipes_are_told_at_both_ends_and_with_a_name)
{
        int fds[2];

        CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
        check_both(fds, FDKIND_PIPE);
        room_enter();
        CHECK_EQ(mkfifo("fifo", 0600), 0);
        check_kind(open("fifo", O_RDWR | O_CLOEXEC), FDKIND_PIPE);
        room_leave();
}

/* A full counter, too: a write that were really made would wait. */
TEST(an_eventfd_is_told_and_its_counter_stays)
{
        static const uint64_t counts[] = {0, 1, UINT64_MAX - 1};
        static const int flags[] = {0, EFD_NONBLOCK, EFD_SEMAPHORE};

        for (size_t i = 0; i < ARRAY_LEN(counts) * ARRAY_LEN(flags); i++) {
                int fd = eventfd(0, EFD_CLOEXEC | flags[i / ARRAY_LEN(counts)]);
                uint64_t count = counts[i % ARRAY_LEN(counts)], got = 0;
                CHECK(fd >= 0);
                CHECK_EQ(write(fd, &count, sizeof(count)), sizeof(count));
                CHECK_EQ(fdkind_of(fd), FDKIND_EVENTFD);
                struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
                CHECK_EQ(poll(&p, 1, 0), 1);
                CHECK_EQ(!!(p.revents & POLLIN), count > 0);
                CHECK_EQ(!!(p.revents & POLLOUT), count < UINT64_MAX - 1);
                if (count) {
                        CHECK_EQ(read(fd, &got, sizeof(got)), sizeof(got));
                        CHECK(got == (flags[i / ARRAY_LEN(counts)] == EFD_SEMAPHORE ? 1 : count));
                }
                close(fd);
        }
}

TEST(other_anonymous_inodes_are_no_eventfds)
{
        sigset_t none;

        sigemptyset(&none);
        check_kind(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), FDKIND_OTHER);
        check_kind(signalfd(-1, &none, SFD_CLOEXEC), FDKIND_OTHER);
        check_kind(epoll_create1(EPOLL_CLOEXEC), FDKIND_OTHER);
        check_kind(inotify_init1(IN_CLOEXEC), FDKIND_OTHER);
        int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */);
        if (fd >= 0)
                check_kind(fd, FDKIND_OTHER);
        /* An anonymous inode, or, on some kernels, a file of a file system without a name. */
        fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
        if (fd >= 0) {
                CHECK(!fdkind_is_harmless(fdkind_of(fd)));
                close(fd);
        }
}

TEST(what_a_timer_would_say_is_not_read)
{
        struct itimerspec at = {.it_value.tv_nsec = 1};
        int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
        struct pollfd p = {.fd = fd, .events = POLLIN};

        CHECK_EQ(timerfd_settime(fd, 0, &at, NULL), 0);
        CHECK_EQ(poll(&p, 1, -1), 1);
        CHECK_EQ(fdkind_of(fd), FDKIND_OTHER);
        CHECK_EQ(poll(&p, 1, 0), 1);
        close(fd);
}

TEST(a_socketpair_of_any_type_is_told_also_when_one_end_is_closed)
{
        static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
        int fds[2];

        for (size_t i = 0; i < ARRAY_LEN(types); i++) {
                CHECK_EQ(socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, fds), 0);
                check_both(fds, FDKIND_SOCKETPAIR);
        }
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        close(fds[1]);
        check_kind(fds[0], FDKIND_SOCKETPAIR);
}

TEST(other_sockets_of_af_unix_are_not_taken_for_a_pair)
{
        int fds[2];

        check_kind(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), FDKIND_UNIX_SOCKET);
        struct listener *l = open_listener("@kinds");
        struct link *a = connect_to("@kinds", NULL), *b = accept_from(l, NULL);
        CHECK_EQ(fdkind_of(listener_fd(l)), FDKIND_UNIX_SOCKET);
        CHECK_EQ(fdkind_of(link_fd(a)), FDKIND_UNIX_SOCKET);
        CHECK_EQ(fdkind_of(link_fd(b)), FDKIND_UNIX_SOCKET);
        link_free(a);
        link_free(b);
        listener_close(l);
        /* An end that has been given a name can be found by others. */
        CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        CHECK_EQ(bind(fds[0], (struct sockaddr *)&name, sizeof(sa_family_t) + 3), 0);
        check_both(fds, FDKIND_UNIX_SOCKET); /* its name is nothing but NULs */
}

TEST(sockets_of_other_families_are_told)
{
        check_kind(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), FDKIND_NET_SOCKET);
        check_kind(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), FDKIND_NET_SOCKET);
        check_kind(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0), FDKIND_NET_SOCKET);
}

TEST(files_and_directories_are_told)
{
        room_enter();
        check_kind(open("file", O_CREAT | O_RDWR | O_CLOEXEC, 0600), FDKIND_FILE);
        check_kind(open("file", O_RDONLY | O_CLOEXEC), FDKIND_FILE);
        check_kind(open(".", O_DIRECTORY | O_CLOEXEC), FDKIND_DIRECTORY);
        check_kind(open("/", O_DIRECTORY | O_CLOEXEC), FDKIND_DIRECTORY);
        room_leave();
}

/* A file with a name in tmpfs is no memory file: its name leads to a file system. */
TEST(a_file_of_tmpfs_is_a_file)
{
        char path[64];

        snprintf(path, sizeof(path), "/dev/shm/fdkind-%d", (int)getpid());
        int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
        if (fd < 0)
                TEST_SKIP("/dev/shm is not there");
        CHECK_EQ(fdkind_of(fd), FDKIND_FILE);
        CHECK_EQ(unlink(path), 0);
        close(fd);
}

/* As with everything that has no inode of its own behind it: seals, mode and type are not asked. */
TEST(a_place_is_told_whatever_is_there)
{
        check_kind(open("/", O_PATH | O_CLOEXEC), FDKIND_PATH);
        check_kind(open("/dev/null", O_PATH | O_CLOEXEC), FDKIND_PATH);
        check_kind(open("/proc/self/exe", O_PATH | O_NOFOLLOW | O_CLOEXEC), FDKIND_PATH);
}

TEST(devices_are_told)
{
        check_kind(open("/dev/null", O_RDWR | O_CLOEXEC), FDKIND_CHAR_DEVICE);
        check_kind(open("/dev/zero", O_RDONLY | O_CLOEXEC), FDKIND_CHAR_DEVICE);
        int fd = open("/dev/loop0", O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
                check_kind(fd, FDKIND_BLOCK_DEVICE);
}

TEST(procfs_is_told_from_other_files)
{
        check_kind(open("/proc/self/status", O_RDONLY | O_CLOEXEC), FDKIND_PROCFS);
        check_kind(open("/proc/self", O_DIRECTORY | O_CLOEXEC), FDKIND_PROCFS);
        check_kind(open("/proc", O_DIRECTORY | O_CLOEXEC), FDKIND_PROCFS);
        check_kind(open("/proc/sys/kernel/ostype", O_RDONLY | O_CLOEXEC), FDKIND_PROCFS);
        int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        CHECK(!fdkind_is_harmless(fdkind_of(fd)));
        close(fd);
}

TEST(what_is_no_descriptor_is_nothing_known)
{
        CHECK_EQ(fdkind_of(-1), FDKIND_OTHER);
        CHECK_EQ(fdkind_of(1 << 20), FDKIND_OTHER);
}

TEST(four_kinds_lead_nowhere_and_each_has_a_name)
{
        unsigned harmless = 0;

        for (int i = 0; i < FDKIND_N_; i++) {
                CHECK(strlen(fdkind_name((enum fdkind)i)) > 0);
                harmless |= (unsigned)fdkind_is_harmless((enum fdkind)i) << i;
        }
        CHECK_EQ(harmless, 1u << FDKIND_MEMFD | 1u << FDKIND_PIPE | 1u << FDKIND_EVENTFD |
                                   1u << FDKIND_SOCKETPAIR);
}

TEST(a_set_has_the_kinds_of_all_in_it)
{
        struct fdset *set = NULL;
        int fds[3] = {open("/dev/null", O_RDONLY | O_CLOEXEC), eventfd(0, EFD_CLOEXEC),
                eventfd(0, EFD_CLOEXEC)};

        CHECK_EQ(fdkinds_of(NULL), 0);
        CHECK_EQ(fdset_new_take(fds, 3, NULL, &set), 0);
        CHECK_EQ(fdkinds_of(set), 1u << FDKIND_CHAR_DEVICE | 1u << FDKIND_EVENTFD);
        fdset_unref(set);
}
