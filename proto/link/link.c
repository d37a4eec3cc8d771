/* Design note. One system call a packet each way, and the common packet, which has no descriptors,
 * costs one look at the control length beyond it. No state is kept between packets.
 *
 * Kernel behaviour that this file relies on; tests/link/kernel_facts_test.c shows each:
 *  F1  A peer that left with unread input sets an error on our socket. The next recvmsg (or
 *      sendmsg) reports it, once, as ECONNRESET, ahead of the packets that still wait.
 *  F3  recvmsg returns 0 at the end and for an empty packet, which may carry descriptors.
 *  F6  A packet cut short (MSG_TRUNC) still delivers its descriptors.
 *  F7  So does a short control message (MSG_CTRUNC), those that fit.
 * Hence whatever comes is collected into a set before anything is judged. MSG_PEEK is never used:
 * it would install descriptors of its own. */
#include "proto/link/link.h"

#include "proto/link/os.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
        /* The error of F1 comes once, for a peer goes once. A socket that says it again and again
         * is out of order. */
        RESETS_MAX = 3,
        /* What the kernel may charge for a packet beyond its bytes. */
        PACKET_OVERHEAD_BYTES = 4096,
};

struct link {
        int fd;
        bool has_cred;
        struct cred cred;
        struct graveyard *yard;
};

/* Room for all that the kernel may attach to one packet, aligned for cmsghdr. */
union control {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(FDSET_MAX * sizeof(int)) + OS_CRED_SPACE];
};

static int check_socket(int fd)
{
        struct sockaddr_un addr;
        socklen_t addr_len = sizeof(addr);
        int type;
        socklen_t type_len = sizeof(type);

        if (getsockname(fd, (struct sockaddr *)&addr, &addr_len) < 0)
                return -errno;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0)
                return -errno;
        return addr.sun_family == AF_UNIX && type == SOCK_SEQPACKET ? 0 : LINK_E_WRONG_TYPE;
}

static int set_flags(int fd)
{
        int status = fcntl(fd, F_GETFL);

        if (status < 0)
                return -errno;
        if (!(status & O_NONBLOCK) && fcntl(fd, F_SETFL, status | O_NONBLOCK) < 0)
                return -errno;
        return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

static int adopt(int fd, enum transport transport, struct graveyard *yard, struct link **ret_link)
{
        int r;

        if (transport != TRANSPORT_SEQPACKET)
                return LINK_E_UNSUPPORTED;
        if ((r = check_socket(fd)) || (r = set_flags(fd)) ||
                (r = os_send_room(fd, LINK_SEND_BYTES)))
                return r;
        struct link *l = malloc(sizeof(*l));
        if (!l)
                return -ENOMEM;
        *l = (struct link){.fd = fd, .yard = yard};
        *ret_link = l;
        return 0;
}

int link_new_adopt(int fd, enum transport transport, struct graveyard *yard, struct link **ret_link)
{
        int r = adopt(fd, transport, yard, ret_link);

        if (r)
                close(fd);
        return r;
}

int link_pair(struct graveyard *yard_a, struct graveyard *yard_b, struct link **ret_a,
        struct link **ret_b)
{
        cleanup_(link_freep) struct link *a = NULL;
        int fds[2];
        int r = os_pair(SOCK_SEQPACKET, fds);

        if (r < 0)
                return r;
        r = link_new_adopt(fds[0], TRANSPORT_SEQPACKET, yard_a, &a);
        if (r) {
                close(fds[1]);
                return r;
        }
        r = link_new_adopt(fds[1], TRANSPORT_SEQPACKET, yard_b, ret_b);
        if (r)
                return r;
        *ret_a = take_ptr(a);
        return 0;
}

struct link *link_free(struct link *l)
{
        if (l) {
                close(l->fd);
                free(l);
        }
        return NULL;
}

void link_freep(struct link **l)
{
        *l = link_free(*l);
}

int link_fd(const struct link *l)
{
        return l->fd;
}

/* For assert alone. */
__attribute__((unused)) static bool has_bytes(const struct iovec *iov, size_t n_iov)
{
        for (size_t i = 0; i < n_iov; i++) {
                if (iov[i].iov_len)
                        return true;
        }
        return false;
}

static void attach(struct msghdr *msg, union control *control, const struct fdset *fds)
{
        size_t len = fdset_n(fds) * sizeof(int);

        memset(control->bytes, 0, CMSG_SPACE(len));
        msg->msg_control = control->bytes;
        msg->msg_controllen = CMSG_SPACE(len);
        struct cmsghdr *c = &control->align;
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(len);
        memcpy(CMSG_DATA(c), fdset_fds(fds), len);
}

static int send_outcome(int error, bool has_fds)
{
        switch (error) {
        case EAGAIN:
                return LINK_E_AGAIN;
        case EPIPE:
        case ECONNRESET:
        case ENOTCONN: /* the peer went in this very moment: some kernels disconnect us then */
        case ECONNREFUSED:
                return LINK_E_GONE;
        case EMSGSIZE:
                return LINK_E_TOO_BIG;
        case ENOBUFS:
        case ENOMEM:
                return LINK_E_EXHAUSTED;
        case ETOOMANYREFS:
                return has_fds ? LINK_E_IN_FLIGHT : -error;
        case EPERM:
                return has_fds ? LINK_E_REFUSED : -error;
        default:
                return -error;
        }
}

int link_send(struct link *l, const struct iovec *iov, size_t n_iov, const struct fdset *fds)
{
        struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n_iov};
        union control control;
        ssize_t n;

        assert(has_bytes(iov, n_iov));
        if (bt_unlikely(fdset_n(fds)))
                attach(&msg, &control, fds);
        do
                n = sendmsg(l->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (bt_unlikely(n < 0) && errno == EINTR);
        return bt_likely(n >= 0) ? 0 : send_outcome(errno, fdset_n(fds) > 0);
}

/* Collects the descriptors, and the credentials. */
static int take_control(struct link *l, struct msghdr *msg, struct fdset **ret_fds)
{
        int fds[FDSET_MAX];
        size_t n = 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
                l->has_cred |= os_find_cred(c, &l->cred);
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                size_t more = size_min((c->cmsg_len - CMSG_LEN(0)) / sizeof(int), FDSET_MAX - n);
                memcpy(fds + n, CMSG_DATA(c), more * sizeof(int));
                n += more;
        }
        return n ? fdset_new_take(fds, n, l->yard, ret_fds) : 0;
}

