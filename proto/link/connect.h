/* connect.h - the client's side: reach a broker and make sure that it is one. */
#ifndef BATON_LINK_CONNECT_H
#define BATON_LINK_CONNECT_H

#include "proto/link/address.h"
#include "proto/link/cred.h"
#include "proto/link/link.h"

/* One phrase for a person, without the address itself: "connection refused (is the broker
 * running?)". */
struct link_why {
        char text[160];
};

/* link_connect connects without waiting, and before a byte is sent makes sure that whoever listens
 * has the uid that the address expects; if it says none, root's or the caller's effective one.
 * Anybody may have bound an abstract name first.
 *
 * ret_broker   who listens.
 * ret_why      filled for every outcome but 0, and for -errno too.
 * Returns 0 · LINK_E_ABSENT · LINK_E_UNTRUSTED · LINK_E_BUSY · LINK_E_DENIED · LINK_E_WRONG_TYPE
 *         the text names the right prefix · LINK_E_UNSUPPORTED datagrams have no connection: see
 *         dgram_connect · -errno. */
BT_MUST int link_connect(const struct address *a, struct graveyard *yard, struct link **ret_link,
        struct cred *ret_broker, struct link_why *ret_why);

#endif
