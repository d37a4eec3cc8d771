/* Design note. The fake does what the real shell does, in the same order: all input of a turn, then
 * one flush of whoever is dirty; a full socket is tried again only after core_writable; a session
 * that is ending gets a last chance to say BYE and is closed. Sockets are a number: the bytes they
 * still take. */
#include "broker/core/fake.h"

#include "tests/harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYE_ROOM_BYTES = 8192 };

static void enter(const struct fake *f)
{
        if (f->inside)
                f->inside(true);
}

static void leave(const struct fake *f)
{
        if (f->inside)
                f->inside(false);
        fake_check(f);
}

void fake_check(const struct fake *f)
{
        const char *why = core_check(f->core);

        if (why)
                fail_msg("core_check: %s", why);
}

/* ------------------------------------------------------------------- life */

static void set_limits(struct core_limits *limits, const char *text)
{
        char name[32];
        unsigned long long value;
        uint64_t least;
        int n;

        for (; sscanf(text, " %31[a-z_]=%llu%n", name, &value, &n) == 2; text += n)
                CHECK_EQ(core_limits_set(limits, name, value, &least), 0);
        CHECK_STR(text, "");
}

void fake_init_with(struct fake *f, const char *limits)
{
        struct fake fresh = {
                .now_ns = UINT64_C(1000000000000),
                .config = {.seed = 1,
                        .instance = "fake-instance-01",
                        .name = "baton test",
                        .self = {.pid = 1, .uid = 1000, .gid = 1000},
                        .rights = 0xff},
        };

        *f = fresh;
        core_limits_default(&f->config.limits);
        set_limits(&f->config.limits, limits);
        CHECK_EQ(core_new(&f->config, f->now_ns, &f->core), 0);
}

void fake_init(struct fake *f)
{
        fake_init_with(f, "");
}

void fake_forget(struct client *c)
{
        while (fake_next(c))
                ;
}

static void free_client(struct client *c)
{
        fake_forget(c);
        buf_deinit(&c->packet);
        free(c);
}

void fake_deinit(struct fake *f)
{
        f->core = core_free(f->core);
        fdset_bury(graveyard_take(&f->yard));
        for (size_t i = 0; i < f->n_clients; i++)
                free_client(f->clients[i]);
        free(f->clients);
}

static struct client *new_client(struct fake *f)
{
        struct client *c = calloc(1, sizeof(*c));

        if (f->n_clients == f->cap) {
                f->cap = f->cap * 2 + 16;
                f->clients = realloc(f->clients, f->cap * sizeof(struct client *));
        }
        if (!c || !f->clients)
                abort();
        c->fake = f;
        c->room = SIZE_MAX;
        f->clients[f->n_clients++] = c;
        return c;
}

struct client *fake_connect_as(struct fake *f, const struct core_peer *peer)
{
        struct client *c = new_client(f);

        enter(f);
        int r = core_open(f->core, peer, f->now_ns, &c->id);
        leave(f);
        c->is_gone = r < 0; /* without memory: for tests that take it away */
        fake_flush(f);
        return c;
}

struct client *fake_connect(struct fake *f)
{
        struct core_peer peer = {.pid = 100 + (int)f->n_clients, .uid = 1000, .gid = 1000};

        return fake_connect_as(f, &peer);
}

struct client *fake_open_named(struct fake *f, const char *name)
{
        struct client *c = fake_connect(f);

        if (c->is_gone)
                return c;
        say_hello(c, name);
        fake_go(c);
        if (!f->inside)
                expect(c, WIRE_WELCOME);
        return c;
}

struct client *fake_open(struct fake *f)
{
        return fake_open_named(f, "client");
}

void fake_close(struct client *c)
{
        struct fake *f = c->fake;

        if (c->is_gone)
                return;
        c->is_gone = true;
        enter(f);
        core_close(f->core, c->id, f->now_ns);
        leave(f);
        fake_flush(f);
}

/* ------------------------------------------------------------------ input */

void fake_feed_fds(struct client *c, struct fdset *fds)
{
        struct fake *f = c->fake;
        size_t len = c->packet.len;
        uint8_t *exact = malloc(len); /* so that a sanitizer sees a read beyond */

        if (!exact)
                abort();
        memcpy(exact, c->packet.data, len);
        buf_clear(&c->packet);
        enter(f);
        core_input(f->core, c->id, exact, len, fds, f->now_ns);
        leave(f);
        memset(exact, 0xc1, len);
        free(exact);
}

void fake_feed(struct client *c)
{
        fake_feed_fds(c, NULL);
}

void fake_go(struct client *c)
{
        fake_feed(c);
        fake_flush(c->fake);
}

void fake_tick(struct fake *f, uint64_t ms)
{
        f->now_ns += ms * 1000000;
        enter(f);
        core_tick(f->core, f->now_ns);
        leave(f);
        fake_flush(f);
}

void fake_room(struct client *c, size_t bytes)
{
        struct fake *f = c->fake;

        c->room = bytes;
        c->is_full = false;
        enter(f);
        core_writable(f->core, c->id);
        leave(f);
        fake_flush(f);
}

/* ----------------------------------------------------------------- output */

