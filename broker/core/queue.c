/* Design note. A session's backlog is a list of references to shared messages; packets are made of
 * it only when the socket takes one (out.c), so an entry can leave from anywhere in the list.
 *
 * Room: one message is always admitted into an empty backlog, else nothing larger than the limit
 * could ever pass. While somebody waits for room, nobody else gets it: first come, first served.
 * Gaps take a place each, or a sender that finds room for one message between two losses after the
 * other could make as many as it likes. */
#include "broker/core/internal.h"

#include <errno.h>
#include <stdlib.h>

enum { SPARE_ENTRIES = 4096, STRANGERS_GAPS = 64 };

bool queue_has_room(
        const struct core *c, const struct session *s, const struct msg *m, const struct lane *lane)
{
        const struct core_limits *limits = &c->config.limits;

        if (list_is_empty(&s->queue))
                return true;
        if (bt_unlikely(lane) && !lane_has_room(lane, m))
                return false;
        if (bt_unlikely(m->n_fds) && s->queue_fds && s->queue_fds + m->n_fds > limits->queue_fds)
                return false;
        if (bt_unlikely(m->placed) && s->n_placed &&
                s->placed_bytes + m->placed > limits->placed_bytes)
                return false;
        return s->queue_bytes + m->len <= limits->queue_bytes &&
               s->queue_messages + s->n_gaps + m->n_frames <= limits->queue_messages &&
               !account_refuses(c, s->who, s->account, QUOTA_QUEUE_BYTES, m->len);
}

bool queue_is_low(const struct core *c, const struct session *s)
{
        const struct core_limits *limits = &c->config.limits;
        const struct load *d = &s->dropping;

        return s->queue_bytes - d->bytes <= limits->queue_bytes / LIMIT_LOW_WATER_DIVISOR &&
               s->queue_messages - d->messages <=
                       limits->queue_messages / LIMIT_LOW_WATER_DIVISOR &&
               s->queue_fds - d->fds <= limits->queue_fds / LIMIT_LOW_WATER_DIVISOR &&
               (s->n_placed - d->n_placed <= 1 ||
                       s->placed_bytes - d->placed_bytes <=
                               limits->placed_bytes / LIMIT_LOW_WATER_DIVISOR);
}

struct entry *queue_first(const struct session *s)
{
        return list_entry(list_first(&s->queue), struct entry, link);
}

static struct entry *get_entry(struct core *c)
{
        struct list *spare = list_first(&c->spare);

        if (!spare)
                return malloc(sizeof(struct entry));
        list_remove(spare);
        c->n_spare--;
        return list_entry(spare, struct entry, link);
}

static struct lane_entry *lane_entry_of(struct entry *e)
{
        return container_of(e, struct lane_entry, entry);
}

static void put_entry(struct core *c, struct entry *e)
{
        if (bt_unlikely(e->kind != ENTRY_PLAIN)) {
                if (e->kind == ENTRY_LANE)
                        free(lane_entry_of(e));
                return;
        }
        if (c->n_spare == SPARE_ENTRIES) {
                free(e);
                return;
        }
        list_push_front(&c->spare, &e->link);
        c->n_spare++;
}

bool queue_is_watched(const struct core *c, const struct session *s)
{
        return !queue_is_low(c, s) || !list_is_empty(&s->waiters);
}

int queue_watch(struct core *c, struct session *s)
{
        if (!queue_is_watched(c, s))
                heap_remove(&c->timers, &s->stall.node);
        else if (!s->stall.node.place)
                return heap_set(
                        &c->timers, &s->stall.node, core_in_ms(c, c->config.limits.stall_ms));
        return 0;
}

static void account(struct core *c, struct session *s, const struct entry *e, bool add)
{
        const struct msg *m = e->msg;
        uint64_t sign = add ? 1 : UINT64_MAX;

        account_change(s->account, QUOTA_QUEUE_BYTES, m ? m->len : QUEUE_GAP_BYTES, add);
        if (!m) {
                s->n_gaps += sign;
                return;
        }
        s->queue_bytes += sign * m->len;
        s->queue_messages += sign * m->n_frames;
        s->note_bytes += m->n_frames ? 0 : sign * m->len;
        s->queue_fds += sign * m->n_fds;
        s->placed_bytes += sign * m->placed;
        s->n_placed += m->placed ? sign : 0;
        s->n_mortal += m->ttl_ns ? sign : 0;
        c->count.placed_bytes += sign * m->placed;
        c->count.queued_bytes += sign * m->len;
        c->count.queued += sign * m->n_frames;
}

