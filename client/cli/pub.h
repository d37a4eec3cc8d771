/* pub.h - what the parts of `pub` share. Functions return 0 to go on, or the exit status, with the
 * line about it printed already. */
#ifndef BATON_CLIENT_CLI_PUB_H
#define BATON_CLIENT_CLI_PUB_H

#include "client/cli/outgoing.h"
#include "client/cli/progress.h"
#include "client/cli/source.h"

struct pub {
        struct cli cli;
        struct outgoing out;
        struct source source; /* where the payload, or the lines, come from; unless named */
        const char *topic, *file;
        uint32_t flags, ttl_ms;
        bool confirm, lines;
        bool is_datagram; /* no confirms */
        uint64_t count;
        int interval_ms;
        uint64_t n_sent, n_done; /* publications begun; those of them that have ended */
        int status;              /* of the first publication that failed */
        struct progress progress;
};

/* ---------------------------------------------------------------- pub_send.c */

/* pub_fail tells the first failure, and only that: a lost connection fails all that is under way.
 */
int pub_fail(struct pub *p, int error);

/* pub_publication describes the message but for its payload. */
struct baton_publication pub_publication(const struct pub *p);

/* pub_on_done, for `p`: one publication has ended. */
void pub_on_done(baton *b, int result, const char *text, void *arg);

/* pub_send publishes one message. */
BT_MUST int pub_send(struct pub *p, const void *payload, size_t len);

/* pub_settle waits until no more than `most` confirms are missing. pub_settle_half, when the
 * library says -ENOBUFS: so many are under way that it wants answers to be dealt with. */
BT_MUST int pub_settle(struct pub *p, uint64_t most);
BT_MUST int pub_settle_half(struct pub *p);

/* pub_pause waits for --interval. */
BT_MUST int pub_pause(struct pub *p);

/* pub_await_input waits until `fd` can be read, while the broker is heard. */
BT_MUST int pub_await_input(struct pub *p, int fd);

/* ---------------------------------------------------------------- pub_lines.c, pub_upload.c */

/* pub_lines publishes each line of the source. */
BT_MUST int pub_lines(struct pub *p);

/* pub_prepare reads the beginning of the source, and all of it if it must be read again and cannot.
 * pub_upload, then, publishes what is in it; any number of times. */
BT_MUST int pub_prepare(struct pub *p);
BT_MUST int pub_upload(struct pub *p);

#endif
