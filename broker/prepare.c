/* Design note. What must be settled before the first client: standard streams, for a socket that
 * gets number 2 would receive the log; descriptors enough for all sessions; and a libuv whose table
 * of watchers is already as large as it will ever be, because libuv 1.44 aborts when it cannot grow
 * it. */
#include "broker/internal.h"
#include "broker/log.h"
#include "proto/base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors that are neither sessions nor kept for messages: the loop's own, listeners, locks, a
 * log; those of the packet being read, and those about to be closed. */
enum { OWN_FDS = 64 };

/* Of held_fds; what hangs is not among those, so it may make others wait for descriptors. */
enum { HUNG_DIVISOR = 4 };

static void on_never(uv_poll_t *poll, int status, int events)
{
        (void)poll, (void)status, (void)events;
}

static void nothing(uv_handle_t *handle)
{
        (void)handle;
}

/* Makes libuv watch descriptor number `most`, once. */
static int grow_watchers(struct server *s, int most)
{
        uv_poll_t poll;
        int ends[2];

        int r = sys_pipe(false, ends);
        if (r < 0)
                return r;
        int high = fcntl(ends[0], F_DUPFD_CLOEXEC, most);
        r = high < 0 ? -errno : uv_poll_init(&s->loop, &poll, high);
        if (r == 0) {
                r = uv_poll_start(&poll, UV_READABLE, on_never);
                uv_close((uv_handle_t *)&poll, nothing);
                uv_run(&s->loop, UV_RUN_NOWAIT);
        }
        if (high >= 0)
                close(high);
        close(ends[0]);
        close(ends[1]);
        return r;
}

int prepare_streams(void)
{
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
                /* The lowest free number is the one that is missing. Open for a child, like any. */
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
                        return -errno;
        }
        return 0;
}

static bool lower(uint64_t *limit, uint64_t most)
{
        bool is_more = *limit > most;

        if (is_more)
                *limit = most;
        return is_more;
}

/* What the process may have open goes half to sessions, half to the descriptors of messages. Those
 * in flight are counted by the kernel on their own, for all processes of this uid: half is for us.
 */
static void share_out(struct core_limits *limits, uint64_t most)
{
        uint64_t half = (most > 2 * OWN_FDS ? most - OWN_FDS : OWN_FDS) / 2;

        if (lower(&limits->sessions, half))
                log_line("limit sessions is %" PRIu64 ", as RLIMIT_NOFILE is %" PRIu64, half, most);
        lower(&limits->held_fds, half);
        lower(&limits->flight_fds, most / 2);
}

int prepare_process(struct server *s, struct core_limits *limits)
{
        struct rlimit files;

        signal(SIGPIPE, SIG_IGN);
        if (getrlimit(RLIMIT_NOFILE, &files) < 0)
                return -errno;
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        share_out(limits, files.rlim_cur);
        s->hung_fds_max = limits->held_fds / HUNG_DIVISOR;
        uint64_t most = limits->sessions + limits->unready + limits->held_fds + OWN_FDS;
        if (most >= files.rlim_cur)
                most = files.rlim_cur - 1;
        return grow_watchers(s, (int)most);
}
