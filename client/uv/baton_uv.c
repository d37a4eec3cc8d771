/* Design note. Three handles of libuv. The prepare handle runs when the loop is about to sleep, so
 * it sees what every callback of this turn has done: it flushes what they published, and asks the
 * handle anew what to watch and for how long. The poll and the timer handle are what it asks for;
 * they call baton_process, and nothing else does. libuv computes how long it sleeps after the
 * prepare handles have run, so a timer of 0 ms is enough not to sleep at all.
 *
 * The library closes its descriptor inside baton_process, but libuv must have let go of a
 * descriptor before it is closed: else a new one of the same number inherits the watcher, and a
 * process forked meanwhile makes the old one report for ever. So a copy is watched, which is ours:
 * it is closed after uv_close. It also keeps the old socket apart from the next, which a blocking
 * call in some callback may have opened under the same number: the inode tells. It need not be
 * asked for in every turn: no session has the number of another of the same broker.
 *
 * uv_close is asynchronous, and there is one poll handle: while it closes, the next descriptor
 * waits. It is closed before the loop sleeps again (libuv does not sleep while something closes).
 *
 * The handle says when it is freed, which may be anywhere, in a baton_process of ours too; `b` is
 * NULL from then on, and the adapter rests. */
#include "client/uv/baton_uv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Milliseconds between tries while memory or descriptors are lacking. */
enum { STARVED_MS = 10 };

/* ---------------------------------------------------------------- the descriptor */

static void on_closed(uv_handle_t *handle)
{
        struct baton_uv *u = handle->data;

        if (handle == (uv_handle_t *)&u->poll)
                u->has_poll = false;
        /* The last act: `u` may be released by it. */
        if (--u->n_handles == 0 && u->on_stopped)
                u->on_stopped(u, u->arg);
}

static void unwatch(struct baton_uv *u)
{
        if (u->fd < 0)
                return;
        uv_close((uv_handle_t *)&u->poll, on_closed);
        close(u->fd);
        u->fd = -1;
        u->events = 0;
}

static int watch(struct baton_uv *u, int fd)
{
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        struct stat st;

        if (copy < 0)
                return -errno;
        int r = fstat(copy, &st) < 0 ? -errno : uv_poll_init(u->loop, &u->poll, copy);
        if (r < 0) {
                close(copy);
                return r;
        }
        u->poll.data = u;
        uv_unref((uv_handle_t *)&u->poll);
        u->has_poll = true;
        u->n_handles++;
        u->fd = copy;
        u->seen = fd;
        u->seen_dev = st.st_dev;
        u->seen_ino = st.st_ino;
        return 0;
}

/* Whether the handle is in the session in which it was the last time; notes in which it is. */
static bool is_same_session(struct baton_uv *u)
{
        const uint8_t *instance = baton_instance(u->b);
        uint64_t session = baton_session(u->b);
        bool is_connected = baton_is_connected(u->b);

        if (is_connected && u->was_connected && session == u->session &&
                !memcmp(instance, u->instance, sizeof(u->instance)))
                return true;
        u->was_connected = is_connected;
        u->session = session;
        memcpy(u->instance, instance, sizeof(u->instance));
        return false;
}

