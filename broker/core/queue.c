/* Design note. A session's backlog is a list of references to shared messages; packets are made of
 * it only when the socket takes one (out.c), so an entry can leave from anywhere in the list.
 *
 * Room: one message is always admitted into an empty backlog, else nothing larger than the limit
 * could ever pass. While somebody waits for room, nobody else gets it: first come, first served. */
#include "broker/core/internal.h"

#include <errno.h>
#include <stdlib.h>

enum { SPARE_ENTRIES = 4096 };

bool queue_has_room(const struct core *c, const struct session *s, const struct msg *m)
{
        const struct core_limits *limits = &c->config.limits;

        if (list_is_empty(&s->queue))
                return true;
        return s->queue_bytes + m->len <= limits->queue_bytes &&
               s->queue_messages + m->n_frames <= limits->queue_messages;
}

bool queue_is_low(const struct core *c, const struct session *s)
{
        const struct core_limits *limits = &c->config.limits;

        return s->queue_bytes <= limits->queue_bytes / LIMIT_LOW_WATER_DIVISOR &&
               s->queue_messages <= limits->queue_messages / LIMIT_LOW_WATER_DIVISOR;
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

static void put_entry(struct core *c, struct entry *e)
{
        if (c->n_spare == SPARE_ENTRIES) {
                free(e);
                return;
        }
        list_push_front(&c->spare, &e->link);
        c->n_spare++;
}

static int watch_for_stall(struct core *c, struct session *s)
{
        if (s->stall.node.place || queue_is_low(c, s))
                return 0;
        return heap_set(&c->timers, &s->stall.node,
                c->now_ns + c->config.limits.stall_ms * UINT64_C(1000000));
}

static void account(struct core *c, struct session *s, const struct msg *m, bool add)
{
        uint64_t sign = add ? 1 : UINT64_MAX;

        s->queue_bytes += sign * m->len;
        s->queue_messages += sign * m->n_frames;
        s->note_bytes += m->n_frames ? 0 : sign * m->len;
        c->count.queued_bytes += sign * m->len;
        c->count.queued += sign * m->n_frames;
}

int queue_push(struct core *c, struct session *s, struct msg *m, const struct target *t)
{
        struct entry *e = get_entry(c);

        if (!e)
                return -ENOMEM;
        *e = (struct entry){.msg = msg_ref(m)};
        if (t) {
                e->subset = t->subset;
                if (e->subset)
                        e->subset->refs++;
                e->observer = t->observer;
                e->withheld = m->n_fds > t->max_fds;
        }
        list_push_back(&s->queue, &e->link);
        account(c, s, m, true);
        session_mark(c, s);
        int r = watch_for_stall(c, s);
        if (r < 0) {
                list_remove(&e->link);
                account(c, s, m, false);
                msg_unref(m);
                subset_unref(e->subset);
                put_entry(c, e);
        }
        return r;
}

void queue_pop(struct core *c, struct session *s)
{
        struct entry *e = list_entry(list_first(&s->queue), struct entry, link);

        list_remove(&e->link);
        account(c, s, e->msg, false);
        msg_unref(e->msg);
        subset_unref(e->subset);
        put_entry(c, e);
}

void queue_clear(struct core *c, struct session *s)
{
        c->count.discarded += s->queue_messages;
        while (!list_is_empty(&s->queue))
                queue_pop(c, s);
        heap_remove(&c->timers, &s->stall.node);
}
