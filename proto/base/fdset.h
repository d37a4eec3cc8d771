/* fdset.h - the descriptors of one message: the only owner of descriptors that travel.
 *
 * A set is shared by reference among all receivers of its message (sendmsg does not consume the
 * sender's descriptors), and its content never changes. When the last reference goes, the set is
 * laid on its graveyard: closing can block for ever (a file of a hung FUSE server, a socket that
 * lingers), so whoever owns a loop hands the graveyard's sets to a thread that may. */
#ifndef BATON_BASE_FDSET_H
#define BATON_BASE_FDSET_H

#include "proto/base/defs.h"

/* The most descriptors the kernel puts into one packet (SCM_MAX_FD, unix(7)). */
enum { FDSET_MAX = 253 };

struct fdset;

/* Zero state: all bytes zero. Holds dead sets until they are taken. */
struct graveyard {
        struct fdset *dead;
        size_t n_laid; /* descriptors laid on it, ever */
};

/* fdset_new_take owns the `n` (1..FDSET_MAX) descriptors in `fds` from now on, also when it fails
 * (then they have been closed, or, lacking memory for that too, were closed here and now).
 *
 * yard    where the set is laid in the end; it must live longer. NULL: unref closes at once.
 * Returns 0 · -ENOMEM. */
BT_MUST int fdset_new_take(
        const int *fds, size_t n, struct graveyard *yard, struct fdset **ret_set);

struct fdset *fdset_ref(struct fdset *s);

/* fdset_unref drops one reference; NULL is fine. Returns NULL. */
struct fdset *fdset_unref(struct fdset *s);
void fdset_unrefp(struct fdset **s);

size_t fdset_n(const struct fdset *s); /* 0 for NULL */

/* fdset_fds borrows the descriptors, [fdset_n]; NULL for NULL. */
const int *fdset_fds(const struct fdset *s);

/* fdset_steal takes descriptor `i` out of a set of which the caller holds the only reference: the
 * caller owns it, the set has -1 in its place. */
int fdset_steal(struct fdset *s, size_t i);

/* graveyard_take empties the yard and returns a chain of dead sets, NULL if there is none. */
struct fdset *graveyard_take(struct graveyard *yard);

/* fdset_join puts chain `b` behind chain `a` and returns the whole; either may be NULL. */
struct fdset *fdset_join(struct fdset *a, struct fdset *b);

/* fdset_behind takes the rest off a chain and returns it: `chain` is one set then. */
struct fdset *fdset_behind(struct fdset *chain);

/* fdset_steal_dead is fdset_steal for a set that graveyard_take has returned. */
int fdset_steal_dead(struct fdset *s, size_t i);

/* fdset_bury closes and frees a chain that graveyard_take returned. May block: not for a loop. */
void fdset_bury(struct fdset *chain);

#endif
