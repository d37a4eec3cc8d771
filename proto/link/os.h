/* os.h - what each system does in its own way; os_linux.c is Linux. Private to this room.
 *
 * A portable build puts another pair in its place: without abstract names, /proc and the refusal of
 * descriptors. Functions that return a descriptor give -errno on failure. */
#ifndef BATON_LINK_OS_H
#define BATON_LINK_OS_H

#include "proto/base/defs.h"
#include "proto/link/cred.h"
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/* What credentials take in a control buffer. */
#define OS_CRED_SPACE CMSG_SPACE(sizeof(struct ucred))

/* os_getenv is getenv(3), but NULL in a program that runs with borrowed rights. */
const char *os_getenv(const char *name);

/* os_socket, os_pair and os_accept make sockets that are nonblocking and close-on-exec. */
BT_MUST int os_socket(int type);
BT_MUST int os_pair(int type, int ret_fds[2]);
BT_MUST int os_accept(int fd);

/* os_recv is recvmsg(2) without waiting; descriptors that come are close-on-exec. Returns -1 and
 * errno on failure. */
BT_MUST ssize_t os_recv(int fd, struct msghdr *msg);

bool os_has_abstract(void);

/* os_abstract fills in the kernel's form of an abstract name. Its exact length matters: with one
 * more NUL it is another name. */
void os_abstract(
        const char *name, size_t name_len, struct sockaddr_un *ret_addr, socklen_t *ret_len);

/* os_find_dir opens a directory, through symbolic links, to name files in it. */
BT_MUST int os_find_dir(const char *path);

/* os_find opens what stands at `path` (from `dir`, which may be AT_FDCWD), be it a symbolic link,
 * to look at it and to connect to it. */
BT_MUST int os_find(int dir, const char *path);

/* os_connect_found connects to the very file that os_find found at `path`. Returns 0 · -errno. */
BT_MUST int os_connect_found(int fd, int found, const char *path);

/* os_peer_cred: see cred_of_peer. */
BT_MUST int os_peer_cred(int fd, struct cred *ret);

/* os_pass_cred has the packets that come carry their sender's credentials. Returns 0 · -errno. */
BT_MUST int os_pass_cred(int fd, bool on);

/* os_find_cred reads credentials out of a control message, false if it has none. */
bool os_find_cred(const struct cmsghdr *c, struct cred *ret);

/* os_pass_fds says whether the peer of `fd`, or those who connect to it, may send descriptors.
 * Returns 0, also where the system cannot refuse them · -errno. */
BT_MUST int os_pass_fds(int fd, bool on);

/* os_send_room makes the send buffer `bytes` large, as getsockopt counts them, or as near to it as
 * the system lets it; never smaller than it is. Returns 0 · -errno. */
BT_MUST int os_send_room(int fd, size_t bytes);

/* os_unread tells how much of the send buffer is in use. Returns 0 · -errno. */
BT_MUST int os_unread(int fd, size_t *ret_bytes);

#endif
