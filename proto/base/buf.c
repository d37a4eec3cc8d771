/* Design note. Capacity doubles from 256 bytes, so n pushes cost O(n) copying. There is no upper
 * bound here: whoever fills a buffer from input knows its limit and checks it first (limits.h). */
#include "proto/base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST_BYTES = 256 };

void buf_deinit(struct buf *b)
{
        free(b->data);
        *b = (struct buf)BUF_INIT;
}

void buf_clear(struct buf *b)
{
        b->len = 0;
}

static int grow(struct buf *b, size_t least)
{
        size_t cap = size_max(b->cap, BUF_FIRST_BYTES);

        while (cap < least)
                cap *= 2;
        uint8_t *data = realloc(b->data, cap);
        if (!data)
                return -ENOMEM;
        b->data = data;
        b->cap = cap;
        return 0;
}

int buf_reserve(struct buf *b, size_t n, uint8_t **ret_tail)
{
        if (n > SIZE_MAX / 4 - b->len)
                return -ENOMEM;
        if (b->cap - b->len < n) {
                int r = grow(b, b->len + n);
                if (r < 0)
                        return r;
        }
        *ret_tail = b->data + b->len;
        return 0;
}

int buf_push(struct buf *b, const void *bytes, size_t n)
{
        uint8_t *tail;
        int r = buf_reserve(b, n, &tail);

        if (r < 0)
                return r;
        if (n)
                memcpy(tail, bytes, n);
        b->len += n;
        return 0;
}

void buf_drop(struct buf *b, size_t n)
{
        b->len -= n;
        if (b->len)
                memmove(b->data, b->data + n, b->len);
}

int buf_printf(struct buf *b, const char *format, ...)
{
        va_list args;
        uint8_t *tail;

        va_start(args, format);
        int n = vsnprintf(NULL, 0, format, args);
        va_end(args);
        if (n < 0)
                return -EINVAL;
        int r = buf_reserve(b, (size_t)n + 1, &tail);
        if (r < 0)
                return r;
        va_start(args, format);
        vsnprintf((char *)tail, (size_t)n + 1, format, args);
        va_end(args);
        b->len += (size_t)n;
        return 0;
}
