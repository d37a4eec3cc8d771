/* Design note. What happens when there is no room is the subscription's choice. Those with the
 * default rules (block, and all of the backlog) cost nothing: their entries stand in the backlog
 * and nowhere else. A subscription with rules of its own has a lane, which knows its entries in the
 * backlog, so the oldest is found at once, and with `latest` the one of the same topic.
 *
 * A limit is about what the socket does not take. While it is not known to be full, a lane may have
 * more than its own limits say (never more than the session's): many packets are read in a turn
 * before anything is sent, and a receiver that keeps up must not lose for that. When the socket has
 * turned out to be full the lane is trimmed.
 *
 * What is dropped becomes a gap where it stood. Two gaps with nothing but gaps between them are
 * one, so a receiver that is overrun for long has as many as it has subscriptions, not messages
 * (or as there are sets of these that match together); they are charged to it like bytes.
 *
 * Where several subscriptions of a session match, the strictest rules hold, and the entry counts
 * for the lane that they came from. */
#include "broker/core/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct lane *lane_new(enum wire_overflow overflow, uint64_t bytes, uint64_t messages)
{
        struct lane *lane = calloc(1, sizeof(*lane));

        if (!lane)
                return NULL;
        lane->refs = 1;
        lane->overflow = overflow;
        lane->most_bytes = bytes;
        lane->most_messages = messages;
        list_init(&lane->entries);
        list_init(&lane->untried);
        return lane;
}

struct lane *lane_ref(struct lane *lane)
{
        if (lane)
                lane->refs++;
        return lane;
}

void lane_unref(struct lane *lane)
{
        if (!lane || --lane->refs)
                return;
        list_remove(&lane->untried);
        map_deinit(&lane->latest);
        free(lane);
}

bool lane_waits(const struct lane *lane)
{
        return lane->overflow == WIRE_OVERFLOW_BLOCK;
}

/* 0 is the strictest. */
static int rank_of(const struct lane *lane)
{
        static const int ranks[WIRE_OVERFLOW_N_] = {
                [WIRE_OVERFLOW_DISCONNECT] = 0,
                [WIRE_OVERFLOW_BLOCK] = 1,
                [WIRE_OVERFLOW_DROP_NEWEST] = 3,
                [WIRE_OVERFLOW_DROP_OLDEST] = 4,
                [WIRE_OVERFLOW_LATEST] = 5,
        };

        /* Block without limits of its own. */
        return lane ? ranks[lane->overflow] : 2;
}

bool lane_is_stricter(const struct lane *a, const struct lane *b)
{
        return rank_of(a) < rank_of(b);
}

/* One message always fits. */
bool lane_has_room(const struct lane *lane, const struct msg *m)
{
        const struct load *l = &lane->load;

        return !l->messages || (l->bytes + m->len <= lane->most_bytes &&
                                       l->messages + m->n_frames <= lane->most_messages);
}

/* ---------------------------------------------------------------- entries */

static const uint8_t *topic_of(const struct msg *m)
{
        return m->data + m->topic_at;
}

static uint64_t hash_of(const struct core *c, const struct msg *m)
{
        return hash_bytes(c->config.seed, topic_of(m), m->topic_len);
}

static struct lane_entry *find_topic(
        const struct core *c, const struct lane *lane, const struct msg *m)
{
        map_for_each (link, &lane->latest, hash_of(c, m)) {
                struct lane_entry *e = container_of(link, struct lane_entry, by_topic);
                const struct msg *other = e->entry.msg;
                if (other->topic_len == m->topic_len &&
                        !memcmp(topic_of(other), topic_of(m), m->topic_len))
                        return e;
        }
        return NULL;
}

static void unmap(struct lane *lane, struct lane_entry *e)
{
        if (e->is_latest)
                map_remove(&lane->latest, &e->by_topic);
        e->is_latest = false;
}

/* It takes the place of the one before, if that is still there. */
static int make_latest(struct core *c, struct lane *lane, struct lane_entry *e)
{
        struct lane_entry *before = find_topic(c, lane, e->entry.msg);
        int r = map_add(&lane->latest, &e->by_topic, hash_of(c, e->entry.msg));

        if (r < 0)
                return r;
        e->is_latest = true;
        if (before)
                unmap(lane, before);
        return 0;
}

int lane_add(struct core *c, struct session *s, struct lane *lane, struct lane_entry *e)
{
        int r = lane->overflow == WIRE_OVERFLOW_LATEST ? make_latest(c, lane, e) : 0;

        if (r < 0)
                return r;
        e->lane = lane_ref(lane);
        list_push_back(&lane->entries, &e->of_lane);
        if (!s->socket_full && !list_is_linked(&lane->untried))
                list_push_back(&s->untried, &lane->untried);
        return 0;
}

