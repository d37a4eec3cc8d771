/* inherited.h - sockets that somebody else has made. Private to this room. */
#ifndef BATON_LINK_INHERITED_H
#define BATON_LINK_INHERITED_H

#include "proto/base/defs.h"

/* inherited_type gives the type for socket(2).
 * Returns 0 · LINK_E_WRONG_TYPE of another family · -errno (-ENOTSOCK, -EBADF). */
BT_MUST int inherited_type(int fd, int *ret_type);

/* inherited_prepare makes it nonblocking, for all who share it, and close-on-exec.
 * Returns 0 · -errno. */
BT_MUST int inherited_prepare(int fd);

#endif
