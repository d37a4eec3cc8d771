/* payload.h - a received payload that lies in memory of its own, and may outlive its message.
 * Private to this room. */
#ifndef BATON_CLIENT_PAYLOAD_H
#define BATON_CLIENT_PAYLOAD_H

#include "client/baton_message.h"

#include "proto/base/defs.h"
#include <stdatomic.h>

enum { PAYLOAD_E_UNREADABLE = 1 };

/* Shared by reference, among threads too; nothing in it changes once it is shared. */
struct payload {
        atomic_uint refs;
        bool is_mapped;
        uint8_t *data; /* [cap], the first `len` are used; mapped: cap is len */
        size_t len, cap;
};

/* Where a message keeps the one that its bytes lie in, in `reserved`; NULL: they are inline. */
enum { PAYLOAD_SLOT = 2 };

/* payload_map maps a placed payload for reading.
 *
 * fd     came from a stranger; stays the caller's.
 * size   what the frame says, at least 1.
 * most   what the broker lets through.
 * Returns 0 · PAYLOAD_E_UNREADABLE no sealed memory file of that size, or too large · -errno. */
BT_MUST int payload_map(int fd, uint64_t size, uint64_t most, struct payload **ret_payload);

/* payload_new makes an empty one to append to; NULL if there is no memory. */
struct payload *payload_new(void);

/* payload_append adds `len` bytes, before it is shared. `hint` is how many there will be in all, 0:
 * not known. Returns 0 · -ENOMEM. */
BT_MUST int payload_append(struct payload *p, const void *data, size_t len, uint64_t hint);

struct payload *payload_ref(struct payload *p);

/* payload_unref drops one reference; NULL is fine. Returns NULL. */
struct payload *payload_unref(struct payload *p);

#endif
