/* roles.h - what the threads do. Each is a pthread start routine, whose argument is a struct role;
 * it makes handles of its own, and returns when it has counted all that it expects. */
#ifndef BATON_TESTS_ROLES_H
#define BATON_TESTS_ROLES_H

#include "tests/threads/world.h"

enum {
        /* Publishers by number: what they publish is told apart by it. */
        FIRST_BURSTS = 0,
        SECOND_BURSTS = 1,
        SURE = 2,
        LARGE = 3,

        SUBSCRIBERS = 2,
        LONGEST_BURST = 50,
        BURST_ROUNDS = 3,
        BURST_MESSAGES = BURST_ROUNDS * LONGEST_BURST * (LONGEST_BURST + 1) / 2,
        SURE_MESSAGES = 3000,
        LARGE_MESSAGES = 150,
        REQUESTS = 600, /* by each of the two ways */
        CHURN_TURNS = 100,
        CHURNERS = 2,
};

/* Payloads on their way from the thread that took them to the one that drops them. */
struct belt {
        pthread_mutex_t mutex;
        pthread_cond_t changed;
        struct baton_payload items[8];
        size_t first, n;
};

struct role {
        struct world *w;
        uint32_t number; /* of this publisher, or of this churner */
        struct belt *belt;
};

/* Bursts of 1..LONGEST_BURST messages of FIRST_BURSTS or SECOND_BURSTS. After each the thread calls
 * nothing until all subscribers have told that it arrived. */
void *publish_bursts(void *role);

/* SURE: confirmed publications, many under way at once. */
void *publish_confirmed(void *role);

/* Receives all of those three, in the order of each. */
void *subscribe_all(void *role);

/* LARGE: payloads of a few bytes to a few megabytes; taken in one thread, dropped in another. */
void *publish_large(void *role);
void *take_payloads(void *role);
void *drop_payloads(void *role);

void *serve_requests(void *role);
void *send_requests(void *role);

/* Makes, connects, uses and frees handles, in every way that a handle can end. */
void *churn_handles(void *role);

#endif
