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
        ssize_t n = write(STDOUT_FILENO, data, len);

        if (n < 0 && errno == EAGAIN) { /* somebody made it non-blocking */
                struct pollfd pfd = {.fd = STDOUT_FILENO, .events = POLLOUT};
                return poll(&pfd, 1, GRACE_MS) < 0 ? -errno : 0;
        }
        return n < 0 ? -errno : n;
}

int output_flush(struct output *o)
{
        uint64_t deadline_ns = 0; /* of the next progress, after SIGTERM */
        size_t done = 0;
        int r = 0;

        while (done < o->buf.len && r == 0) {
                const uint8_t *data = o->buf.data + done;
                size_t len = o->buf.len - done;
                if (signals_stopping() && !deadline_ns)
                        deadline_ns = cli_now_ns() + GRACE_MS * UINT64_C(1000000);
                ssize_t n = deadline_ns ? write_carefully(data, len, deadline_ns)
                                        : write_some(data, len);
                done += n > 0 ? (size_t)n : 0;
                if (n > 0)
                        deadline_ns = 0;
                else if (n == -EPIPE)
                        r = OUTPUT_E_CLOSED;
                else if (n == -ETIME)
                        r = OUTPUT_E_STUCK;
                else if (n < 0 && n != -EINTR)
                        r = (int)n;
        }
        buf_clear(&o->buf);
        return r;
}
