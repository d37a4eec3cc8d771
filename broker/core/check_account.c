/* Design note. What sessions and uids are charged for, recounted from what they have. */
#include "broker/core/pool.h"

/* What should be charged to somebody. */
struct due {
        uint64_t used[QUOTAS];
};

static void count_session(const struct session *s, struct due *due)
{
        due->used[QUOTA_SESSIONS]++;
        due->used[QUOTA_UNREADY] += s->state == SESSION_HELLO;
        due->used[QUOTA_SUBSCRIPTIONS] += s->subs.n;
        due->used[QUOTA_REQUESTS] += s->requests.n;
        due->used[QUOTA_QUEUE_BYTES] +=
                s->queue_bytes + s->n_gaps * QUEUE_GAP_BYTES + s->parked_bytes;
        due->used[QUOTA_FLIGHT_FDS] += s->flight.n_fds;
        due->used[QUOTA_SPOOL_BYTES] += s->upload ? s->upload->kept : 0;
}

/* Of what a session can have beside that, pools may outlive it, and descriptors and retained values
 * too: no more can be said than that it has not less. */
static const char *check_session(const struct session *s, struct due *sum)
{
        struct due due = {{0}};

        count_session(s, &due);
        count_session(s, sum);
        for (int i = 0; i < QUOTAS; i++) {
                bool may_be_more = i == QUOTA_GROUPS || i == QUOTA_QUEUE_BYTES || i == QUOTA_FDS ||
                                   i == QUOTA_RETAINED || i == QUOTA_RETAINED_BYTES;
                uint64_t used = s->account->used[i];
                if (used < due.used[i] || (used > due.used[i] && !may_be_more))
                        return "a session's account is not what it has";
        }
        return s->account->parent == &s->who->uid->account ? NULL : "an account of another uid";
}

static const char *check_sessions(const struct core *c, struct due *sum)
{
        const char *why = NULL;

        for (size_t i = 0; i < c->n_slots && !why; i++) {
                if (c->slots[i])
                        why = check_session(c->slots[i], sum);
        }
        list_for_each (link, &c->ghosts) {
                if (!why)
                        why = check_session(list_entry(link, struct session, ghost), sum);
        }
        return why;
}

static void count_pool(const struct pool *p, struct due *sum)
{
        sum->used[QUOTA_GROUPS] += p->name_len > 0;
        sum->used[QUOTA_QUEUE_BYTES] += p->load.bytes;
}

static void count_pools(const struct core *c, struct due *sum)
{
        for (size_t i = 0; i < c->pools.cap; i++) {
                for (const struct map_node *n = c->pools.slots[i]; n; n = n->next)
                        count_pool(container_of(n, const struct pool, by_name), sum);
        }
        for (size_t i = 0; i < c->n_slots; i++) {
                const struct session *s = c->slots[i];
                for (const struct list *at = s ? s->pooled.next : NULL; s && at != &s->pooled;
                        at = at->next) {
                        const struct pool *p = list_entry(at, struct member, of_session)->pool;
                        if (!p->name_len)
                                count_pool(p, sum);
                }
        }
}

static void count_retained(const struct core *c, struct due *sum)
{
        list_for_each (link, &c->retained_order) {
                const struct msg *m = list_entry(link, struct retained, in_order)->msg;
                sum->used[QUOTA_RETAINED]++;
                sum->used[QUOTA_RETAINED_BYTES] += m->len + m->placed;
        }
}

/* The uids' accounts are the bus's, and those who have some are counted. */
static const char *check_uids(const struct core *c)
{
        struct due sum = {{0}};
        uint32_t n_users[QUOTAS] = {0};
        size_t n_idle = 0;

        for (size_t i = 0; i < c->uids.cap; i++) {
                for (const struct map_node *n = c->uids.slots[i]; n; n = n->next) {
                        const struct uid_account *u =
                                container_of(n, const struct uid_account, by_uid);
                        n_idle += !u->account.refs;
                        for (int q = 0; q < QUOTAS; q++) {
                                sum.used[q] += u->account.used[q];
                                n_users[q] += u->account.used[q] > 0;
                                if (!u->account.refs && u->account.used[q])
                                        return "a uid that has something, and is not there";
                        }
                }
        }
        for (int q = 0; q < QUOTAS; q++) {
                /* Dead letters are the bus's own. */
                bool may_be_more = q == QUOTA_FDS;
                if (n_users[q] != c->bus_users[q] || sum.used[q] > c->bus.used[q] ||
                        (sum.used[q] < c->bus.used[q] && !may_be_more))
                        return "the bus's account is not that of its uids";
        }
        return n_idle == c->n_idle_uids ? NULL : "idle uids that are not counted";
}

const char *check_accounts(const struct core *c)
{
        struct due sum = {{0}};
        const char *why = check_sessions(c, &sum);

        count_pools(c, &sum);
        count_retained(c, &sum);
        for (int q = 0; q < QUOTAS && !why; q++) {
                if (q != QUOTA_FDS && sum.used[q] != c->bus.used[q]) /* check_held_fds has these */
                        why = "the bus's account is not what all have";
        }
        return why ? why : check_uids(c);
}
