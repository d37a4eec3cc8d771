/* Design note. The addresses are tried in turn, all under one deadline; the first with a broker
 * that may be trusted and that says WELCOME is taken. Why the others were not is kept in one line:
 * it is the error if none is left, and else told to the log. */
#include "client/handle.h"

#include "proto/link/address.h"
#include "proto/link/connect.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
        /* Milliseconds before a listener with a full backlog is tried again, at first and at most.
         */
        BUSY_FIRST_MS = 1,
        BUSY_MOST_MS = 50,
};

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

/* ---------------------------------------------------------------- the handshake */

/* What came instead of WELCOME. */
struct refusal {
        int error;
        unsigned code;
        char text[WIRE_TEXT_BYTES + 1];
};

static int refuse(struct refusal *why, int error, const char *text)
{
        *why = (struct refusal){.error = error};
        snprintf(why->text, sizeof(why->text), "%s", text);
        return error;
}

static int refuse_bye(struct refusal *why, const struct msg_verdict *bye)
{
        switch (bye->code) {
        case WIRE_CODE_REFUSED:
                why->error = -EACCES;
                break;
        case WIRE_CODE_PROTOCOL:
        case WIRE_CODE_VERSION:
                why->error = -EPROTO;
                break;
        default:
                why->error = -ECONNREFUSED;
        }
        why->code = (unsigned)bye->code;
        code_text(bye, why->text);
        return why->error;
}

static int say_hello(struct baton *b, struct link *link, struct refusal *why)
{
        struct message hello = {
                .type = WIRE_HELLO,
                .hello = {.version = WIRE_VERSION,
                        .name = {(const uint8_t *)b->name, strlen(b->name)}},
        };

        buf_clear(&b->frame);
        if (message_encode(&b->frame, &hello) < 0)
                return refuse(why, -ENOMEM, "out of memory");
        struct iovec iov = {b->frame.data, b->frame.len};
        int r = link_send(link, &iov, 1, NULL);
        /* One that is gone may have said why: it is read. */
        if (r && r != LINK_E_GONE)
                return refuse(why, r < 0 ? r : -ECONNREFUSED, "HELLO could not be sent");
        return 0;
}

static int take_welcome(struct baton *b, const struct msg_welcome *w, struct refusal *why)
{
        struct facts *f = &b->facts;

        if (w->version != WIRE_VERSION || w->instance.len != WIRE_INSTANCE_BYTES)
                return refuse(why, -EPROTO, "the broker speaks another version");
        int r = out_begin(b, w->window);
        if (r < 0)
                return refuse(why, r, "out of memory");
        f->session = w->session;
        f->rights = w->rights;
        memcpy(f->instance, w->instance.data, WIRE_INSTANCE_BYTES);
        f->n_limits = 0;
        for (uint32_t i = 0; i < w->n_limits; i++) {
                const struct msg_limit *from = &w->limits[i];
                if (from->name.len >= sizeof(f->limits[0].name))
                        continue;
                snprintf(f->limits[f->n_limits].name, sizeof(f->limits[0].name), "%.*s",
                        (int)from->name.len, (const char *)from->name.data);
                f->limits[f->n_limits++].value = from->value;
        }
        return 0;
}

/* Reads the first frame of the packet; `*ret_rest` points behind it. */
static int read_welcome(
        struct baton *b, const struct packet *p, struct refusal *why, const uint8_t **ret_rest)
{
        const uint8_t *at = p->data;
        struct message m;
        struct frame f;

        int r = p->fds || scan_frame(&at, p->data + p->len, &f) ? -EPROTO : message_decode(&f, &m);
        if (r == -ENOMEM)
                return refuse(why, r, "out of memory");
        if (r)
                return refuse(why, -EPROTO, "this is no broker: malformed greeting");
        if (m.type == WIRE_BYE)
                return refuse_bye(why, &m.verdict);
        if (m.type != WIRE_WELCOME)
                return refuse(why, -EPROTO, "this is no broker: no WELCOME");
        *ret_rest = at;
        return take_welcome(b, &m.welcome, why);
}

static int hear_welcome(struct baton *b, struct link *link, uint64_t deadline_ns,
        struct refusal *why, const uint8_t **ret_rest)
{
        struct packet *p = b->in.packet;

