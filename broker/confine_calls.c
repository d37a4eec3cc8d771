/* Design note. An allow-list, written from what glibc, libuv 1.44 and we ourselves call from
 * `ready` on (docs/SECURITY.md says how it was found). What else is called gets one of two answers:
 *
 *  - ENOSYS, as from a kernel that does not have it. Libraries try new calls and know what to do
 *    without (clone3, for one, whose flags are out of a filter's sight): a list that lacks a call
 *    must not cost the bus its broker.
 *  - The end of the process, for what nobody calls by mistake: executing, tracing, mounting,
 *    becoming somebody else. Whoever does that is not the broker any more.
 *
 * Calls whose arguments are not looked at cost next to nothing on Linux 5.11 and later, which keeps
 * a map of them; those of every message are among these. */
#include "broker/confine_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Allowed whatever the arguments. */
static const int always[] = {
        /* the loop and its connections */
        SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(timerfd_settime),
        SCMP_SYS(timerfd_settime64), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(sendto),
        SCMP_SYS(send), SCMP_SYS(accept4), SCMP_SYS(getsockopt), SCMP_SYS(getsockname),
        SCMP_SYS(getpeername), SCMP_SYS(shutdown), SCMP_SYS(read), SCMP_SYS(write),
        SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(poll), SCMP_SYS(ppoll),
        /* payloads in memory files, and what clients pass */
        SCMP_SYS(preadv2), SCMP_SYS(pwritev2), SCMP_SYS(memfd_create), SCMP_SYS(pread64),
        SCMP_SYS(lseek), SCMP_SYS(_llseek), SCMP_SYS(fstat), SCMP_SYS(fstat64),
        SCMP_SYS(newfstatat), SCMP_SYS(fstatat64), SCMP_SYS(statx), SCMP_SYS(fstatfs),
        SCMP_SYS(fstatfs64), SCMP_SYS(getrlimit), SCMP_SYS(ugetrlimit),
        /* memory; sysinfo: qsort asks how much there is */
        SCMP_SYS(sysinfo), SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
        /* threads, signals, the end */
        SCMP_SYS(futex), SCMP_SYS(futex_time64), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
        SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigreturn),
        SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group),
        /* who and when */
        SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
        SCMP_SYS(getegid), SCMP_SYS(getuid32), SCMP_SYS(geteuid32), SCMP_SYS(getgid32),
        SCMP_SYS(getegid32), SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64),
        SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom)};

/* The end of whoever calls them. */
static const int deadly[] = {
        /* other programs, and other processes */
        SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
        SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp),
        /* other users */
        SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid),
        SCMP_SYS(setresuid), SCMP_SYS(setresgid), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid),
        SCMP_SYS(setgroups), SCMP_SYS(capset),
        /* other roots */
        SCMP_SYS(chroot), SCMP_SYS(pivot_root), SCMP_SYS(mount), SCMP_SYS(umount2),
        SCMP_SYS(open_tree), SCMP_SYS(move_mount), SCMP_SYS(fsopen), SCMP_SYS(fsmount),
        SCMP_SYS(mount_setattr), SCMP_SYS(setns), SCMP_SYS(unshare), SCMP_SYS(open_by_handle_at),
        SCMP_SYS(mknod), SCMP_SYS(mknodat),
        /* the kernel */
        SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
        SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(bpf), SCMP_SYS(perf_event_open),
        SCMP_SYS(userfaultfd), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl),
        SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(acct), SCMP_SYS(iopl),
        SCMP_SYS(ioperm), SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(sethostname)};

/* Allowed if (argument & mask) == value. */
struct condition {
        int call;
        unsigned arg;
        uint64_t mask, value;
};

#define ALL_BITS UINT64_C(0xffffffff) /* of an int: the kernel does not look at the rest */
#define IS(call, arg, value)                         \
        {                                            \
                SCMP_SYS(call), arg, ALL_BITS, value \
        }
#define LACKS(call, arg, flags)               \
        {                                     \
                SCMP_SYS(call), arg, flags, 0 \
        }

#if defined(__s390__)
#define CLONE_FLAGS_ARG 1
#else
#define CLONE_FLAGS_ARG 0
#endif

