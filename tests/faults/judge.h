/* judge.h - whether a call fails, for the wrappers. */
#ifndef BATON_TESTS_FAULTS_JUDGE_H
#define BATON_TESTS_FAULTS_JUDGE_H

#include "broker/core/core.h"
#include "tests/faults/fault.h"

#define SITE ((uintptr_t)__builtin_return_address(0))

/* judge_fd and judge_free return how a call is to fail, 0 if it is not: one about a descriptor, and
 * one about nothing of its own, which is for the session that the core is busy with. */
int judge_fd(enum symbol s, uintptr_t site, int fd);
int judge_free(enum symbol s, uintptr_t site);

/* judge_count counts a call that is not to fail. */
void judge_count(enum symbol s);

/* A descriptor was accepted, or is about to be closed. */
void judge_opened(int fd);
void judge_closing(int fd);

/* Whether the caller is not the loop. */
bool judge_is_aside(void);

#endif
