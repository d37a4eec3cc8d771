/* Design note. A payload in chunks is a state of the handle, not of the call that gave it: out_push
 * asks for more whenever the packet is empty (large_fill), so chunks flow by the same rules as all
 * else. A blocking call lends its memory and waits until END is put. A non-blocking one leaves a
 * copy of what could not be sent, and baton_process, or credit that arrives, sends it. Until END is
 * put nothing else can be published: nothing may stand between BEGIN and END.
 *
 * A call that must fail half way (no time left, the inbox is full) leaves END(1) to be sent, which
 * may have to wait for the window as well. So the broker never sees a publication that just stops.
 * The same ends one that the broker has refused meanwhile, if it had an id by which that is known.
 */
#include "client/handle.h"

#include "proto/base/memfile.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* ---------------------------------------------------------------- which way */

void baton_set_large(baton *b, size_t bytes)
{
        b->large_bytes = bytes;
        out_tune(b);
}

size_t large_threshold(const struct baton *b)
{
        return b->large_bytes ? b->large_bytes : SIZE_MAX;
}

bool large_may_place(const struct baton *b)
{
        const struct facts *f = &b->facts;

        return b->large_bytes != SIZE_MAX && f->payload_bytes > WIRE_FRAME_BYTES &&
               (f->features & WIRE_FEATURE_MEMFD) && (f->rights & WIRE_RIGHT_MEMFD) &&
               memfile_can_seal();
}

int large_refuse_size(struct baton *b, uint64_t bytes)
{
        return handle_fail_here(b, -EMSGSIZE,
                "payload of %" PRIu64 " bytes: %" PRIu64 " are the limit (payload_bytes)", bytes,
                b->facts.payload_bytes);
}

/* ---------------------------------------------------------------- chunks */

/* Bytes that a publication may still take of the packet and of the window. */
static size_t room_of(const struct out *o)
{
        if (o->sealed || o->tail.len || o->len >= WIRE_FRAME_BYTES)
                return 0;
        size_t room = WIRE_FRAME_BYTES - o->len;
        return room < o->window ? room : (size_t)o->window;
}

static bool put_chunk(struct baton *b)
{
        struct large *l = &b->large;
        struct out *o = &b->out;
        size_t room = room_of(o);

        if (!l->left || room <= MESSAGE_CHUNK_BYTES || (l->open && l->left < LARGE_PIECE_BYTES))
                return false;
        size_t n = size_min(l->left, room - MESSAGE_CHUNK_BYTES);
        if (n < l->left && n < LARGE_LEAST_BYTES)
                return false;
        uint8_t *at = o->data + o->len;
        size_t head = message_put_chunk(at, n);
        memcpy(at + head, l->at, n);
        o->len += head + n;
        o->window -= head + n;
        l->at += n;
        l->left -= n;
        l->sent += n;
        return true;
}

static void put_end(struct baton *b)
{
        struct large *l = &b->large;
        struct out *o = &b->out;
        uint64_t cost = out_cost(b, MESSAGE_END_BYTES, 0, l->sent);

        if (room_of(o) < MESSAGE_END_BYTES || cost > o->window)
                return;
        o->len += message_put_end(o->data + o->len, l->status);
        o->window -= cost;
        large_forget(b);
}

void large_fill(struct baton *b)
{
        struct large *l = &b->large;

        /* Refused, or cancelled: its answer came before its end. */
        if (l->id && !ops_find(b, l->id)) {
                l->left = 0;
                l->status = 1;
        }
        while (put_chunk(b))
                continue;
        if (l->ending && !l->left)
                put_end(b);
}

bool large_is_due(const struct baton *b)
{
        const struct large *l = &b->large;

        return l->state == LARGE_CHUNKS && (l->ending || l->left >= LARGE_PIECE_BYTES);
}

