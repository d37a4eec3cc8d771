/* Design note. What fails does so as the kernel would. A close that fails has closed none the less;
 * the sendmsg of a socket whose peer is gone leaves it shut down; a descriptor that epoll knows
 * already is EEXIST before there could be no memory for it, and to change one needs none. */
#include "tests/faults/judge.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

/* WRAP(type, name, arguments...) declares both sides of a wrapper. */
#define WRAP(type, name, ...)            \
        type __real_##name(__VA_ARGS__); \
        type __wrap_##name(__VA_ARGS__); \
        type __wrap_##name(__VA_ARGS__)

static int fail(int error)
{
        errno = error;
        return -1;
}

/* ---------------------------------------------------------------- sockets */

WRAP(int, accept4, int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
        /* Bystanders come before anything is armed. */
        int error = judge_free(SYMBOL_ACCEPT4, SITE);

        if (error)
                return fail(error);
        int accepted = __real_accept4(fd, addr, len, flags);
        judge_opened(accepted);
        return accepted;
}

WRAP(int, getsockopt, int fd, int level, int name, void *value, socklen_t *len)
{
        int error = judge_fd(SYMBOL_GETSOCKOPT, SITE, fd);

        return error ? fail(error) : __real_getsockopt(fd, level, name, value, len);
}

WRAP(int, setsockopt, int fd, int level, int name, const void *value, socklen_t len)
{
        int error = judge_fd(SYMBOL_SETSOCKOPT, SITE, fd);

        return error ? fail(error) : __real_setsockopt(fd, level, name, value, len);
}

WRAP(int, getsockname, int fd, struct sockaddr *addr, socklen_t *len)
{
        int error = judge_fd(SYMBOL_GETSOCKNAME, SITE, fd);

        return error ? fail(error) : __real_getsockname(fd, addr, len);
}

WRAP(ssize_t, recvmsg, int fd, struct msghdr *msg, int flags)
{
        int error = judge_fd(SYMBOL_RECVMSG, SITE, fd);

        if (error == FAULT_CTRUNC)
                msg->msg_controllen = 0;
        else if (error)
                return fail(error);
        return __real_recvmsg(fd, msg, flags);
}

/* The socket is as it would be. */
static int fail_send(int fd, int error)
{
        switch (error) {
        case EPIPE:
                (void)shutdown(fd, SHUT_WR);
                break;
        case ECONNRESET:
        case ENOTCONN:
        case ECONNREFUSED:
                (void)shutdown(fd, SHUT_RDWR);
                break;
        default:
                break;
        }
        return fail(error);
}

WRAP(ssize_t, send, int fd, const void *data, size_t len, int flags)
{
        int error = judge_fd(SYMBOL_SEND, SITE, fd);

        return error ? fail_send(fd, error) : __real_send(fd, data, len, flags);
}

WRAP(ssize_t, sendmsg, int fd, const struct msghdr *msg, int flags)
{
        int error = judge_fd(SYMBOL_SENDMSG, SITE, fd);

        return error ? fail_send(fd, error) : __real_sendmsg(fd, msg, flags);
}

WRAP(int, epoll_ctl, int epoll, int op, int fd, struct epoll_event *event)
{
        int r = __real_epoll_ctl(epoll, op, fd, event);
        int error = r == 0 && op == EPOLL_CTL_ADD ? judge_fd(SYMBOL_EPOLL_CTL, SITE, fd) : 0;

        if (!error)
                return r;
        __real_epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
        return fail(error);
}

WRAP(int, epoll_wait, int epoll, struct epoll_event *events, int cap, int timeout_ms)
{
        int error = judge_free(SYMBOL_EPOLL_WAIT, SITE);

        return error ? fail(error) : __real_epoll_wait(epoll, events, cap, timeout_ms);
}

WRAP(int, poll, struct pollfd *fds, unsigned long n, int timeout_ms)
{
        int error = judge_free(SYMBOL_POLL, SITE);

        return error ? fail(error) : __real_poll(fds, n, timeout_ms);
}

WRAP(int, ioctl, int fd, unsigned long request, void *arg)
{
        int error = judge_fd(SYMBOL_IOCTL, SITE, fd);

        return error ? fail(error) : __real_ioctl(fd, request, arg);
}

/* ------------------------------------------------------------------ files */

WRAP(int, fcntl, int fd, int what, void *arg)
{
        int error = judge_fd(SYMBOL_FCNTL, SITE, fd);

        return error ? fail(error) : __real_fcntl(fd, what, arg);
}

WRAP(int, fstat, int fd, struct stat *st)
{
        int error = judge_fd(SYMBOL_FSTAT, SITE, fd);

        return error ? fail(error) : __real_fstat(fd, st);
}

