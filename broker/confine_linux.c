/* Design note. The order: no new privileges first, since an unprivileged process may neither load a
 * filter nor restrict itself without; then Landlock, which takes system calls that the filter does
 * not let through; the filter last.
 *
 * The reaper's threads are started afterwards, by the thread that is confined: before Landlock ABI
 * 8 a thread can restrict itself alone, and a thread that was left out would do for all, since they
 * share their memory.
 *
 * System use is: root, or a policy. Then messages of others pass through this memory, and must not
 * turn up in a core file, nor be read by what else runs as the same user. A broker of one user for
 * himself stays open to his debugger, which could look into the clients as well. */
#include "broker/confine.h"

#include "broker/confine_linux.h"
#include "broker/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Sanitizers read /proc, start a symbolizer, trace themselves; coverage is written at exit. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(BATON_COVERAGE)
#define IS_INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
        __has_feature(memory_sanitizer)
#define IS_INSTRUMENTED 1
#endif
#endif
#ifndef IS_INSTRUMENTED
#define IS_INSTRUMENTED 0
#endif

void confine_prepare(void)
{
        (void)setenv("UV_USE_IO_URING", "0", true);
}

static int no_new_privileges(void)
{
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* Returns `bit` if it was given up. */
static unsigned report(int r, const char *what, unsigned bit)
{
        if (r == 0)
                return bit;
        log_line("not confined by %s: %s", what, strerror(-r));
        return 0;
}

static unsigned give_up(const struct confinement *needs)
{
        int r = no_new_privileges();

        if (r < 0)
                return report(r, "anything", 0);
        unsigned given = 0;
        if (geteuid() == 0 || needs->policy)
                given |= prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? CONFINED_IMAGE : 0U;
        given |= report(confine_paths(needs), "Landlock", CONFINED_PATHS);
        given |= report(confine_calls(needs), "seccomp", CONFINED_CALLS);
        return given;
}

unsigned confine_process(const struct confinement *needs)
{
        if (IS_INSTRUMENTED) {
                log_line("not confined: built with a sanitizer or for coverage");
                return 0;
        }
        unsigned given = give_up(needs);

        if (given & (CONFINED_CALLS | CONFINED_PATHS))
                log_line("confined by %s%s%s%s", given & CONFINED_CALLS ? "seccomp" : "",
                        given & CONFINED_CALLS && given & CONFINED_PATHS ? " and " : "",
                        given & CONFINED_PATHS ? "Landlock" : "",
                        given & CONFINED_IMAGE ? ", dumps no core" : "");
        return given;
}
