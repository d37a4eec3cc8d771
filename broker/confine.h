/* confine.h - what the broker gives up before it serves anybody (docs/SECURITY.md).
 *
 * Whoever takes the broker over, by a bug that nobody knows yet, shall find himself in a process
 * that can do what brokers do, and nothing else: no program to start, no file to write, no socket
 * to open. */
#ifndef BATON_BROKER_CONFINE_H
#define BATON_BROKER_CONFINE_H

#include "proto/base/defs.h"
#include "proto/link/address.h"

/* What it needs later on. */
struct confinement {
        const char *policy;                  /* is read again on SIGHUP; NULL: none */
        const struct address *const *served; /* [n_served], socket files are removed at the end */
        size_t n_served;
};

/* What was given up. */
enum confined {
        CONFINED_CALLS = 1, /* seccomp: calls that are not on the list fail, or end the process */
        CONFINED_PATHS = 2, /* Landlock: no file but those named in struct confinement */
        CONFINED_IMAGE = 4, /* no core dump, and no debugger of the same user: system use */
};

/* confine_prepare is to be called before there is a loop: a libuv that is newer than ours would
 * give it an io_uring, through which calls go unseen by seccomp. */
void confine_prepare(void);

/* confine_process gives up what it can, for this thread and all that are started later; says on
 * stderr what that was, and what could not be given up and why: an old kernel is no reason not to
 * serve. The umask, the listeners and the descriptors that are open stay as they are.
 *
 * With a policy, files can still be opened to be read (where there is Landlock: those in the
 * policy's directory and in /etc, where the names of users and groups are looked up), and the
 * image is given up; so it is for root. Built with a sanitizer or for coverage it gives up nothing,
 * and says so.
 * Returns the sum of enum confined. */
unsigned confine_process(const struct confinement *needs);

#endif