WRAP(int, fstatfs, int fd, struct statfs *fs)
{
        int error = judge_fd(SYMBOL_FSTATFS, SITE, fd);

        return error ? fail(error) : __real_fstatfs(fd, fs);
}

WRAP(int, memfd_create, const char *name, unsigned flags)
{
        int error = judge_free(SYMBOL_MEMFD_CREATE, SITE);

        return error ? fail(error) : __real_memfd_create(name, flags);
}

WRAP(ssize_t, write, int fd, const void *data, size_t len)
{
        int error = judge_fd(SYMBOL_WRITE, SITE, fd);

        if (error == FAULT_SHORT)
                return __real_write(fd, data, (len + 1) / 2);
        return error ? fail(error) : __real_write(fd, data, len);
}

WRAP(ssize_t, pread, int fd, void *data, size_t len, off_t at)
{
        int error = judge_fd(SYMBOL_PREAD, SITE, fd);

        if (error == FAULT_SHORT)
                return __real_pread(fd, data, (len + 1) / 2, at);
        return error ? fail(error) : __real_pread(fd, data, len, at);
}

WRAP(off_t, lseek, int fd, off_t at, int whence)
{
        int error = judge_fd(SYMBOL_LSEEK, SITE, fd);

        return error ? fail(error) : __real_lseek(fd, at, whence);
}

WRAP(int, getrlimit, int what, struct rlimit *limit)
{
        int error = judge_free(SYMBOL_GETRLIMIT, SITE);

        return error ? fail(error) : __real_getrlimit(what, limit);
}

WRAP(int, close, int fd)
{
        int error = judge_fd(SYMBOL_CLOSE, SITE, fd);

        if (judge_is_aside() &&
                __atomic_exchange_n(&fault_control->must_hang, false, __ATOMIC_SEQ_CST))
                sem_wait(&fault_control->go_on);
        judge_closing(fd);
        int r = __real_close(fd);
        return error ? fail(error) : r;
}

/* ----------------------------------------------------------------- memory */

WRAP(void *, malloc, size_t n)
{
        return judge_free(SYMBOL_MALLOC, SITE) ? NULL : __real_malloc(n);
}

WRAP(void *, calloc, size_t n, size_t size)
{
        return judge_free(SYMBOL_CALLOC, SITE) ? NULL : __real_calloc(n, size);
}

WRAP(void *, realloc, void *p, size_t n)
{
        return judge_free(SYMBOL_REALLOC, SITE) ? NULL : __real_realloc(p, n);
}

WRAP(int, pthread_create, pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
        void *arg)
{
        int error = judge_free(SYMBOL_PTHREAD_CREATE, SITE);

        return error ? error : __real_pthread_create(thread, attr, run, arg);
}

/* --------------------------------------- not called by a broker that is ready */

WRAP(int, open, const char *path, int flags, int mode)
{
        int error = judge_free(SYMBOL_OPEN, SITE);

        return error ? fail(error) : __real_open(path, flags, mode);
}

WRAP(int, socket, int domain, int type, int protocol)
{
        int error = judge_free(SYMBOL_SOCKET, SITE);

        return error ? fail(error) : __real_socket(domain, type, protocol);
}

WRAP(int, pipe2, int *ends, int flags)
{
        int error = judge_free(SYMBOL_PIPE2, SITE);

        return error ? fail(error) : __real_pipe2(ends, flags);
}

WRAP(int, eventfd, unsigned n, int flags)
{
        int error = judge_free(SYMBOL_EVENTFD, SITE);

        return error ? fail(error) : __real_eventfd(n, flags);
}

WRAP(int, timerfd_create, int clock, int flags)
{
        int error = judge_free(SYMBOL_TIMERFD_CREATE, SITE);

        return error ? fail(error) : __real_timerfd_create(clock, flags);
}

WRAP(int, timerfd_settime, int fd, int flags, const struct itimerspec *at, struct itimerspec *was)
{
        int error = judge_fd(SYMBOL_TIMERFD_SETTIME, SITE, fd);

        return error ? fail(error) : __real_timerfd_settime(fd, flags, at, was);
}

WRAP(int, ftruncate, int fd, off_t len)
{
        int error = judge_fd(SYMBOL_FTRUNCATE, SITE, fd);

        return error ? fail(error) : __real_ftruncate(fd, len);
}

WRAP(int, statx, int dir, const char *path, int flags, unsigned mask, void *st)
{
        int error = judge_free(SYMBOL_STATX, SITE);

        return error ? fail(error) : __real_statx(dir, path, flags, mask, st);
}

WRAP(void *, mmap, void *at, size_t len, int prot, int flags, int fd, off_t from)
{
        int error = judge_free(SYMBOL_MMAP, SITE);

        if (!error)
                return __real_mmap(at, len, prot, flags, fd, from);
        errno = error;
        return MAP_FAILED;
}
