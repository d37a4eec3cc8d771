/* Design note. What a policy says of a process depends on its uid and its groups alone, so it is
 * worked out once for all sessions that share these, and anew when the policy changes. Only what
 * depends on a topic is looked up in the rules each time. */
#include "broker/core/internal.h"

#include <stdlib.h>
#include <string.h>

static uint64_t hash_who(const struct core *c, const struct policy_subject *who)
{
        uint64_t hash = hash_bytes(c->config.seed, who->groups, who->n_groups * sizeof(uint32_t));

        return hash_u64(hash, (uint64_t)who->uid << 32 | who->gid);
}

static bool is_same(const struct policy_subject *a, const struct policy_subject *b)
{
        return a->uid == b->uid && a->gid == b->gid && a->n_groups == b->n_groups &&
               a->has_unknown_groups == b->has_unknown_groups &&
               (!a->n_groups || !memcmp(a->groups, b->groups, a->n_groups * sizeof(uint32_t)));
}

/* Which right each action needs to be of any use. */
static const uint64_t rights[POLICY_ACTIONS] = {
        [POLICY_SEE_SYS] = WIRE_RIGHT_SUBSCRIBE,
        [POLICY_ADMINISTER] = WIRE_RIGHT_ADMIN,
        [POLICY_PUBLISH] = WIRE_RIGHT_PUBLISH,
        [POLICY_SUBSCRIBE] = WIRE_RIGHT_SUBSCRIBE,
        [POLICY_JOIN] = WIRE_RIGHT_SUBSCRIBE | WIRE_RIGHT_GROUP | WIRE_RIGHT_BLOCK,
        [POLICY_BLOCK] = WIRE_RIGHT_BLOCK,
        [POLICY_RETAIN] = WIRE_RIGHT_RETAIN,
        [POLICY_WILL] = WIRE_RIGHT_PUBLISH | WIRE_RIGHT_RETAIN,
        [POLICY_SEND_FDS] = WIRE_RIGHT_FDS,
        [POLICY_SEND_ANY_FDS] = WIRE_RIGHT_FDS,
        [POLICY_SEND_MEMFD] = WIRE_RIGHT_MEMFD,
};

static void judge(const struct core *c, struct identity *id)
{
        const struct policy *p = c->policy;
        struct policy_reason why;

        id->is_trusted = id->who.uid == c->config.self.uid || id->who.uid == 0;
        id->may_connect = id->is_trusted || (p && policy_may_connect(p, &id->who, &why));
        id->rights = id->is_trusted ? c->config.rights : 0;
        for (int i = 0; i < POLICY_ACTIONS && !id->is_trusted && p; i++) {
                if (policy_may_ever(p, &id->who, (enum policy_action)i))
                        id->rights |= rights[i] & c->config.rights;
        }
        id->may_send_odd_fds =
                id->is_trusted || (p && policy_may_ever(p, &id->who, POLICY_SEND_ANY_FDS));
        for (int i = 0; i < QUOTAS; i++) {
                uint64_t quota =
                        p ? policy_quota_of(p, &id->who, (enum policy_quota)i) : UINT64_MAX;
                id->quotas[i] = quota == UINT64_MAX ? c->config.limits.quotas[i] : quota;
        }
}

static struct identity *make(struct core *c, const struct policy_subject *who)
{
        size_t bytes = who->n_groups * sizeof(uint32_t);
        struct identity *id = calloc(1, sizeof(*id) + bytes);

        if (!id || map_add(&c->identities, &id->by_who, hash_who(c, who)) < 0) {
                free(id);
                return NULL;
        }
        id->refs = 1;
        id->who = *who;
        id->who.groups = id->groups;
        if (bytes)
                memcpy(id->groups, who->groups, bytes);
        id->uid = uid_account_get(c, who->uid);
        if (!id->uid) {
                map_remove(&c->identities, &id->by_who);
                free(id);
                return NULL;
        }
        list_push_back(&c->identity_list, &id->in_list);
        judge(c, id);
        return id;
}

struct identity *identity_get(struct core *c, const struct policy_subject *who)
{
        map_for_each (link, &c->identities, hash_who(c, who)) {
                struct identity *id = container_of(link, struct identity, by_who);
                if (is_same(&id->who, who))
                        return identity_ref(id);
        }
        return make(c, who);
}

struct identity *identity_ref(struct identity *id)
{
        id->refs++;
        return id;
}

void identity_unref(struct identity *id)
{
        if (!id || --id->refs)
                return;
        map_remove(&id->uid->core->identities, &id->by_who);
        list_remove(&id->in_list);
        account_unref(&id->uid->account);
        free(id);
}

bool identity_may(const struct core *c, const struct identity *id, enum policy_action action,
        const void *what, size_t len)
{
        struct policy_reason why;

        if (bt_likely(id->is_trusted))
                return true;
        return id->may_connect && c->policy &&
               policy_may(c->policy, &id->who, action, what, len, &why);
}

void identities_judge(struct core *c)
{
        list_for_each (link, &c->identity_list)
                judge(c, list_entry(link, struct identity, in_list));
}