static void record(struct client *c, struct got got, const struct frame *frame)
{
        struct got *g = calloc(1, sizeof(*g) + frame->len + 1);
        struct frame copy;
        const uint8_t *at;

        if (!g)
                abort();
        *g = got;
        g->packet = c->n_packets;
        g->len = frame->len;
        memcpy(g->bytes, frame->data, frame->len);
        at = g->bytes;
        CHECK_EQ(scan_frame(&at, g->bytes + g->len, &copy), 0);
        CHECK_EQ(message_decode(&copy, &g->m), 0);
        if (c->last)
                c->last->next = g;
        else
                c->first = g;
        c->last = g;
}

/* A packet as it is read. */
struct reading {
        struct client *client;
        const struct fdset *fds;
        bool has_delivery, is_first; /* behind a DELIVERY */
        struct msg_delivery delivery;
        size_t n_pubs, n_others;
};

static void read_pub(struct reading *r, const struct frame *frame)
{
        struct client *c = r->client;
        struct msg_pub pub;

        CHECK(r->has_delivery);
        CHECK_EQ(message_decode_pub(frame, &pub), 0);
        CHECK_EQ(r->delivery.seq, c->last_seq + 1);
        CHECK_EQ(pub.n_fds - r->delivery.withheld, fdset_n(r->fds));
        record(c,
                (struct got){
                        .leads = r->is_first,
                        .delivery = r->delivery,
                        .n_fds = fdset_n(r->fds),
                        .fd = r->fds ? fdset_fds(r->fds)[0] : -1,
                },
                frame);
        c->last_seq = r->delivery.seq++;
        r->is_first = false;
        r->n_pubs++;
}

static void read_other(struct reading *r, const struct frame *frame)
{
        struct client *c = r->client;
        struct message m;

        CHECK_EQ(message_decode(frame, &m), 0);
        r->n_others++;
        if (m.type == WIRE_WELCOME) {
                c->number = m.welcome.session;
                c->window = m.welcome.window;
        }
        if (m.type == WIRE_CREDIT) {
                CHECK_EQ(m.credit.what, WIRE_CREDIT_PUBLISH);
                c->credited += m.credit.amount;
                c->n_credits++;
                return;
        }
        record(c, (struct got){.fd = -1}, frame);
}

static void read_packet(struct client *c, const uint8_t *at, size_t len, const struct fdset *fds)
{
        struct reading r = {.client = c, .fds = fds};
        const uint8_t *end = at + len;
        struct frame frame;

        CHECK(len > 0 && len <= WIRE_PACKET_BYTES);
        c->n_packets++;
        while (at < end) {
                CHECK_EQ(scan_frame(&at, end, &frame), 0);
                if (frame.type == WIRE_DELIVERY) {
                        CHECK_EQ(message_decode_delivery(&frame, &r.delivery), 0);
                        CHECK(!r.is_first); /* the one before had its publication */
                        r.has_delivery = r.is_first = true;
                } else if (frame.type == WIRE_PUB) {
                        read_pub(&r, &frame);
                } else {
                        read_other(&r, &frame);
                }
        }
        CHECK(!r.is_first);
        if (fds)
                CHECK(r.n_pubs == 1 && r.n_others == 0);
}

static void take_packet(struct client *c, const struct core_packet *packet)
{
        uint8_t *bytes = malloc(packet->len);
        size_t len = 0;

        if (!bytes)
                abort();
        for (size_t i = 0; i < packet->n_iov; i++) {
                memcpy(bytes + len, packet->iov[i].iov_base, packet->iov[i].iov_len);
                len += packet->iov[i].iov_len;
        }
        CHECK_EQ(len, packet->len);
        read_packet(c, bytes, len, packet->fds);
        free(bytes);
}

static enum core_out send_packet(struct client *c, const struct core_packet *packet)
{
        if (packet->fds && c->takes_no_fds)
                return CORE_OUT_NO_FDS;
        if (packet->len > c->room)
                return CORE_OUT_FULL;
        if (c->room != SIZE_MAX)
                c->room -= packet->len;
        take_packet(c, packet);
        return CORE_OUT_SENT;
}

/* Returns true if the socket took all there was. */
static bool send_all(struct client *c)
{
        struct fake *f = c->fake;
        struct core_packet packet;

        for (;;) {
                enter(f);
                bool some = core_out_build(f->core, c->id, &packet);
                leave(f);
                if (!some)
                        return true;
                enum core_out how = send_packet(c, &packet);
                enter(f);
                core_out_done(f->core, c->id, how, f->now_ns);
                leave(f);
                if (how == CORE_OUT_FULL)
                        return false;
        }
}

static void flush_one(struct client *c)
{
        struct fake *f = c->fake;
        CHECK(!c->is_full || core_is_ending(f->core, c->id)); /* it is not named before its time */
        bool all = send_all(c);
        c->is_full = !all;

        if (!all && core_is_ending(f->core, c->id)) {
                c->room += BYE_ROOM_BYTES;
                enter(f);
                core_writable(f->core, c->id);
                leave(f);
                send_all(c);
                fake_close(c);
        } else if (core_is_over(f->core, c->id)) {
                fake_close(c);
        }
}

static struct client *client_of(const struct fake *f, struct session_id id)
{
        for (size_t i = f->n_clients; i-- > 0;) {
                struct client *c = f->clients[i];
                if (!c->is_gone && c->id.slot == id.slot && c->id.generation == id.generation)
                        return c;
        }
        fail_msg("core_next names a session that is none");
        return NULL;
}

void fake_flush(struct fake *f)
{
        struct session_id id;

        while (core_next(f->core, &id))
                flush_one(client_of(f, id));
}
