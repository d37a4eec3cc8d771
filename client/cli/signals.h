/* signals.h - SIGTERM and SIGINT as something to poll for, and SIGCHLD where children are waited
 * for. */
#ifndef BATON_CLIENT_CLI_SIGNALS_H
#define BATON_CLIENT_CLI_SIGNALS_H

#include "proto/base/defs.h"
#include <stdbool.h>

/* signals_open watches from now on, once in a process; SIGPIPE is ignored, so that writing returns
 * EPIPE.
 *
 * children   SIGCHLD too.
 * ret_fd     becomes readable with each signal; stays open for ever.
 * Returns 0 · -errno. */
BT_MUST int signals_open(bool children, int *ret_fd);

/* signals_drain makes the descriptor unreadable until the next signal. */
void signals_drain(void);

/* signals_stopping: SIGTERM or SIGINT has come. From then on a signal interrupts whatever blocks
 * once a second, so that nothing blocks for ever. */
bool signals_stopping(void);

/* signals_reset, in a child before exec: everything is as a program expects it. */
void signals_reset(void);

#endif
