/* buf.h - a growable run of bytes. */
#ifndef BATON_BASE_BUF_H
#define BATON_BASE_BUF_H

#include "proto/base/defs.h"
#include <stdint.h>

/* Zero state: BUF_INIT, or all bytes zero; owns nothing then. */
struct buf {
        uint8_t *data; /* [cap], the first `len` are used */
        size_t len, cap;
};

#define BUF_INIT           \
        {                  \
                NULL, 0, 0 \
        }

void buf_deinit(struct buf *b);

/* buf_clear forgets the content and keeps the memory. */
void buf_clear(struct buf *b);

/* buf_reserve makes room for `n` more bytes and points `*ret_tail` at it.
 * Returns 0 · -ENOMEM. */
BT_MUST int buf_reserve(struct buf *b, size_t n, uint8_t **ret_tail);

/* buf_push appends `n` bytes. Returns 0 · -ENOMEM (then nothing was appended). */
BT_MUST int buf_push(struct buf *b, const void *bytes, size_t n);

/* buf_drop removes the first `n` (<= len) bytes; costs a move of the rest. */
void buf_drop(struct buf *b, size_t n);

/* buf_printf appends formatted text, without its terminating NUL. Returns 0 · -ENOMEM. */
BT_MUST int buf_printf(struct buf *b, const char *format, ...) BT_PRINTF(2, 3);

#endif
