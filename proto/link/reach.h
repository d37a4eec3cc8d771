/* reach.h - what both kinds of client do to get to a socket file. Private to this room. */
#ifndef BATON_LINK_REACH_H
#define BATON_LINK_REACH_H

#include "proto/link/connect.h"
#include "proto/link/os.h"

/* reach_find finds the socket file of `a`: the caller owns `*ret_found`, see os_look.
 * Returns 0 · LINK_E_ABSENT · LINK_E_UNTRUSTED · LINK_E_DENIED · -errno. */
BT_MUST int reach_find(const struct address *a, struct os_found *ret_found, struct link_why *why);

/* reach_connect connects the socket `fd`, of the address's transport, to what reach_find found.
 * Returns 0 · LINK_E_ABSENT · LINK_E_BUSY · LINK_E_DENIED · LINK_E_WRONG_TYPE · -errno. */
BT_MUST int reach_connect(
        int fd, const struct os_found *found, const struct address *a, struct link_why *why);

/* reach_judge gives the outcome of a connect that failed with -errno, and its phrase.
 * Returns LINK_E_ABSENT · LINK_E_BUSY · LINK_E_DENIED · -errno. */
BT_MUST int reach_judge(int error, struct link_why *why);

/* reach_trusts: is `uid` whom the address expects, or without that root or this user? */
bool reach_trusts(const struct address *a, uid_t uid);

/* Room for, and the phrase of, whom that would be: ", expected root or uid 1000". */
enum { REACH_EXPECTED = 64 };
const char *reach_expected(const struct address *a, char out[REACH_EXPECTED]);

#endif
