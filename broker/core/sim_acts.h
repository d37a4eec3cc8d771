/* sim_acts.h - what the peers of the simulation may do: for sim_test alone. Each act is one packet
 * at most, and does nothing where it makes no sense. */
#ifndef BATON_BROKER_CORE_SIM_ACTS_H
#define BATON_BROKER_CORE_SIM_ACTS_H

#include "broker/core/sim_model.h"

enum { SIM_LIVE = 20 }; /* peers at a time */

/* rnd returns one of 0 .. n-1. */
void sim_seed(uint64_t seed);
uint32_t rnd(uint32_t n);

struct peer *sim_open_peer(struct sim *sim);
struct peer *sim_pick(struct sim *sim); /* NULL: nobody lives */
size_t sim_n_live(const struct sim *sim);

/* sim_feed sends what `p` has said, and mostly lets all flush. */
void sim_feed(struct sim *sim, struct peer *p);
void sim_feed_fds(struct sim *sim, struct peer *p, struct fdset *fds);

bool sim_has_window(const struct peer *p);
void sim_say_asking(struct peer *p, uint64_t id);

void sim_subscribe(struct sim *sim, struct peer *p);
void sim_unsubscribe(struct sim *sim, struct peer *p);
void sim_publish(struct sim *sim, struct peer *p);
void sim_ask(struct sim *sim, struct peer *p);
void sim_reply(struct sim *sim, struct peer *p);
void sim_cancel(struct sim *sim, struct peer *p);
void sim_change_room(struct sim *sim, struct peer *p);
void sim_leave(struct sim *sim, struct peer *p);

/* sim_acts_large.c */
void sim_publish_fds(struct sim *sim, struct peer *p);
void sim_upload_begin(struct sim *sim, struct peer *p);
void sim_upload_more(struct sim *sim, struct peer *p);
void sim_upload_end(struct sim *sim, struct peer *p, bool is_given_up);
/* Time passes; nobody waits with a payload until the broker gives it up. */
void sim_pass(struct sim *sim, uint64_t ms);
void sim_credit(struct sim *sim, struct peer *p);
/* The kernel runs short of descriptors, or has enough again. */
void sim_change_weather(struct sim *sim);

#endif
