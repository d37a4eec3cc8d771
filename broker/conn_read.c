/* Design note. What comes in: one packet of a connection after the other, within what its turn lets
 * it have. A packet can be worth milliseconds (8,000 publications on changing topics fit in one),
 * so the core stops in the middle of it when the turn is over, and the rest waits here. */
#include "broker/conn.h"

#include "proto/base/memfile.h"
#include "proto/link/fdkind.h"

enum {
        /* Descriptors that may wait to be closed while more are received. */
        UNBURIED_FDS = 128,
        /* What receiving a packet costs beside what the core does, in units of core_work; and how
         * many of its bytes cost one more. */
        PACKET_WORK = 80,
        FD_WORK = 200, /* received, looked at, closed by another thread */
        BYTES_OF_WORK = 160,
};

/* Whether the last descriptor can hold a placed payload, and how large that is. */
static uint64_t sealed_bytes(const struct fdset *fds)
{
        size_t n = fdset_n(fds);
        uint64_t size = 0;

        return n && memfile_sealed_size(fdset_fds(fds)[n - 1], &size) == 0 ? size : 0;
}

static bool has_odd(uint32_t kinds)
{
        for (int kind = 0; kind < FDKIND_N_; kind++) {
                if ((kinds & UINT32_C(1) << kind) && !fdkind_is_harmless((enum fdkind)kind))
                        return true;
        }
        return false;
}

/* What cannot be closed stays open, beside what the core has open: it must not become all there is.
 */
static void end_if_hung(struct conn *conn)
{
        struct server *s = conn->server;

        if (bt_unlikely(reaper_hung(s->reaper, &s->yard) > s->hung_fds_max))
                core_end(s->core, conn->id, WIRE_CODE_LIMIT,
                        "too many descriptors are here that cannot be closed", server_now(s));
}

/* Whoever has brought descriptors waits until the reaper has had its turn at those of before. Who
 * has not is read on, for to wait for a close that hangs is to be held up by it; but there are more
 * of those, so if far too much waits, all wait who may bring any. The socket stays readable, and
 * the loop comes back at once, by way of all others. */
static bool must_wait(struct conn *conn)
{
        struct server *s = conn->server;

        if (!link_lets_fds_in(conn->link))
                return false;
        if (bt_unlikely(conn->has_brought))
                conn->has_brought = reaper_is_behind(s->reaper, &s->yard, UNBURIED_FDS);
        return conn->has_brought || reaper_is_behind(s->reaper, &s->yard, s->hung_fds_max);
}

/* Gives the core what `arrival` says, and keeps what it did not take in: it comes first then. */
static void give(struct conn *conn, struct core_arrival *arrival)
{
        struct server *s = conn->server;
        size_t n = core_input(s->core, conn->id, arrival, server_now(s));

        if (bt_likely(n == arrival->len))
                return;
        arrival->is_rest = true;
        arrival->data = (const uint8_t *)arrival->data + n;
        arrival->len -= n;
        if (buf_push(&conn->rest, arrival->data, arrival->len) == 0)
                return;
        arrival->budget = 0; /* no memory to keep it: now, then */
        (void)core_input(s->core, conn->id, arrival, server_now(s));
}

static void give_rest(struct conn *conn, uint64_t budget)
{
        struct server *s = conn->server;
        struct core_arrival arrival = {.data = conn->rest.data + conn->rest_at,
                .len = conn->rest.len - conn->rest_at,
                .is_rest = true,
                .budget = budget};

        conn->rest_at += core_input(s->core, conn->id, &arrival, server_now(s));
        if (conn->rest_at == conn->rest.len) {
                buf_deinit(&conn->rest);
                conn->rest_at = 0;
        }
}

/* What is whole was told before more is read: who always has a part of a packet is not late. */
static void set_partial(struct conn *conn, bool is_partial)
{
        struct server *s = conn->server;

        if (bt_likely(conn->is_partial == is_partial))
                return;
        conn->is_partial = is_partial;
        core_set_partial(s->core, conn->id, is_partial, server_now(s));
}

/* Returns false when the connection has ended. */
static bool receive_one(struct conn *conn, uint64_t budget, uint64_t *work, bool *ret_is_dry)
{
        struct server *s = conn->server;
        struct core_arrival arrival = {.data = s->packet, .budget = budget};
        int r = link_recv(conn->link, s->packet, WIRE_PACKET_BYTES, &arrival.len, &arrival.fds);

        arrival.are_cut = r == LINK_E_CUT;
        *work += PACKET_WORK + (r == 0 ? arrival.len / BYTES_OF_WORK : 0);
        switch (r) {
        case LINK_E_CUT: /* beyond all our accounts: others may have used up the system's */
        case 0:
                set_partial(conn, false);
                if (bt_unlikely(!conn->id.generation) && !adopted_identify(conn)) {
                        fdset_unref(arrival.fds);
                        return false;
                }
                if (bt_likely(!arrival.fds && !arrival.are_cut)) {
                        give(conn, &arrival);
                        return true;
                }
                *work += fdset_n(arrival.fds) * FD_WORK;
                arrival.sealed_bytes = sealed_bytes(arrival.fds);
                arrival.has_odd_fds =
                        core_asks_fd_kinds(s->core, conn->id) && has_odd(fdkinds_of(arrival.fds));
                (void)core_input(s->core, conn->id, &arrival, server_now(s));
                conn->has_brought = true;
                end_if_hung(conn);
                return true;
        case LINK_E_AGAIN:
        case LINK_E_EXHAUSTED:
                set_partial(conn, link_is_partial(conn->link));
                *ret_is_dry = true;
                return true;
        case LINK_E_BROKEN:
                if (!conn->id.generation)
                        return false;
                core_end(s->core, conn->id, WIRE_CODE_PROTOCOL,
                        "a packet came truncated: longer than packet_bytes, or"
                        " with too many descriptors",
                        server_now(s));
                *ret_is_dry = true; /* it is told, and that is all */
                return true;
        default:
                return false;
        }
}

enum conn_served conn_serve(struct conn *conn, uint64_t budget, uint64_t *ret_work)
{
        struct server *s = conn->server;
        uint64_t begin = core_work(s->core), more = 0;
        bool is_dry = false;
        size_t n = 0;

        while (!is_dry && core_work(s->core) - begin + more < budget) {
                uint64_t left = budget - (core_work(s->core) - begin) - more;
                if (bt_unlikely(conn->rest.len)) {
                        give_rest(conn, left);
                        continue;
                }
                if (must_wait(conn) || (n == 1 && lone_leaves(&conn->lone)))
                        is_dry = true;
                else if (!receive_one(conn, left, &more, &is_dry))
                        return CONN_ENDED;
                n += !is_dry;
        }
        lone_note(&conn->lone, n);
        *ret_work = core_work(s->core) - begin + more;
        return is_dry ? CONN_DRY : CONN_READY;
}
