/* outgoing.h - the message that the command line describes: headers, descriptors, payload. */
#ifndef BATON_CLIENT_CLI_OUTGOING_H
#define BATON_CLIENT_CLI_OUTGOING_H

#include "client/cli/common.h"
#include "client/cli/spool.h"
#include "proto/wire/limits.h"

/* Zero state: all bytes zero, an empty message. */
struct outgoing {
        struct baton_header headers[WIRE_HEADER_ENTRIES]; /* borrow from the command line */
        size_t n_headers;
        int fds[WIRE_FDS]; /* owned */
        size_t n_fds;
        struct spool content; /* of stdin */
        const void *payload;
        size_t payload_len;
};

void outgoing_deinit(struct outgoing *o);

/* outgoing_add_header takes "KEY=VALUE"; the value is a string. outgoing_add_fd opens a file, for
 * reading; "/dev/fd/N" is our own descriptor N. Both return 0 · an exit status. */
BT_MUST int outgoing_add_header(const struct cli *cli, struct outgoing *o, const char *text);
BT_MUST int outgoing_add_fd(const struct cli *cli, struct outgoing *o, const char *path);

/* outgoing_set_text makes `text` the payload, which it borrows; NULL is empty. */
void outgoing_set_text(struct outgoing *o, const char *text);

/* outgoing_read_stdin makes all of stdin the payload, at most `most` bytes. Returns 0 · an exit
 * status. */
BT_MUST int outgoing_read_stdin(const struct cli *cli, struct outgoing *o, uint64_t most);

/* outgoing_publication describes the message; it borrows from `o`. */
struct baton_publication outgoing_publication(const struct outgoing *o, const char *topic);

#endif
