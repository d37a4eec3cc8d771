/* Design note. One system call a packet each way, and the common packet, which has no descriptors,
 * costs one look at the control length beyond it. No state is kept between packets. Streams, which
 * keep some, go their own way at the top of each function: stream.c.
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

#include "proto/link/inherited.h"
#include "proto/link/msg.h"
#include "proto/link/os.h"
#include "proto/link/stream.h"
#include "proto/link/transport.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum {
        /* What the kernel may charge for a packet beyond its bytes. */
        PACKET_OVERHEAD_BYTES = 4096,
};

struct link {
        int fd;
        bool has_cred;
        bool is_patient;  /* recvmsg may wait in it, LINK_RECV_WAIT_MS */
        bool lets_fds_in; /* ever since it was adopted */
        struct cred cred;
        struct graveyard *yard;
        struct stream *stream; /* NULL: SEQPACKET */
};

static int check_socket(int fd, enum transport transport)
{
        int type, r = inherited_type(fd, &type);

        if (r)
                return r;
        return type == transport_socket(transport) ? 0 : LINK_E_WRONG_TYPE;
}

static int adopt(int fd, enum transport transport, struct graveyard *yard, struct link **ret_link)
{
        int r;

        if (transport == TRANSPORT_DGRAM)
                return LINK_E_UNSUPPORTED;
        if ((r = check_socket(fd, transport)) || (r = inherited_prepare(fd)) ||
                (r = os_send_room(fd, LINK_SEND_BYTES)))
                return r;
        struct link *l = malloc(sizeof(*l));
        if (!l)
                return -ENOMEM;
        *l = (struct link){.fd = fd, .lets_fds_in = os_lets_fds_in(fd), .yard = yard};
        if (transport == TRANSPORT_STREAM && (r = stream_new(fd, yard, &l->stream))) {
                free(l);
                return r;
        }
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

int link_find_transport(int fd, enum transport *ret)
{
        struct sockaddr_un peer;
        socklen_t peer_len = sizeof(peer);
        int type, r = inherited_type(fd, &type);

        if (r)
                return r == -ENOTSOCK ? LINK_E_WRONG_TYPE : r;
        if (type != SOCK_SEQPACKET && type != SOCK_STREAM)
                return LINK_E_WRONG_TYPE;
        if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) < 0)
                return -errno;
        *ret = type == SOCK_STREAM ? TRANSPORT_STREAM : TRANSPORT_SEQPACKET;
        return 0;
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
                stream_free(l->stream);
                close(l->fd);
                free(l);
        }
        return NULL;
}

struct link *link_bury(struct link *l)
{
        struct fdset *grave = NULL;

        if (!l || !l->lets_fds_in || !l->yard)
                return link_free(l);
        shutdown(l->fd, SHUT_RDWR);
        if (fdset_new_take(&l->fd, 1, l->yard, &grave) == 0)
                fdset_unref(grave);
        stream_free(l->stream);
        free(l);
        return NULL;
}

bool link_lets_fds_in(const struct link *l)
{
        return l->lets_fds_in;
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

int link_send(struct link *l, const struct iovec *iov, size_t n_iov, const int *fds, size_t n_fds)
{
        struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n_iov};
        union msg_control control;

        assert(has_bytes(iov, n_iov));
        if (bt_unlikely(l->stream))
                return stream_send(l->stream, iov, n_iov, fds, n_fds);
        if (bt_unlikely(n_fds))
                msg_attach(&msg, &control, fds, n_fds);
        ssize_t n = n_iov == 1 && !n_fds ? msg_send_bytes(l->fd, iov->iov_base, iov->iov_len)
                                         : msg_send(l->fd, &msg);
        return bt_likely(n >= 0) ? 0 : msg_send_outcome((int)n, n_fds > 0);
}

bool link_is_partial(const struct link *l)
{
        return l->stream && stream_is_partial(l->stream);
}

bool link_is_unsent(const struct link *l)
{
        return l->stream && stream_unsent(l->stream);
}

int link_flush(struct link *l)
{
        return l->stream ? stream_flush(l->stream) : 0;
}

/* What travelled beside the packet's bytes: the descriptors are the caller's. */
static struct fdset *hand_over(struct link *l, const struct msg_extras *extras)
{
        l->has_cred = extras->has_cred;
        l->cred = extras->cred;
        return extras->fds;
}

