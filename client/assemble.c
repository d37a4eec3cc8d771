/* Design note. Chunks are collected when they are dispatched, not when they are received: so all is
 * in order by itself, whatever callbacks do in between, and what waits in the queue is packets as
 * always. The bytes go to the heap, and grow as they come: what is announced is not yet there.
 *
 * A publication that cannot be had (no memory, too large) is read to its end all the same, and told
 * there as a gap. One that nobody wants any more is read and thrown away. */
#include "client/handle.h"

#include <errno.h>
#include <string.h>

void assembly_deinit(struct assembly *a)
{
        a->payload = payload_unref(a->payload);
        a->fds = fdset_unref(a->fds);
        buf_deinit(&a->begin);
        a->state = ASSEMBLY_NONE;
}

/* The rest of it is read, and `why` told at the end. */
static void skip(struct assembly *a, enum wire_gap_reason why)
{
        assembly_deinit(a);
        a->state = ASSEMBLY_SKIPS;
        a->why = why;
}

static bool is_wanted(struct baton *b, const struct msg_delivery *d)
{
        if (d->flags & WIRE_DELIVERY_REPLY) {
                struct op *op = ops_find(b, d->request);
                return op && op->kind == OP_REQUEST;
        }
        for (uint32_t i = 0; i < d->n_subs; i++) {
                if (subs_find(b, d->subs[i]))
                        return true;
        }
        return false;
}

static void start(struct baton *b, struct assembly *a, const struct frame *f, struct fdset *fds)
{
        a->why = 0;
        a->got = 0;
        if (!is_wanted(b, &a->delivery)) {
                skip(a, 0);
                return;
        }
        a->state = ASSEMBLY_COLLECTS;
        a->fds = fdset_ref(fds);
        if (a->size > facts_largest(&b->facts))
                skip(a, WIRE_GAP_TOO_LARGE);
        else if (!(a->payload = payload_new()) || buf_push(&a->begin, f->data, f->len) < 0)
                skip(a, WIRE_GAP_NO_MEMORY);
}

int assemble_begin(struct baton *b, struct view *v, const struct frame *f)
{
        struct assembly *a = v->assembly;
        struct message m;
        int r = 0;

        if (message_decode(f, &m) || !v->is_ready)
                return in_spoil(b, "malformed publication");
        if ((m.pub.n_fds || v->fds) && (r = view_check_fds(b, v, &m.pub)) < 0)
                return r;
        v->is_ready = false;
        a->delivery = v->delivery;
        a->delivery.seq += v->k++;
        a->size = m.pub.size;
        start(b, a, f, v->fds);
        return 0;
}

int assemble_chunk(struct baton *b, struct view *v, const struct frame *f)
{
        struct assembly *a = v->assembly;
        struct message m;

        if (message_decode(f, &m) || a->state == ASSEMBLY_NONE)
                return in_spoil(b, "a chunk of nothing");
        a->got += m.chunk.len;
        if (a->size && a->got > a->size)
                return in_spoil(b, "more in chunks than was announced");
        if (a->state == ASSEMBLY_SKIPS)
                return 0;
        if (a->got > facts_largest(&b->facts))
                skip(a, WIRE_GAP_TOO_LARGE);
        else if (payload_append(a->payload, m.chunk.data, m.chunk.len, a->size) < 0)
                skip(a, WIRE_GAP_NO_MEMORY);
        return 0;
}

/* As if it had come in one packet, of which this is the view. */
static int deliver(struct baton *b, struct view *v, const struct assembly *a)
{
        struct view whole = {.fds = a->fds, .epoch = v->epoch, .delivery = a->delivery};
        struct baton_message *m = &whole.message;
        const uint8_t *at = a->begin.data;
        struct message begin;
        struct frame f;

        /* It was decoded before. */
        if (scan_frame(&at, at + a->begin.len, &f) || message_decode(&f, &begin))
                return in_spoil(b, "malformed publication");
        view_describe(m, &a->delivery);
        m->n_fds = (uint32_t)fdset_n(a->fds);
        m->fds = fdset_fds(a->fds);
        m->payload = a->payload->len ? a->payload->data : (const void *)"";
        m->payload_len = a->payload->len;
        m->reserved[PAYLOAD_SLOT] = a->payload;
        int r = view_hand_out(b, &whole, &begin.pub);
        v->n += whole.n;
        return r;
}

int assemble_end(struct baton *b, struct view *v, const struct frame *f)
{
        struct assembly *a = v->assembly, whole;
        struct message m;
        int r = 0;

        if (message_decode(f, &m) || a->state == ASSEMBLY_NONE)
                return in_spoil(b, "an end of nothing");
        bool done = m.number == 0;
        if (done && a->state == ASSEMBLY_COLLECTS && a->size && a->got != a->size)
                return in_spoil(b, "less in chunks than was announced");
        /* A callback may end what `a` is part of. */
        whole = *a;
        *a = (struct assembly){.state = ASSEMBLY_NONE};
        v->is_ready = v->has_delivery;
        if (!done)
                view_miss(b, v, &whole.delivery, true);
        else if (whole.state == ASSEMBLY_COLLECTS)
                r = deliver(b, v, &whole);
        else if (whole.why)
                view_lose(b, v, &whole.delivery, whole.why,
                        whole.why == WIRE_GAP_TOO_LARGE ? -EMSGSIZE : -ENOMEM);
        assembly_deinit(&whole);
        return r;
}
