/* policy_sim.h - what policy_sim_test knows of its policies, by tables of its own. */
#ifndef BATON_BROKER_CORE_POLICY_SIM_H
#define BATON_BROKER_CORE_POLICY_SIM_H

#include "broker/core/fake.h"

enum { UIDS = 3, TOPICS = 7, FILTERS = 6 };

enum action { PUBLISH, SUBSCRIBE, JOIN, BLOCK, RETAIN, WILL, SEND_FDS, ACTIONS };

extern const char *const topics[TOPICS];

/* As the policy says it, as a client does, and the topics that it matches: bits of `topics`. */
struct filter {
        const char *rule, *text;
        uint32_t set;
};

extern const struct filter filters[FILTERS];

struct rules {
        uint8_t granted[UIDS][ACTIONS]; /* bits of `filters` */
        bool is_out[UIDS];
};

/* rules_may_topic: may this uid do that? rules_may_filter: with a filter. rules_may_connect: at
 * all. */
bool rules_may_topic(const struct rules *r, int uid, enum action what, int topic);
bool rules_may_filter(const struct rules *r, int uid, enum action what, int filter);
bool rules_may_connect(const struct rules *r, int uid);

/* rules_write makes rules for a uid by chance, and appends them to a policy. `roll` is the dice.
 * Returns what it has written. */
size_t rules_write(struct rules *r, int uid, uint64_t *dice, char *to, size_t room);
uint32_t dice_roll(uint64_t *dice, uint32_t sides);

#endif
