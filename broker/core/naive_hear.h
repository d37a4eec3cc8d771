/* naive_hear.h - what a client heard from the core, beside what the naive broker says: for
 * naive_test alone. */
#ifndef BATON_BROKER_CORE_NAIVE_HEAR_H
#define BATON_BROKER_CORE_NAIVE_HEAR_H

#include "broker/core/fake.h"
#include "broker/core/naive.h"

const char *naive_text(char topic, char text[2]);
bool naive_is_heard(const struct got *g, const struct naive_word *w);
/* Either may be NULL: nothing. */
void naive_print(const struct naive_session *s, const struct got *g, const struct naive_word *w);

/* The report says what the naive broker has counted. What was matched was delivered, or told to be
 * lost, or waits, or went with its receiver. */
void naive_check_report(struct fake *f, const struct naive *n);
void naive_check_sum(struct fake *f, const struct naive *n);

#endif
