/* listener.h - a socket that clients connect to, and the claim on its name, or somebody else's that
 * was passed on. */
#ifndef BATON_LINK_LISTENER_H
#define BATON_LINK_LISTENER_H

#include "proto/link/address.h"
#include "proto/link/link.h"

struct listener;

enum listener_outcome {
        LISTENER_E_TAKEN = LINK_E_N_, /* somebody has the name */
        LISTENER_E_UNSAFE,            /* what stands at the path, or around it, is not to be used */
        LISTENER_E_UNFIT,             /* what was passed on is no socket that can be served */
};

/* One phrase for a person, without the address itself: "held by pid 12 (uid 0)". */
struct listener_why {
        char text[160];
};

/* listener_open binds the address and listens; a socket for datagrams, which are received with
 * dgram_recv, has no backlog. Call it while the process has one thread: it sets the umask for an
 * instant.
 *
 * A path has the mode of the address, 0600 without one, from the moment it can be seen. Its claim
 * is a lock on PATH.lock, a file that is never removed. A socket that nobody serves is replaced
 * atomically; one that is served never, by a socket of whatever type, lock or no lock. Connected
 * clients cannot send descriptors before link_allow_fds, datagrams never (Linux 6.16).
 *
 * ret_why      filled for every outcome but 0, and for -errno too.
 * Returns 0 · LISTENER_E_TAKEN, LISTENER_E_UNSAFE · LINK_E_UNSUPPORTED the transport ·
 *         -errno (-ENOENT: no such directory). */
BT_MUST int listener_open(const struct address *a, int backlog, struct listener **ret_listener,
        struct listener_why *ret_why);

/* listener_adopt takes over a socket that somebody else has bound and keeps: a listening one, or
 * one for datagrams. It owns `fd` from now on, also when it fails; never the name, so there is no
 * lock, and nothing to remove in the end. What waits in it is served: connections, which may have
 * been made before descriptors were refused (link_allow_fds), and datagrams, but for those that
 * came before their senders were asked for.
 *
 * backlog   of this process, as if it had called listen(2) first: clients are told that it listens.
 * ret_why   filled for every outcome but 0, and for -errno too.
 * Returns 0 · LISTENER_E_UNFIT · LINK_E_UNSUPPORTED the address · -errno (-EBADF). */
BT_MUST int listener_adopt(
        int fd, int backlog, struct listener **ret_listener, struct listener_why *ret_why);

/* listener_close stops listening. It removes the path if that is still the socket bound here; who
 * has passed the socket on keeps his own, and what waits in it. NULL is fine. Returns NULL. */
struct listener *listener_close(struct listener *l);
void listener_closep(struct listener **l);

/* listener_fd borrows the descriptor, to poll it. */
int listener_fd(const struct listener *l);

/* listener_address: of an adopted one, what it is bound to, be it a relative path. */
const struct address *listener_address(const struct listener *l);

/* listener_is_adopted: its name is not ours. */
bool listener_is_adopted(const struct listener *l);

/* listener_accept takes the next connection: the caller owns `*ret_fd`, which is nonblocking and
 * close-on-exec, and gives it to link_new_adopt with the transport of listener_address. Not for
 * datagrams.
 * Returns 0 · LINK_E_AGAIN nobody waits · LINK_E_EXHAUSTED out of descriptors or memory: who waits
 *         keeps waiting; rest a while, the listener stays readable · -errno. */
BT_MUST int listener_accept(struct listener *l, int *ret_fd);

#endif
