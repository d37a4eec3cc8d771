/* Design note. A request ends by its last reply, by ERR, by baton_cancel, with the connection, or,
 * should the broker fail to say anything, by a deadline of our own a little behind the broker's.
 * Whatever comes later for its id finds nothing and is ignored.
 *
 * A request that blocks inside a callback cannot wait for the queue, which stands still until that
 * callback returns. Its replies are kept beside the queue, and called by the request itself. */
#include "client/handle.h"

#include <errno.h>

/* What the broker is told: 1 .. WIRE_REQUEST_MS_MAX. */
static uint64_t wire_timeout(int timeout_ms)
{
        if (timeout_ms == 0)
                return WIRE_REQUEST_MS_DEFAULT;
        if (timeout_ms < 0 || timeout_ms > WIRE_REQUEST_MS_MAX)
                return WIRE_REQUEST_MS_MAX;
        return (uint64_t)timeout_ms;
}

static uint64_t own_deadline(uint64_t ms)
{
        return clock_ns() + (ms + HANDLE_GRACE_MS) * 1000000u;
}

void request_cancel(struct baton *b, uint64_t id)
{
        struct message m = {.type = WIRE_CANCEL, .number = id};
        int r = b->link && id ? out_control(b, &m) : 0;

        /* It is over here in any case. */
        (void)r;
}

static int request(struct baton *b, const struct baton_publication *p, int timeout_ms,
        baton_message_fn reply, void *arg)
{
        uint64_t ms = wire_timeout(timeout_ms), deadline_ns = own_deadline(ms), id;
        struct waiter w = {.done = false};
        struct op *op;
        int r = handle_check_sending(b);

        if (r < 0 || (r = ops_new(b, OP_REQUEST, &op)) < 0)
                return r;
        op->waiter = &w;
        op->nested = b->dispatching;
        op->reply = reply;
        op->arg = arg;
        if ((r = request_post(b, p, op, ms, deadline_ns)) < 0) {
                op_drop(b, op);
                return r;
        }
        id = op->id;
        while (!w.done) {
                view_held(b, id);
                if (w.done)
                        break;
                r = handle_await(b, deadline_ns, true);
                if (r == 0 || w.done)
                        continue;
                op_drop(b, op);
                request_cancel(b, id);
                return r;
        }
        return w.result < 0 ? handle_fail_op(b, &w) : 0;
}

int baton_request(baton *b, const struct baton_publication *p, int timeout_ms,
        baton_message_fn reply, void *arg)
{
        handle_enter(b);
        return handle_leave(b, request(b, p, timeout_ms, reply, arg));
}

static int request_start(struct baton *b, const struct baton_publication *p, int timeout_ms,
        baton_message_fn reply, baton_done_fn done, void *arg, uint64_t *ret_id)
{
        uint64_t ms = wire_timeout(timeout_ms);
        struct op *op;
        int r = handle_check_sending(b);

        if (r < 0 || (r = ops_new(b, OP_REQUEST, &op)) < 0)
                return r;
        op->reply = reply;
        op->done = done;
        op->arg = arg;
        /* It may wait long for room: its time runs from when it is sent. Memory is taken now. */
        r = heap_set(&b->ops.deadlines, &op->deadline, UINT64_MAX);
        if (r < 0)
                r = handle_fail(b, r, "out of memory");
        if (r < 0 || (r = request_post(b, p, op, ms, UINT64_MAX)) < 0) {
                op_drop(b, op);
                return r;
        }
        if (op->deadline.place)
                r = heap_set(&b->ops.deadlines, &op->deadline, own_deadline(ms));
        if (ret_id)
                *ret_id = op->id;
        return 0;
}

int baton_request_start(baton *b, const struct baton_publication *p, int timeout_ms,
        baton_message_fn reply, baton_done_fn done, void *arg, uint64_t *ret_id)
{
        out_hold(b);
        return out_part(b, request_start(b, p, timeout_ms, reply, done, arg, ret_id));
}

static int cancel(struct baton *b, uint64_t id)
{
        struct op *op = ops_find(b, id);

        if (!op || op->kind != OP_REQUEST || op->waiter)
                return handle_fail(b, -ENOENT, "no request has this number, or it is over");
        request_cancel(b, id);
        op_end(b, op, &(struct verdict){-ECANCELED, 0, "cancelled"}, false);
        return 0;
}

int baton_cancel(baton *b, uint64_t id)
{
        out_hold(b);
        return out_part(b, cancel(b, id));
}
