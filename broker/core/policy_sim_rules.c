/* Design note. A filter is the set of topics that it matches, and is contained in another if its
 * set is: true of these few, and nothing that the core could have got wrong in the same way. */
#include "broker/core/policy_sim.h"

#include "proto/base/map.h"

#include <stdio.h>
#include <string.h>

enum { OWN = FILTERS - 1 };

static const char *const words[ACTIONS] = {
        "publish", "subscribe", "join", "block", "retain", "will", "send-fds"};

const char *const topics[TOPICS] = {"a.0", "a.1", "b.0", "b.1", "u.2000", "u.2001", "u.2002"};

const struct filter filters[FILTERS] = {
        {"a.*", "a.*", 0x03}, {"b.>", "b.>", 0x0c}, {"a.0", "a.0", 0x01}, {"b.1", "b.1", 0x08},
        {"u.*", "u.*", 0x70}, {"u.%uid", "u.2001", 0x20}, /* said by whomever */
};

uint32_t dice_roll(uint64_t *dice, uint32_t sides)
{
        *dice = hash_u64(1, *dice + 1);
        return (uint32_t)(*dice >> 33) % sides;
}

/* ------------------------------------------------------------------ the judge */

/* The topics of a filter in a rule about this uid. */
static uint32_t set_of(int filter, int uid)
{
        return filter == OWN ? UINT32_C(0x10) << uid : filters[filter].set;
}

bool rules_may_topic(const struct rules *r, int uid, enum action what, int topic)
{
        for (int i = 0; i < FILTERS && !r->is_out[uid]; i++) {
                if ((r->granted[uid][what] >> i & 1) && (set_of(i, uid) >> topic & 1))
                        return true;
        }
        return false;
}

bool rules_may_filter(const struct rules *r, int uid, enum action what, int filter)
{
        uint32_t wanted = filters[filter].set; /* what is said is literal */

        for (int i = 0; i < FILTERS && !r->is_out[uid]; i++) {
                if ((r->granted[uid][what] >> i & 1) && !(wanted & ~set_of(i, uid)))
                        return true;
        }
        return false;
}

bool rules_may_connect(const struct rules *r, int uid)
{
        static const uint8_t nothing[ACTIONS];

        return !r->is_out[uid] && memcmp(r->granted[uid], nothing, sizeof(nothing)) != 0;
}

/* ----------------------------------------------------------------- policies */

size_t rules_write(struct rules *r, int uid, uint64_t *dice, char *to, size_t room)
{
        static const char *const quotas[] = {" uid_subscriptions:5", " uid_queue_bytes:2000",
                " uid_retained:2", " uid_requests:3", " uid_groups:1", " uid_fds:3",
                " uid_flight_fds:2", " uid_retained_bytes:100"};
        size_t len = (size_t)snprintf(to, room, " user:%d", 2000 + uid);

        for (int what = 0; what < ACTIONS; what++) {
                r->granted[uid][what] = (uint8_t)dice_roll(dice, 1 << FILTERS);
                for (int i = 0; i < FILTERS; i++) {
                        if (r->granted[uid][what] >> i & 1)
                                len += (size_t)snprintf(to + len, room - len, " %s:%s", words[what],
                                        filters[i].rule);
                }
        }
        for (size_t i = 0; i < ARRAY_LEN(quotas); i++) {
                if (dice_roll(dice, 4) == 0)
                        len += (size_t)snprintf(to + len, room - len, "%s", quotas[i]);
        }
        r->is_out[uid] = dice_roll(dice, 10) == 0;
        if (r->is_out[uid])
                len += (size_t)snprintf(to + len, room - len, " connect:no");
        return len;
}
