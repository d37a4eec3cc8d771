/* Design note. What a subscription has taken, and gives back.
 *
 * The broker lets a subscription with a window run as far ahead as the window; half of it at a time
 * is given back after the callbacks, so a slow one is not flooded and a fast one never waits. With
 * `hold` the application gives back, each at once: it is work that took its time. A group
 * subscription with `ack` gives back by acknowledging: when its callback has returned, each at
 * once, unless the application corks; with `hold` when the application says so. A receipt is the
 * number of a delivery and the connection that it came over, for numbers begin anew with each.
 *
 * What was lost on the way has taken a place too, and gives it back: when the broker's gap is told,
 * or at once if it was lost here. */
#include "client/handle.h"

#include <errno.h>

/* ACK or NACK of one delivery. At once: work that is done should not be done again because this
 * process dies in the next one. */
static int say(struct baton *b, struct message *m, uint64_t seq)
{
        m->ack.first = m->ack.last = seq;
        int r = out_control(b, m);
        return r < 0 ? r : out_urge(b);
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

void subs_begin(struct baton *b, uint64_t id, uint64_t seq)
{
        struct sub *s = subs_find(b, id);

        b->in.current_sub = id;
        b->in.current_seq = seq;
        if (s && s->options.hold && !s->ack)
                s->n_held++;
}

void subs_settle(struct baton *b, const struct sub *s)
{
        struct in *in = &b->in;
        struct message m = {.type = WIRE_ACK};

        if (in->current_sub != s->id || in->current_seq == in->answered || !b->link)
                return;
        /* Should it fail, the message goes to another member: at least once. */
        int r = s->ack && !s->options.hold ? say(b, &m, in->current_seq) : 0;
        (void)r;
        in->answered = in->current_seq;
}

void subs_delivered(struct baton *b, uint64_t id)
{
        struct sub *s = subs_find(b, id);

        if (s && b->link && s->ack)
                subs_settle(b, s);
        b->in.current_sub = 0;
        if (!s || !b->link || s->ack)
                return;
        if (!s->options.hold)
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

enum { RECEIPT_SEQ_BITS = 48 };

static const uint64_t SEQ_MASK = (UINT64_C(1) << RECEIPT_SEQ_BITS) - 1;

uint64_t subs_receipt(const struct baton *b, uint64_t seq)
{
        return (uint64_t)(b->epoch & UINT16_MAX) << RECEIPT_SEQ_BITS | (seq & SEQ_MASK);
}

/* ACK or NACK. */
static int answer(struct baton *b, uint64_t receipt, struct message *m)
{
        uint64_t seq = receipt & SEQ_MASK;

        if (!b->link)
                return handle_fail(b, -ENOTCONN, "not connected");
        if (!seq || receipt != subs_receipt(b, seq))
                return handle_fail(b, -ENOENT, "no receipt of this connection");
        b->in.answered = seq;
        return say(b, m, seq);
}

int baton_ack(baton *b, uint64_t receipt)
{
        struct message m = {.type = WIRE_ACK};

        out_hold(b);
        return out_part(b, answer(b, receipt, &m));
}

int baton_nack(baton *b, uint64_t receipt, uint32_t delay_ms)
{
        struct message m = {.type = WIRE_NACK, .ack.delay_ms = delay_ms};

        out_hold(b);
        return out_part(b, answer(b, receipt, &m));
}

static int release(struct baton *b, uint32_t sub)
{
        struct sub *s = subs_find(b, sub);

        if (!s)
                return handle_fail(b, -ENOENT, "no subscription has the number %u", sub);
        if (s->ack)
                return handle_fail(b, -EINVAL, "subscription %u acknowledges: baton_ack", sub);
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
