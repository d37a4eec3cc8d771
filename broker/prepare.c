/* Design note. What must be settled before the first client: standard streams, for a socket that
 * gets number 2 would receive the log; descriptors enough for all sessions; and a libuv whose table
 * of watchers is already as large as it will ever be, because libuv 1.44 aborts when it cannot grow
 * it. */
#include "broker/internal.h"
#include "broker/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors that are not sessions: the loop's own, listeners, locks, a log. */
enum { OWN_FDS = 64 };

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

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        int high = fcntl(ends[0], F_DUPFD_CLOEXEC, most);
        int r = high < 0 ? -errno : uv_poll_init(&s->loop, &poll, high);
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

int prepare_process(struct server *s, struct core_limits *limits)
{
        struct rlimit files;

        signal(SIGPIPE, SIG_IGN);
        if (getrlimit(RLIMIT_NOFILE, &files) < 0)
                return -errno;
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        if (limits->sessions + OWN_FDS > files.rlim_cur) {
                limits->sessions =
                        files.rlim_cur > 2 * OWN_FDS ? files.rlim_cur - OWN_FDS : OWN_FDS;
                log_line("limit sessions is %" PRIu64 ", as RLIMIT_NOFILE is %" PRIu64,
                        limits->sessions, (uint64_t)files.rlim_cur);
        }
        uint64_t most = limits->sessions + limits->unready + OWN_FDS;
        if (most >= files.rlim_cur)
                most = files.rlim_cur - 1;
        return grow_watchers(s, (int)most);
}
