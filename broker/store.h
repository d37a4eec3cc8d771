/* store.h - the core's store: chunked payloads, in memory files. */
#ifndef BATON_BROKER_STORE_H
#define BATON_BROKER_STORE_H

#include "broker/core/core.h"

/* store_of makes the functions the core asks (core.h). What is dropped goes to `yard`: to give a
 * gigabyte back to the kernel takes a tenth of a second, which is the reaper's time to spend. */
struct core_store store_of(struct graveyard *yard);

#endif
