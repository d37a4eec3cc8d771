/* Design note. The addresses are tried in turn, all under one deadline; the first with a broker
 * that may be trusted and that says WELCOME is taken. Why the others were not is kept in one line:
 * it is the error if none is left, and else told to the log. */
#include "client/connect.h"

#include "proto/link/connect.h"
#include "proto/link/dgram.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Why nothing was connected so far. */
struct skipped {
        char text[HANDLE_TEXT_BYTES];
        int error;
        unsigned code;
};

/* The more a reason tells, the higher it ranks. */
static int rank(int error)
{
        return error == -EACCES ? 3 : error == -EPROTO ? 2 : 1;
}

static void skip(struct skipped *s, const char *address, int error, unsigned code, const char *why)
{
        size_t len = strlen(s->text);

        snprintf(s->text + len, sizeof(s->text) - len, "%s%s: %s", len ? "; " : "", address, why);
        if (s->error && rank(error) <= rank(s->error))
                return;
        s->error = error;
        s->code = code;
}

/* ---------------------------------------------------------------- addresses */

void connect_rest(int *ms, uint64_t deadline_ns)
{
        int left = clock_left_ms(deadline_ns);
        int now = left >= 0 && left < *ms ? left : *ms;
        struct timespec ts = {.tv_nsec = (long)now * 1000000};

        nanosleep(&ts, NULL);
        *ms = *ms * 2 > CONNECT_REST_MOST_MS ? CONNECT_REST_MOST_MS : *ms * 2;
}

int connect_errno(int r)
{
        if (r < 0)
                return r;
        switch (r) {
        case LINK_E_DENIED:
                return -EACCES;
        case LINK_E_BUSY:
                return -ETIMEDOUT;
        default:
                return -ECONNREFUSED;
        }
}

static int try_address(
        struct baton *b, const struct address *a, uint64_t deadline_ns, struct refusal *ret_why)
{
        char text[ADDRESS_TEXT];
        struct link *link;
        struct cred broker;
        struct link_why why;
        int ms = CONNECT_REST_FIRST_MS, r;

        if (a->transport == TRANSPORT_DGRAM)
                return datagram_open(b, a, deadline_ns, ret_why);
        while ((r = link_connect(a, NULL, &link, &broker, &why)) == LINK_E_BUSY &&
                clock_left_ms(deadline_ns) != 0)
                connect_rest(&ms, deadline_ns);
        if (r)
                return refuse(ret_why, connect_errno(r), why.text);
        r = hello_shake_hands(b, link, false, address_format(a, text), deadline_ns, ret_why);
        if (r == 0)
                b->facts.broker = broker;
        return r;
}

static int parse(struct baton *b, const char *text, struct address *list, size_t *ret_n)
{
        struct address_why why = {.text = ""};
        int r = text ? address_parse_list(text, ADDRESS_CLIENT, list, LIMIT_ADDRESSES, ret_n, &why)
                     : address_defaults(ADDRESS_CLIENT, list, LIMIT_ADDRESSES, ret_n, &why);

        return r ? handle_fail(b, -EINVAL, "address: %s", why.text) : 0;
}

static int try_all(struct baton *b, const struct address *list, size_t n, uint64_t deadline_ns)
{
        struct skipped skipped = {.text = ""};
        struct refusal why = {.text = ""};
        char text[ADDRESS_TEXT];

        for (size_t i = 0; i < n; i++) {
                int r = try_address(b, &list[i], deadline_ns, &why);
                if (r == 0) {
                        if (skipped.text[0])
                                handle_log(b, "skipped: %s", skipped.text);
                        return 0;
                }
                skip(&skipped, address_format(&list[i], text), r, why.code, why.text);
                /* Out of time or memory: the next would fare no better. */
                if (r != -ECONNREFUSED && r != -EACCES && r != -EPROTO)
                        return handle_fail_code(b, r, why.code, skipped.text);
        }
        return handle_fail_code(b, skipped.error, skipped.code, skipped.text);
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

int connect_finish_old(struct baton *b)
{
        return b->link || b->dgram ? handle_fail(b, -EISCONN, "connected already") : run_out(b);
}

int connect_forget_old(struct baton *b)
{
        struct in *in = &b->in;

        handle_drop_packets(b);
        subs_clear(b);
        b->epoch++;
        b->leaving = b->said_bye = false;
        b->loss = 0;
        b->loss_code = 0;
        b->loss_text[0] = '\0';
        in->owed_fds = 0;
        in->ack_first = 0;
        in->view = NULL;
        in->held_id = 0;
        assembly_deinit(&in->assembly);
        if (!in->packet && !(in->packet = malloc(sizeof(struct packet) + WIRE_PACKET_BYTES)))
                return -ENOMEM;
        *in->packet = (struct packet){.item.is_packet = true};
        return 0;
}

static int connect_to(struct baton *b, const char *addresses, int timeout_ms)
{
        uint64_t deadline_ns = clock_deadline(timeout_ms);
        struct address list[LIMIT_ADDRESSES];
        size_t n = 0;
        int r = connect_finish_old(b);

        if (r < 0)
                return r;
        if (!addresses && (r = adopt_inherited(b, deadline_ns)) != ADOPT_E_NONE)
                return r;
        if ((r = parse(b, addresses, list, &n)) < 0)
                return r;
        return try_all(b, list, n, deadline_ns);
}

int baton_connect(baton *b, const char *addresses, int timeout_ms)
{
        handle_enter(b);
        return handle_leave(b, connect_to(b, addresses, timeout_ms));
}

static int close_it(struct baton *b, int timeout_ms)
{
        uint64_t deadline_ns = clock_deadline(timeout_ms);
        struct message bye = {.type = WIRE_BYE};

        if (b->dgram) {
                b->dgram = dgram_free(b->dgram);
                return run_out(b);
        }
        int r = handle_check(b);
        if (r < 0)
                return r;
        large_leave(b);
        if ((r = out_drain(b, deadline_ns)) < 0 || (r = out_control(b, &bye)) < 0 ||
                (r = out_drain(b, deadline_ns)) < 0) {
                handle_lose(b, -ENOTCONN, 0, "closed");
                return r;
        }
        b->leaving = true;
        /* Its BYE says that it has taken everything. */
        while (r == 0 && b->link && !b->freed)
                r = handle_await(b, deadline_ns, true);
        if (b->freed)
                return -ENOTCONN;
        bool done = !b->link && b->said_bye;
        if (!done && !b->link)
                r = handle_fail_code(b, -ENOTCONN, b->loss_code, b->loss_text);
        handle_lose(b, -ENOTCONN, 0, "closed");
        b->loss = 0;
        int left = run_out(b);
        return left < 0 ? left : done ? 0 : r;
}

int baton_close(baton *b, int timeout_ms)
{
        handle_enter(b);
        return handle_leave(b, close_it(b, timeout_ms));
}
