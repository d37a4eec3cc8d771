/* Design note. The control block is shared memory, so the driver can set and read it while the
 * broker runs. The driver writes the faults while nothing is armed. */
#include "tests/faults/fault.h"

#include "tests/harness/test.h"

#include <string.h>
#include <sys/mman.h>

struct fault_control *fault_control;

void fault_init(void)
{
        fault_control = mmap(NULL, sizeof(*fault_control), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(fault_control != MAP_FAILED);
}

void fault_reset(void)
{
        memset(fault_control, 0, sizeof(*fault_control));
        CHECK_EQ(sem_init(&fault_control->go_on, 1, 0), 0);
}

void fault_arm(const struct fault *faults, size_t n)
{
        if (n)
                memcpy(fault_control->faults, faults, n * sizeof(*faults));
        fault_control->n_faults = n;
        __atomic_store_n(&fault_control->is_armed, true, __ATOMIC_SEQ_CST);
}

void fault_heal(void)
{
        __atomic_store_n(&fault_control->is_armed, false, __ATOMIC_SEQ_CST);
}

void fault_let_go(void)
{
        sem_post(&fault_control->go_on);
}

const char *fault_symbol_name(enum symbol s)
{
        static const char *const names[] = {
                [SYMBOL_ACCEPT4] = "accept4",
                [SYMBOL_GETSOCKOPT] = "getsockopt",
                [SYMBOL_SETSOCKOPT] = "setsockopt",
                [SYMBOL_GETSOCKNAME] = "getsockname",
                [SYMBOL_RECVMSG] = "recvmsg",
                [SYMBOL_SEND] = "send",
                [SYMBOL_SENDMSG] = "sendmsg",
                [SYMBOL_EPOLL_CTL] = "epoll_ctl",
                [SYMBOL_EPOLL_WAIT] = "epoll_wait",
                [SYMBOL_FCNTL] = "fcntl",
                [SYMBOL_FSTAT] = "fstat",
                [SYMBOL_FSTATFS] = "fstatfs",
                [SYMBOL_IOCTL] = "ioctl",
                [SYMBOL_POLL] = "poll",
                [SYMBOL_MEMFD_CREATE] = "memfd_create",
                [SYMBOL_TIMERFD_SETTIME] = "timerfd_settime",
                [SYMBOL_WRITE] = "write",
                [SYMBOL_PREAD] = "pread",
                [SYMBOL_LSEEK] = "lseek",
                [SYMBOL_GETRLIMIT] = "getrlimit",
                [SYMBOL_CLOSE] = "close",
                [SYMBOL_MALLOC] = "malloc",
                [SYMBOL_CALLOC] = "calloc",
                [SYMBOL_REALLOC] = "realloc",
                [SYMBOL_PTHREAD_CREATE] = "pthread_create",
                [SYMBOL_OPEN] = "open",
                [SYMBOL_SOCKET] = "socket",
                [SYMBOL_PIPE2] = "pipe2",
                [SYMBOL_EVENTFD] = "eventfd",
                [SYMBOL_TIMERFD_CREATE] = "timerfd_create",
                [SYMBOL_FTRUNCATE] = "ftruncate",
                [SYMBOL_STATX] = "statx",
                [SYMBOL_MMAP] = "mmap",
        };

        return names[s];
}
