/* Design note. What is held beside the backlogs, recounted. A message is shared by many queues and
 * its descriptors count once, so all that have some are gathered and sorted first. */
#include "broker/core/internal.h"

#include <stdlib.h>

int check_note_fds(struct buf *all, const struct msg *m)
{
        const struct msg *has = m && m->original ? m->original : m;

        return has && has->fds ? buf_push(all, &has, sizeof(has)) : 0;
}

/* Pointers to them. */
static int gather(struct buf *all, const struct session *s)
{
        int r = 0;

        list_for_each (link, &s->queue) {
                if (r == 0)
                        r = check_note_fds(all, list_entry(link, struct entry, link)->msg);
        }
        list_for_each (link, &s->parked) {
                if (r == 0)
                        r = check_note_fds(all, list_entry(link, struct parked, link)->pub.msg);
        }
        return r < 0 ? r : check_note_fds(all, s->will.msg);
}

static int by_address(const void *a, const void *b)
{
        const struct msg *x = *(struct msg *const *)a, *y = *(struct msg *const *)b;

        return x < y ? -1 : x > y;
}

static uint64_t count_messages(struct buf *all)
{
        struct msg **msgs = (struct msg **)(void *)all->data;
        size_t n = all->len / sizeof(struct msg *);
        uint64_t sum = 0;

        if (n)
                qsort(msgs, n, sizeof(struct msg *), by_address);
        for (size_t i = 0; i < n; i++) {
                if (!i || msgs[i] != msgs[i - 1])
                        sum += fdset_n(msgs[i]->fds);
        }
        return sum;
}

const char *check_held_fds(const struct core *c)
{
        struct buf all cleanup_(buf_deinit) = BUF_INIT;
        uint64_t n = 0;
        int r = 0;

        for (size_t i = 0; i < c->n_slots && r == 0; i++) {
                const struct session *s = c->slots[i];
                if (!s)
                        continue;
                r = gather(&all, s);
                if (s->upload)
                        n += fdset_n(s->upload->fds) + (s->upload->file >= 0);
        }
        list_for_each (link, &c->ghosts) {
                if (r == 0)
                        r = gather(&all, list_entry(link, struct session, ghost));
        }
        list_for_each (link, &c->retained_order) {
                if (r == 0)
                        r = check_note_fds(&all, list_entry(link, struct retained, in_order)->msg);
        }
        if (r == 0)
                r = check_pool_fds(c, &all);
        if (r < 0)
                return "no memory to count descriptors";
        n += count_messages(&all);
        return n == c->bus.used[QUOTA_FDS] ? NULL
                                           : "held_fds is not what messages and uploads hold";
}

/* ---------------------------------------------------------------- lanes */

void check_weigh(struct load *l, const struct msg *m)
{
        l->bytes += m->len;
        l->messages += m->n_frames;
        l->fds += m->n_fds;
        l->placed_bytes += m->placed;
        l->n_placed += m->placed > 0;
}

bool check_is_same(const struct load *a, const struct load *b)
{
        return a->bytes == b->bytes && a->messages == b->messages && a->fds == b->fds &&
               a->placed_bytes == b->placed_bytes && a->n_placed == b->n_placed;
}

static const char *check_lane(const struct lane *lane)
{
        struct load sum = {.bytes = 0};
        size_t n = 0, n_latest = 0;

        list_for_each (link, &lane->entries) {
                const struct lane_entry *e = list_entry(link, struct lane_entry, of_lane);
                if (e->lane != lane || !e->entry.msg)
                        return "an entry in another's lane, or a gap in one";
                check_weigh(&sum, e->entry.msg);
                n_latest += e->is_latest;
                n++;
        }
        if (!check_is_same(&sum, &lane->load))
                return "a lane's load is not the sum of its entries";
        if (lane->latest.n != n_latest)
                return "a lane whose topics are not its entries";
        return lane->refs < n ? "a lane with too few references" : NULL;
}

const char *check_lanes(const struct session *s)
{
        struct load dropping = {.bytes = 0};

        list_for_each (link, &s->queue) {
                const struct entry *e = list_entry(link, struct entry, link);
                const struct lane_entry *le = container_of(e, const struct lane_entry, entry);
                if (e->kind != ENTRY_LANE || !le->lane)
                        continue;
                const char *why = check_lane(le->lane);
                if (why)
                        return why;
                if (!lane_waits(le->lane))
                        check_weigh(&dropping, e->msg);
        }
        return check_is_same(&dropping, &s->dropping) ? NULL
                                                      : "`dropping` is not the sum of what may be";
}
