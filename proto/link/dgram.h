/* dgram.h - publishing without a connection: one datagram, one packet (PROTOCOL.md part 10).
 *
 * The receiver is a listener of transport DGRAM (listener.h): a socket file. The sender has a
 * socket of its own, without a name, and nothing comes back to it. Neither side ever waits. Linux
 * keeps net.unix.max_dgram_qlen (10) + 1 datagrams for a receiver, all senders together; only the
 * administrator can change that. */
#ifndef BATON_LINK_DGRAM_H
#define BATON_LINK_DGRAM_H

#include "proto/link/connect.h"
#include "proto/link/listener.h"

/* dgram_recv receives one datagram at a listener of transport DGRAM.
 *
 * buf [cap]    receives `*ret_len` bytes, 1 <= *ret_len <= cap.
 * yard         where descriptors that came with it are laid: nobody gets them.
 * ret_sender   who sent it, by the credentials that the kernel attached to this very datagram; of
 *              what is LINK_E_BROKEN too, if it had any.
 * Returns 0 · LINK_E_AGAIN · LINK_E_BROKEN it was empty, longer than `cap`, carried descriptors, or
 *         no credentials: it is gone, go on · LINK_E_EXHAUSTED · -errno. */
BT_MUST int dgram_recv(struct listener *l, struct graveyard *yard, void *buf, size_t cap,
        size_t *ret_len, struct cred *ret_sender);

struct dgram; /* the sending side */

/* dgram_connect opens a sender to a broker's socket file. A datagram socket does not say who reads
 * it (SO_PEERCRED is empty), so trust rests on the file: it must belong to the uid that the address
 * expects, root or this user without one, and it is connected to through the descriptor that was
 * looked at. Who may write into its directory may put another one there: same uid and root only.
 *
 * ret_why   filled for every outcome but 0, and for -errno too.
 * Returns as link_connect, with LINK_E_BUSY: the file is being replaced; LINK_E_UNSUPPORTED: the
 * address is of another transport. */
BT_MUST int dgram_connect(
        const struct address *a, struct dgram **ret_dgram, struct link_why *ret_why);

/* dgram_send sends one packet, len >= 1.
 * Returns 0 · LINK_E_AGAIN the receiver is full: nothing was sent · LINK_E_GONE nobody reads any
 *         more, and whoever comes next must be connected to anew · LINK_E_TOO_BIG more than
 *         LINK_PACKET_BYTES · LINK_E_EXHAUSTED · -errno. */
BT_MUST int dgram_send(struct dgram *d, const void *data, size_t len);

/* dgram_fd borrows the descriptor, to poll it: POLLOUT when the receiver has room, or is gone. */
int dgram_fd(const struct dgram *d);

/* dgram_free: NULL is fine. Returns NULL. */
struct dgram *dgram_free(struct dgram *d);
void dgram_freep(struct dgram **d);

#endif
