/* connect.h - the ways to a broker. Private to this room.
 *
 *      connect (addresses)   adopt (sockets that others have connected)
 *            |    `- datagram    |
 *            `------- hello -----'      HELLO, WELCOME, the facts
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

/* connect_finish_old dispatches what is left of an earlier connection. Returns 0 · -EISCONN ·
 * -ENOTCONN a callback has freed the handle · -ENOMEM. */
BT_MUST int connect_finish_old(struct baton *b);

/* connect_forget_old makes ready for a new session: nothing of the old one lives on in it.
 * Returns 0 · -ENOMEM. */
BT_MUST int connect_forget_old(struct baton *b);

/* hello_shake_hands opens a session over `link`, which it owns from now on, also when it fails.
 *
 * is_inherited   the broker cannot ask the socket who we are: HELLO must say so.
 * Returns as baton_connect; `ret_why` says why. */
BT_MUST int hello_shake_hands(struct baton *b, struct link *link, bool is_inherited,
        const char *address, uint64_t deadline_ns, struct refusal *ret_why);

enum { ADOPT_E_NONE = 1 };

/* adopt_inherited connects over the socket that $BATON_FD numbers. Returns 0 · ADOPT_E_NONE there
 * is no such variable · -EBUSY it was used before · -EINVAL · as baton_connect. */
BT_MUST int adopt_inherited(struct baton *b, uint64_t deadline_ns);

/* datagram_open makes the handle publish in datagrams. Returns as baton_connect. */
BT_MUST int datagram_open(
        struct baton *b, const struct address *a, uint64_t deadline_ns, struct refusal *ret_why);

/* connect_rest sleeps a while before somebody busy is tried again: `*ms`, which it doubles. */
void connect_rest(int *ms, uint64_t deadline_ns);

enum {
        /* Milliseconds of the first and of the longest of these. */
        CONNECT_REST_FIRST_MS = 1,
        CONNECT_REST_MOST_MS = 50,
};

/* connect_errno gives the errno of an outcome of link_connect or dgram_connect. */
int connect_errno(int outcome);

#endif
