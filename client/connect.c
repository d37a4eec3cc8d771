/* Design note. The public ways to a connection and out of it. A blocking one takes the steps of
 * join.c one after the other, sleeping in between; what an earlier connection has left is
 * dispatched first, so that messages of two never lie side by side. */
#include "client/connect.h"

#include "client/kept.h"
#include "client/stay.h"

#include "proto/link/dgram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int parse(struct baton *b, const char *text, struct address *list, size_t *ret_n)
{
        struct address_why why = {.text = ""};
        int r = text ? address_parse_list(text, ADDRESS_CLIENT, list, LIMIT_ADDRESSES, ret_n, &why)
                     : address_defaults(ADDRESS_CLIENT, list, LIMIT_ADDRESSES, ret_n, &why);

        return r ? handle_fail(b, -EINVAL, "address: %s", why.text) : 0;
}

/* Dispatches what is left of a session that is over. */
static int run_out(struct baton *b)
{
        while (!b->dispatching && !b->freed && !list_is_empty(&b->queue)) {
                int r = in_run(b);
                if (r < 0)
                        return r;
        }
        return b->freed ? -ENOTCONN : 0;
}

static int finish_old(struct baton *b)
{
        if (b->link || b->dgram)
                return handle_fail(b, -EISCONN, "connected already");
        if (b->join)
                return handle_fail(b, -EISCONN, "connecting already");
        int r = run_out(b);
        if (r == 0)
                b->loss = 0; /* nobody need be told any more */
        return r;
}

int connect_forget_old(struct baton *b)
{
        struct in *in = &b->in;

        handle_drop_packets(b);
        if (!b->stay)
                subs_clear(b);
        b->epoch++;
        b->leaving = b->said_bye = false;
        b->loss = 0;
        b->loss_code = 0;
        b->loss_text[0] = '\0';
        in->owed_fds = 0;
        in->current_sub = in->answered = 0;
        in->view = NULL;
        in->held_id = 0;
        assembly_deinit(&in->assembly);
        if (!in->packet && !(in->packet = malloc(sizeof(struct packet) + WIRE_PACKET_BYTES)))
                return -ENOMEM;
        *in->packet = (struct packet){.item.is_packet = true};
        return 0;
}

/* ---------------------------------------------------------------- connecting */

static int begin(struct baton *b, const char *addresses, int timeout_ms)
{
        uint64_t until_ns = clock_deadline(timeout_ms);
        struct address list[LIMIT_ADDRESSES];
        size_t n = 0;
        int r = finish_old(b);

        if (r < 0)
                return r;
        if (!addresses && (r = adopt_inherited(b, until_ns)) != ADOPT_E_NONE)
                return r;
        if ((r = parse(b, addresses, list, &n)) < 0)
                return r;
        if (b->stay)
                b->stay->tries = 0;
        return join_new(b, list, n, until_ns);
}

/* Returns as baton_connect. */
static int join_whole(struct baton *b)
{
        int r;

        while ((r = join_step(b)) == JOIN_E_AGAIN) {
                r = handle_doze(b, UINT64_MAX);
                if (r < 0 && r != -EINTR)
                        return handle_fail(b, r, "poll: %s", strerror(-r));
        }
        return r;
}

static int connect_to(struct baton *b, const char *addresses, int timeout_ms)
{
        int r = begin(b, addresses, timeout_ms);

        return r < 0 ? r : join_whole(b);
}

int baton_connect(baton *b, const char *addresses, int timeout_ms)
{
        handle_enter(b);
        return handle_leave(b, connect_to(b, addresses, timeout_ms));
}

static int connect_start(
        struct baton *b, const char *addresses, int timeout_ms, baton_done_fn done, void *arg)
{
        struct op *op;
        int r = ops_new(b, OP_CONNECT, &op);

        if (r < 0)
                return r;
        op->done = done;
        op->arg = arg;
        r = begin(b, addresses, timeout_ms);
        if (r < 0)
                op_drop(b, op);
        else
                b->join->op = op;
        return r;
}

