/* Design note. The buffer always has room for half a pipe more. It grows with the longest line, so
 * never far beyond what a line may have, and an unfinished line is moved once a read at most. */
#include "client/cli/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM_BYTES = 32768 };

void lines_init(struct lines *l, int fd, size_t longest)
{
        *l = (struct lines){.fd = fd, .longest = longest};
}

void lines_deinit(struct lines *l)
{
        free(l->data);
        l->data = NULL;
}

int lines_next(struct lines *l, const uint8_t **ret_line, size_t *ret_len)
{
        size_t left = l->end - l->start;
        uint8_t *line = l->data ? l->data + l->start : NULL;
        uint8_t *newline = left > l->seen ? memchr(line + l->seen, '\n', left - l->seen) : NULL;
        size_t len = newline ? (size_t)(newline - line) : left;

        l->seen = newline ? 0 : left;
        if (!newline && !l->is_over && len <= l->longest)
                return LINES_E_MORE;
        if (!newline && l->is_over && !len)
                return LINES_E_END;
        l->number++;
        if (len > l->longest)
                return LINES_E_LONG;
        l->start += newline ? len + 1 : len;
        l->seen = 0;
        *ret_line = line;
        *ret_len = len;
        return 0;
}

static int make_room(struct lines *l)
{
        if (l->start) {
                memmove(l->data, l->data + l->start, l->end - l->start);
                l->end -= l->start;
                l->start = 0;
        }
        if (l->cap - l->end >= ROOM_BYTES)
                return 0;
        size_t cap = l->cap ? l->cap * 2 : 2 * ROOM_BYTES;
        uint8_t *data = realloc(l->data, cap);
        if (!data)
                return -ENOMEM;
        l->data = data;
        l->cap = cap;
        return 0;
}

int lines_fill(struct lines *l)
{
        int r = make_room(l);

        if (r < 0)
                return r;
        ssize_t n = read(l->fd, l->data + l->end, l->cap - l->end);
        if (n < 0)
                return errno == EINTR || errno == EAGAIN ? 0 : -errno;
        l->is_over = n == 0;
        l->end += (size_t)n;
        return 0;
}
