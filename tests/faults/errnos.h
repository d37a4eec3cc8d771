/* errnos.h - how each call can fail. */
#ifndef BATON_TESTS_ERRNOS_H
#define BATON_TESTS_ERRNOS_H

#include "tests/faults/fault.h"

/* errnos_of returns the failures of one call, ended by 0: what its manual page names and can come
 * of a valid call, what has ended other brokers, and one errno (EIO, EINVAL) that nobody expects.
 */
const int *errnos_of(enum symbol s);

/* errno_name returns "EMFILE", for FAULT_... "short", "ctrunc". */
const char *errno_name(int error);

#endif
