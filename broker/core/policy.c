/* Design note. Rules are looked at one after the other: a policy has dozens, and who publishes a
 * run of messages is judged once for it. They only add, so the order of a file means nothing, and
 * what is left out by mistake refuses and does not open.
 *
 * A subscription is allowed if its filter is contained in one allowed filter. Two that together
 * contain it do not count: the answer stays one that a person can see in the file. */
#include "broker/core/policy_rules.h"

#include "proto/wire/limits.h"
#include "proto/wire/topic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char PER_UID[] = "%uid";

static const char *const action_names[POLICY_ACTIONS] = {
        [POLICY_CONNECT] = "connect",
        [POLICY_SEE_SYS] = "see-sys",
        [POLICY_ADMINISTER] = "administer",
        [POLICY_PUBLISH] = "publish",
        [POLICY_SUBSCRIBE] = "subscribe",
        [POLICY_JOIN] = "join",
        [POLICY_BLOCK] = "block",
        [POLICY_RETAIN] = "retain",
        [POLICY_WILL] = "will",
        [POLICY_SEND_FDS] = "send-fds",
        [POLICY_SEND_ANY_FDS] = "send-any-fds",
        [POLICY_SEND_MEMFD] = "send-memfd",
};

static const char *const quota_names[QUOTAS] = {
        [QUOTA_SESSIONS] = "uid_sessions",
        [QUOTA_UNREADY] = "uid_unready",
        [QUOTA_SUBSCRIPTIONS] = "uid_subscriptions",
        [QUOTA_REQUESTS] = "uid_requests",
        [QUOTA_GROUPS] = "uid_groups",
        [QUOTA_QUEUE_BYTES] = "uid_queue_bytes",
        [QUOTA_RETAINED] = "uid_retained",
        [QUOTA_RETAINED_BYTES] = "uid_retained_bytes",
        [QUOTA_FDS] = "uid_fds",
        [QUOTA_FLIGHT_FDS] = "uid_flight_fds",
        [QUOTA_SPOOL_BYTES] = "uid_spool_bytes",
        [QUOTA_CONNECTS] = "uid_connects",
};

static size_t find(const char *const *names, size_t n, const char *name)
{
        size_t i = 0;

        while (i < n && strcmp(names[i], name) != 0)
                i++;
        return i;
}

const char *policy_action_name(enum policy_action action)
{
        return action_names[action];
}

enum policy_action policy_action_find(const char *name)
{
        return (enum policy_action)find(action_names, POLICY_ACTIONS, name);
}

bool policy_action_has_filters(enum policy_action action)
{
        return action >= POLICY_PUBLISH;
}

const char *policy_quota_name(enum policy_quota quota)
{
        return quota_names[quota];
}

enum policy_quota policy_quota_find(const char *name)
{
        return (enum policy_quota)find(quota_names, QUOTAS, name);
}

/* ---------------------------------------------------------------- building */

struct policy *policy_new(const char *name)
{
        size_t len = strlen(name);
        struct policy *p = malloc(sizeof(*p) + len + 1);

        if (!p)
                return NULL;
        list_init(&p->sections);
        memcpy(p->name, name, len + 1);
        return p;
}

const char *policy_name(const struct policy *p)
{
        return p->name;
}

static void free_section(struct section *s)
{
        for (struct list *link; (link = list_first(&s->grants));) {
                list_remove(link);
                free(list_entry(link, struct grant, link));
        }
        list_remove(&s->link);
        free(s);
}

void policy_free(struct policy *p)
{
        if (!p)
                return;
        for (struct list *link; (link = list_first(&p->sections));)
                free_section(list_entry(link, struct section, link));
        free(p);
}

int policy_add_section(struct policy *p, enum policy_who who, uint32_t id, const char *title)
{
        struct section *s = calloc(1, sizeof(*s) + strlen(title) + 1);

        if (!s)
                return -ENOMEM;
        s->who = who;
        s->id = id;
        memset(s->quotas, 0xff, sizeof(s->quotas));
        list_init(&s->grants);
        memcpy(s->title, title, strlen(title) + 1);
        list_push_back(&p->sections, &s->link);
        return 0;
}

static struct section *last_section(struct policy *p)
{
        return list_entry(p->sections.prev, struct section, link);
}

static bool is_per_uid(const struct token *t)
{
        return t->len == strlen(PER_UID) && !memcmp(t->data, PER_UID, t->len);
}

static int add(struct policy *p, const struct grant *what, const void *filter)
{
        struct grant *g = calloc(1, sizeof(*g) + what->len + 1);

        if (!g)
                return -ENOMEM;
        *g = *what;
        if (g->len)
                memcpy(g->filter, filter, g->len);
        for (struct token t = token_first(g->filter, g->len); t.data; t = token_next(&t))
                g->is_per_uid |= is_per_uid(&t);
        list_push_back(&last_section(p)->grants, &g->link);
        return 0;
}

int policy_grant(
        struct policy *p, enum policy_action action, const void *filter, size_t len, unsigned line)
{
        if (!filter_is_valid(filter, len))
                return POLICY_E_FILTER;
        if (topic_is_reserved(filter, len))
                return POLICY_E_RESERVED;
        return add(p, &(struct grant){.action = action, .line = line, .len = len}, filter);
}

int policy_allow(struct policy *p, enum policy_action action, unsigned line)
{
        return add(p, &(struct grant){.action = action, .line = line}, NULL);
}

int policy_deny_connect(struct policy *p, unsigned line)
{
        return add(p, &(struct grant){.action = POLICY_CONNECT, .line = line, .is_no = true}, NULL);
}

