/* connect.h - the ways to a broker. Private to this room.
 *
 *      connect (addresses)   adopt (sockets that others have connected)
 *            `--------. .--------'
 *                    join            one try after the other, without waiting
 *                   /    \
 *              hello      dgram      HELLO, WELCOME, the facts; or no connection at all
 */
#ifndef BATON_CLIENT_CONNECT_H
#define BATON_CLIENT_CONNECT_H

#include "client/handle.h"

#include "proto/link/address.h"

/* Why nothing was connected. */
struct refusal {
        int error;
        unsigned code; /* the broker's, if it said one */
        char text[WIRE_TEXT_BYTES + 1];
};

/* refuse notes it, and returns `error`. */
int refuse(struct refusal *why, int error, const char *text);

/* connect_errno gives the errno of an outcome of link_connect or dgram_connect. */
int connect_errno(int outcome);

/* ---------------------------------------------------------------- greeting */

enum { HELLO_E_AGAIN = 1 };

/* hello_say forgets the old session and sends HELLO. hello_hear reads the answer; what followed it
 * in its packet is then in `b->in.packet`, for in_keep.
 *
 * is_inherited   the broker cannot ask the socket who we are: HELLO must say so.
 * Return 0 · HELLO_E_AGAIN poll the link · as baton_connect; `ret_why` says why. */
BT_MUST int hello_say(
        struct baton *b, struct link *link, bool is_inherited, struct refusal *ret_why);
BT_MUST int hello_hear(
        struct baton *b, struct link *link, bool is_inherited, struct refusal *ret_why);

/* connect_forget_old makes ready for a new session: nothing of the old one lives on in it, but for
 * the subscriptions of a handle that stays connected. Returns 0 · -ENOMEM. */
BT_MUST int connect_forget_old(struct baton *b);

/* datagram_open makes the handle publish in datagrams. Returns 0 · CONNECT_E_BUSY try again soon ·
 * as baton_connect. */
enum { CONNECT_E_BUSY = 2 };
BT_MUST int datagram_open(struct baton *b, const struct address *a, struct refusal *ret_why);

/* ---------------------------------------------------------------- joining */

/* Why nothing was connected so far. */
struct skipped {
        char text[HANDLE_TEXT_BYTES];
        int error;
        unsigned code;
};

/* On the way to a broker: resting until `at_ns`, then the next address; or greeted one, and waiting
 * for its answer. */
struct join {
        struct address list[LIMIT_ADDRESSES];
        size_t n, i;          /* n 0: `link` was given */
        bool again;           /* when all have failed, from the beginning */
        bool is_return;       /* the handle is away */
        int rest_ms;          /* before somebody busy is tried again */
        uint64_t at_ns;       /* when to go on */
        uint64_t until_ns;    /* the end of all trying */
        uint64_t greeting_ns; /* the end of waiting for WELCOME */
        struct link *link;    /* greeted; NULL: resting */
        bool is_inherited;
        struct cred broker;
        char address[ADDRESS_TEXT];
        struct skipped skipped;
        struct op *op; /* what tells the end; NULL: nobody asked */
};

enum { JOIN_E_AGAIN = 1 };

enum {
        /* Milliseconds of the first and of the longest rest before a busy broker is tried again. */
        JOIN_BUSY_FIRST_MS = 1,
        JOIN_BUSY_MOST_MS = 50,
        /* Milliseconds that one broker has for its WELCOME, if there are other tries. */
        JOIN_GREETING_MS = 5000,
};

/* join_new begins to reach a broker at one of the addresses. join_new_link: over a socket that is
 * connected, which it owns from now on, also when it fails. Nothing is done before join_step.
 * Return 0 · -ENOMEM. */
BT_MUST int join_new(struct baton *b, const struct address *list, size_t n, uint64_t until_ns);
BT_MUST int join_new_link(struct baton *b, struct link *link, const struct cred *broker,
        bool is_inherited, const char *address, uint64_t until_ns);

/* join_step does what can be done without waiting. Returns 0 connected, and the join is gone ·
 * JOIN_E_AGAIN poll for it · as baton_connect: given up, the join is gone. No callback runs. */
BT_MUST int join_step(struct baton *b);

/* join_end gives up, as baton_free does. */
void join_end(struct baton *b, const struct verdict *v);

/* What to poll for: the link, or NULL, and until when. */
struct link *join_link(const struct baton *b);
short join_events(const struct baton *b);
uint64_t join_next_ns(const struct baton *b);

/* ---------------------------------------------------------------- adopting */

enum { ADOPT_E_NONE = 1 };

/* adopt begins to join over `fd`, which it owns from now on, also when it fails. Returns as
 * baton_connect_fd. */
BT_MUST int adopt(struct baton *b, int fd, uint64_t until_ns);

/* adopt_inherited begins to join over the socket that $BATON_FD numbers. Returns 0 · ADOPT_E_NONE
 * there is no such variable · -EBUSY it was used before · -EINVAL · -errno. */
BT_MUST int adopt_inherited(struct baton *b, uint64_t until_ns);

#endif
