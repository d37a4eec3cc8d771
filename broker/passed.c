/* Design note. Two environment variables and nothing else are the protocol, so no library is needed
 * for it. LISTEN_PID guards against what was meant for our parent, who has not cleaned up; then the
 * descriptors are not ours, nor is what is wrong with LISTEN_FDS. The names in LISTEN_FDNAMES say
 * nothing that the sockets do not. */
#include "broker/passed.h"

#include "broker/log.h"
#include "proto/base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Returns false for what is not a number above 0, and nothing but that. */
static bool read_number(const char *text, unsigned long *ret)
{
        char *end;

        errno = 0;
        unsigned long value = strtoul(text, &end, 10);
        if (errno || *end || *text < '0' || *text > '9' || value == 0)
                return false;
        *ret = value;
        return true;
}

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
        unsigned long pid, n;

        if (!for_whom || !count || !read_number(for_whom, &pid) || pid != (unsigned long)getpid())
                return 0;
        if (!read_number(count, &n)) {
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
