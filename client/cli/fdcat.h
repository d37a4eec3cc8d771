/* fdcat.h - the content of a received descriptor, to stdout. */
#ifndef BATON_CLIENT_CLI_FDCAT_H
#define BATON_CLIENT_CLI_FDCAT_H

#include "client/cli/output.h"

enum { FDCAT_E_KIND = 16, FDCAT_E_STOPPED = 17, FDCAT_E_READ = 18 };

/* fdcat_copy writes everything that can be read from `fd`. A file is read from its beginning, and
 * its offset, which it shares with everybody who has it, is left alone; a pipe or a socket is read
 * to its end.
 *
 * ret_error   with FDCAT_E_READ: why, -errno.
 * Returns 0 · FDCAT_E_KIND nothing of which the end comes · FDCAT_E_STOPPED by SIGTERM ·
 * FDCAT_E_READ it cannot be read, or no further · as output_flush. */
BT_MUST int fdcat_copy(int fd, struct output *o, int *ret_error);

#endif