        for (;;) {
                int r = link_recv(link, p->data, WIRE_PACKET_BYTES, &p->len, &p->fds);
                switch (r) {
                case 0:
                        return read_welcome(b, p, why, ret_rest);
                case LINK_E_AGAIN:
                        break;
                case LINK_E_EOF:
                        return refuse(why, -ECONNREFUSED, "the broker closed the connection");
                default:
                        return refuse(why, r < 0 ? r : -EPROTO, "receiving the greeting failed");
                }
                r = link_wait(link, POLLIN, clock_left_ms(deadline_ns));
                if (r == LINK_E_AGAIN)
                        return refuse(why, -ETIMEDOUT, "no greeting from the broker in time");
                if (r < 0 && r != -EINTR)
                        return refuse(why, r, strerror(-r));
        }
}

/* Nothing of the old session lives on in the new one. */
static int forget_session(struct baton *b)
{
        handle_drop_packets(b);
        subs_clear(b);
        b->epoch++;
        b->leaving = b->said_bye = false;
        b->loss = 0;
        b->loss_code = 0;
        b->loss_text[0] = '\0';
        b->in.owed_fds = 0;
        b->in.ack_first = 0;
        b->in.view = NULL;
        if (!b->in.packet && !(b->in.packet = malloc(sizeof(struct packet) + WIRE_PACKET_BYTES)))
                return -ENOMEM;
        *b->in.packet = (struct packet){.item.is_packet = true};
        return 0;
}

/* Owns `link`, also when it fails. */
static int shake_hands(struct baton *b, struct link *link, const char *address,
        uint64_t deadline_ns, struct refusal *why)
{
        cleanup_(link_freep) struct link *l = link;
        const uint8_t *rest = NULL;
        int r = forget_session(b);

        if (r < 0)
                return refuse(why, r, "out of memory");
        r = say_hello(b, l, why);
        if (!r)
                r = hear_welcome(b, l, deadline_ns, why, &rest);
        struct packet *p = b->in.packet;
        if (r < 0) {
                p->fds = fdset_unref(p->fds);
                return r;
        }
        snprintf(b->facts.address, sizeof(b->facts.address), "%s", address);
        b->link = take_ptr(l);
        /* What follows WELCOME in its packet is dealt with as any other. */
        p->len -= (size_t)(rest - p->data);
        memmove(p->data, rest, p->len);
        in_keep(b);
        return 0;
}

/* ---------------------------------------------------------------- addresses */

static void rest_a_while(int *ms, uint64_t deadline_ns)
{
        int left = clock_left_ms(deadline_ns);
        int now = left >= 0 && left < *ms ? left : *ms;
        struct timespec ts = {.tv_nsec = (long)now * 1000000};

        nanosleep(&ts, NULL);
        *ms = *ms * 2 > BUSY_MOST_MS ? BUSY_MOST_MS : *ms * 2;
}

static int errno_of_outcome(int r)
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
        int ms = BUSY_FIRST_MS, r;

        while ((r = link_connect(a, NULL, &link, &broker, &why)) == LINK_E_BUSY &&
                clock_left_ms(deadline_ns) != 0)
                rest_a_while(&ms, deadline_ns);
        if (r)
                return refuse(ret_why, errno_of_outcome(r), why.text);
        r = shake_hands(b, link, address_format(a, text), deadline_ns, ret_why);
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

static int finish_old(struct baton *b)
{
        return b->link ? handle_fail(b, -EISCONN, "connected already") : run_out(b);
}

static int connect_to(struct baton *b, const char *addresses, int timeout_ms)
{
        struct address list[LIMIT_ADDRESSES];
        size_t n = 0;
        int r = finish_old(b);

        if (r < 0 || (r = parse(b, addresses, list, &n)) < 0)
                return r;
        return try_all(b, list, n, clock_deadline(timeout_ms));
}

int baton_connect(baton *b, const char *addresses, int timeout_ms)
{
        handle_enter(b);
        return handle_leave(b, connect_to(b, addresses, timeout_ms));
}

int baton_adopt_link(baton *b, struct link *link, const char *address, int timeout_ms)
{
        struct refusal why = {.text = ""};

        handle_enter(b);
        int r = finish_old(b);
        if (r < 0) {
                link_free(link);
                return handle_leave(b, r);
        }
        r = shake_hands(b, link, address, clock_deadline(timeout_ms), &why);
        if (r < 0) {
                struct skipped skipped = {.text = ""};
                skip(&skipped, address, r, why.code, why.text);
                handle_fail_code(b, r, why.code, skipped.text);
        }
        return handle_leave(b, r);
}

static int close_it(struct baton *b, int timeout_ms)
{
        uint64_t deadline_ns = clock_deadline(timeout_ms);
        struct message bye = {.type = WIRE_BYE};
        int r = handle_check(b);

        if (r < 0)
                return r;
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
