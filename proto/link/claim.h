/* claim.h - a listener's right to a path: its directory, its lock, its file. Private to this room.
 */
#ifndef BATON_LINK_CLAIM_H
#define BATON_LINK_CLAIM_H

#include "proto/link/listener.h"

/* Zero state: CLAIM_INIT. */
struct claim {
        int dir, lock;
        const char *base; /* the file's name in `dir`; points into the address */
        /* The socket file, once it is there. */
        bool is_bound;
        dev_t dev;
        ino_t ino;
};

#define CLAIM_INIT                    \
        {                             \
                .dir = -1, .lock = -1 \
        }

/* claim_take makes sure that the path may be used and that nobody serves it, and locks it. `a` must
 * live as long as the claim.
 * Returns 0 · LISTENER_E_TAKEN · LISTENER_E_UNSAFE · -errno. */
BT_MUST int claim_take(struct claim *c, const struct address *a, struct listener_why *ret_why);

/* claim_bind has the socket `fd`, of the address's transport, listen at the path that was taken.
 * Returns 0 · LISTENER_E_TAKEN · LISTENER_E_UNSAFE · -errno. */
BT_MUST int claim_bind(struct claim *c, const struct address *a, int fd, int backlog,
        struct listener_why *ret_why);

/* claim_deinit removes the file, if it is still the one that was bound, and gives up the lock. */
void claim_deinit(struct claim *c);

#endif