static ssize_t receive(int fd, struct msghdr *msg)
{
        for (int resets = 0;;) {
                ssize_t n = os_recv(fd, msg);
                if (bt_likely(n >= 0))
                        return n;
                if (errno == EINTR || (errno == ECONNRESET && ++resets < RESETS_MAX))
                        continue;
                return -errno;
        }
}

/* All but a packet of bytes alone; kept out of line, with its array. */
__attribute__((noinline)) static int settle(
        struct link *l, struct msghdr *msg, ssize_t n, size_t *ret_len, struct fdset **ret_fds)
{
        cleanup_(fdset_unrefp) struct fdset *fds = NULL;

        if (n < 0) {
                if (n == -EAGAIN)
                        return LINK_E_AGAIN;
                return n == -ENOTCONN ? LINK_E_EOF : (int)n; /* see send_outcome */
        }
        l->has_cred = false;
        int r = take_control(l, msg, &fds);
        if (r < 0)
                return r;
        if (n == 0)
                return LINK_E_EOF;
        if (msg->msg_flags & (MSG_TRUNC | MSG_CTRUNC))
                return LINK_E_BROKEN;
        *ret_len = (size_t)n;
        *ret_fds = take_ptr(fds);
        return 0;
}

int link_recv(struct link *l, void *buf, size_t cap, size_t *ret_len, struct fdset **ret_fds)
{
        union control control;
        struct iovec iov = {.iov_base = buf, .iov_len = cap};
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes),
        };
        ssize_t n = receive(l->fd, &msg);

        if (n <= 0 || bt_unlikely(msg.msg_controllen) ||
                bt_unlikely(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
                return settle(l, &msg, n, ret_len, ret_fds);
        l->has_cred = false;
        *ret_len = (size_t)n;
        *ret_fds = NULL;
        return 0;
}

int link_wait(const struct link *l, short events, int timeout_ms)
{
        struct pollfd p = {.fd = l->fd, .events = events};
        int n = poll(&p, 1, timeout_ms);

        if (n < 0)
                return -errno;
        return n ? 0 : LINK_E_AGAIN;
}

int link_allow_fds(struct link *l, bool on)
{
        return os_pass_fds(l->fd, on);
}

int link_ask_cred(struct link *l, bool on)
{
        return os_pass_cred(l->fd, on);
}

bool link_find_cred(const struct link *l, struct cred *ret)
{
        if (l->has_cred)
                *ret = l->cred;
        return l->has_cred;
}

int link_make_room(struct link *l, size_t bytes)
{
        size_t used;
        int r = os_unread(l->fd, &used);

        return r < 0 ? r : os_send_room(l->fd, used + bytes + PACKET_OVERHEAD_BYTES);
}
