/* The adjustable limits: names, bounds, and what clients are told. */
#include "broker/core/core.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <stddef.h>

TEST(every_limit_can_be_set_by_its_name)
{
        struct core_limits limits;
        uint64_t least;
        size_t n = 0;

        core_limits_default(&limits);
        CHECK_EQ(limits.queue_bytes, LIMIT_QUEUE_BYTES);
        for (const char *name; (name = core_limits_name(n)); n++)
                CHECK_EQ(core_limits_set(&limits, name, (uint64_t)1 << 40, &least), 0);
        CHECK_EQ(n, sizeof(limits) / sizeof(uint64_t));
        for (size_t i = 0; i < n; i++)
                CHECK(((const uint64_t *)&limits)[i] == (uint64_t)1 << 40);
}

TEST(what_would_not_work_is_refused_with_the_least_that_does)
{
        struct core_limits limits;
        uint64_t least = 0;

        core_limits_default(&limits);
        CHECK_EQ(core_limits_set(&limits, "window_bytes", 1, &least), LIMITS_E_VALUE);
        CHECK_EQ(least, 4 * WIRE_PACKET_BYTES);
        CHECK_EQ(core_limits_set(&limits, "window_bytes", least, &least), 0);
        CHECK_EQ(core_limits_set(&limits, "sessions", ((uint64_t)1 << 40) + 1, &least),
                LIMITS_E_VALUE);
        CHECK_EQ(core_limits_set(&limits, "sessionz", 5, &least), LIMITS_E_NAME);
        CHECK_EQ(limits.sessions, LIMIT_SESSIONS);
}
