/* limits.h - the table behind core_limits, for the core itself. */
#ifndef BATON_BROKER_CORE_LIMITS_H
#define BATON_BROKER_CORE_LIMITS_H

#include "broker/core/core.h"
#include "proto/wire/limits.h"

/* 2^40: sums of a few such values cannot overflow 64 bits, in nanoseconds neither. */
#define CORE_LIMIT_MAX (UINT64_C(1) << 40)

/* At most so many rows: what is counted for each stands in arrays. */
enum { LIMIT_ROWS_MAX = 48 };

struct limit_row {
        const char *name;
        size_t offset; /* in struct core_limits */
        uint64_t standard, least;
        bool for_clients; /* told in WELCOME */
};

/* limit_row_at returns row `i`, NULL behind the last. */
const struct limit_row *limit_row_at(size_t i);
uint64_t limit_row_value(const struct core_limits *limits, const struct limit_row *row);

#endif
