/* lines.h - the lines of a descriptor, one at a time, never waiting. */
#ifndef BATON_CLIENT_CLI_LINES_H
#define BATON_CLIENT_CLI_LINES_H

#include "proto/base/defs.h"
#include <stdbool.h>
#include <stdint.h>

struct lines {
        int fd;
        size_t longest; /* bytes a line may have, without its newline */
        uint8_t *data;  /* [cap]; start..end is unread */
        size_t cap, start, end;
        size_t seen; /* of what is unread: bytes known to have no newline */
        bool is_over;
        uint64_t number; /* of the line given last, from 1 */
};

enum { LINES_E_MORE = 1, LINES_E_END = 2, LINES_E_LONG = 3 };

/* lines_init reads from `fd`, which stays the caller's. */
void lines_init(struct lines *l, int fd, size_t longest);
void lines_deinit(struct lines *l);

/* lines_next gives the next line, without its newline, out of what has been read. The last line may
 * lack a newline; nothing behind the last newline is no line.
 *
 * ret_line [*ret_len]   valid until lines_fill.
 * Returns 0 · LINES_E_MORE call lines_fill · LINES_E_END · LINES_E_LONG line `number` is too long.
 */
BT_MUST int lines_next(struct lines *l, const uint8_t **ret_line, size_t *ret_len);

/* lines_fill reads once, and so waits unless poll has said that there is something.
 * Returns 0 · -errno (of read), -ENOMEM. */
BT_MUST int lines_fill(struct lines *l);

#endif
