/* lone.h - whether to look for a second packet. Who gets one packet at a time, and waits, is spared
 * that look, which costs as much as the packet, but for now and then; if there is one, poll tells.
 * For loops that poll what they leave. */
#ifndef BATON_LINK_LONE_H
#define BATON_LINK_LONE_H

#include <stdbool.h>
#include <stddef.h>

/* After LONE_FROM turns with one packet each it is left out, but for every LONE_LOOKS-th time. */
enum { LONE_FROM = 16, LONE_LOOKS = 16 };

/* Zero state: it looks. */
struct lone {
        unsigned n; /* turns in a row in which one packet had come, and no second one */
};

/* lone_leaves: behind one packet, do not look. */
static inline bool lone_leaves(struct lone *l)
{
        return l->n >= LONE_FROM && ++l->n % LONE_LOOKS;
}

/* lone_note: so many packets have come in this turn. */
static inline void lone_note(struct lone *l, size_t n_received)
{
        if (n_received > 1)
                l->n = 0;
        else if (n_received && l->n < LONE_FROM)
                l->n++;
}

#endif