void lane_remove(struct lane_entry *e)
{
        struct lane *lane = take_ptr(e->lane);

        list_remove(&e->of_lane);
        unmap(lane, e);
        lane_unref(lane);
}

/* Of the one whose payload is on its way in chunks a part has been sent. */
static bool is_under_way(const struct session *s, const struct lane_entry *e)
{
        return s->is_chunking && queue_first(s) == &e->entry;
}

/* ---------------------------------------------------------------- making room */

static void drop_same_topic(
        struct core *c, struct session *s, struct lane *lane, const struct msg *m)
{
        struct lane_entry *e = find_topic(c, lane, m);

        if (e && !is_under_way(s, e))
                queue_drop(c, s, &e->entry, WIRE_GAP_OVERFLOW);
}

/* Returns false if nothing is left to drop. */
static bool drop_oldest(struct core *c, struct session *s, struct lane *lane)
{
        list_for_each (link, &lane->entries) {
                struct lane_entry *e = list_entry(link, struct lane_entry, of_lane);
                if (is_under_way(s, e))
                        continue;
                queue_drop(c, s, &e->entry, WIRE_GAP_OVERFLOW);
                return true;
        }
        return false;
}

static bool drop_newest(struct core *c, struct session *s, struct lane *lane)
{
        struct lane_entry *e = list_entry(lane->entries.prev, struct lane_entry, of_lane);

        if (list_is_empty(&lane->entries) || is_under_way(s, e))
                return false;
        queue_drop(c, s, &e->entry, WIRE_GAP_OVERFLOW);
        return true;
}

static void lose(struct core *c, struct session *s, const struct msg *m, const struct target *t)
{
        if (queue_lose(c, s, t->subset, WIRE_GAP_OVERFLOW, m->n_frames) < 0)
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for your queue");
}

static void disconnect(struct core *c, struct session *s)
{
        session_end(c, s, WIRE_CODE_LIMIT,
                "your backlog is full, and you asked to be disconnected then");
}

static bool drops_old(const struct lane *lane)
{
        return lane->overflow == WIRE_OVERFLOW_DROP_OLDEST ||
               lane->overflow == WIRE_OVERFLOW_LATEST;
}

bool overflow_make_room(
        struct core *c, struct session *s, const struct msg *m, const struct target *t)
{
        struct lane *lane = t->lane;

        if (!s->socket_full && queue_has_room(c, s, m, NULL))
                return true;
        if (lane->overflow == WIRE_OVERFLOW_LATEST)
                drop_same_topic(c, s, lane, m);
        while (!queue_has_room(c, s, m, lane)) {
                if (drops_old(lane) && drop_oldest(c, s, lane))
                        continue;
                if (lane->overflow == WIRE_OVERFLOW_DISCONNECT) {
                        s->discarded += m->n_frames; /* as if it had been queued, too */
                        c->count.discarded += m->n_frames;
                        disconnect(c, s);
                } else {
                        lose(c, s, m, t);
                }
                return false;
        }
        return true;
}

/* ---------------------------------------------------------------- trimming */

static bool is_over(const struct lane *lane)
{
        const struct load *l = &lane->load;

        return lane->entries.next != lane->entries.prev && /* one always fits */
               (l->bytes > lane->most_bytes || l->messages > lane->most_messages);
}

static void drop_outdated(struct core *c, struct session *s, struct lane *lane)
{
        list_for_each_safe (link, &lane->entries) {
                struct lane_entry *e = list_entry(link, struct lane_entry, of_lane);
                if (!e->is_latest && !is_under_way(s, e))
                        queue_drop(c, s, &e->entry, WIRE_GAP_OVERFLOW);
        }
}

static void trim(struct core *c, struct session *s, struct lane *lane)
{
        if (lane->overflow == WIRE_OVERFLOW_LATEST)
                drop_outdated(c, s, lane);
        if (lane->overflow == WIRE_OVERFLOW_DISCONNECT && is_over(lane)) {
                disconnect(c, s);
                return;
        }
        if (lane_waits(lane))
                return; /* nobody was let in beyond its limits */
        while (is_over(lane)) {
                bool dropped = drops_old(lane) ? drop_oldest(c, s, lane) : drop_newest(c, s, lane);
                if (!dropped)
                        return;
        }
}

void overflow_trim(struct core *c, struct session *s)
{
        struct list *link;

        while ((link = list_first(&s->untried))) {
                struct lane *lane = lane_ref(list_entry(link, struct lane, untried));
                list_remove(link);
                trim(c, s, lane);
                lane_unref(lane);
        }
}
