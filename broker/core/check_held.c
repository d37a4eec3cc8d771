/* Design note. The descriptors that messages and uploads hold, recounted. A message is shared by
 * many queues and counts once, so all that have descriptors are gathered and sorted first. */
#include "broker/core/internal.h"

#include <stdlib.h>

/* Pointers to them. */
static int gather(struct buf *all, const struct session *s)
{
        int r = 0;

        list_for_each (link, &s->queue) {
                const struct msg *m = list_entry(link, struct entry, link)->msg;
                if (r == 0 && m && m->fds)
                        r = buf_push(all, &m, sizeof(m));
        }
        list_for_each (link, &s->parked) {
                const struct msg *m = list_entry(link, struct parked, link)->pub.msg;
                if (r == 0 && m && m->fds)
                        r = buf_push(all, &m, sizeof(m));
        }
        return r;
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
        if (r < 0)
                return "no memory to count descriptors";
        n += count_messages(&all);
        return n == c->count.held_fds ? NULL : "held_fds is not what messages and uploads hold";
}
