/* fault.h - calls that fail as told, in a broker that is a fork of the test.
 *
 * The linker puts wraps.c in front of the system calls and allocations (--wrap), libuv's included,
 * as it is linked statically. They do what they always do, until the control block, which driver
 * and broker share, says that one is to fail.
 *
 * A call site is the address that a call returns to. Calls for the bystanders (the first sessions,
 * see `is_marking`) never fail and are not counted: what happens to them happens for the sake of
 * another. */
#ifndef BATON_TESTS_FAULT_H
#define BATON_TESTS_FAULT_H

#include "proto/base/defs.h"

#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum symbol {
        SYMBOL_ACCEPT4,
        SYMBOL_GETSOCKOPT,
        SYMBOL_SETSOCKOPT,
        SYMBOL_GETSOCKNAME,
        SYMBOL_RECVMSG,
        SYMBOL_SEND,
        SYMBOL_SENDMSG,
        SYMBOL_EPOLL_CTL,
        SYMBOL_EPOLL_WAIT,
        SYMBOL_FCNTL,
        SYMBOL_FSTAT,
        SYMBOL_FSTATFS,
        SYMBOL_IOCTL,
        SYMBOL_POLL,
        SYMBOL_MEMFD_CREATE,
        SYMBOL_TIMERFD_SETTIME,
        SYMBOL_WRITE,
        SYMBOL_PREAD,
        SYMBOL_LSEEK,
        SYMBOL_GETRLIMIT,
        SYMBOL_CLOSE,
        SYMBOL_MALLOC,
        SYMBOL_CALLOC,
        SYMBOL_REALLOC,
        SYMBOL_PTHREAD_CREATE,
        /* Those that a broker is believed not to call once it is ready. */
        SYMBOL_OPEN,
        SYMBOL_SOCKET,
        SYMBOL_PIPE2,
        SYMBOL_EVENTFD,
        SYMBOL_TIMERFD_CREATE,
        SYMBOL_FTRUNCATE,
        SYMBOL_STATX,
        SYMBOL_MMAP,
        SYMBOL_N_,
};

/* Failures that are no errno. */
enum {
        FAULT_SHORT = -1,  /* write and pread do half of it */
        FAULT_CTRUNC = -2, /* recvmsg has no room for descriptors */
};

enum {
        FAULT_SITES = 96,
        FAULT_FOR_EVER = INT32_MAX,
};

struct fault {
        enum symbol symbol;
        uintptr_t site;
        int skip; /* calls at `site` that succeed first */
        int left; /* then so many calls of `symbol`, from wherever, fail */
        int error;
        bool is_on;
};

struct fault_site {
        enum symbol symbol;
        uintptr_t at;
        int n; /* calls, the bystanders' not counted */
};

struct fault_control {
        bool is_armed;
        bool is_marking; /* who connects now is a bystander */
        bool must_hang;  /* the next close outside the loop waits for `go_on` */
        bool lock;
        sem_t go_on;
        struct fault faults[2];
        size_t n_faults;
        unsigned n_failed;
        unsigned n_calls[SYMBOL_N_];
        struct fault_site sites[FAULT_SITES]; /* seen while armed */
        size_t n_sites;
        char broken[200]; /* what core_check said, "" if nothing */
};

/* One for all; shared with the forks of this process. */
extern struct fault_control *fault_control;

/* fault_init makes it. */
void fault_init(void);

/* fault_enter: this process is the broker from now on. */
void fault_enter(void);

/* fault_reset prepares for the next broker: nothing fails, nothing was counted. */
void fault_reset(void);

/* fault_arm sets what is to fail (n 0: nothing, but sites are counted) and starts it; fault_heal
 * ends it. */
void fault_arm(const struct fault *faults, size_t n);
void fault_heal(void);

/* fault_let_go ends the close that hangs, if one does. */
void fault_let_go(void);

const char *fault_symbol_name(enum symbol s);

#endif
