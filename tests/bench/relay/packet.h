/* packet.h - a packet with at most one descriptor, sent and received whole. */
#ifndef BATON_TESTS_BENCH_RELAY_PACKET_H
#define BATON_TESTS_BENCH_RELAY_PACKET_H

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

enum { PACKET_BYTES = 65536 };

union packet_control {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
};

static inline int packet_send(int sock, const void *data, size_t len, int fd)
{
        struct iovec iov = {(void *)data, len};
        union packet_control control;
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

        if (fd >= 0) {
                msg.msg_control = control.bytes;
                msg.msg_controllen = sizeof(control.bytes);
                struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(c), &fd, sizeof(fd));
        }
        return sendmsg(sock, &msg, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -errno;
}

/* Returns its length, 0 at the end; `*ret_fd` is -1, or the caller's. */
static inline ssize_t packet_recv(int sock, void *data, int *ret_fd)
{
        struct iovec iov = {data, PACKET_BYTES};
        union packet_control control;
        struct msghdr msg = {.msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes)};
        ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
        const struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

        *ret_fd = -1;
        if (c && c->cmsg_type == SCM_RIGHTS)
                memcpy(ret_fd, CMSG_DATA(c), sizeof(*ret_fd));
        return n;
}

#endif