int baton_connect_start(
        baton *b, const char *addresses, int timeout_ms, baton_done_fn done, void *arg)
{
        handle_enter(b);
        return handle_leave(b, connect_start(b, addresses, timeout_ms, done, arg));
}

static int connect_fd(struct baton *b, int fd, int timeout_ms)
{
        int r = finish_old(b);

        if (r < 0) {
                close(fd);
                return r;
        }
        r = adopt(b, fd, clock_deadline(timeout_ms));
        return r < 0 ? r : join_whole(b);
}

int baton_connect_fd(baton *b, int fd, int timeout_ms)
{
        handle_enter(b);
        return handle_leave(b, connect_fd(b, fd, timeout_ms));
}

static int adopt_link(struct baton *b, struct link *link, const char *address, int timeout_ms)
{
        static const struct cred nobody;
        int r = finish_old(b);

        if (r < 0) {
                link_free(link);
                return r;
        }
        r = join_new_link(b, link, &nobody, false, address, clock_deadline(timeout_ms));
        return r < 0 ? r : join_whole(b);
}

int handle_adopt_link(baton *b, struct link *link, const char *address, int timeout_ms)
{
        handle_enter(b);
        return handle_leave(b, adopt_link(b, link, address, timeout_ms));
}

/* ---------------------------------------------------------------- closing */

enum { CLOSE_E_GO = 1 };

/* Away, or not there yet. What was kept is worth waiting for. Returns CLOSE_E_GO it is connected ·
 * 0 nothing was to be sent · as baton_close. */
static int close_away(struct baton *b, uint64_t deadline_ns)
{
        struct verdict v = {-ENOTCONN, 0, "closed before it could be sent"};
        int r = 0;

        while (r == 0 && !b->freed && b->join && !kept_is_empty(b))
                r = handle_await(b, deadline_ns, true);
        if (b->freed || !b->join)
                return b->freed ? -ENOTCONN : CLOSE_E_GO;
        join_end(b, &v);
        ops_end_all(b, &v);
        return r;
}

/* Everything that is to be sent, and good-bye. */
static int say_bye(struct baton *b, uint64_t deadline_ns)
{
        struct message bye = {.type = WIRE_BYE};
        int r = handle_check(b);

        if (r < 0)
                return r;
        const struct sub *s = subs_find(b, b->in.current_sub);
        if (s) /* the callback that closes has done its work */
                subs_settle(b, s);
        large_leave(b);
        if ((r = kept_drain(b, deadline_ns)) < 0 || (r = out_drain(b, deadline_ns)) < 0 ||
                (r = out_control(b, &bye)) < 0)
                return r;
        return out_drain(b, deadline_ns);
}

static int close_connected(struct baton *b, uint64_t deadline_ns)
{
        int r = say_bye(b, deadline_ns);

        b->leaving = true;
        /* Its BYE says that it has taken everything. */
        while (r == 0 && b->link && !b->freed)
                r = handle_await(b, deadline_ns, true);
        if (b->freed)
                return -ENOTCONN;
        bool done = r >= 0 && !b->link && b->said_bye;
        if (r >= 0 && !done && !b->link)
                r = handle_fail_code(b, -ENOTCONN, b->loss_code, b->loss_text);
        handle_lose(b, -ENOTCONN, 0, "closed");
        b->loss = 0;
        return done ? 0 : r;
}

static int close_it(struct baton *b, int timeout_ms)
{
        uint64_t deadline_ns = clock_deadline(timeout_ms);
        int r = CLOSE_E_GO;

        if (b->join)
                r = close_away(b, deadline_ns);
        if (b->dgram) {
                b->dgram = dgram_free(b->dgram);
                r = 0;
        } else if (r == CLOSE_E_GO && (b->link || (r = handle_check(b)) == 0)) {
                r = close_connected(b, deadline_ns);
        }
        if (b->freed)
                return -ENOTCONN;
        stay_close(b);
        int left = run_out(b);
        if (b->freed)
                return -ENOTCONN;
        if (b->stay)
                subs_clear(b);
        return left < 0 ? left : r;
}

int baton_close(baton *b, int timeout_ms)
{
        handle_enter(b);
        return handle_leave(b, close_it(b, timeout_ms));
}
