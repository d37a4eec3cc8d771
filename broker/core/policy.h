/* policy.h - who may do what: sections, each about some processes, each only adding rights.
 *
 * What no section allows is refused; there is no order among sections, and no rule that takes away
 * but `connect = no`, which keeps a process out whatever else is said. The broker's own uid and
 * root are not subject to it. The shell builds a policy from a file and hands it to the core.
 *
 * Pure: no system call, no clock. Not thread-safe. */
#ifndef BATON_BROKER_CORE_POLICY_H
#define BATON_BROKER_CORE_POLICY_H

#include "proto/base/buf.h"
#include "proto/base/defs.h"
#include <stdbool.h>
#include <stdint.h>

/* Whom a section is about. */
enum policy_who { POLICY_ANY, POLICY_USER, POLICY_GROUP };

/* What may be done. The first ones are allowed as such, the others on filters. */
enum policy_action {
        POLICY_CONNECT,
        POLICY_SEE_SYS,    /* subscribe to `$sys...`, ask for the status */
        POLICY_ADMINISTER, /* ask what others may */
        POLICY_PUBLISH,    /* requests too */
        POLICY_SUBSCRIBE,
        POLICY_JOIN,  /* a group; it may hold up its publishers, as with POLICY_BLOCK */
        POLICY_BLOCK, /* subscribe so that a full backlog holds up its publishers */
        POLICY_RETAIN,
        POLICY_WILL,
        POLICY_SEND_FDS,     /* memory files, pipes, eventfds, ends of socketpairs */
        POLICY_SEND_ANY_FDS, /* whatever they are */
        POLICY_SEND_MEMFD,   /* payloads placed in memory files */
        POLICY_ACTIONS,
};

/* policy_action_name: as the file spells it: "send-any-fds". policy_action_find returns the action
 * of this name, POLICY_ACTIONS if there is none. policy_action_has_filters: else yes or no. */
const char *policy_action_name(enum policy_action action);
enum policy_action policy_action_find(const char *name);
bool policy_action_has_filters(enum policy_action action);
/* policy_is_about_filters: it is a filter that is wanted, else a topic. */
bool policy_is_about_filters(enum policy_action action);

/* What a uid may have, all its sessions together. The names are those of limits (`uid_...`). */
enum policy_quota {
        QUOTA_SESSIONS,
        QUOTA_UNREADY,
        QUOTA_SUBSCRIPTIONS,
        QUOTA_REQUESTS,
        QUOTA_GROUPS,
        QUOTA_QUEUE_BYTES,
        QUOTA_RETAINED,
        QUOTA_RETAINED_BYTES,
        QUOTA_FDS,
        QUOTA_FLIGHT_FDS,
        QUOTA_SPOOL_BYTES,
        QUOTA_CONNECTS, /* a second */
        QUOTAS,
};

/* policy_quota_name: "uid_sessions". policy_quota_find returns QUOTAS if there is none. */
const char *policy_quota_name(enum policy_quota quota);
enum policy_quota policy_quota_find(const char *name);

struct policy;

/* A process, as rules see it. */
struct policy_subject {
        uint32_t uid, gid;
        const uint32_t *groups; /* [n_groups], supplementary */
        size_t n_groups;
        bool has_unknown_groups; /* nobody could tell: what keeps any group out keeps it out */
};

enum {
        POLICY_E_FILTER = 1,   /* not a filter */
        POLICY_E_RESERVED = 2, /* begins with `$`: POLICY_SEE_SYS is what gives these */
};

/* policy_new makes one without sections: it refuses everything. `name` (copied) is where it is
 * from. Returns NULL without memory. policy_free: NULL is fine. */
struct policy *policy_new(const char *name);
void policy_free(struct policy *p);
const char *policy_name(const struct policy *p);

/* policy_add_section begins one; what is added next belongs to it. `id` is a uid or gid
 * (POLICY_ANY: not read), `title` what the file calls it (copied). Returns 0 · -ENOMEM. */
BT_MUST int policy_add_section(
        struct policy *p, enum policy_who who, uint32_t id, const char *title);

/* policy_grant allows an action on `filter` (copied). A token `%uid` in it stands for the uid of
 * whoever is judged. Returns 0 · POLICY_E_FILTER · POLICY_E_RESERVED · -ENOMEM. */
BT_MUST int policy_grant(
        struct policy *p, enum policy_action action, const void *filter, size_t len, unsigned line);

/* policy_allow allows an action without filters. policy_deny_connect keeps whom the section is
 * about out. Return 0 · -ENOMEM. */
BT_MUST int policy_allow(struct policy *p, enum policy_action action, unsigned line);
BT_MUST int policy_deny_connect(struct policy *p, unsigned line);

/* policy_set_quota: of several sections about a process that of its user counts, then the first of
 * its groups in the order of the file, then that of any. */
void policy_set_quota(struct policy *p, enum policy_quota quota, uint64_t value);

/* One rule that allows something. */
struct policy_reason {
        const char *title; /* of its section; NULL: nothing allows it */
        unsigned line;
        const char *filter; /* NULL: it has none */
};

/* policy_may: may `who` do that? `what` is a topic, for POLICY_SUBSCRIBE, JOIN and BLOCK a filter,
 * which must be contained in an allowed one; both valid; not read where the action has no filters.
 * Whether `who` may connect at all is another question. */
bool policy_may(const struct policy *p, const struct policy_subject *who, enum policy_action action,
        const void *what, size_t len, struct policy_reason *ret_reason);

/* policy_may_connect: POLICY_CONNECT is allowed and not denied. Whoever is allowed anything may
 * connect. policy_may_ever: on some topic. */
bool policy_may_connect(
        const struct policy *p, const struct policy_subject *who, struct policy_reason *ret_reason);
bool policy_may_ever(
        const struct policy *p, const struct policy_subject *who, enum policy_action action);

/* policy_quota_of returns what the policy says; UINT64_MAX: nothing. */
uint64_t policy_quota_of(
        const struct policy *p, const struct policy_subject *who, enum policy_quota quota);

/* policy_explain appends what it allows, a section after the other, in sentences for people.
 * Returns 0 · -ENOMEM. */
BT_MUST int policy_explain(const struct policy *p, struct buf *out);

#endif
