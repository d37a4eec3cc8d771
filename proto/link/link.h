/* link.h - one connected socket: packets in, packets out, each with its descriptors.
 *
 * A packet has at least one byte: an empty one cannot be told from the end (F3). On a stream it is
 * led by its length, 0xce and four bytes, big-endian; a packet's descriptors come with its bytes.
 */
#ifndef BATON_LINK_LINK_H
#define BATON_LINK_LINK_H

#include "proto/base/fdset.h"
#include "proto/link/address.h"
#include "proto/link/cred.h"
#include <sys/uio.h>

/* The outcomes of everything in this room; each function names those it has. */
enum link_outcome {
        LINK_E_AGAIN = 1,   /* nothing to receive, or no room to send: poll, then try again */
        LINK_E_EOF,         /* the peer is gone, and all that it sent has been received */
        LINK_E_BROKEN,      /* a packet did not come whole: end this connection */
        LINK_E_CUT,         /* a packet came without its descriptors, for we have too many open */
        LINK_E_GONE,        /* the peer reads no more; what it sent can still be received */
        LINK_E_TOO_BIG,     /* the packet does not fit this socket, ever */
        LINK_E_IN_FLIGHT,   /* too many descriptors of this uid wait to be received, anywhere */
        LINK_E_REFUSED,     /* the receiver takes no descriptors */
        LINK_E_EXHAUSTED,   /* the system is out of memory or descriptors now; try again later */
        LINK_E_UNSUPPORTED, /* this build has no such transport, or no such names */
        LINK_E_ABSENT,      /* nobody listens there */
        LINK_E_UNTRUSTED,   /* somebody listens there who is not whom we expect */
        LINK_E_BUSY,        /* the listener's backlog is full; try again soon */
        LINK_E_DENIED,      /* file permissions, or a sandbox, forbid it */
        LINK_E_WRONG_TYPE,  /* a socket, but of another type */
        LINK_E_N_,
};

enum {
        /* The longest packet. Streams refuse longer ones; records are bounded by the caller. */
        LINK_PACKET_BYTES = 65536,
        /* The most descriptors that come with one packet of a stream, which keeps them until the
         * packet is whole, and that may be never. Those of a record come and go with it, up to
         * FDSET_MAX. 17: what one publication may have. */
        LINK_STREAM_FDS = 17,
        /* Bytes of SO_SNDBUF that every link has at least: Linux's usual default. Packets of up to
         * a third of it can be sent whoever made the socket (F4, F5). */
        LINK_SEND_BYTES = 212992,
        /* How long link_recv_wait waits. */
        LINK_RECV_WAIT_MS = 200,
        /* Pieces of one packet. */
        LINK_IOV_MAX = 1023,
};

struct link;

/* link_new_adopt makes a link of a connected AF_UNIX socket: nonblocking, close-on-exec, with room
 * for LINK_SEND_BYTES. It owns `fd` from now on, also when it fails.
 *
 * transport   SEQPACKET or STREAM; must be what the socket is.
 * yard   where descriptors that nobody gets are laid; it must live longer. NULL: closed at once.
 * Returns 0 · LINK_E_UNSUPPORTED the transport · LINK_E_WRONG_TYPE the socket is of another family
 *         or type · -errno. */
BT_MUST int link_new_adopt(
        int fd, enum transport transport, struct graveyard *yard, struct link **ret_link);

/* link_find_transport tells which transport a socket that came by inheritance has.
 * Returns 0 · LINK_E_WRONG_TYPE no SEQPACKET or STREAM socket · -errno (-ENOTCONN). */
BT_MUST int link_find_transport(int fd, enum transport *ret);

/* link_pair makes two links that are connected with each other.
 * Returns 0 · -errno. */
BT_MUST int link_pair(struct graveyard *yard_a, struct graveyard *yard_b, struct link **ret_a,
        struct link **ret_b);

/* link_free closes the socket. What was sent and not yet received reaches the peer none the less,
 * but not what a stream has kept (link_flush). NULL is fine. Returns NULL. */
struct link *link_free(struct link *l);
void link_freep(struct link **l);

/* link_bury is link_free for a loop: it never waits for what the peer has left in the socket. With
 * a socket go all descriptors that wait in it, received or not, and one of them may take for ever
 * (a connection that lingers, a file of a hung FUSE server). So a socket that may hold any is shut
 * down, which the peer sees at once, and laid on the yard. NULL is fine. Returns NULL. */
struct link *link_bury(struct link *l);

/* link_lets_fds_in: descriptors may come with the next packet, or have come before it was
 * forbidden. */
bool link_lets_fds_in(const struct link *l);

/* link_fd borrows the descriptor, to poll it. */
int link_fd(const struct link *l);

