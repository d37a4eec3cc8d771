/* stream.h - packets over a SOCK_STREAM: their heads, and what is kept between calls. Private to
 * this room; link.h says what its callers see. */
#ifndef BATON_LINK_STREAM_H
#define BATON_LINK_STREAM_H

#include "proto/link/link.h"
#include "proto/link/msg.h"

struct stream;

/* stream_new borrows the socket. Returns 0 · -ENOMEM. */
BT_MUST int stream_new(int fd, struct graveyard *yard, struct stream **ret_stream);

/* stream_free lays the descriptors of a packet that is not whole on the yard. NULL is fine. Returns
 * NULL. */
struct stream *stream_free(struct stream *s);

/* stream_send, stream_flush: see link_send and link_flush. */
BT_MUST int stream_send(
        struct stream *s, const struct iovec *iov, size_t n_iov, const int *fds, size_t n_fds);
BT_MUST int stream_flush(struct stream *s);

/* stream_is_partial: of the next packet a part has come. */
bool stream_is_partial(const struct stream *s);

/* stream_unsent gives how many bytes of a packet wait for stream_flush. */
size_t stream_unsent(const struct stream *s);

/* stream_recv: see link_recv. The caller owns the descriptors in `*ret_extras`, which has
 * credentials only if all of the packet came under the same ones. */
BT_MUST int stream_recv(
        struct stream *s, void *buf, size_t cap, size_t *ret_len, struct msg_extras *ret_extras);

#endif
