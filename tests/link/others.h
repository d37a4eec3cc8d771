/* others.h - tests between users. They need root, to become others, and take a network namespace of
 * their own, so that their abstract names are their own too. */
#ifndef BATON_TESTS_LINK_OTHERS_H
#define BATON_TESTS_LINK_OTHERS_H

#include "tests/link/support.h"

enum {
        NOBODY = 65534,
        SOMEBODY = 65533,
        CHILD_BROKEN = 100, /* what children end with beside outcomes, which are small */
};

/* Root of a user namespace that maps nobody else is not root enough. */
bool can_become_others(void);

#define NEED_ROOT()                                                     \
        do {                                                            \
                if (!can_become_others())                               \
                        TEST_SKIP("needs root, to become other users"); \
        } while (0)

/* A directory that everybody can reach, unlike the room of the other tests. It may hold a socket
 * "s" and what belongs to it. */
extern char dir[];
void dir_enter(mode_t mode);
void dir_leave(void);

/* For good. Returns 0, else it has failed. */
int become(uid_t uid, gid_t gid);

#endif
