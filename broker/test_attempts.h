/* test_attempts.h - what somebody would try who has taken the broker over, and what must come of
 * it. */
#ifndef BATON_BROKER_TEST_ATTEMPTS_H
#define BATON_BROKER_TEST_ATTEMPTS_H

#include "proto/link/address.h"

/* What is there to be attacked. */
struct place {
        char directory[64], elsewhere[64];
        char socket[80], policy[80], secret[80];
        struct address address;
        const struct address *served;
        int dir;
};

/* What comes of an attempt: an errno, 0 for done, or */
enum { FATAL = 1000 }; /* SIGSYS */

/* Each returns 0 · -errno. */
struct attempt {
        const char *name;
        int (*make)(const struct place *p);
        int bare, policy; /* what is to come of it without a policy, and with one */
        unsigned needs;   /* enum confined: without these it would be allowed */
};

extern const struct attempt attempts[]; /* until there is no name; the first is harmless */

#endif
