/* Design note. Somebody else holds the other end of a pipe and may never close it, so reading waits
 * in poll, which SIGTERM interrupts (signals.h). */
#include "client/cli/fdcat.h"

#include "client/cli/fdkind.h"
#include "client/cli/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

enum { PIECE_BYTES = 65536 };

/* Returns what read returns, or -errno. */
static ssize_t read_stream(int fd, uint8_t *to)
{
        struct pollfd pfd = {.fd = fd, .events = POLLIN};

        if (poll(&pfd, 1, -1) < 0)
                return -errno;
        ssize_t n = read(fd, to, PIECE_BYTES);
        return n < 0 ? -errno : n;
}

static ssize_t read_file(int fd, uint8_t *to, off_t at)
{
        ssize_t n = pread(fd, to, PIECE_BYTES, at);

        return n < 0 ? -errno : n;
}

int fdcat_copy(int fd, struct output *o, int *ret_error)
{
        enum fdkind kind = fdkind_of(fd);
        bool is_file = kind == FDKIND_FILE || kind == FDKIND_MEMFD;
        off_t at = 0;

        if (!is_file && kind != FDKIND_PIPE && kind != FDKIND_SOCKET)
                return FDCAT_E_KIND;
        /* Nothing would ever come out of the writing end of a pipe. */
        if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY) {
                *ret_error = -EBADF;
                return FDCAT_E_READ;
        }
        for (;;) {
                uint8_t *to;
                int r = buf_reserve(&o->buf, PIECE_BYTES, &to);
                if (r < 0)
                        return r;
                ssize_t n = is_file ? read_file(fd, to, at) : read_stream(fd, to);
                if (signals_stopping())
                        return FDCAT_E_STOPPED;
                if (n == -EINTR || n == -EAGAIN)
                        continue;
                if (n < 0) {
                        *ret_error = (int)n;
                        return FDCAT_E_READ;
                }
                if (n == 0)
                        return 0;
                o->buf.len += (size_t)n;
                at += n;
                if ((r = output_flush(o)))
                        return r;
        }
}
