/* Design note. What a subscription has taken, and gives back.
 *
 * The broker lets a subscription with a window run as far ahead as the window; half of it at a time
 * is given back after the callbacks, so a slow one is not flooded and a fast one never waits. With
 * `hold` the application gives back, each at once: it is work that took its time. A group
 * subscription with `ack` gives back by acknowledging: when its callback has returned.
 *
 * What was lost on the way has taken a place too, and gives it back: when the broker's gap is told,
 * or at once if it was lost here. */
#include "client/handle.h"

#include <errno.h>

void subs_acknowledge(struct baton *b)
{
        struct in *in = &b->in;
        struct message m;

        if (!in->ack_first || !b->link)
                return;
        m.type = WIRE_ACK;
        m.ack = (struct msg_ack){in->ack_first, in->ack_last, 0};
        in->ack_first = 0;
        /* Should it fail, the message goes to another member: at least once. */
        int r = out_control(b, &m);
        (void)r;
}

static void acknowledge(struct baton *b, uint64_t seq)
{
        struct in *in = &b->in;

        if (in->ack_first && seq != in->ack_last && seq != in->ack_last + 1)
                subs_acknowledge(b);
        if (!in->ack_first)
                in->ack_first = seq;
        in->ack_last = seq;
}

/* Gives `n` back once `least` are owed. */
static void give_back(struct baton *b, struct sub *s, uint64_t n, uint32_t least)
{
        struct message m = {.type = WIRE_CREDIT};

        s->owed += n;
        if (s->owed < least || !b->link)
                return;
        m.credit = (struct msg_credit){WIRE_CREDIT_SUB, s->id, s->owed};
        /* Should it fail, it is owed still. */
        if (out_control(b, &m) == 0)
                s->owed = 0;
}

void subs_begin(struct baton *b, uint64_t id)
{
        struct sub *s = subs_find(b, id);

        if (s && s->options.hold)
                s->n_held++;
}

void subs_delivered(struct baton *b, uint64_t id, uint64_t seq)
{
        struct sub *s = subs_find(b, id);

        if (!s || !b->link)
                return;
        if (s->ack)
                acknowledge(b, seq);
        else if (!s->options.hold)
                give_back(b, s, 1, (s->window + 1) / 2);
}

void subs_lost(struct baton *b, uint64_t id, uint64_t n)
{
        struct sub *s = subs_find(b, id);

        if (s && b->link && s->window && !s->ack)
                give_back(b, s, n < UINT32_MAX ? n : UINT32_MAX, (s->window + 1) / 2);
}

void subs_missed(struct baton *b, uint64_t id, uint64_t seq, bool gap_follows)
{
        struct sub *s = subs_find(b, id);
        struct message m = {.type = WIRE_NACK, .ack = {.first = seq, .last = seq}};

        if (!gap_follows)
                subs_lost(b, id, 1);
        /* Should it fail, its time runs out, with the same effect. */
        int r = s && b->link && s->ack ? out_control(b, &m) : 0;
        (void)r;
}

static int release(struct baton *b, uint32_t sub)
{
        struct sub *s = subs_find(b, sub);

        if (!s)
                return handle_fail(b, -ENOENT, "no subscription has the number %u", sub);
        if (!s->n_held)
                return handle_fail(b, -ENOENT, "subscription %u: nothing is held", sub);
        s->n_held--;
        give_back(b, s, 1, 1);
        return 0;
}

int baton_release(baton *b, uint32_t sub)
{
        out_hold(b);
        return out_part(b, release(b, sub));
}
