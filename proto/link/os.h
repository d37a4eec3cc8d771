/* os.h - what each system does in its own way with sockets; private to this room. os_linux.c is
 * Linux, os_portable.c is POSIX and the BSDs: without abstract names, credentials in packets, /proc
 * and the refusal of descriptors (docs/PORTING.md compares them).
 *
 * Functions that return a descriptor give -errno on failure. */
#ifndef BATON_LINK_OS_H
#define BATON_LINK_OS_H

#include "proto/base/defs.h"
#include "proto/link/address.h"
#include "proto/link/cred.h"
#include "proto/link/fdkind.h"
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* What credentials take in a control buffer. */
#ifdef BATON_PORTABLE
#define OS_CRED_SPACE 0
#else
#define OS_CRED_SPACE CMSG_SPACE(sizeof(struct ucred))
#endif

/* macOS has none: there every socket is told once, by os_socket, os_pair, os_accept and
 * os_send_room, to raise no SIGPIPE. */
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* os_socket, os_pair and os_accept make sockets that are nonblocking and close-on-exec. */
BT_MUST int os_socket(int type);
BT_MUST int os_pair(int type, int ret_fds[2]);
BT_MUST int os_accept(int fd);

/* os_recv is recvmsg(2), without waiting unless it `waits`; descriptors that come are
 * close-on-exec. Returns -1 and errno on failure. */
BT_MUST ssize_t os_recv(int fd, struct msghdr *msg, bool waits);

/* os_lacks gives the phrase for an address that can be neither served nor reached on this system,
 * NULL for one that can. */
const char *os_lacks(const struct address *a);

/* os_abstract fills in the kernel's form of an abstract name, where the system has them. Its exact
 * length matters: with one more NUL it is another name. */
void os_abstract(
        const char *name, size_t name_len, struct sockaddr_un *ret_addr, socklen_t *ret_len);

/* os_find_dir opens a directory, through symbolic links, to name files in it. */
BT_MUST int os_find_dir(const char *path);

/* What stands at a path. Zero state: OS_FOUND_INIT. */
struct os_found {
        int fd; /* itself, open for nothing but this; -1 where the system has no such thing */
        struct stat st;
};

#define OS_FOUND_INIT     \
        {                 \
                .fd = -1, \
        }

/* os_look looks at what stands at `path` (from `dir`, which may be AT_FDCWD), be it a symbolic
 * link. Returns 0 · -errno. */
BT_MUST int os_look(int dir, const char *path, struct os_found *ret);
void os_found_deinit(struct os_found *found);

/* os_connect_to connects to the very file that os_look found at `path`.
 * Returns 0 · -errno (-EAGAIN: its backlog is full, or another has taken its place). */
BT_MUST int os_connect_to(int fd, const struct os_found *found, const char *path);

/* os_peer_cred: see cred_of_peer. */
BT_MUST int os_peer_cred(int fd, struct cred *ret);

/* os_peer_groups fills in the supplementary groups of who connected to `fd`, at most `most` of
 * them. Returns 0 and how many · -ERANGE and how many there are · -errno (-EOPNOTSUPP: the system
 * does not say). */
BT_MUST int os_peer_groups(int fd, gid_t *ret_gids, size_t most, size_t *ret_n);

/* os_pass_cred has the packets that come carry their sender's credentials.
 * Returns 0 · -errno (-EOPNOTSUPP: the system cannot). */
BT_MUST int os_pass_cred(int fd, bool on);

/* os_find_cred reads credentials out of a control message, false if it has none. */
bool os_find_cred(const struct cmsghdr *c, struct cred *ret);

/* os_pass_fds says whether the peer of `fd`, or those who connect to it, may send descriptors.
 * Returns 0, also where the system cannot refuse them · -errno. */
BT_MUST int os_pass_fds(int fd, bool on);

/* os_lets_fds_in: descriptors may come, or wait already, in the socket `fd`; true where the system
 * does not say. */
bool os_lets_fds_in(int fd);

/* os_family gives a socket's address family, without waiting for anybody who holds its lock.
 * Returns -errno for what is no socket, and for all that is open with O_PATH. */
BT_MUST int os_family(int fd);

/* os_file_kind: see fdkind_of, for what is no socket. */
enum fdkind os_file_kind(int fd);

/* os_send_room makes the send buffer `bytes` large, as getsockopt counts them, or as near to it as
 * the system lets it; never smaller than it is. Returns 0 · -errno. */
BT_MUST int os_send_room(int fd, size_t bytes);

/* os_unread tells how much of the send buffer is in use, or, where the system does not say, how
 * much may be. Returns 0 · -errno. */
BT_MUST int os_unread(int fd, size_t *ret_bytes);

#endif
