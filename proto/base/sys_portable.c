/* Design note. POSIX alone. Where it has nothing to offer the answer is no, and whoever asks can do
 * without. What particular systems could do better is said in docs/PORTING.md. */
#include "proto/base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* The BSDs' issetugid(2) would also see rights that have been given up since. */
const char *sys_getenv(const char *name)
{
        return getuid() == geteuid() && getgid() == getegid() ? getenv(name) : NULL;
}

bool sys_has_abstract(void)
{
        return false;
}

static int set_flags(int fd, bool nonblocking)
{
        if (nonblocking && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

/* Another thread that forks and executes between the calls passes the pipe on to its child. */
int sys_pipe(bool nonblocking, int ret_fds[2])
{
        int fds[2], r;

        if (pipe(fds) < 0)
                return -errno;
        if ((r = set_flags(fds[0], nonblocking)) < 0 || (r = set_flags(fds[1], nonblocking)) < 0) {
                close(fds[0]);
                close(fds[1]);
                return r;
        }
        ret_fds[0] = fds[0];
        ret_fds[1] = fds[1];
        return 0;
}

/* Opening /dev/fd/N does not help: the BSDs duplicate the descriptor then, offset and all. */
int sys_reopen(int fd)
{
        (void)fd;
        return -ENOTSUP;
}

int sys_timer_new(void)
{
        return -ENOTSUP;
}

int sys_timer_set(int fd, uint64_t in_ns)
{
        (void)fd;
        (void)in_ns;
        return -ENOTSUP;
}

int sys_watch(int epoll, int fd)
{
        (void)epoll;
        (void)fd;
        return 0;
}

bool sys_is_memfd(int fd)
{
        (void)fd;
        return false;
}

bool sys_is_eventfd(int fd)
{
        (void)fd;
        return false;
}

void sys_die_with_parent(void)
{
}

int sys_own_path(size_t cap, char *ret_path)
{
        (void)cap;
        (void)ret_path;
        return -ENOTSUP;
}

long sys_resident_kib(pid_t pid)
{
        (void)pid;
        return -1;
}

uint64_t sys_coarse_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
