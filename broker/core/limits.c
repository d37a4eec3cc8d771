/* Design note. The adjustable limits as one table, so that `--limit`, WELCOME and the error
 * messages cannot disagree about names. `least` is the smallest value with which the broker still
 * works. */
#include "broker/core/limits.h"
#include "broker/core/core.h"

#include <string.h>

#define FIELD(f) offsetof(struct core_limits, f)

static const struct limit_row rows[] = {
        {"window_bytes", FIELD(window_bytes), LIMIT_WINDOW_BYTES, 4 * WIRE_PACKET_BYTES, false},
        {"queue_bytes", FIELD(queue_bytes), LIMIT_QUEUE_BYTES, WIRE_PACKET_BYTES, true},
        {"queue_messages", FIELD(queue_messages), LIMIT_QUEUE_MESSAGES, 1, true},
        {"queue_fds", FIELD(queue_fds), LIMIT_QUEUE_FDS, WIRE_FDS + 1, true},
        {"placed_bytes", FIELD(placed_bytes), LIMIT_PLACED_BYTES, 1, true},
        {"payload_bytes", FIELD(payload_bytes), LIMIT_PAYLOAD_BYTES, WIRE_FRAME_BYTES, true},
        {"spool_bytes", FIELD(spool_bytes), LIMIT_SPOOL_BYTES, WIRE_FRAME_BYTES, false},
        {"held_fds", FIELD(held_fds), LIMIT_HELD_FDS, WIRE_FDS + 1, false},
        {"flight_fds", FIELD(flight_fds), LIMIT_FLIGHT_FDS, WIRE_FDS + 1, false},
        {"control_bytes", FIELD(control_bytes), LIMIT_CONTROL_BYTES, 4096, true},
        {"sessions", FIELD(sessions), LIMIT_SESSIONS, 1, false},
        {"unready", FIELD(unready), LIMIT_UNREADY, 1, false},
        {"subscriptions", FIELD(subscriptions), LIMIT_SUBSCRIPTIONS, 1, true},
        {"requests", FIELD(requests), LIMIT_REQUESTS, 1, true},
        {"groups", FIELD(groups), LIMIT_GROUPS, 1, true},
        {"unacknowledged", FIELD(unacknowledged), LIMIT_UNACKNOWLEDGED, 1, true},
        {"retained", FIELD(retained), LIMIT_RETAINED, 1, true},
        {"retained_bytes", FIELD(retained_bytes), LIMIT_RETAINED_BYTES, WIRE_FRAME_BYTES, true},
        {"routes", FIELD(routes), LIMIT_ROUTES, 1, false},
        {"match_nodes", FIELD(match_nodes), LIMIT_MATCH_NODES, WIRE_TOPIC_TOKENS + 1, false},
        {"stall_ms", FIELD(stall_ms), LIMIT_STALL_MS, 1, true},
        {"linger_ms", FIELD(linger_ms), LIMIT_LINGER_MS, 1, true},
        {"handshake_ms", FIELD(handshake_ms), LIMIT_HANDSHAKE_MS, 1, true},
        {"drain_ms", FIELD(drain_ms), LIMIT_DRAIN_MS, 1, true},
        {"all_queue_bytes", FIELD(all_queue_bytes), LIMIT_ALL_QUEUE_BYTES, WIRE_PACKET_BYTES,
                false},
        {"uid_sessions", FIELD(quotas[QUOTA_SESSIONS]), LIMIT_UID_SESSIONS, 1, false},
        {"uid_unready", FIELD(quotas[QUOTA_UNREADY]), LIMIT_UID_UNREADY, 1, false},
        {"uid_subscriptions", FIELD(quotas[QUOTA_SUBSCRIPTIONS]), LIMIT_UID_SUBSCRIPTIONS, 0,
                false},
        {"uid_requests", FIELD(quotas[QUOTA_REQUESTS]), LIMIT_UID_REQUESTS, 0, false},
        {"uid_groups", FIELD(quotas[QUOTA_GROUPS]), LIMIT_UID_GROUPS, 0, false},
        {"uid_queue_bytes", FIELD(quotas[QUOTA_QUEUE_BYTES]), LIMIT_UID_QUEUE_BYTES, 1, false},
        {"uid_retained", FIELD(quotas[QUOTA_RETAINED]), LIMIT_UID_RETAINED, 0, false},
        {"uid_retained_bytes", FIELD(quotas[QUOTA_RETAINED_BYTES]), LIMIT_UID_RETAINED_BYTES, 0,
                false},
        {"uid_fds", FIELD(quotas[QUOTA_FDS]), LIMIT_UID_FDS, 0, false},
        {"uid_flight_fds", FIELD(quotas[QUOTA_FLIGHT_FDS]), LIMIT_UID_FLIGHT_FDS, 1, false},
        {"uid_spool_bytes", FIELD(quotas[QUOTA_SPOOL_BYTES]), LIMIT_UID_SPOOL_BYTES, 0, false},
        {"uid_connects", FIELD(quotas[QUOTA_CONNECTS]), LIMIT_UID_CONNECTS, 1, false},
};

_Static_assert(ARRAY_LEN(rows) <= LIMIT_ROWS_MAX, "refusals are counted for every limit");

static uint64_t *value_of(struct core_limits *limits, const struct limit_row *row)
{
        return (uint64_t *)((char *)limits + row->offset);
}

const struct limit_row *limit_row_at(size_t i)
{
        return i < ARRAY_LEN(rows) ? &rows[i] : NULL;
}

uint64_t limit_row_value(const struct core_limits *limits, const struct limit_row *row)
{
        return *value_of((struct core_limits *)limits, row);
}

void core_limits_default(struct core_limits *limits)
{
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                *value_of(limits, &rows[i]) = rows[i].standard;
}

int core_limits_set(
        struct core_limits *limits, const char *name, uint64_t value, uint64_t *ret_least)
{
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                if (strcmp(rows[i].name, name) != 0)
                        continue;
                if (value < rows[i].least || value > CORE_LIMIT_MAX) {
                        *ret_least = rows[i].least;
                        return LIMITS_E_VALUE;
                }
                *value_of(limits, &rows[i]) = value;
                return 0;
        }
        return LIMITS_E_NAME;
}

const char *core_limits_name(size_t i)
{
        return i < ARRAY_LEN(rows) ? rows[i].name : NULL;
}
