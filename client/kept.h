/* kept.h - publications that outlive a connection: those that could not be sent while the handle is
 * away, and those that a new session is to be told again. Private to this room. */
#ifndef BATON_CLIENT_KEPT_H
#define BATON_CLIENT_KEPT_H

#include "client/ops.h"
#include "client/out.h"

/* A copy of one. Owns its descriptors. */
struct kept {
        struct list link;
        struct op *op; /* what waits for its answer; NULL: nobody does */
        struct fdset *fds;
        uint64_t flags, ms;
        uint64_t at_ns; /* when it was published */
        size_t prefix_len, headers_len, payload_len;
        uint8_t bytes[]; /* prefix, headers, payload */
};

/* kept_new copies a publication; its descriptors are duplicated. kept_free returns NULL. kept_post
 * makes a publication of it again, which borrows from it. kept_push has it sent when all that was
 * kept before is, or else, if `before` is not NULL, before that one. Returns 0 · -ENOMEM · as
 * post_copy_fds. */
BT_MUST int kept_new(struct baton *b, const struct post *p, struct kept **ret_k);
struct kept *kept_free(struct kept *k);
struct post kept_post(const struct kept *k);
void kept_push(struct baton *b, struct kept *k, struct op *op, struct list *before);
size_t kept_size(const struct kept *k); /* in the account */
uint64_t kept_age_ms(const struct kept *k);

enum { KEPT_E_GO = 1, KEPT_E_AGAIN = 2 };

/* kept_before deals with a publication on a handle that stays connected: what was kept goes first,
 * and what cannot be sent is kept.
 * Returns 0 it is kept · KEPT_E_GO send it · as baton_publish_with. */
BT_MUST int kept_before(struct baton *b, struct post *p);

/* kept_instead keeps it because the connection was lost while it was to be sent (`error`). */
BT_MUST int kept_instead(struct baton *b, struct post *p, int error);

/* kept_send sends what fits now. Returns 0 nothing is left · KEPT_E_AGAIN · -ENOTCONN. */
BT_MUST int kept_send(struct baton *b);

/* kept_drain waits until nothing is left. Returns 0 · as handle_await. */
BT_MUST int kept_drain(struct baton *b, uint64_t deadline_ns);

/* kept_clear is kept_drain, or -EAGAIN if the handle does not block: before something is sent that
 * would be in the way. */
BT_MUST int kept_clear(struct baton *b);

/* kept_salvage takes what is gathered and was not sent, and may be kept, off the buffer of a lost
 * connection. Returns the number of those that nobody confirms. */
uint64_t kept_salvage(struct baton *b);

/* kept_forget drops one that nobody waits for any more. kept_end_all ends all. */
void kept_forget(struct baton *b, struct kept *k);
void kept_end_all(struct baton *b, const struct verdict *v);

/* kept_is_taking: the handle is away, and publications are kept. */
bool kept_is_taking(const struct baton *b);
bool kept_is_empty(const struct baton *b);

/* kept_remember notes what a publication that was sent makes last: a retained value, a will.
 * kept_restore has them sent to a new session. Returns 0 · -ENOMEM · -ENOBUFS. */
void kept_remember(struct baton *b, const struct post *p);
BT_MUST int kept_restore(struct baton *b, bool is_other_instance);
void kept_forget_lasting(struct baton *b);

/* kept_forget_one: the broker refuses the retained value of `topic`, or the will. */
void kept_forget_one(struct baton *b, const char *topic, bool is_will);

#endif
