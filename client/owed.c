/* Design note. The broker lets so many descriptors be under way to a receiver, which credits the
 * packets that it has taken from the kernel. One credit a packet is a system call at each
 * end: where packets follow each other several are credited at once, at the latest when no more are
 * there. But the callback that comes next may take long, and the broker may be waiting: what has
 * been owed for a while, or is the first for a while, is credited before it. */
#include "client/handle.h"

enum {
        PACKETS_MOST = WIRE_FD_PAYLOADS / 2, /* half of what may be under way, were all payloads */
        OWED_NS = 1000000,
};

bool in_pay_fds(struct baton *b)
{
        struct in *in = &b->in;
        struct message m;

        if (bt_likely(!in->owed_fds) || b->freed || !b->link)
                return b->link != NULL;
        m.type = WIRE_CREDIT;
        m.credit = (struct msg_credit){WIRE_CREDIT_FDS, 0, in->owed_fds};
        if (out_control(b, &m) < 0)
                return b->link != NULL; /* with the next turn, then */
        in->owed_fds = 0;
        in->paid_ns = clock_ns();
        if (b->out.cork == b->busy) {
                int r = out_push(b);
                /* A loss is found by the next receive. */
                (void)r;
        }
        return b->link != NULL;
}

void in_owe_fds(struct baton *b, const struct packet *p)
{
        struct in *in = &b->in;

        if (bt_likely(!p->fds))
                return;
        in->owed_fds++;
        if (in->owed_fds >= PACKETS_MOST || clock_ns() - in->paid_ns >= OWED_NS)
                (void)in_pay_fds(b);
}
