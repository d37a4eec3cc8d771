/* sys.h - what each system does in its own way, outside of sockets (those are proto/link/os.h).
 * sys_linux.c is Linux, sys_portable.c is POSIX and the BSDs; docs/PORTING.md compares them. */
#ifndef BATON_BASE_SYS_H
#define BATON_BASE_SYS_H

#include "proto/base/defs.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* sys_getenv is getenv(3), but NULL in a program that runs with borrowed rights. */
const char *sys_getenv(const char *name);

/* sys_has_abstract: sockets can have names that are no files (unix(7)). */
bool sys_has_abstract(void);

/* sys_pipe makes a pipe whose ends are close-on-exec, and nonblocking if so wanted: [0] to read
 * from, [1] to write to. Returns 0 · -errno. */
BT_MUST int sys_pipe(bool nonblocking, int ret_fds[2]);

/* sys_reopen opens the file behind `fd` a second time, in the same mode, at its beginning and
 * close-on-exec: whoever passes a descriptor on shares its offset, with this one he does not.
 * Returns the descriptor · -errno (-ENOTSUP: this system cannot). */
BT_MUST int sys_reopen(int fd);

/* sys_watch adds `fd` to an epoll instance, watched for nothing yet; one that is there already is
 * fine. Returns 0, also where there is no epoll and hence nothing to add to · -errno (-ENOMEM;
 * -ENOSPC: fs.epoll.max_user_watches, which all processes of a user share). */
BT_MUST int sys_watch(int epoll, int fd);

/* sys_timer_new makes a descriptor that becomes readable when the time is over that sys_timer_set
 * gives it, and stays so until it is given another one; 0: never. Both return -errno on failure
 * (-ENOTSUP: this system has none). */
BT_MUST int sys_timer_new(void);
BT_MUST int sys_timer_set(int fd, uint64_t in_ns);

/* sys_is_memfd and sys_is_eventfd tell what fstat does not; false where the system has none, or
 * does not say. */
bool sys_is_memfd(int fd);
bool sys_is_eventfd(int fd);

/* sys_die_with_parent has the kernel kill this process when its parent ends, where the kernel can.
 * The parent may have ended just before: look at getppid afterwards. */
void sys_die_with_parent(void);

/* sys_own_path finds the file that this process runs, as text with a NUL. Returns 0 · -errno
 * (-ENOTSUP: this system does not tell; -ENAMETOOLONG). */
BT_MUST int sys_own_path(size_t cap, char *ret_path);

/* sys_resident_kib tells how much memory a process has, in KiB; -1: there is no such process, or
 * the system does not say. */
long sys_resident_kib(pid_t pid);

/* sys_coarse_ns is a monotonic clock that is cheap to read and may lag by some milliseconds. Only
 * to be compared with itself. */
uint64_t sys_coarse_ns(void);

#endif