void load_add(struct load *l, const struct msg *m, uint64_t sign)
{
        l->bytes += sign * m->len;
        l->messages += sign * m->n_frames;
        l->fds += sign * m->n_fds;
        l->placed_bytes += sign * m->placed;
        l->n_placed += m->placed ? sign : 0;
}

static void leave_lane(struct session *s, struct entry *e)
{
        struct lane_entry *le = lane_entry_of(e);
        struct lane *lane = le->lane;

        if (!lane)
                return;
        load_add(&lane->load, e->msg, UINT64_MAX);
        if (!lane_waits(lane))
                load_add(&s->dropping, e->msg, UINT64_MAX);
        lane_remove(le);
}

static void remove_entry(struct core *c, struct session *s, struct entry *e)
{
        list_remove(&e->link);
        if (bt_unlikely(e->kind == ENTRY_LANE))
                leave_lane(s, e);
        account(c, s, e, false);
        msg_unref(e->msg);
        subset_unref(e->subset);
        put_entry(c, e);
}

/* Puts `e`, which has its own references, at the end. */
static int push(struct core *c, struct session *s, struct entry *e)
{
        if (e->subset)
                e->subset->refs++;
        list_push_back(&s->queue, &e->link);
        account(c, s, e, true);
        session_mark(c, s);
        int r = queue_watch(c, s);
        if (r < 0)
                remove_entry(c, s, e);
        return r;
}

/* An entry that its lane knows. Returns NULL without memory. */
static struct entry *get_lane_entry(
        struct core *c, struct session *s, struct msg *m, struct lane *lane)
{
        struct lane_entry *le = calloc(1, sizeof(*le));

        if (!le)
                return NULL;
        le->entry = (struct entry){.msg = m, .kind = ENTRY_LANE};
        if (lane_add(c, s, lane, le) < 0) {
                free(le);
                return NULL;
        }
        load_add(&lane->load, m, 1);
        if (!lane_waits(lane))
                load_add(&s->dropping, m, 1);
        return &le->entry;
}

/* Puts `e`, of that kind, at the end. */
static int put(struct core *c, struct session *s, struct entry *e, enum entry_kind kind,
        struct msg *m, const struct target *t)
{
        *e = (struct entry){.msg = msg_ref(m), .kind = (uint8_t)kind};
        if (t) {
                e->subset = t->subset;
                e->observer = t->observer;
                e->is_retained = t->is_retained;
                e->withheld = msg_user_fds(m) > t->max_fds;
        }
        return push(c, s, e);
}

int queue_push(struct core *c, struct session *s, struct msg *m, const struct target *t)
{
        bool has_lane = t && t->lane;
        struct entry *e = has_lane ? get_lane_entry(c, s, m, t->lane) : get_entry(c);

        if (!e)
                return -ENOMEM;
        return put(c, s, e, has_lane ? ENTRY_LANE : ENTRY_PLAIN, m, t);
}

int queue_place(struct core *c, struct session *s, struct entry *e, struct msg *m,
        const struct target *t, uint32_t redelivered)
{
        int r = put(c, s, e, ENTRY_POOL, m, t);

        if (r == 0)
                e->redelivered = redelivered;
        return r;
}

/* One that nobody answers for takes its place, and its references. */
static bool replace(struct core *c, struct entry *e)
{
        struct entry *twin = get_entry(c);

        if (!twin)
                return false;
        *twin = *e;
        twin->kind = ENTRY_PLAIN;
        twin->is_spent = true;
        twin->link = (struct list){0};
        list_push_back(&e->link, &twin->link); /* in front of it */
        list_remove(&e->link);
        return true;
}

void queue_withdraw(struct core *c, struct session *s, struct entry *e)
{
        bool is_under_way = s->is_chunking && e == queue_first(s);
        bool goes_on = s->state <= SESSION_LEAVING && (is_under_way || c->is_stopping);

        if (goes_on && replace(c, e))
                return;
        remove_entry(c, s, e);
        if (!is_under_way)
                return;
        s->is_chunking = false;
        s->chunked = 0;
        session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for your queue");
}

/* A gap for `subset` on that side of `at` with nothing but other gaps between them, or NULL. Of a
 * stranger not all of these are looked at: it must not make others search for long. */
