/* Design note. Fair shares: who takes part of something scarce may have no more than what is left
 * and its own part, divided by all who have some and one more. So whoever comes next finds
 * something, the first may have half, and nobody can take it all by taking it often. But where
 * nobody has anything one thing fits, however large: a quota of one is one. It is asked twice: of a
 * session within the quota of its uid, and of a uid within what the bus has. The broker's own uid
 * and root are not asked: they own the bus, and its own limits hold for them.
 *
 * The rate of connections is kept as one number for each uid: the time at which all connections
 * that it has made would be paid for, if they cost 1 s / uid_connects each. It may be a second
 * ahead. */
#include "broker/core/internal.h"

#include "broker/core/limits.h"

#include <assert.h>
#include <stdlib.h>

/* uids that have no session, and are remembered. */
enum { IDLE_UIDS = 256 };

struct account *account_new(struct identity *who)
{
        struct account *a = calloc(1, sizeof(*a));

        if (!a)
                return NULL;
        a->refs = 1;
        a->parent = account_ref(&who->uid->account);
        return a;
}

struct account *account_ref(struct account *a)
{
        a->refs++;
        return a;
}

static void leave_idle(struct uid_account *u)
{
        if (!list_is_linked(&u->idle))
                return;
        list_remove(&u->idle);
        u->core->n_idle_uids--;
}

static void free_uid(struct uid_account *u)
{
        map_remove(&u->core->uids, &u->by_uid);
        leave_idle(u);
        free(u);
}

static void retire(struct uid_account *u)
{
        struct core *c = u->core;

        list_push_back(&c->idle_uids, &u->idle);
        if (++c->n_idle_uids > IDLE_UIDS)
                free_uid(list_entry(list_first(&c->idle_uids), struct uid_account, idle));
}

void account_unref(struct account *a)
{
        if (!a || --a->refs)
                return;
        if (a->n_users) {
                retire(container_of(a, struct uid_account, account));
        } else {
                account_unref(a->parent);
                free(a);
        }
}

static struct uid_account *find_uid(const struct core *c, uint32_t uid)
{
        map_for_each (link, &c->uids, hash_u64(c->config.seed, uid)) {
                struct uid_account *u = container_of(link, struct uid_account, by_uid);
                if (u->uid == uid)
                        return u;
        }
        return NULL;
}

struct uid_account *uid_account_get(struct core *c, uint32_t uid)
{
        struct uid_account *u = find_uid(c, uid);

        if (u) {
                account_ref(&u->account);
                leave_idle(u);
                return u;
        }
        u = calloc(1, sizeof(*u));
        if (!u || map_add(&c->uids, &u->by_uid, hash_u64(c->config.seed, uid)) < 0) {
                free(u);
                return NULL;
        }
        u->core = c;
        u->uid = uid;
        u->account.refs = 1;
        u->account.parent = &c->bus;
        u->account.n_users = u->n_users;
        return u;
}

void accounts_deinit(struct core *c)
{
        for (struct map_node *n; (n = map_any(&c->uids));)
                free_uid(container_of(n, struct uid_account, by_uid));
        map_deinit(&c->uids);
        for (int i = 0; i < QUOTAS; i++)
                assert(!c->bus.used[i]);
}

/* ------------------------------------------------------------- fair shares */

/* What all uids together may have, and which limit says so; NULL: nothing does. */
static const char *capacity(const struct core *c, enum policy_quota quota, uint64_t *ret)
{
        const struct core_limits *limits = &c->config.limits;

        switch (quota) {
        case QUOTA_SESSIONS:
                *ret = limits->sessions;
                return "sessions";
        case QUOTA_UNREADY:
                *ret = limits->unready;
                return "unready";
        case QUOTA_GROUPS:
                *ret = limits->groups;
                return "groups";
        case QUOTA_QUEUE_BYTES:
                *ret = limits->all_queue_bytes;
                return "all_queue_bytes";
        case QUOTA_RETAINED:
                *ret = limits->retained;
                return "retained";
        case QUOTA_RETAINED_BYTES:
                *ret = limits->retained_bytes;
                return "retained_bytes";
        case QUOTA_FDS:
                *ret = limits->held_fds;
                return "held_fds";
        case QUOTA_FLIGHT_FDS:
                *ret = limits->flight_fds;
                return "flight_fds";
        case QUOTA_SPOOL_BYTES:
                *ret = limits->spool_bytes;
                return "spool_bytes";
        default:
                return NULL;
        }
}

/* May `a`, one of the users of its parent, of which `most` may be used, have `amount` more? */
static bool is_fair(
        const struct account *a, enum policy_quota quota, uint64_t most, uint64_t amount)
{
        uint64_t used = a->parent->used[quota], mine = a->used[quota];
        uint64_t n = (uint64_t)a->parent->n_users[quota] + !mine;
        uint64_t left = most > used ? most - used : 0;

        if (!used || (used == mine && mine + amount <= 1))
                return mine + amount <= most;
        return (left + mine) / (n + 1) >= mine + amount;
}

const char *account_refuses(const struct core *c, const struct identity *who,
        const struct account *a, enum policy_quota quota, uint64_t amount)
{
        const struct account *uid = &who->uid->account;
        uint64_t most = who->quotas[quota];
        bool is_shared = quota != QUOTA_SESSIONS && quota != QUOTA_UNREADY;

        if (bt_likely(who->is_trusted))
                return NULL;
        if (uid->used[quota] + amount > most)
                return policy_quota_name(quota);
        if (is_shared && a != uid && !is_fair(a, quota, most, amount))
                return policy_quota_name(quota);
        const char *limit = capacity(c, quota, &most);
        return limit && !is_fair(uid, quota, most, amount) ? limit : NULL;
}

bool account_may_connect(struct core *c, struct identity *who)
{
        uint64_t each = UINT64_C(1000000000) / who->quotas[QUOTA_CONNECTS];
        struct uid_account *u = who->uid;

        if (who->is_trusted)
                return true;
        if (u->connect_ns < c->now_ns)
                u->connect_ns = c->now_ns;
        if (u->connect_ns + each > core_in_ms(c, 1000))
                return false;
        u->connect_ns += each;
        return true;
}
