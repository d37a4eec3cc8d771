/* Design note. The kernel counts the descriptors that were sent and not yet received, for all
 * processes of a uid together, and beyond RLIMIT_NOFILE refuses more (ETOOMANYREFS), to whomever:
 * one receiver that does not read would stop descriptors for all (F8). So each receiver has a
 * window, given back packet by packet by its CREDIT(2), and all together a budget. When that runs
 * short, a receiver that has none under way may still be sent one packet: who reads is always
 * served. The window is large enough for a system call of credit to be one among many packets, but
 * not for payloads, which need no such care and may be of any size.
 *
 * Who must wait is on core.fd_waiters, and a timer looks after them: it ends receivers that have
 * shown no life for stall_ms and have descriptors others wait for. Where the kernel refuses all the
 * same (other processes of this uid, root's limits), the packet is tried again until stall_ms has
 * passed, and a little longer; then it goes without its descriptors, and its sender is told. */
#include "broker/core/internal.h"

#include <string.h>

/* Receivers that were ended for not reading, after stall_ms, are given so much more time to close.
 */
#define PATIENCE_NS (LIMIT_FLIGHT_PATIENCE_MS * UINT64_C(1000000))

static uint64_t stall_ns(const struct core *c)
{
        return c->config.limits.stall_ms * UINT64_C(1000000);
}

/* They try again. The timer goes on: who has to wait again must not put it off, or the lively would
 * protect the silent. */
static void wake_waiters(struct core *c)
{
        struct list *link;

        while ((link = list_first(&c->fd_waiters))) {
                struct session *s = list_entry(link, struct session, flight.waits);
                list_remove(link);
                s->flight.is_held = false;
                session_mark(c, s);
        }
}

_Static_assert(WIRE_FD_WINDOW == 64 && WIRE_FDS < WIRE_FD_WINDOW, "a window is a word of bits");

static bool has_room(const struct flight_window *f, size_t n, bool places)
{
        return f->n_fds + n <= WIRE_FD_WINDOW && !(places && f->n_payloads >= WIRE_FD_PAYLOADS);
}

bool flight_may(const struct core *c, const struct session *s, size_t n, bool places)
{
        const struct flight_window *f = &s->flight;

        if (f->is_held)
                return false;
        if (!f->n_fds)
                return true;
        return has_room(f, n, places) &&
               c->bus.used[QUOTA_FLIGHT_FDS] + n <= c->config.limits.flight_fds &&
               !account_refuses(c, s->who, s->account, QUOTA_FLIGHT_FDS, n);
}

void flight_wait(struct core *c, struct session *s, size_t n, bool places)
{
        struct flight_window *f = &s->flight;
        bool is_own = !f->is_held && !has_room(f, n, places);

        if (is_own || list_is_linked(&f->waits)) /* its own credit will wake it */
                return;
        if (!c->flight_timer.node.place && heap_set(&c->timers, &c->flight_timer.node,
                                                   core_in_ms(c, LIMIT_FLIGHT_RETRY_MS)) < 0)
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory to wait for descriptors");
        else
                list_push_back(&c->fd_waiters, &f->waits);
}

void flight_sent(struct core *c, struct session *s, size_t n, bool places)
{
        struct flight_window *f = &s->flight;

        f->n_fds += (uint32_t)n;
        f->ends |= UINT64_C(1) << (f->n_fds - 1);
        f->payloads |= (uint64_t)places << (f->n_fds - 1);
        f->n_payloads += places;
        f->scarce_ns = 0;
        account_charge(s->account, QUOTA_FLIGHT_FDS, n);
        if (!list_is_linked(&f->flying)) {
                f->since_ns = c->now_ns;
                list_push_back(&c->flying, &f->flying);
        }
}

/* Takes the oldest packet out. Returns how many descriptors it had. */
static uint32_t shift(struct flight_window *f)
{
        uint32_t last = (uint32_t)__builtin_ctzll(f->ends);

        f->n_payloads -= f->payloads >> last & 1;
        f->ends = f->ends >> last >> 1;
        f->payloads = f->payloads >> last >> 1;
        f->n_fds -= last + 1;
        return last + 1;
}

void flight_credit(struct core *c, struct session *s, uint64_t amount)
{
        struct flight_window *f = &s->flight;

        if (!amount || !f->n_fds)
                return;
        for (; amount && f->n_fds; amount--)
                account_release(s->account, QUOTA_FLIGHT_FDS, shift(f));
        list_remove(&f->flying);
        if (f->n_fds) {
                f->since_ns = c->now_ns;
                list_push_back(&c->flying, &f->flying);
        }
        session_mark(c, s);
        wake_waiters(c);
}

void flight_drop(struct core *c, struct session *s)
{
        struct flight_window *f = &s->flight;

        list_remove(&f->waits);
        flight_credit(c, s, f->n_fds);
}

/* A publication goes without its descriptors: its sender, if it is still here, should know. */
static void tell_sender(struct core *c, uint64_t number)
{
        for (size_t i = 0; i < c->n_slots; i++) {
                struct session *s = c->slots[i];
                if (s && s->number == number)
                        answer_err(c, s, 0, WIRE_CODE_DESCRIPTORS, "",
                                "too many descriptors are under way: a message went without its"
                                " own");
        }
}

void flight_scarce(struct core *c, struct session *s)
{
        struct flight_window *f = &s->flight;
        struct entry *e = queue_first(s);

        if (!f->scarce_ns)
                f->scarce_ns = c->now_ns;
        f->is_held = true;
        if (c->now_ns - f->scarce_ns >= stall_ns(c) + PATIENCE_NS) {
                f->scarce_ns = 0;
                f->is_held = false;
                if (out_withhold(e))
                        tell_sender(c, e->msg->sender);
                out_unplace(e);
                session_mark(c, s);
                return;
        }
        flight_wait(c, s, e->msg->n_fds, e->msg->placed > 0);
}

/* `w` waits for descriptors of `s`: not if its own uid has as many as it may have. */
static bool waits_for(const struct core *c, const struct session *w, const struct session *s)
{
        if (w->who->uid == s->who->uid || w->flight.is_held)
                return true;
        const struct entry *e = list_is_empty(&w->queue) ? NULL : queue_first(w);
        uint32_t n = e && e->msg ? e->msg->n_fds : 0;
        const char *limit = account_refuses(c, w->who, w->account, QUOTA_FLIGHT_FDS, n);
        return !limit || strcmp(limit, policy_quota_name(QUOTA_FLIGHT_FDS)) != 0;
}

static bool is_waited_for(const struct core *c, const struct session *s)
{
        list_for_each (link, &c->fd_waiters) {
                if (waits_for(c, list_entry(link, struct session, flight.waits), s))
                        return true;
        }
        return false;
}

void flight_tick(struct core *c)
{
        if (list_is_empty(&c->fd_waiters))
                return;
        list_for_each_safe (link, &c->flying) {
                struct session *s = list_entry(link, struct session, flight.flying);
                if (s->flight.since_ns + stall_ns(c) > c->now_ns)
                        break;
                if (!is_waited_for(c, s))
                        continue;
                list_remove(link);
                session_end_at(c, s, WIRE_CODE_STALLED,
                        "descriptors are not received, and others wait", "stall_ms");
        }
        wake_waiters(c);
}
