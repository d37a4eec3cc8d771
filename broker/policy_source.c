/* Design note. A file that says who may use the bus is taken only from somebody who may say so:
 * root or the broker's own uid. It is read to its end in one go. */
#include "broker/policy_source.h"

#include "proto/base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES = 1 << 20, PIECE_BYTES = 4096 };

static const char TOO_LARGE[] = "larger than 1 MiB";

static const char *fault_of(const struct stat *st)
{
        if (!S_ISREG(st->st_mode))
                return "not a regular file";
        if (st->st_uid != 0 && st->st_uid != geteuid())
                return "it belongs neither to root nor to the broker's own uid";
        if (st->st_mode & S_IWOTH)
                return "everybody may write to it";
        return st->st_size > FILE_BYTES ? TOO_LARGE : NULL;
}

static int read_all(int fd, struct buf *out, const char **ret_why)
{
        uint8_t *tail;

        while (out->len <= FILE_BYTES) {
                int r = buf_reserve(out, PIECE_BYTES, &tail);
                if (r < 0)
                        return r;
                ssize_t n = read(fd, tail, PIECE_BYTES);
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        return 0;
                out->len += n > 0 ? (size_t)n : 0;
        }
        *ret_why = TOO_LARGE;
        return POLICY_SOURCE_E_BAD;
}

int policy_source_read(const char *path, struct buf *out, const char **ret_why)
{
        struct stat st;
        /* Nonblocking: it might be a FIFO that nobody writes to. */
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        int r = 0;

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0) {
                r = -errno;
        } else {
                *ret_why = fault_of(&st);
                r = *ret_why ? POLICY_SOURCE_E_BAD : read_all(fd, out, ret_why);
        }
        close(fd);
        return r;
}

char *policy_source_path(const char *path)
{
        const char *base = path[0] == '/' ? NULL : sys_getenv("BUILD_WORKING_DIRECTORY");

        if (!base || !*base)
                return strdup(path);
        size_t len = strlen(base) + 1 + strlen(path) + 1;
        char *full = malloc(len);
        if (full)
                snprintf(full, len, "%s/%s", base, path);
        return full;
}
