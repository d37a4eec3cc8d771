/* account.h - what sessions and uids have taken of the bus. Private to the core.
 *
 * Three levels: a session's account stands under that of its uid, and this under the bus. A charge
 * is made at the session's, and counts at all three; it is released once, where it was made,
 * whether or not that session still is. */
#ifndef BATON_BROKER_CORE_ACCOUNT_H
#define BATON_BROKER_CORE_ACCOUNT_H

#include "broker/core/core.h"
#include "broker/core/limits.h"
#include "broker/core/policy.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

struct account {
        unsigned refs;
        struct account *parent; /* NULL: the bus */
        uint32_t *n_users;      /* [QUOTAS], children that have some of it; NULL: no children */
        uint64_t used[QUOTAS];
};

/* What may be refused: what the policy does not allow, and what goes beyond one of the limits. */
enum { REFUSAL_POLICY, REFUSAL_LIMITS, REFUSALS = REFUSAL_LIMITS + LIMIT_ROWS_MAX };

/* The account of a uid. Without sessions it is kept for a while (`idle`), for what it remembers. */
struct uid_account {
        struct account account;
        struct core *core;
        struct map_node by_uid; /* core.uids */
        struct list idle;       /* core.idle_uids, oldest first */
        uint32_t uid;
        uint32_t n_users[QUOTAS];
        uint64_t connect_ns; /* its rate of connections: when it will have paid for all it made */
        uint32_t refused[REFUSALS];
};

/* How often something was refused, and who was refused most. */
struct refusal_count {
        uint64_t n, most;
        struct core_peer worst;
};

/* Whom a session belongs to: its uid and groups, and what the policy says of these. Shared by the
 * sessions of which all that is the same. */
struct identity {
        struct map_node by_who; /* core.identities */
        struct list in_list;    /* core.identity_list */
        unsigned refs;
        struct uid_account *uid;
        bool is_trusted; /* root, or the broker's own uid: not subject to policy and quotas */
        bool may_connect;
        bool may_send_odd_fds; /* somewhere */
        uint64_t rights;       /* enum wire_right */
        uint64_t quotas[QUOTAS];
        struct policy_subject who; /* its groups are the ones below */
        uint32_t groups[];
};

static inline void account_charge(struct account *a, enum policy_quota quota, uint64_t amount)
{
        for (; a; a = a->parent) {
                if (!a->used[quota] && amount && a->parent)
                        a->parent->n_users[quota]++;
                a->used[quota] += amount;
        }
}

static inline void account_release(struct account *a, enum policy_quota quota, uint64_t amount)
{
        for (; a; a = a->parent) {
                a->used[quota] -= amount;
                if (!a->used[quota] && amount && a->parent)
                        a->parent->n_users[quota]--;
        }
}

static inline void account_change(
        struct account *a, enum policy_quota quota, uint64_t amount, bool add)
{
        if (add)
                account_charge(a, quota, amount);
        else
                account_release(a, quota, amount);
}

/* account_new makes one for a session of `who`. Returns NULL without memory. account_unref: NULL is
 * fine. */
struct account *account_new(struct identity *who);
struct account *account_ref(struct account *a);
void account_unref(struct account *a);

/* account_refuses tells which limit keeps the session account `a` of `who` from taking `amount`
 * more; NULL: none does. It may have no more than its uid's quota, and no more than a fair share of
 * what the quota, and the bus, have left (account.c). */
const char *account_refuses(const struct core *c, const struct identity *who,
        const struct account *a, enum policy_quota quota, uint64_t amount);

/* account_may_connect counts a connection; false if there were too many in a short time. */
bool account_may_connect(struct core *c, struct identity *who);

/* uid_account_get finds or makes the account of a uid, and gives a reference to its `account`.
 * Returns NULL without memory. */
struct uid_account *uid_account_get(struct core *c, uint32_t uid);
void accounts_deinit(struct core *c);

/* identity_get finds or makes one. Returns NULL without memory. */
struct identity *identity_get(struct core *c, const struct policy_subject *who);
struct identity *identity_ref(struct identity *id);
void identity_unref(struct identity *id); /* NULL is fine */

/* identity_may: as policy_may, for who is subject to a policy; who may not connect may nothing. */
bool identity_may(const struct core *c, const struct identity *id, enum policy_action action,
        const void *what, size_t len);

/* identities_judge works out anew what all may. */
void identities_judge(struct core *c);

/* refusal_note counts that something was refused to a process; `limit` names a limit, "": it was
 * the policy. */
void refusal_note(
        struct core *c, struct identity *who, const struct core_peer *peer, const char *limit);
/* refusal_count_at returns what was refused for the i-th reason, and its name; NULL behind the
 * last. */
const struct refusal_count *refusal_count_at(const struct core *c, size_t i, const char **ret_name);

#endif