/* link_send sends one packet, whole or not at all.
 *
 * iov [n_iov]   the bytes, >= 1 in all; n_iov <= LINK_IOV_MAX.
 * fds [n_fds]   the descriptors that go with them, n_fds <= FDSET_MAX; stay with the caller.
 * Returns 0 · LINK_E_AGAIN · LINK_E_GONE keep receiving until LINK_E_EOF · LINK_E_TOO_BIG ·
 *         LINK_E_IN_FLIGHT, LINK_E_REFUSED only with descriptors · LINK_E_EXHAUSTED · -errno.
 * A stream may take a packet in part: that is 0, the link keeps the rest (its descriptors are gone
 * with the first part), and takes no other packet (LINK_E_AGAIN) until link_flush has sent it. */
BT_MUST int link_send(
        struct link *l, const struct iovec *iov, size_t n_iov, const int *fds, size_t n_fds);

/* link_is_partial: of the next packet a part has come; only over a stream. */
bool link_is_partial(const struct link *l);

/* link_is_unsent: the rest of a packet waits to be sent: poll for POLLOUT, then link_flush. */
bool link_is_unsent(const struct link *l);

/* link_flush sends what a stream has kept; every link_send tries it first.
 * Returns 0 nothing is left · LINK_E_AGAIN · LINK_E_GONE what was left is forgotten ·
 *         LINK_E_EXHAUSTED · -errno. */
BT_MUST int link_flush(struct link *l);

/* link_recv receives one packet. It never ends before the last packet that the peer sent, although
 * the kernel reports a peer that left with unread input before it hands out that peer's packets
 * (F1): receive until LINK_E_EOF, also when poll says POLLERR or libuv a status below 0 (F2).
 *
 * A stream's packet may come in many pieces: LINK_E_AGAIN until it is whole. It never reads beyond
 * one packet, so poll tells the truth about the next. A packet cut short by the end of the stream
 * is discarded. A stream that was LINK_E_BROKEN once is so for ever, while poll goes on to see what
 * is left in it.
 *
 * buf [cap]   receives `*ret_len` bytes, 1 <= *ret_len <= cap; a stream wants cap >=
 *             LINK_PACKET_BYTES.
 * ret_fds     the caller owns it: up to FDSET_MAX descriptors (of a stream LINK_STREAM_FDS),
 *             close-on-exec; NULL if there are none.
 * Returns 0 · LINK_E_AGAIN · LINK_E_EOF · LINK_E_CUT the packet is whole (`*ret_len` is set) but
 *         not all of its descriptors could be had: those that came lie on the yard ·
 *         LINK_E_BROKEN the packet was longer than `cap`, or a stream says no possible length, or
 *         sends more than LINK_STREAM_FDS with a packet; what came lies on the yard · -errno. */
BT_MUST int link_recv(
        struct link *l, void *buf, size_t cap, size_t *ret_len, struct fdset **ret_fds);

/* link_recv_wait is link_recv for a thread that has nothing else to do: a SEQPACKET link may wait
 * for the packet, up to LINK_RECV_WAIT_MS, which saves the system call of link_wait. All other
 * calls on the link go on not to wait.
 * Returns as link_recv, LINK_E_AGAIN perhaps early · -EINTR a signal came, in a process that
 * handles any. */
BT_MUST int link_recv_wait(
        struct link *l, void *buf, size_t cap, size_t *ret_len, struct fdset **ret_fds);

/* link_wait sleeps until the link is ready for `events` (POLLIN, POLLOUT) or has failed or ended,
 * which the next call will tell; -1 ms is for ever.
 * Returns 0 · LINK_E_AGAIN the time is up · -errno, -EINTR too. */
BT_MUST int link_wait(const struct link *l, short events, int timeout_ms);

/* link_allow_fds says whether the peer may send descriptors from now on; what it has sent already
 * still comes. Accepted links start with no, all others with yes. Kernels before 6.16 cannot
 * refuse: there it does nothing.
 * Returns 0 · -errno. */
BT_MUST int link_allow_fds(struct link *l, bool on);

/* link_ask_cred has the kernel attach the sender's credentials to each packet sent from now on. For
 * a socketpair end: do it before the peer can write.
 * Returns 0 · -errno (-EOPNOTSUPP: this build cannot tell who sends). */
BT_MUST int link_ask_cred(struct link *l, bool on);

/* link_find_cred gives the credentials that came with the latest packet received, true if it had
 * any. A packet sent before link_ask_cred has pid 0. A stream's packet has none if not all of its
 * bytes came under the same. */
bool link_find_cred(const struct link *l, struct cred *ret);

/* link_make_room lets one more packet of up to `bytes` into a link that has answered LINK_E_AGAIN:
 * for the last word to a peer that does not read. The kernel bounds it; whether it was enough the
 * next link_send tells.
 * Returns 0 · -errno. */
BT_MUST int link_make_room(struct link *l, size_t bytes);

#endif