/* A thread of this process, with all that it has, and not a process. */
#define THREAD_BITS (CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define ELSE_BITS                                                                    \
        (CLONE_VFORK | CLONE_PTRACE | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | \
                CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_PIDFD)
#define WRITE_BITS (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))

static const struct condition conditions[] = {IS(fcntl, 1, F_GETFD), IS(fcntl, 1, F_SETFD),
        IS(fcntl, 1, F_GETFL), IS(fcntl, 1, F_SETFL), IS(fcntl, 1, F_DUPFD_CLOEXEC),
        IS(fcntl, 1, F_ADD_SEALS), IS(fcntl, 1, F_GET_SEALS), IS(fcntl64, 1, F_GETFD),
        IS(fcntl64, 1, F_SETFD), IS(fcntl64, 1, F_GETFL), IS(fcntl64, 1, F_SETFL),
        IS(fcntl64, 1, F_DUPFD_CLOEXEC), IS(fcntl64, 1, F_ADD_SEALS), IS(fcntl64, 1, F_GET_SEALS),
        IS(ioctl, 1, FIONBIO), IS(ioctl, 1, SIOCOUTQ), IS(ioctl, 1, FIGETBSZ),
        IS(setsockopt, 1, SOL_SOCKET), LACKS(mmap, 2, PROT_EXEC), LACKS(mmap2, 2, PROT_EXEC),
        LACKS(mprotect, 2, PROT_EXEC),
        {SCMP_SYS(clone), CLONE_FLAGS_ARG, THREAD_BITS | ELSE_BITS, THREAD_BITS}};

/* Only with a policy: what reading it takes. */
static const struct condition reading[] = {
        LACKS(open, 1, WRITE_BITS), LACKS(openat, 2, WRITE_BITS)};

static int add(scmp_filter_ctx filter, const struct condition *c)
{
        return seccomp_rule_add(filter, SCMP_ACT_ALLOW, c->call, 1,
                SCMP_CMP64(c->arg, SCMP_CMP_MASKED_EQ, c->mask, c->value));
}

static int add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t n)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++)
                r = seccomp_rule_add(filter, action, calls[i], 0);
        return r;
}

static int add_conditions(scmp_filter_ctx filter, const struct condition *c, size_t n)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++)
                r = add(filter, &c[i]);
        return r;
}

/* Those that depend on who we are and what we serve. A signal to itself: abort. */
static int add_own(scmp_filter_ctx filter, const struct confinement *needs)
{
        const struct condition abort_call = IS(tgkill, 0, (uint64_t)getpid());
        const struct condition remove_call = IS(unlinkat, 2, 0);
        int r = add(filter, &abort_call);

        /* prlimit64 of itself (getrlimit) that sets nothing */
        if (r == 0)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
                        SCMP_A0(SCMP_CMP_EQ, 0, 0), SCMP_A2(SCMP_CMP_EQ, 0, 0));
        if (r == 0 && needs->n_served)
                r = add(filter, &remove_call);
        if (r == 0 && needs->policy)
                r = add_conditions(filter, reading, ARRAY_LEN(reading));
        return r;
}

/* All threads at once; libseccomp does not set no_new_privs, which has been done; what executes
 * another architecture's calls ends. The broker runs nobody else's code: before Linux 5.16 the
 * kernel would slow it down for that (speculative store bypass), if it were not told. */
static int set_attributes(scmp_filter_ctx filter)
{
        int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

        if (r == 0)
                r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
        if (r == 0)
                r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        if (r == 0)
                r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a list */
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
        return r;
}

static int load(scmp_filter_ctx filter, const struct confinement *needs)
{
        int r = set_attributes(filter);

        if (r == 0)
                r = add_all(filter, SCMP_ACT_ALLOW, always, ARRAY_LEN(always));
        if (r == 0)
                r = add_all(filter, SCMP_ACT_KILL_PROCESS, deadly, ARRAY_LEN(deadly));
        if (r == 0)
                r = add_conditions(filter, conditions, ARRAY_LEN(conditions));
        if (r == 0)
                r = add_own(filter, needs);
        return r == 0 ? seccomp_load(filter) : r;
}

int confine_calls(const struct confinement *needs)
{
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));

        if (!filter)
                return -ENOMEM;
        int r = load(filter, needs);
        seccomp_release(filter);
        return r;
}
