/* passed.h - listeners that a supervisor has passed on, by the protocol of sd_listen_fds(3):
 * descriptors 3, 4, ... of the process that LISTEN_PID names, LISTEN_FDS of them. */
#ifndef BATON_BROKER_PASSED_H
#define BATON_BROKER_PASSED_H

#include "proto/base/defs.h"

enum { PASSED_FD_FIRST = 3 };

enum passed_outcome { PASSED_E_BAD = 1 /* the error is on stderr */ };

/* passed_take finds out how many were passed on to this process, at most `most`, and makes them
 * close-on-exec; what they are is not looked at. The variables are removed, whomever they are for:
 * they are no business of other processes, nor of this one a second time. Call it before anything
 * is opened, or the numbers of descriptors that are missing are somebody else's.
 * Returns 0 · PASSED_E_BAD. */
BT_MUST int passed_take(size_t most, size_t *ret_n);

#endif
