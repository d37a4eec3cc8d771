/* fake_burst.h - publications that are numbers, to be counted. */
#ifndef BATON_CLIENT_FAKE_BURST_H
#define BATON_CLIENT_FAKE_BURST_H

#include "client/fake_broker.h"

enum { FAKE_PATIENCE_MS = 20000 };

/* fake_publish_n publishes 0, 1, ... n - 1. */
void fake_publish_n(struct fake *f, int n);

/* fake_expect_n reads publications until there are `n`, waiting for them, and checks that they are
 * `first`, `first` + 1, ... fake_expect_no_more: and that nothing is left. */
void fake_expect_n(struct fake *f, int first, int n);
void fake_expect_no_more(struct fake *f);

/* fake_fill_up fills the socket and the buffer behind it. Returns the number of publications. */
int fake_fill_up(struct fake *f);

#endif