void policy_set_quota(struct policy *p, enum policy_quota quota, uint64_t value)
{
        last_section(p)->quotas[quota] = value;
}

/* ----------------------------------------------------------------- judging */

static bool is_in_group(const struct policy_subject *who, uint32_t gid)
{
        if (who->gid == gid)
                return true;
        for (size_t i = 0; i < who->n_groups; i++) {
                if (who->groups[i] == gid)
                        return true;
        }
        return false;
}

static bool is_about(const struct section *s, const struct policy_subject *who)
{
        switch (s->who) {
        case POLICY_USER:
                return s->id == who->uid;
        case POLICY_GROUP:
                return is_in_group(who, s->id);
        default:
                return true;
        }
}

/* The filter of `g` for this uid, which stays valid: a number is a token. Returns its length; 0: it
 * would be too long. */
static size_t fill_in(const struct grant *g, uint32_t uid, char ret[WIRE_TOPIC_BYTES])
{
        size_t len = 0;

        for (struct token t = token_first(g->filter, g->len); t.data; t = token_next(&t)) {
                char number[11];
                const void *data = is_per_uid(&t) ? (const void *)number : t.data;
                size_t digits = (size_t)snprintf(number, sizeof(number), "%" PRIu32, uid);
                size_t n = is_per_uid(&t) ? digits : t.len;
                if (len + (len > 0) + n > WIRE_TOPIC_BYTES)
                        return 0;
                if (len)
                        ret[len++] = '.';
                memcpy(ret + len, data, n);
                len += n;
        }
        return len;
}

bool policy_is_about_filters(enum policy_action action)
{
        return action == POLICY_SUBSCRIBE || action == POLICY_JOIN || action == POLICY_BLOCK;
}

static bool covers(const struct grant *g, uint32_t uid, const void *what, size_t len)
{
        char own[WIRE_TOPIC_BYTES];
        const char *filter = g->is_per_uid ? own : g->filter;
        size_t filter_len = g->is_per_uid ? fill_in(g, uid, own) : g->len;

        if (!filter_len)
                return false;
        return policy_is_about_filters(g->action) ? filter_contains(filter, filter_len, what, len)
                                                  : filter_matches(filter, filter_len, what, len);
}

/* A walk over the grants about somebody, in the order of the file. */
struct walk {
        const struct policy *policy;
        const struct policy_subject *who;
        const struct section *section;
        const struct grant *grant;
};

static bool next(struct walk *w)
{
        const struct list *sections = &w->policy->sections;
        const struct list *at = w->section ? &w->section->link : sections;

        if (w->section && w->grant->link.next != &w->section->grants) {
                w->grant = list_entry(w->grant->link.next, struct grant, link);
                return true;
        }
        while ((at = at->next) != sections) {
                w->section = list_entry(at, struct section, link);
                if (!is_about(w->section, w->who) || list_is_empty(&w->section->grants))
                        continue;
                w->grant = list_entry(list_first(&w->section->grants), struct grant, link);
                return true;
        }
        return false;
}

static void give_reason(const struct walk *w, struct policy_reason *ret_reason)
{
        const struct grant *g = w->grant;

        *ret_reason = (struct policy_reason){w->section->title, g->line, g->len ? g->filter : NULL};
}

bool policy_may(const struct policy *p, const struct policy_subject *who, enum policy_action action,
        const void *what, size_t len, struct policy_reason *ret_reason)
{
        for (struct walk w = {.policy = p, .who = who}; next(&w);) {
                const struct grant *g = w.grant;
                if (g->action != action || g->is_no || (g->len && !covers(g, who->uid, what, len)))
                        continue;
                give_reason(&w, ret_reason);
                return true;
        }
        return false;
}

static bool is_denied_to_a_group(const struct policy *p, struct policy_reason *ret_reason)
{
        list_for_each (link, &p->sections) {
                const struct section *s = list_entry(link, struct section, link);
                list_for_each (at, &s->grants) {
                        struct walk w = {.section = s, .grant = list_entry(at, struct grant, link)};
                        if (s->who != POLICY_GROUP || !w.grant->is_no)
                                continue;
                        give_reason(&w, ret_reason);
                        return true;
                }
        }
        return false;
}

bool policy_may_connect(
        const struct policy *p, const struct policy_subject *who, struct policy_reason *ret_reason)
{
        bool may = false;

        if (who->has_unknown_groups && is_denied_to_a_group(p, ret_reason))
                return false;
        for (struct walk w = {.policy = p, .who = who}; next(&w);) {
                if (w.grant->is_no || !may)
                        give_reason(&w, ret_reason);
                if (w.grant->is_no)
                        return false;
                may = true;
        }
        return may;
}

bool policy_may_ever(
        const struct policy *p, const struct policy_subject *who, enum policy_action action)
{
        for (struct walk w = {.policy = p, .who = who}; next(&w);) {
                if (w.grant->action == action && !w.grant->is_no)
                        return true;
        }
        return false;
}

uint64_t policy_quota_of(
        const struct policy *p, const struct policy_subject *who, enum policy_quota quota)
{
        uint64_t found[] = {UINT64_MAX, UINT64_MAX, UINT64_MAX}; /* by enum policy_who */

        list_for_each (link, &p->sections) {
                const struct section *s = list_entry(link, struct section, link);
                if (is_about(s, who) && found[s->who] == UINT64_MAX)
                        found[s->who] = s->quotas[quota];
        }
        if (found[POLICY_USER] != UINT64_MAX)
                return found[POLICY_USER];
        return found[POLICY_GROUP] != UINT64_MAX ? found[POLICY_GROUP] : found[POLICY_ANY];
}
