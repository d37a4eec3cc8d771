/* source.h - a file or stdin, as where a payload comes from. */
#ifndef BATON_CLIENT_CLI_SOURCE_H
#define BATON_CLIENT_CLI_SOURCE_H

#include "client/cli/common.h"
#include "proto/base/buf.h"

#include <sys/types.h>

/* Zero state: all bytes zero, none. */
struct source {
        const char *name; /* for people; borrowed. NULL: none */
        int fd;
        bool owns_fd, is_regular;
        off_t start;     /* regular: where it begins */
        uint64_t size;   /* from there on, as the system says; 0: not known */
        struct buf head; /* its first bytes */
        bool is_whole;   /* there are no more */
};

/* source_open opens `path`; "-" is stdin, from where it stands. Returns 0 · an exit status. */
BT_MUST int source_open(const struct cli *cli, const char *path, struct source *ret_source);
void source_close(struct source *s);

/* source_read reads once. Waits if there is nothing, except that a descriptor which somebody has
 * made non-blocking says -EAGAIN.
 * Returns 0 (*ret_n = 0: the end) · -EAGAIN · -errno. */
BT_MUST int source_read(struct source *s, void *to, size_t cap, size_t *ret_n);

/* source_keep makes the open memory file `fd` the source, which holds `size` bytes: what was read
 * of another, to be read again. Owns `fd`. */
void source_keep(struct source *s, int fd, uint64_t size);

/* source_rewind goes back to what stands behind the head, in a regular file; others stay where they
 * are. Returns 0 · -errno. */
BT_MUST int source_rewind(struct source *s);

#endif
