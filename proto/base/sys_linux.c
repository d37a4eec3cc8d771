/* Design note. Every line here relies on Linux: pipe2 (which others have too), prctl, epoll, the
 * links in /proc/self, a coarse clock. Without /proc (a bare chroot) what needs it fails or says
 * no. */
#include "proto/base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { FD_PATH_BYTES = 32 };

const char *sys_getenv(const char *name)
{
        return secure_getenv(name);
}

bool sys_has_abstract(void)
{
        return true;
}

int sys_pipe(bool nonblocking, int ret_fds[2])
{
        return pipe2(ret_fds, O_CLOEXEC | (nonblocking ? O_NONBLOCK : 0)) < 0 ? -errno : 0;
}

int sys_timer_new(void)
{
        int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

int sys_timer_set(int fd, uint64_t in_ns)
{
        struct itimerspec at = {
                .it_value = {(time_t)(in_ns / 1000000000), (long)(in_ns % 1000000000)}};

        return timerfd_settime(fd, 0, &at, NULL) < 0 ? -errno : 0;
}

int sys_watch(int epoll, int fd)
{
        struct epoll_event nothing = {.data.fd = fd};

        return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &nothing) < 0 && errno != EEXIST ? -errno : 0;
}

static const char *fd_path(int fd, char path[FD_PATH_BYTES])
{
        snprintf(path, FD_PATH_BYTES, "/proc/self/fd/%d", fd);
        return path;
}

int sys_reopen(int fd)
{
        char path[FD_PATH_BYTES];
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0)
                return -errno;
        int opened = open(fd_path(fd, path), (flags & (O_ACCMODE | O_APPEND)) | O_CLOEXEC);
        return opened < 0 ? -errno : opened;
}

static bool is_linked_to(int fd, const char *lead)
{
        char path[FD_PATH_BYTES], target[64];
        ssize_t n = readlink(fd_path(fd, path), target, sizeof(target));

        return n >= (ssize_t)strlen(lead) && !memcmp(target, lead, strlen(lead));
}

bool sys_is_memfd(int fd)
{
        return is_linked_to(fd, "/memfd:");
}

bool sys_is_eventfd(int fd)
{
        return is_linked_to(fd, "anon_inode:[eventfd]");
}

void sys_die_with_parent(void)
{
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* cannot fail for a valid signal */
}

int sys_own_path(size_t cap, char *ret_path)
{
        ssize_t n = readlink("/proc/self/exe", ret_path, cap);

        if (n < 0)
                return -errno;
        if ((size_t)n == cap)
                return -ENAMETOOLONG;
        ret_path[n] = '\0';
        return 0;
}

long sys_resident_kib(pid_t pid)
{
        char path[64];
        long pages = -1;

        snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
        FILE *file = fopen(path, "re");
        if (!file)
                return -1;
        if (fscanf(file, "%*d %ld", &pages) != 1)
                pages = -1;
        fclose(file);
        return pages < 0 ? -1 : pages * (sysconf(_SC_PAGESIZE) / 1024);
}

uint64_t sys_coarse_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
