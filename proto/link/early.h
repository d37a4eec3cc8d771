/* early.h - datagrams that came before this process had their socket. Private to this room. */
#ifndef BATON_LINK_EARLY_H
#define BATON_LINK_EARLY_H

#include "proto/link/listener.h"

/* listener_has_early: some may wait. Nobody had asked for their senders then (SO_PASSCRED), so the
 * kernel gives them pid 0 and the uid of nobody, who may be somebody to the policy. */
bool listener_has_early(const struct listener *l);

/* listener_saw_empty: nothing waits, so what comes from now on has a sender. */
void listener_saw_empty(struct listener *l);

#endif
