/* msg.h - one sendmsg or recvmsg, and what travels beside its bytes. Private to this room. */
#ifndef BATON_LINK_MSG_H
#define BATON_LINK_MSG_H

#include "proto/base/fdset.h"
#include "proto/link/cred.h"
#include "proto/link/os.h"
#include <errno.h>
#include <stdbool.h>
#include <sys/types.h>

enum {
        /* The error of F1 comes once, for a peer goes once. A socket that says it again and again
         * is out of order. */
        MSG_RESETS_MAX = 3,
};

/* Room for all that the kernel may attach to one message, aligned for cmsghdr. */
union msg_control {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(FDSET_MAX * sizeof(int)) + OS_CRED_SPACE];
};

/* msg_attach adds `n_fds` (1..FDSET_MAX) descriptors; `control` must live as long as `msg`. */
void msg_attach(struct msghdr *msg, union msg_control *control, const int *fds, size_t n_fds);

/* msg_send is sendmsg(2) without waiting. Returns how many bytes went · -errno. */
static inline ssize_t msg_send(int fd, const struct msghdr *msg)
{
        ssize_t n;

        do
                n = sendmsg(fd, msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (bt_unlikely(n < 0) && errno == EINTR);
        return bt_likely(n >= 0) ? n : -errno;
}

/* msg_send_bytes is msg_send of one piece alone, which costs less: the kernel has no msghdr to
 * copy, nor what it points to. */
static inline ssize_t msg_send_bytes(int fd, const void *data, size_t len)
{
        ssize_t n;

        do
                n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (bt_unlikely(n < 0) && errno == EINTR);
        return bt_likely(n >= 0) ? n : -errno;
}

/* msg_send_outcome gives a link_outcome for the -errno of msg_send, or that itself. */
BT_MUST int msg_send_outcome(int error, bool has_fds);

/* msg_recv is os_recv, but passes over a reset, ahead of what still waits (F1). Returns how many
 * bytes came · -errno (-EINTR: it waited, and a signal came). */
static inline ssize_t msg_recv(int fd, struct msghdr *msg, bool waits)
{
        for (int resets = 0;;) {
                ssize_t n = os_recv(fd, msg, waits);
                if (bt_likely(n >= 0))
                        return n;
                if ((errno == EINTR && !waits) ||
                        (errno == ECONNRESET && ++resets < MSG_RESETS_MAX))
                        continue;
                return -errno;
        }
}

/* What came beside the bytes. Zero state: all bytes zero. */
struct msg_extras {
        struct fdset *fds; /* NULL: none */
        bool has_cred;
        struct cred cred;
};

/* msg_take collects what a received message carries; the caller owns `ret->fds`.
 * Returns 0 · -ENOMEM (the descriptors are closed; the rest of `*ret` is filled in). */
BT_MUST int msg_take(struct msghdr *msg, struct graveyard *yard, struct msg_extras *ret);

#endif
