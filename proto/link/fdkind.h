/* fdkind.h - what a descriptor that came from a stranger is, found out without touching it.
 *
 * No question that is asked here can block: no file system is asked (fstat and fstatfs wait for the
 * server of a FUSE file, which may never answer), no lock is taken that somebody can hold while he
 * sleeps (a TCP socket's, in the middle of a send), and nothing is read or written. Nor is /proc
 * needed. */
#ifndef BATON_LINK_FDKIND_H
#define BATON_LINK_FDKIND_H

#include "proto/base/fdset.h"
#include <stdbool.h>
#include <stdint.h>

enum fdkind {
        FDKIND_MEMFD, /* memory without a name, sealed or not */
        FDKIND_PIPE,  /* a pipe's end, or a FIFO */
        FDKIND_EVENTFD,
        FDKIND_SOCKETPAIR,  /* AF_UNIX, connected, and neither end has a name */
        FDKIND_UNIX_SOCKET, /* any other of AF_UNIX: listening, connected to a name, a datagram's */
        FDKIND_NET_SOCKET,  /* of any other family */
        FDKIND_FILE,        /* a regular file, of whatever file system but procfs */
        FDKIND_DIRECTORY,   /* of whatever file system but procfs */
        FDKIND_PATH,        /* O_PATH: a place in a file system */
        FDKIND_CHAR_DEVICE, /* terminals are some */
        FDKIND_BLOCK_DEVICE,
        FDKIND_PROCFS, /* a file or directory of /proc */
        FDKIND_OTHER,  /* epoll, timerfd, pidfd, userfaultfd ..., and what cannot be told */
        FDKIND_N_,
};

/* fdkind_of never fails: what the system does not tell is FDKIND_OTHER, as on a kernel before 5.8
 * eventfds are. The portable build tells sockets and pipes; all else would have to be asked of its
 * file system, and is FDKIND_OTHER. */
enum fdkind fdkind_of(int fd);

/* fdkind_is_harmless: whoever gets it gets bytes, a counter, or somebody to talk to, and nothing
 * that leads further into the system of who sent it. */
bool fdkind_is_harmless(enum fdkind kind);

/* fdkind_name is what people call it: "memfd", "socketpair", "directory". */
const char *fdkind_name(enum fdkind kind);

/* fdkinds_of gives the kinds of all descriptors of a set, 1 << kind each; 0 for NULL. */
uint32_t fdkinds_of(const struct fdset *fds);

#endif