int large_drain(struct baton *b, uint64_t deadline_ns)
{
        for (;;) {
                int r = handle_check(b);
                if (r < 0 || (r = out_push(b)) < 0 || !large_is_due(b))
                        return r;
                if ((r = handle_await(b, deadline_ns, false)) < 0)
                        return r;
        }
}

int large_clear(struct baton *b, uint64_t deadline_ns)
{
        int r = handle_check(b);

        if (r < 0)
                return r;
        if (b->large.open)
                return handle_fail(
                        b, -EBUSY, "between baton_begin and baton_end: end it, or baton_abandon");
        if (!b->nonblocking)
                return large_drain(b, deadline_ns);
        if ((r = out_push(b)) < 0)
                return r;
        return large_is_due(b) ? handle_fail_here(b, -EAGAIN, "a large payload is still being sent")
                               : 0;
}

/* ---------------------------------------------------------------- beginning and ending */

int large_keep(struct baton *b, const void *data, size_t len)
{
        struct large *l = &b->large;

        buf_drop(&l->kept, l->kept.len - l->left);
        if (buf_push(&l->kept, data, len) < 0)
                return handle_fail(b, -ENOMEM, "out of memory");
        l->at = l->kept.data;
        l->left = l->kept.len;
        return 0;
}

int large_start(struct baton *b, struct post *p)
{
        struct large *l = &b->large;
        int r = post_frame(b, p);

        if (r < 0)
                return r;
        l->state = LARGE_CHUNKS;
        l->id = p->op ? p->op->id : 0;
        out_tune(b);
        return 0;
}

void large_give_up(struct baton *b)
{
        struct large *l = &b->large;

        if (l->state != LARGE_CHUNKS)
                return;
        l->open = false;
        l->ending = true;
        l->left = 0;
        l->status = 1;
        int r = out_push(b);
        /* If that fails the connection is lost, and the broker discards it. */
        (void)r;
}

void large_leave(struct baton *b)
{
        /* One of which nothing was sent ends with the connection. */
        if (b->large.open)
                large_give_up(b);
}

void large_forget(struct baton *b)
{
        struct large *l = &b->large;

        if (l->state == LARGE_FILLS) {
                l->fds = fdset_unref(l->fds);
                if (l->file >= 0)
                        close(l->file);
        }
        buf_deinit(&l->kept);
        buf_deinit(&l->text);
        *l = (struct large){.state = LARGE_NONE};
        out_tune(b);
}

void large_lose(struct baton *b, const struct verdict *v)
{
        struct op *op = b->large.state == LARGE_FILLS ? b->large.post.op : NULL;

        /* That of chunks is pending like others. */
        if (op)
                op_end(b, op, v, false);
        large_forget(b);
}

/* Gives and waits; or gives what goes, and keeps a copy of the rest. */
static int send_all(struct baton *b, struct post *p)
{
        struct large *l = &b->large;

        l->at = p->payload;
        l->left = p->payload_len;
        l->ending = true;
        if (!b->nonblocking)
                return large_drain(b, p->deadline_ns);
        int r = out_push(b);
        if (r < 0 || l->state != LARGE_CHUNKS)
                return r;
        const uint8_t *at = l->at;
        size_t left = l->left;
        l->left = 0;
        return large_keep(b, at, left);
}

int large_post(struct baton *b, struct post *p)
{
        uint8_t *room;
        uint64_t id;
        int r;

        /* Memory for the rest is taken first: it should not lack when BEGIN is sent. */
        if (b->nonblocking && buf_reserve(&b->large.kept, p->payload_len, &room) < 0)
                return handle_fail(b, -ENOMEM, "out of memory");
        if ((r = large_start(b, p)) < 0) {
                large_forget(b);
                return r;
        }
        id = b->large.id;
        r = send_all(b, p);
        if (r < 0 && b->link)
                large_give_up(b);
        /* An operation that has ended, with the connection or otherwise, is told by itself. */
        return r < 0 && id && (!b->link || !ops_find(b, id)) ? 0 : r;
}
