/* ends.h - two links that are connected, over whatever $LINK_ADDRESS names; without it, a pair, and
 * a pair of streams if it is no more than "stream:". */
#ifndef BATON_TESTS_LINK_ENDS_H
#define BATON_TESTS_LINK_ENDS_H

#include "tests/link/support.h"

/* `a` connected; `b` was accepted and lets descriptors in. */
struct ends {
        struct graveyard yard_a, yard_b;
        struct listener *listener;
        struct link *a, *b;
};

void open_ends(struct ends *e);

/* The ends are of a stream. */
bool are_streams(void);

/* Receives any packet at `b` that `a` has sent or kept; the outcome. */
int recv_at_b(struct ends *e);

/* Nothing may lie on the yards: what a test expects there it has buried. */
void close_ends(struct ends *e);

#endif
