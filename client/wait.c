/* Design note. baton_process is the only place that dispatches; everything that blocks is a loop of
 * waiting and processing. Inside a callback nothing more is dispatched: there the same loop
 * receives into the queue, and what a call waits for reaches it past the queue.
 *
 * Before anything sleeps, what is gathered is sent, corks or not: the answer waited for may be that
 * to something in the buffer. */
#include "client/connect.h"
#include "client/kept.h"
#include "client/stay.h"

#include "proto/link/dgram.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <time.h>

uint64_t clock_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t clock_deadline(int timeout_ms)
{
        return timeout_ms < 0 ? UINT64_MAX : clock_ns() + (uint64_t)timeout_ms * 1000000u;
}

int clock_left_ms(uint64_t deadline_ns)
{
        if (deadline_ns == UINT64_MAX)
                return -1;
        uint64_t now = clock_ns();
        if (deadline_ns <= now)
                return 0;
        uint64_t ms = (deadline_ns - now + 999999) / 1000000;
        return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* What there is to poll; NULL: nothing. */
static struct link *link_of(const struct baton *b)
{
        return b->link ? b->link : b->join ? join_link(b) : NULL;
}

int baton_fd(const baton *b)
{
        const struct link *link = link_of(b);

        return b->dgram ? dgram_fd(b->dgram) : link ? link_fd(link) : -1;
}

short baton_events(const baton *b)
{
        /* Nothing ever comes back. */
        if (b->dgram)
                return b->out.blocked ? POLLOUT : 0;
        if (!b->link)
                return link_of(b) ? join_events(b) : 0;
        return b->out.blocked && !b->out.starved ? POLLIN | POLLOUT : POLLIN;
}

/* When to look again although nothing has come. */
static uint64_t next_deadline(const struct baton *b)
{
        const struct heap_node *first = heap_peek(&b->ops.deadlines);
        uint64_t at = first ? first->at_ns : UINT64_MAX;
        uint64_t again = b->out.starved ? clock_deadline(HANDLE_STARVED_MS) : UINT64_MAX;
        uint64_t join = b->join ? join_next_ns(b) : UINT64_MAX;

        again = again < join ? again : join;
        return again < at ? again : at;
}

int baton_timeout(const baton *b)
{
        if (!b->dispatching && (!list_is_empty(&b->queue) || b->loss))
                return 0;
        /* Gathered, and nothing but this turn of the event loop was waited for. */
        if (b->out.is_open && !b->out.blocked)
                return 0;
        return clock_left_ms(next_deadline(b));
}

/* Whether the receive that follows may wait itself: there is nothing to do until a packet comes,
 * and packets came until now. Else a process that is idle would wake up with no need. */
static bool may_sleep(const struct baton *b, uint64_t until_ns)
{
        if (!b->link || b->dispatching || b->out.blocked || b->in.is_quiet)
                return false;
        return until_ns >= clock_ns() + LINK_RECV_WAIT_MS * UINT64_C(1000000);
}

int handle_doze(struct baton *b, uint64_t deadline_ns)
{
        uint64_t next = next_deadline(b);
        uint64_t until_ns = next < deadline_ns ? next : deadline_ns;

        if ((b->in.sleeps = may_sleep(b, until_ns)))
                return 0;
        int ms = clock_left_ms(until_ns);
        struct link *link = link_of(b);
        int r = link ? link_wait(link, baton_events(b), ms) : poll(NULL, 0, ms) < 0 ? -errno : 0;

        return r < 0 ? r : 0;
}

/* Dispatches, and goes on with what a handle without a connection has to do. */
static int run(struct baton *b, bool may_join)
{
        int n = in_run(b);

        if (b->freed || n < 0)
                return n;
        /* The messages of the old connection come before the new one. */
        if (b->join && may_join && !b->in.stored_bytes) {
                int r = join_step(b);
                /* How it ends is told in the queue, or by the loss that it is. */
                (void)r;
        }
        stay_turn(b);
        return n;
}

static bool is_over_time(uint64_t deadline_ns)
{
        return deadline_ns != UINT64_MAX && clock_ns() >= deadline_ns;
}

#define NO_ANSWER "no answer in the time that was given"

static int fail_full(struct baton *b)
{
        return handle_fail(b, -ENOBUFS,
                "the inbox is full (%zu bytes and %zu descriptors; baton_set_inbox): dispatch, by "
                "baton_wait or baton_process, before anything else",
                b->in.stored_bytes, b->in.stored_fds);
}

/* `what` did not come in time. */
static int await_store(struct baton *b, uint64_t deadline_ns, const char *what)
{
        ops_expire(b);
        if (in_settle(b))
                return 0;
        if (!b->link)
                return handle_check(b);
        /* There is nothing to wait for, if what comes may not be received. */
        if (in_is_full(b))
                return fail_full(b);
        if (is_over_time(deadline_ns))
                return handle_fail_here(b, -ETIMEDOUT, "%s", what);
        int r = handle_doze(b, deadline_ns);
        if (r < 0 && r != -EINTR)
                return handle_fail(b, r, "poll: %s", strerror(-r));
        return (r = in_store(b)) == -EINTR ? 0 : r;
}

static int await_run(struct baton *b, uint64_t deadline_ns)
{
        if (list_is_empty(&b->queue)) {
                if (!b->link && !b->join)
                        return handle_check(b);
                if (is_over_time(deadline_ns))
                        return handle_fail_here(b, -ETIMEDOUT, "%s", NO_ANSWER);
                int r = handle_doze(b, deadline_ns);
                if (r < 0 && r != -EINTR)
                        return handle_fail(b, r, "poll: %s", strerror(-r));
        }
        int n = run(b, true);
        return n < 0 && n != -EINTR ? n : 0;
}

int handle_await(struct baton *b, uint64_t deadline_ns, bool dispatch)
{
        if (b->freed)
                return -ENOTCONN;
        if (!dispatch)
                return await_store(b, deadline_ns,
                        "no room in the time that was given: the broker does not take what was "
                        "sent before");
        /* What is awaited may be the answer to something that is still here. A failure shows up
         * below: the connection is lost, or its end is about to be received. */
        out_calm(&b->out);
        int r = out_push(b);
        (void)r;
        return b->dispatching ? await_store(b, deadline_ns, NO_ANSWER) : await_run(b, deadline_ns);
}

int handle_await_op(struct baton *b, struct op *op, struct waiter *w, uint64_t deadline_ns)
{
        while (!w->done) {
                int r = handle_await(b, deadline_ns, true);
                if (w->done)
                        break;
                if (r < 0) {
                        op_drop(b, op);
                        return r;
                }
        }
        /* The handle may be freed, but not gone: handle_leave is still to come. */
        return w->result < 0 ? handle_fail_op(b, w) : w->result;
}

/* ---------------------------------------------------------------- the public calls */

/* A loss is told once as what it was, from then on as -ENOTCONN. */
static int report_loss(struct baton *b)
{
        int error = b->loss ? b->loss : -ENOTCONN;

        b->loss = 0;
        return handle_fail_code(
                b, error, b->loss_code, b->loss_text[0] ? b->loss_text : "not connected");
}

static int process(struct baton *b)
{
        uint64_t progress = b->progress;
        /* Who has lost a descriptor is seen without one before there is the next. */
        bool may_join = b->join != NULL;

        out_calm(&b->out);
        int r = out_push(b);

        if (b->dispatching) {
                ops_expire(b);
                (void)in_settle(b);
                if (!b->link)
                        return report_loss(b);
                return in_is_full(b) ? fail_full(b) : in_store(b);
        }
        if (b->dgram)
                b->out.blocked = false;
        r = run(b, may_join);
        if (r || b->freed || b->link || b->dgram || b->join || !list_is_empty(&b->queue))
                return r;
        /* A connect that failed has been told already. */
        if (b->loss || b->progress == progress) {
                assembly_deinit(&b->in.assembly);
                return report_loss(b);
        }
        return r;
}

int baton_process(baton *b)
{
        handle_enter(b);
        return handle_leave(b, process(b));
}

static int wait_for_any(struct baton *b, int timeout_ms)
{
        uint64_t deadline_ns = clock_deadline(timeout_ms), progress = b->progress;

        if (b->dgram && list_is_empty(&b->queue))
                return handle_check(b);
        for (;;) {
                bool idle = b->dispatching || list_is_empty(&b->queue);
                bool may_come = b->link ? !in_settle(b) : b->join && !b->dispatching;
                if (idle && may_come && (!b->link || out_push(b) == 0 || b->link)) {
                        int r = handle_doze(b, deadline_ns);
                        if (r < 0)
                                return handle_fail(b, r, "poll: %s", strerror(-r));
                }
                size_t stored = b->in.stored_bytes;
                b->in.may_leave = timeout_ms != 0;
                int n = process(b);
                b->in.may_leave = false;
                if (n || b->freed || b->progress != progress || b->in.stored_bytes > stored)
                        return n;
                if (is_over_time(deadline_ns))
                        return 0;
        }
}

int baton_wait(baton *b, int timeout_ms)
{
        handle_enter(b);
        return handle_leave(b, wait_for_any(b, timeout_ms));
}

static int flush(struct baton *b, int timeout_ms)
{
        if (b->dgram)
                return 0;
        int r = handle_check(b);
        if (r < 0 || (out_is_sent(b) && kept_is_empty(b)))
                return r;
        uint64_t deadline_ns = clock_deadline(timeout_ms);
        if (!b->nonblocking)
                return (r = kept_drain(b, deadline_ns)) < 0 ? r : out_drain(b, deadline_ns);
        if ((r = out_push(b)) < 0)
                return r;
        return out_is_sent(b) && kept_is_empty(b)
                       ? 0
                       : handle_fail_here(b, -EAGAIN, "not everything could be sent yet");
}

int baton_flush(baton *b, int timeout_ms)
{
        out_hold(b);
        return out_part(b, flush(b, timeout_ms));
}

static int ping(struct baton *b, int timeout_ms)
{
        struct waiter w = {.done = false};
        struct message m = {.type = WIRE_PING};
        struct op *op;
        int r = handle_check_sending(b);

        if (r < 0 || (r = ops_new(b, OP_PING, &op)) < 0)
                return r;
        op->waiter = &w;
        op->nested = b->dispatching;
        op_start(b, op);
        m.number = op->id;
        if ((r = out_control(b, &m)) < 0) {
                op_drop(b, op);
                return r;
        }
        return handle_await_op(b, op, &w, clock_deadline(timeout_ms));
}

int baton_ping(baton *b, int timeout_ms)
{
        handle_enter(b);
        return handle_leave(b, ping(b, timeout_ms));
}
