/* reaper.h - a thread that closes descriptors which came from strangers.
 *
 * close(2) of somebody else's file can take for ever: a file whose FUSE server hangs, a socket that
 * lingers. The loop must not wait for that (security threats T27). */
#ifndef BATON_BROKER_REAPER_H
#define BATON_BROKER_REAPER_H

#include "proto/base/fdset.h"
#include <stdbool.h>

struct reaper;

/* reaper_new starts its threads, with all signals blocked but SIGURG, which it has a handler for
 * from now on. Returns 0 · -errno. */
BT_MUST int reaper_new(struct reaper **ret_reaper);

/* reaper_take hands over what lies on the yard. Never waits for a close. */
void reaper_take(struct reaper *r, struct graveyard *yard);

/* reaper_is_behind hands over what lies on the yard, and tells whether more than `most` descriptors
 * that were laid there still wait for their turn. Then who may bring more is better not read for a
 * moment: a flood of descriptors for nobody must not make others' be cut short. It is not behind
 * when all its threads hang, for that does not pass. */
bool reaper_is_behind(struct reaper *r, struct graveyard *yard, size_t most);

/* reaper_hung tells how many descriptors stay open because close(2) hangs: whatever came in the
 * same packets counts too, and, when all threads hang, whatever waits. */
size_t reaper_hung(struct reaper *r, const struct graveyard *yard);

/* reaper_abandon ends the process's interest: what is left is closed by the kernel at exit, since a
 * thread that hangs in close cannot be joined. */
void reaper_abandon(struct reaper *r);

#endif
