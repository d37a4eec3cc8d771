/* world.h - what the threads of a test share: the broker's address, and a board of counts on which
 * they write and for which they wait. No handle is shared. */
#ifndef BATON_TESTS_WORLD_H
#define BATON_TESTS_WORLD_H

#include "tests/harness/test.h"

#include <baton.h>
#include <pthread.h>
#include <stdbool.h>

enum {
        LONG_MS = 120000, /* longer than anything takes */
        PUBLISHERS = 4,
};

/* What is counted. */
enum count {
        READY,   /* threads that have subscribed */
        ARRIVED, /* messages, by publisher */
        ARRIVED_LAST = ARRIVED + PUBLISHERS - 1,
        SERVED,    /* requests */
        ANSWERED,  /* replies */
        CONFIRMED, /* publications */
        TURNED,    /* handles made and freed */
        TAKEN,     /* payloads */
        DROPPED,   /* payloads */
        COUNTS_N_,
};

struct world {
        const char *address;
        pthread_mutex_t mutex;
        pthread_cond_t changed;
        uint64_t counts[COUNTS_N_];
};

void world_init(struct world *w, const char *address);
void world_deinit(struct world *w);

void world_add(struct world *w, enum count which, uint64_t n);
uint64_t world_get(struct world *w, enum count which);

/* world_wait waits until the count is `n` at least; too long, and the test has failed. */
void world_wait(struct world *w, enum count which, uint64_t n);

/* world_join makes a handle and connects it; world_leave closes and frees it. */
baton *world_join(struct world *w);
void world_leave(baton *b);

/* A message that carries whose it is, its number, and bytes that follow from both. */
struct stamp {
        uint32_t publisher;
        uint64_t number;
};

void stamp_write(uint8_t *payload, size_t len, struct stamp s);

/* stamp_read checks all bytes. */
struct stamp stamp_read(const void *payload, size_t len);

#endif