static bool is_watched(struct baton_uv *u, int fd)
{
        struct stat st;

        if (fd != u->seen)
                return false;
        return is_same_session(u) ||
               (fstat(fd, &st) == 0 && st.st_dev == u->seen_dev && st.st_ino == u->seen_ino);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static int choose_events(struct baton_uv *u)
{
        short events = u->is_starved ? 0 : baton_events(u->b);
        int chosen = (events & POLLIN ? UV_READABLE : 0) | (events & POLLOUT ? UV_WRITABLE : 0);
        int r = 0;

        if (chosen != u->events)
                r = chosen ? uv_poll_start(&u->poll, chosen, on_poll) : uv_poll_stop(&u->poll);
        if (r == 0)
                u->events = chosen;
        return r;
}

/* Watches what the handle wants watched now. Returns 0 · -errno nothing is watched. */
static int follow(struct baton_uv *u)
{
        int fd = baton_fd(u->b), r = 0;

        if (u->fd >= 0 && !is_watched(u, fd))
                unwatch(u);
        if (fd < 0 || (u->fd < 0 && u->has_poll))
                return 0;
        if (u->fd < 0)
                r = watch(u, fd);
        return r < 0 ? r : choose_events(u);
}

/* ---------------------------------------------------------------- the turn of the loop */

static void rest(struct baton_uv *u)
{
        u->is_resting = true;
        uv_prepare_stop(&u->prepare);
        uv_timer_stop(&u->timer);
        unwatch(u);
}

static void end(struct baton_uv *u, int result)
{
        rest(u);
        u->on_retry = NULL;
        if (u->on_end)
                u->on_end(u, result, u->arg);
}

static void retry(struct baton_uv *u)
{
        baton_uv_retry_fn fn = u->on_retry;

        u->on_retry = NULL;
        if (fn)
                fn(u, u->arg);
}

/* Neither connected nor about to be: the one whom baton_connect_start calls has been told, and has
 * not begun anew. */
static bool has_no_prospects(const struct baton_uv *u)
{
        return baton_fd(u->b) < 0 && baton_timeout(u->b) < 0 && !baton_is_connected(u->b);
}

static void run(struct baton_uv *u)
{
        u->is_in_doubt = true;
        int r = baton_process(u->b);

        if (u->is_stopping || !u->b)
                return;
        /* Nothing was lost by it; if more was wrong the next call says so. */
        u->is_starved = r == -ENOMEM;
        if (r >= 0)
                retry(u);
        else if (!u->is_starved)
                end(u, r);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
        struct baton_uv *u = poll->data;

        (void)events;
        /* An error condition of the socket: libuv has stopped watching it, though packets may wait
         * behind it. baton_process finds out. */
        if (status < 0)
                u->events = 0;
        run(u);
}

static void on_timer(uv_timer_t *timer)
{
        run(timer->data);
}

/* What the callbacks of this turn have gathered. While the socket is full it is watched instead;
 * and if somebody waits for the next baton_process, that is what sends it, so that it comes. */
static void flush(struct baton_uv *u)
{
        if (u->on_retry || !baton_is_connected(u->b) || (baton_events(u->b) & POLLOUT))
                return;
        /* A failure is the loss of the connection: baton_timeout is 0 then, baton_process tells. */
        int r = baton_flush(u->b, 0);
        (void)r;
}

static void on_prepare(uv_prepare_t *prepare)
{
        struct baton_uv *u = prepare->data;

        flush(u);
        if (u->is_stopping)
                return; /* by the handle's log callback */
        bool is_deaf = follow(u) < 0 || u->is_starved;
        int ms = baton_timeout(u->b);
        if (is_deaf && (ms < 0 || ms > STARVED_MS || u->is_starved))
                ms = STARVED_MS;
        /* baton_process has been called, and something has ended in it; once more, and it says so.
         */
        if (u->is_in_doubt && has_no_prospects(u))
                ms = 0;
        u->is_in_doubt = false;
        if (ms < 0)
                uv_timer_stop(&u->timer);
        else
                uv_timer_start(&u->timer, on_timer, (uint64_t)ms, 0);
}

/* ---------------------------------------------------------------- the public calls */

static void own(struct baton_uv *u, uv_handle_t *handle)
{
        handle->data = u;
        u->n_handles++;
}

static void on_freed(baton *b, void *arg)
{
        struct baton_uv *u = arg;

        (void)b;
        rest(u);
        u->on_retry = NULL;
        u->b = NULL;
}

void baton_uv_start(
        struct baton_uv *u, uv_loop_t *loop, baton *b, baton_uv_end_fn on_end, void *arg)
{
        *u = (struct baton_uv){.b = b, .arg = arg, .on_end = on_end, .loop = loop, .fd = -1};
        baton_set_nonblocking(b, true);
        baton_set_freed(b, on_freed, u);
        uv_timer_init(loop, &u->timer);
        own(u, (uv_handle_t *)&u->timer);
        uv_prepare_init(loop, &u->prepare);
        own(u, (uv_handle_t *)&u->prepare);
        /* The prepare handle alone says whether there is something to wait for. */
        uv_unref((uv_handle_t *)&u->timer);
        uv_prepare_start(&u->prepare, on_prepare);
}

void baton_uv_stop(struct baton_uv *u, baton_uv_stopped_fn fn)
{
        if (u->is_stopping)
                return;
        u->is_stopping = true;
        u->on_stopped = fn;
        if (u->b)
                baton_set_freed(u->b, NULL, NULL);
        unwatch(u);
        uv_close((uv_handle_t *)&u->timer, on_closed);
        uv_close((uv_handle_t *)&u->prepare, on_closed);
}

void baton_uv_resume(struct baton_uv *u)
{
        if (!u->is_resting || u->is_stopping || !u->b)
                return;
        u->is_resting = u->is_starved = false;
        uv_prepare_start(&u->prepare, on_prepare);
}

void baton_uv_retry(struct baton_uv *u, baton_uv_retry_fn fn)
{
        u->on_retry = fn;
}

void baton_uv_unref(struct baton_uv *u)
{
        uv_unref((uv_handle_t *)&u->prepare);
}

void baton_uv_ref(struct baton_uv *u)
{
        uv_ref((uv_handle_t *)&u->prepare);
}
