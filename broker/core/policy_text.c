/* Design note. A policy in sentences for people: its own sections, in its own order, with names
 * resolved, so that what was understood can be held against what was written. */
#include "broker/core/policy_rules.h"

#include <inttypes.h>

static int explain_action(const struct section *s, enum policy_action action, struct buf *out)
{
        const char *before = " ";
        bool any = false;
        int r = 0;

        list_for_each (link, &s->grants) {
                const struct grant *g = list_entry(link, struct grant, link);
                if (g->action != action || r < 0)
                        continue;
                if (!any)
                        r = buf_printf(out, "  may %s%s", g->is_no ? "not " : "",
                                policy_action_name(action));
                if (r == 0 && g->len)
                        r = buf_printf(out, "%s%s", before, g->filter);
                before = ", ";
                any = true;
        }
        return any && r == 0 ? buf_printf(out, "\n") : r;
}

static int explain_section(const struct section *s, struct buf *out)
{
        int r = buf_printf(out, "%s", s->title);

        if (r == 0 && s->who != POLICY_ANY)
                r = buf_printf(
                        out, " (%s %" PRIu32 ")", s->who == POLICY_USER ? "uid" : "gid", s->id);
        if (r == 0)
                r = buf_printf(out, ":\n");
        for (int action = 0; action < POLICY_ACTIONS && r == 0; action++)
                r = explain_action(s, (enum policy_action)action, out);
        for (int i = 0; i < QUOTAS && r == 0; i++) {
                if (s->quotas[i] != UINT64_MAX)
                        r = buf_printf(out, "  %s is %" PRIu64 "\n",
                                policy_quota_name((enum policy_quota)i), s->quotas[i]);
        }
        return r;
}

int policy_explain(const struct policy *p, struct buf *out)
{
        int r = 0;

        list_for_each (link, &p->sections) {
                if (r == 0)
                        r = explain_section(list_entry(link, struct section, link), out);
        }
        if (r == 0 && list_is_empty(&p->sections))
                r = buf_printf(out, "Nobody but the broker's own uid and root may connect.\n");
        return r;
}
