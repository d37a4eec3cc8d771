/* support.h - what the tests over real sockets share. */
#ifndef BATON_TESTS_LINK_SUPPORT_H
#define BATON_TESTS_LINK_SUPPORT_H

#include "proto/link/connect.h"
#include "proto/link/link.h"
#include "proto/link/listener.h"
#include "tests/harness/test.h"
#include <stdbool.h>
#include <sys/types.h>

/* yard_bury closes what lies on the yard and says how many descriptors that were. */
size_t yard_bury(struct graveyard *yard);

/* room_enter makes an empty directory and moves into it, room_leave removes it with its files. */
void room_enter(void);
void room_leave(void);

/* Addresses that must be right. */
struct address broker_address(const char *text);
struct address client_address(const char *text);

/* What a portable build lacks: abstract names and datagrams, and the number of a process. */
bool can_serve(const char *text);
pid_t told_pid(pid_t pid);

/* How a process is named to people, behind `before`. */
void say_process(char text[64], const char *before, pid_t pid, uid_t uid);

struct listener *open_listener(const char *text);

/* Connects and accepts; makes a link of a socket. */
struct link *connect_to(const char *text, struct graveyard *yard);
struct link *accept_from(struct listener *l, struct graveyard *yard);
struct link *link_of(int fd, enum transport transport, struct graveyard *yard);

/* Sends, or receives, a short text. */
int send_text(struct link *l, const char *text, const struct fdset *fds);
void check_text(struct link *l, const char *text);

/* One packet of any content: the outcome of link_recv, what came is dropped. */
int recv_any(struct link *l);

/* A set of `n` descriptors: the reading ends of pipes that hold one byte each, 'a', 'b', … */
struct fdset *pipes_new(size_t n, struct graveyard *yard);

/* A raw, blocking socket of this type, bound (and listening) there. */
int raw_socket(int type);
int raw_bind(int type, const char *path);
int raw_bind_abstract(int type, const char *name);

/* Two connected SEQPACKET sockets, or of any type, nonblocking; and a link made of one. */
void raw_pair(int fds[2]);
void raw_pair_of(int type, int fds[2]);
struct link *raw_adopt(int fd, struct graveyard *yard);

/* The bare system calls: a short text goes, comes, or an errno does. */
void raw_send(int fd, const char *text);
void raw_recv(int fd, const char *text);
int raw_recv_errno(int fd);

/* Sends bytes with `n` (0..FDSET_MAX) duplicates of one descriptor; -1 and errno on failure. */
ssize_t raw_send_fds(int fd, const void *bytes, size_t len, size_t n);

/* Receives up to `len` bytes and room for `n` descriptors, which are closed and counted; adds the
 * flags MSG_TRUNC and MSG_CTRUNC to `*ret_flags`. */
ssize_t raw_recv_fds(int fd, void *bytes, size_t len, size_t n, size_t *ret_n, int *ret_flags);

/* SO_PASSRIGHTS, Linux 6.16: can the kernel refuse descriptors at all? */
bool kernel_can_refuse(void);

/* Bytes for packets: number `i` of a pattern that shows what was moved or lost. */
uint8_t pattern(size_t i);
void fill(uint8_t *bytes, size_t n);

/* spawn runs `body` in a child, which ends with its result; reap waits and returns that, or -1 if
 * the child did not end by itself. A child may not use CHECK: it would run the remaining tests. */
pid_t spawn(int (*body)(void *context), void *context);
int reap(pid_t pid);

/* For spawn: sends LAST_WORDS over the socket *(int *)context, and ends. */
#define LAST_WORDS "last words"
int send_and_exit(void *context);

/* Lowers RLIMIT_NOFILE so that `spare` more descriptors can be opened; (-1) restores it. */
void limit_fds(int spare);

#endif
