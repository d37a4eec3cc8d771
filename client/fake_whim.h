/* fake_whim.h - a broker that does as it likes, by a seed. */
#ifndef BATON_CLIENT_FAKE_WHIM_H
#define BATON_CLIENT_FAKE_WHIM_H

#include "client/fake_house.h"

struct whim {
        struct house *h;
        uint64_t random;
        uint32_t sub;     /* it delivers to this one; 0: there was none so far */
        uint64_t request; /* it answers this one; 0: there was none so far */
        uint64_t id;      /* of the next publication that it reads; 0: it has none */
};

/* whim_pick gives a number below `n`, the next of the seed `w->random`. */
unsigned whim_pick(struct whim *w, unsigned n);

/* whim_turn does what comes to its mind; it never waits. */
void whim_turn(struct whim *w);

#endif
