/* Design note. Not here: EBADF, EFAULT, ENOTSOCK, which only a bug of ours could bring; errnos of
 * other address families. epoll_ctl of a socket can lack memory or watches (max_user_watches is
 * shared by all processes of a user), and only to add; epoll_wait can only be interrupted. */
#include "tests/faults/errnos.h"

#include <errno.h>
#include <string.h>

enum { ERRNOS = 16 };

static const int rows[SYMBOL_N_][ERRNOS] = {
        [SYMBOL_ACCEPT4] = {EMFILE, ENFILE, ENOMEM, ENOBUFS, EAGAIN, EINTR, ECONNABORTED, EPERM,
                EACCES, EPROTO, EINVAL, EIO},
        [SYMBOL_GETSOCKOPT] = {EMFILE, ESRCH, EINVAL, ENODATA, EACCES, ENOMEM, ENOBUFS,
                ENOPROTOOPT},
        [SYMBOL_SETSOCKOPT] = {EPERM, EACCES, ENOMEM, ENOBUFS, EINVAL, ENOPROTOOPT, EOPNOTSUPP},
        [SYMBOL_GETSOCKNAME] = {ENOBUFS, EINVAL},
        [SYMBOL_RECVMSG] = {EAGAIN, EINTR, ECONNRESET, ENOTCONN, ENOMEM, ENOBUFS, EMFILE, EPERM,
                EACCES, EINVAL, EIO, FAULT_CTRUNC},
        [SYMBOL_SEND] = {EAGAIN, EINTR, EPIPE, ECONNRESET, ENOTCONN, ECONNREFUSED, ENOMEM, ENOBUFS,
                EMSGSIZE, EACCES, EINVAL, EIO},
        [SYMBOL_SENDMSG] = {EAGAIN, EINTR, EPIPE, ECONNRESET, ENOTCONN, ECONNREFUSED, ENOMEM,
                ENOBUFS, ETOOMANYREFS, EMSGSIZE, EPERM, EACCES, EINVAL, EIO},
        [SYMBOL_EPOLL_CTL] = {ENOMEM, ENOSPC},
        [SYMBOL_EPOLL_WAIT] = {EINTR},
        [SYMBOL_FCNTL] = {EMFILE, ENFILE, ENOMEM, EINVAL, EPERM, EACCES, EBUSY},
        [SYMBOL_FSTAT] = {ENOMEM, EACCES, EOVERFLOW, EIO},
        [SYMBOL_FSTATFS] = {ENOMEM, EACCES, ENOSYS, EOVERFLOW, EINTR, EIO},
        [SYMBOL_IOCTL] = {EINVAL, EPERM, ENOTTY},
        [SYMBOL_POLL] = {EINTR, ENOMEM, EINVAL},
        [SYMBOL_MEMFD_CREATE] = {EMFILE, ENFILE, ENOMEM, EINVAL, EPERM, EACCES},
        [SYMBOL_TIMERFD_SETTIME] = {EINVAL, ENOSYS},
        [SYMBOL_WRITE] = {EINTR, ENOSPC, EDQUOT, EFBIG, ENOMEM, EPERM, EPIPE, EAGAIN, EIO,
                FAULT_SHORT},
        [SYMBOL_PREAD] = {EINTR, ENOMEM, EACCES, EAGAIN, EIO, FAULT_SHORT},
        [SYMBOL_LSEEK] = {EINVAL, EOVERFLOW},
        [SYMBOL_GETRLIMIT] = {EINVAL, EPERM},
        [SYMBOL_CLOSE] = {EINTR, EIO, ENOSPC, EDQUOT},
        [SYMBOL_MALLOC] = {ENOMEM},
        [SYMBOL_CALLOC] = {ENOMEM},
        [SYMBOL_REALLOC] = {ENOMEM},
        [SYMBOL_PTHREAD_CREATE] = {EAGAIN, ENOMEM, EPERM},
        [SYMBOL_OPEN] = {EMFILE, ENFILE, ENOMEM, EACCES, ENOSPC, EIO},
        [SYMBOL_SOCKET] = {EMFILE, ENFILE, ENOMEM, ENOBUFS, EACCES},
        [SYMBOL_PIPE2] = {EMFILE, ENFILE, ENOMEM},
        [SYMBOL_EVENTFD] = {EMFILE, ENFILE, ENOMEM},
        [SYMBOL_TIMERFD_CREATE] = {EMFILE, ENFILE, ENOMEM},
        [SYMBOL_FTRUNCATE] = {ENOSPC, EIO, EINTR, EPERM},
        [SYMBOL_STATX] = {ENOMEM, EACCES},
        [SYMBOL_MMAP] = {ENOMEM, EAGAIN, EPERM},
};

const int *errnos_of(enum symbol s)
{
        return rows[s];
}

const char *errno_name(int error)
{
        switch (error) {
        case FAULT_SHORT:
                return "(short)";
        case FAULT_CTRUNC:
                return "(ctrunc)";
        default:
                return strerrorname_np(error);
        }
}
