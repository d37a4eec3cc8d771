/* reaper.h - a thread that closes descriptors which came from strangers.
 *
 * close(2) of somebody else's file can take for ever: a file whose FUSE server hangs, a socket that
 * lingers. The loop must not wait for that (security threats T27). */
#ifndef BATON_BROKER_REAPER_H
#define BATON_BROKER_REAPER_H

#include "proto/base/fdset.h"

struct reaper;

/* reaper_new starts its threads, with all signals blocked. Returns 0 · -errno. */
BT_MUST int reaper_new(struct reaper **ret_reaper);

/* reaper_take hands over what lies on the yard. Never waits for a close. */
void reaper_take(struct reaper *r, struct graveyard *yard);

/* reaper_keep_up waits, 10 ms at most, until no more than `most` descriptors that were laid on the
 * yard still wait to be closed: who floods us with descriptors for nobody must not make others' be
 * cut short. */
void reaper_keep_up(struct reaper *r, struct graveyard *yard, size_t most);

/* reaper_abandon ends the process's interest: what is left is closed by the kernel at exit, since a
 * thread that hangs in close cannot be joined. */
void reaper_abandon(struct reaper *r);

#endif
