/* Design note. stdout stays blocking: its file description is shared with the shell and others. */
#include "client/cli/output.h"

#include "client/cli/common.h"
#include "client/cli/signals.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

enum {
        GRACE_MS = 1000,
        /* POSIX's PIPE_BUF: a pipe that is writable takes so much without blocking. */
        CAREFUL_BYTES = 4096,
        /* From so many on a piece is not copied first; and so many are gathered at most. */
        STRAIGHT_BYTES = 65536,
        /* Bytes of one write: signals and the progress line want their turn. */
        PIECE_BYTES = 1 << 20,
};

void output_deinit(struct output *o)
{
        buf_deinit(&o->buf);
}

/* After SIGTERM: only what certainly does not block. Returns 0 (try again) · -ETIME · as below. */
static ssize_t write_carefully(const uint8_t *data, size_t len, uint64_t deadline_ns)
{
        struct pollfd pfd = {.fd = STDOUT_FILENO, .events = POLLOUT};
        int n = poll(&pfd, 1, cli_left_ms(deadline_ns, GRACE_MS));

        if (n <= 0) /* the alarm of signals.h interrupts poll */
                return cli_now_ns() < deadline_ns ? 0 : -ETIME;
        ssize_t written = write(STDOUT_FILENO, data, size_min(len, CAREFUL_BYTES));
        return written < 0 ? -errno : written;
}

/* Returns how much was written · -errno. */
static ssize_t write_some(const uint8_t *data, size_t len)
{
        ssize_t n = write(STDOUT_FILENO, data, size_min(len, PIECE_BYTES));

        if (n < 0 && errno == EAGAIN) { /* somebody made it non-blocking */
                struct pollfd pfd = {.fd = STDOUT_FILENO, .events = POLLOUT};
                return poll(&pfd, 1, GRACE_MS) < 0 ? -errno : 0;
        }
        return n < 0 ? -errno : n;
}

static int write_all(const uint8_t *data, size_t len, struct progress *progress)
{
        uint64_t deadline_ns = 0; /* of the next progress, after SIGTERM */

        while (len) {
                if (signals_stopping() && !deadline_ns)
                        deadline_ns = cli_now_ns() + GRACE_MS * UINT64_C(1000000);
                ssize_t n = deadline_ns ? write_carefully(data, len, deadline_ns)
                                        : write_some(data, len);
                if (n == -EPIPE)
                        return OUTPUT_E_CLOSED;
                if (n == -ETIME)
                        return OUTPUT_E_STUCK;
                if (n < 0 && n != -EINTR)
                        return (int)n;
                if (n <= 0)
                        continue;
                deadline_ns = 0;
                data += n;
                len -= (size_t)n;
                if (progress)
                        progress_add(progress, (size_t)n);
        }
        return 0;
}

int output_flush(struct output *o)
{
        int r = write_all(o->buf.data, o->buf.len, NULL);

        buf_clear(&o->buf);
        return r;
}

int output_put(struct output *o, const void *data, size_t len, struct progress *progress)
{
        if (len < STRAIGHT_BYTES)
                return buf_push(&o->buf, data, len);
        int r = output_flush(o);
        return r ? r : write_all(data, len, progress);
}

int output_relieve(struct output *o)
{
        return o->buf.len < STRAIGHT_BYTES ? 0 : output_flush(o);
}
