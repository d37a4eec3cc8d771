/* spool.h - bytes that are gathered before they are used: in the heap at first, beyond 1 MiB in a
 * memory file, which grows without being copied. */
#ifndef BATON_CLIENT_CLI_SPOOL_H
#define BATON_CLIENT_CLI_SPOOL_H

#include "proto/base/buf.h"
#include <stdbool.h>

/* Zero state: all bytes zero, empty. */
struct spool {
        size_t len;
        struct buf head; /* all of it, while there is no file */
        bool has_file;
        int file;
        const void *mapped; /* [len], NULL: not yet */
};

void spool_deinit(struct spool *s);

/* spool_append adds bytes; not after spool_data. After a failure it is good for spool_deinit alone.
 * Returns 0 · -errno (-ENOMEM, -EMFILE, -EFBIG). */
BT_MUST int spool_append(struct spool *s, const void *bytes, size_t n);

/* spool_data gives all of them in one piece: `*ret_data` [s->len], never NULL, valid until
 * spool_deinit. Returns 0 · -errno. */
BT_MUST int spool_data(struct spool *s, const void **ret_data);

#endif
