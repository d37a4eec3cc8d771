/* outgoing.h - the message that the command line describes: headers, descriptors, payload. */
#ifndef BATON_CLIENT_CLI_OUTGOING_H
#define BATON_CLIENT_CLI_OUTGOING_H

#include "client/cli/common.h"
#include "proto/base/buf.h"
#include "proto/wire/limits.h"

/* Zero state: all bytes zero, an empty message. */
struct outgoing {
        struct baton_header headers[WIRE_HEADER_ENTRIES]; /* borrow from the command line */
        size_t n_headers;
        int fds[WIRE_FDS]; /* owned */
        size_t n_fds;
        struct buf content; /* of a file or stdin */
        const void *payload;
        size_t payload_len;
};

void outgoing_deinit(struct outgoing *o);

/* outgoing_add_header takes "KEY=VALUE"; the value is a string. outgoing_add_fd opens a file, for
 * reading. Both return 0 · an exit status. */
BT_MUST int outgoing_add_header(const struct cli *cli, struct outgoing *o, const char *text);
BT_MUST int outgoing_add_fd(const struct cli *cli, struct outgoing *o, const char *path);

/* outgoing_read makes the content of `path`, or of stdin if that is "-", the payload;
 * outgoing_take does so for the PAYLOAD of a command line: NULL is empty, "-" stdin. Both return 0
 * · an exit status. */
BT_MUST int outgoing_read(const struct cli *cli, struct outgoing *o, const char *path);
BT_MUST int outgoing_take(const struct cli *cli, struct outgoing *o, const char *text);

/* outgoing_open opens `path`, or gives 0 if that is "-". Returns 0 · an exit status. */
BT_MUST int outgoing_open(const struct cli *cli, const char *path, int *ret_fd);

/* outgoing_publication describes the message; it borrows from `o`. */
struct baton_publication outgoing_publication(const struct outgoing *o, const char *topic);

#endif
