/* Design note. Two environment variables and nothing else are the protocol, so no library is needed
 * for it. LISTEN_PID guards against what was meant for our parent, who has not cleaned up; then the
 * descriptors are not ours, nor is what is wrong with LISTEN_FDS. The names in LISTEN_FDNAMES say
 * nothing that the sockets do not. */
#include "broker/passed.h"

#include "broker/log.h"
#include "proto/base/number.h"
#include "proto/base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int close_on_exec(size_t n)
{
        for (size_t i = 0; i < n; i++) {
                int fd = PASSED_FD_FIRST + (int)i;
                if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
                        log_line("descriptor %d, passed on to be served: %s", fd, strerror(errno));
                        return PASSED_E_BAD;
                }
        }
        return 0;
}

static int find(size_t most, size_t *ret_n)
{
        const char *for_whom = sys_getenv("LISTEN_PID"), *count = sys_getenv("LISTEN_FDS");
        uint64_t pid, n;

        if (!for_whom || !count || !number_read(for_whom, UINT64_MAX, &pid) ||
                pid != (uint64_t)getpid())
                return 0;
        if (!number_read(count, UINT64_MAX, &n) || !n) {
                log_line("LISTEN_FDS=%s: not a number of descriptors", count);
                return PASSED_E_BAD;
        }
        if (n > most) {
                log_line("LISTEN_FDS=%s: at most %zu, beside --listen, can be served", count, most);
                return PASSED_E_BAD;
        }
        int r = close_on_exec(n);
        if (r == 0)
                *ret_n = n;
        return r;
}

int passed_take(size_t most, size_t *ret_n)
{
        int r = find(most, ret_n);

        (void)unsetenv("LISTEN_PID");
        (void)unsetenv("LISTEN_FDS");
        (void)unsetenv("LISTEN_FDNAMES");
        return r;
}
