/* oom.h - the plays of oom_test: who is in them, and memory that runs out under them. */
#ifndef BATON_BROKER_CORE_OOM_H
#define BATON_BROKER_CORE_OOM_H

#include "broker/core/fake.h"

/* Memory, as long as it is scarce, fails from the Nth allocation of the core on, or that one time.
 */
struct oom_memory {
        bool is_inside; /* the core, */
        bool is_scarce; /* by somebody for whom memory may run out */
        bool for_ever;
        uint64_t left, n; /* allocations until the first failure; so far */
};

extern struct oom_memory oom_memory;

void oom_inside(bool is_inside);
void oom_make_scarce(uint64_t nth, bool for_ever); /* nth 0: not at all */

struct cast {
        struct fake f;
        struct client *pub, *fast, *slow, *asker, *svc; /* poor */
        struct client *memfd;                           /* likewise; takes memory files */
        struct client *from, *to;                       /* bystanders */
        uint64_t n_stream;
};

/* What the bystanders do between any two acts of the others. */
void oom_stream(struct cast *t);
void oom_go(struct cast *t, struct client *c);

/* The plays: oom_acts.c, oom_acts_keep.c and so on. */
void oom_play_small(struct cast *t);
void oom_play_keep(struct cast *t);
void oom_play_large(struct cast *t);
void oom_play_strangers(struct cast *t);

#endif
