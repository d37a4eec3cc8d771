/* watch.h - uv_poll_start that can fail instead of ending the process. */
#ifndef BATON_BROKER_WATCH_H
#define BATON_BROKER_WATCH_H

#include "proto/base/defs.h"

#include <uv.h>

/* watch_start polls for `events`, as uv_poll_start. When it fails nothing is polled.
 * Returns 0 · -errno: -ENOMEM, -ENOSPC (fs.epoll.max_user_watches, which all processes of a user
 * share). */
BT_MUST int watch_start(uv_poll_t *poll, int events, uv_poll_cb callback);

#endif
