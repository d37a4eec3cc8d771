/* output.h - stdout, buffered for one turn: what has come is gathered, then written at once. */
#ifndef BATON_CLIENT_CLI_OUTPUT_H
#define BATON_CLIENT_CLI_OUTPUT_H

#include "proto/base/buf.h"

/* Zero state: all bytes zero. `buf` is filled by the caller. */
struct output {
        struct buf buf;
};

enum { OUTPUT_E_CLOSED = 1, OUTPUT_E_STUCK = 2 };

void output_deinit(struct output *o);

/* output_flush writes everything and waits as long as that takes; after SIGTERM no longer than a
 * second without progress.
 *
 * Returns 0 · OUTPUT_E_CLOSED nobody reads any more · OUTPUT_E_STUCK nobody read in time · -errno.
 */
BT_MUST int output_flush(struct output *o);

#endif
