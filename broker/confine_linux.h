/* confine_linux.h - the two halves of confine_process. */
#ifndef BATON_BROKER_CONFINE_LINUX_H
#define BATON_BROKER_CONFINE_LINUX_H

#include "broker/confine.h"

/* confine_calls loads the list of system calls, into every thread. Returns 0 · -errno. */
BT_MUST int confine_calls(const struct confinement *needs);

/* confine_paths takes all file systems but what is needed away from this thread, and from those
 * that it starts. Returns 0 · -errno: -ENOSYS and -EOPNOTSUPP where there is no Landlock. */
BT_MUST int confine_paths(const struct confinement *needs);

#endif