static struct entry *find_gap(struct core *c, struct session *s, struct list *at, bool forward,
        const struct subset *subset, enum wire_gap_reason reason)
{
        size_t most = s->who->is_trusted ? SIZE_MAX : STRANGERS_GAPS, n = 0;
        struct entry *found = NULL;

        while (!found && n++ < most && (at = forward ? at->next : at->prev) != &s->queue) {
                struct entry *e = list_entry(at, struct entry, link);
                if (e->msg)
                        break;
                if (e->gap_reason == reason && subset_is_same(e->subset, subset))
                        found = e;
        }
        c->work += n / WORK_GAPS;
        return found;
}

int queue_lose(struct core *c, struct session *s, struct subset *subset,
        enum wire_gap_reason reason, uint32_t count)
{
        struct entry *last = find_gap(c, s, &s->queue, false, subset, reason);

        c->count.dropped += count;
        s->n_dropped += count;
        if (last && last->gap_count <= UINT32_MAX - count) {
                last->gap_count += count;
                return 0;
        }
        const char *limit =
                account_refuses(c, s->who, s->account, QUOTA_QUEUE_BYTES, QUEUE_GAP_BYTES);
        if (limit && s->n_gaps) {
                session_end_at(c, s, WIRE_CODE_LIMIT, "too many losses wait to be told", limit);
                return 0;
        }
        struct entry *e = get_entry(c);
        if (!e)
                return -ENOMEM;
        *e = (struct entry){.subset = subset, .gap_reason = (uint8_t)reason, .gap_count = count};
        return push(c, s, e);
}

void queue_make_gap(struct core *c, struct session *s, struct entry *e, enum wire_gap_reason reason)
{
        if (bt_unlikely(e->kind == ENTRY_LANE))
                leave_lane(s, e);
        account(c, s, e, false);
        c->count.dropped += e->msg->n_frames;
        s->n_dropped += e->msg->n_frames;
        e->gap_count = e->msg->n_frames;
        e->gap_reason = (uint8_t)reason;
        msg_unref(take_ptr(e->msg));
        account(c, s, e, true);
}

/* Gives the count of the gap `e` to another one of its kind, with nothing but gaps between them. */
static bool merge_gap(struct core *c, struct session *s, struct entry *e, bool forward)
{
        struct entry *other =
                find_gap(c, s, &e->link, forward, e->subset, (enum wire_gap_reason)e->gap_reason);

        if (!other || other->gap_count > UINT32_MAX - e->gap_count)
                return false;
        other->gap_count += e->gap_count;
        remove_entry(c, s, e);
        return true;
}

void queue_drop(struct core *c, struct session *s, struct entry *e, enum wire_gap_reason reason)
{
        if (e->kind == ENTRY_POOL) {
                pool_drop(c, e);
                return;
        }
        uint64_t token = e->observer ? 0 : e->msg->token;
        struct holder *holder = token ? request_holder(c, s, token) : NULL;

        queue_make_gap(c, s, e, reason);
        if (!merge_gap(c, s, e, false))
                (void)merge_gap(c, s, e, true);
        /* Who did not get a request cannot answer it. */
        if (holder)
                request_drop_holder(c, holder);
}

bool msg_is_too_old(const struct core *c, const struct msg *m)
{
        return m->ttl_ns && c->now_ns - m->born_ns >= m->ttl_ns;
}

bool queue_expire(struct core *c, struct session *s, size_t bytes)
{
        size_t seen = 0;
        bool any = false;

        list_for_each_safe (link, &s->queue) {
                struct entry *e = list_entry(link, struct entry, link);
                bool is_under_way = s->is_chunking && e == queue_first(s);
                if (seen > bytes)
                        break;
                if (!e->msg)
                        continue;
                if (is_under_way || !msg_is_too_old(c, e->msg)) {
                        seen += e->msg->len;
                        continue;
                }
                queue_drop(c, s, e, WIRE_GAP_EXPIRED);
                any = true;
        }
        return any;
}

void queue_pop(struct core *c, struct session *s)
{
        remove_entry(c, s, queue_first(s));
}

void queue_forget_request(struct core *c, struct session *s, uint64_t id)
{
        list_for_each_safe (link, &s->queue) {
                struct entry *e = list_entry(link, struct entry, link);
                if (!e->msg || e->msg->request != id)
                        continue;
                c->count.dropped += e->msg->n_frames;
                remove_entry(c, s, e);
        }
}

void queue_clear(struct core *c, struct session *s)
{
        c->count.discarded += s->queue_messages;
        s->discarded += s->queue_messages;
        while (!list_is_empty(&s->queue))
                queue_pop(c, s);
        s->is_chunking = false;
        s->chunked = 0;
        heap_remove(&c->timers, &s->stall.node);
}
