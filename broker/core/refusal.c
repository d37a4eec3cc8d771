/* Design note. What is refused is counted under the name of its reason, which is the name of a
 * limit, or `policy`. Beside each count stands who was refused most for it: a uid, and its process
 * that was refused last. */
#include "broker/core/internal.h"

#include "broker/core/limits.h"

#include <string.h>

static size_t find(const char *limit)
{
        const struct limit_row *row;

        if (!*limit)
                return REFUSAL_POLICY;
        for (size_t i = 0; (row = limit_row_at(i)); i++) {
                if (!strcmp(row->name, limit))
                        return REFUSAL_LIMITS + i;
        }
        return REFUSALS;
}

void refusal_note(
        struct core *c, struct identity *who, const struct core_peer *peer, const char *limit)
{
        size_t i = find(limit);

        if (i == REFUSALS)
                return;
        struct refusal_count *count = &c->refusals[i];
        uint32_t n = ++who->uid->refused[i];
        count->n++;
        if (n >= count->most) {
                count->most = n;
                count->worst = *peer;
        }
}

const struct refusal_count *refusal_count_at(const struct core *c, size_t i, const char **ret_name)
{
        const struct limit_row *row = i ? limit_row_at(i - REFUSAL_LIMITS) : NULL;

        if (i && !row)
                return NULL;
        *ret_name = i ? row->name : "policy";
        return &c->refusals[i];
}
