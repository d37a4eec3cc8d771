/* output.h - stdout, buffered for one turn: what has come is gathered, then written at once. */
#ifndef BATON_CLIENT_CLI_OUTPUT_H
#define BATON_CLIENT_CLI_OUTPUT_H

#include "client/cli/progress.h"
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

/* output_put adds `data` [len]: to what is gathered, or, if it is large, straight to stdout behind
 * that. `progress` (NULL: none) is told of what is written straight. Returns as output_flush,
 * -ENOMEM. */
BT_MUST int output_put(struct output *o, const void *data, size_t len, struct progress *progress);

/* output_relieve flushes if much is gathered: between the pieces of what is made piece by piece.
 * Returns as output_flush. */
BT_MUST int output_relieve(struct output *o);

#endif