/* All but a packet of bytes alone; kept out of line, with its arrays. */
__attribute__((noinline)) static int settle(
        struct link *l, struct msghdr *msg, ssize_t n, size_t *ret_len, struct fdset **ret_fds)
{
        struct msg_extras extras;

        if (n < 0) {
                if (n == -EAGAIN)
                        return LINK_E_AGAIN;
                return n == -ENOTCONN ? LINK_E_EOF : (int)n; /* see msg_send_outcome */
        }
        l->has_cred = false;
        int r = msg_take(msg, l->yard, &extras);
        if (r == 0 && n == 0)
                r = LINK_E_EOF;
        else if (r == 0 && msg->msg_flags & MSG_TRUNC)
                r = LINK_E_BROKEN;
        else if (r == 0 && msg->msg_flags & MSG_CTRUNC)
                r = LINK_E_CUT;
        if (r == 0 || r == LINK_E_CUT)
                *ret_len = (size_t)n;
        if (r) {
                fdset_unref(extras.fds);
                return r;
        }
        *ret_fds = hand_over(l, &extras);
        return 0;
}

__attribute__((noinline)) static int recv_stream(
        struct link *l, void *buf, size_t cap, size_t *ret_len, struct fdset **ret_fds)
{
        struct msg_extras extras;
        int r = stream_recv(l->stream, buf, cap, ret_len, &extras);

        if (r == 0)
                *ret_fds = hand_over(l, &extras);
        return r;
}

static inline int recv_packet(
        struct link *l, void *buf, size_t cap, size_t *ret_len, struct fdset **ret_fds, bool waits)
{
        union msg_control control;
        struct iovec iov = {.iov_base = buf, .iov_len = cap};
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes),
        };

        if (bt_unlikely(l->stream))
                return recv_stream(l, buf, cap, ret_len, ret_fds);
        ssize_t n = msg_recv(l->fd, &msg, waits);
        if (n <= 0 || bt_unlikely(msg.msg_controllen) ||
                bt_unlikely(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
                return settle(l, &msg, n, ret_len, ret_fds);
        l->has_cred = false;
        *ret_len = (size_t)n;
        *ret_fds = NULL;
        return 0;
}

int link_recv(struct link *l, void *buf, size_t cap, size_t *ret_len, struct fdset **ret_fds)
{
        return recv_packet(l, buf, cap, ret_len, ret_fds, false);
}

/* A socket that several hold may be made nonblocking again by another: then nothing waits, which is
 * allowed. */
static int be_patient(struct link *l)
{
        struct timeval most = {.tv_usec = LINK_RECV_WAIT_MS * 1000};
        int status = fcntl(l->fd, F_GETFL);

        if (status < 0 || setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most)) < 0 ||
                fcntl(l->fd, F_SETFL, status & ~O_NONBLOCK) < 0)
                return -errno;
        l->is_patient = true;
        return 0;
}

/* Whether any signal that comes from outside has a handler. */
static bool has_handlers(void)
{
        static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
        struct sigaction act;

        for (int i = 1; i < NSIG; i++) {
                bool is_own = false;
                for (size_t k = 0; k < ARRAY_LEN(own); k++)
                        is_own |= i == own[k];
                if (is_own || sigaction(i, NULL, &act) < 0)
                        continue;
                if (act.sa_flags & SA_SIGINFO ||
                        (act.sa_handler != SIG_DFL && act.sa_handler != SIG_IGN))
                        return true;
        }
        return false;
}

/* A socket with a timeout says EINTR to a process that was stopped, traced or frozen, too
 * (signal(7)), and programs without handlers never expect it. */
int link_recv_wait(struct link *l, void *buf, size_t cap, size_t *ret_len, struct fdset **ret_fds)
{
        bool waits = !l->stream && (l->is_patient || be_patient(l) == 0);
        int r = recv_packet(l, buf, cap, ret_len, ret_fds, waits);

        return r == -EINTR && !has_handlers() ? LINK_E_AGAIN : r;
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
        int r = os_pass_fds(l->fd, on);

        if (r == 0 && on)
                l->lets_fds_in = true;
        return r;
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
        size_t rest = l->stream ? stream_unsent(l->stream) : 0;
        size_t used;
        int r = os_unread(l->fd, &used);

        if (rest) /* goes first */
                bytes += rest + PACKET_OVERHEAD_BYTES;
        return r < 0 ? r : os_send_room(l->fd, used + bytes + PACKET_OVERHEAD_BYTES);
}
