/* Design note. The input is what three clients do to one broker core: each step is a byte that says
 * who and what, and what it needs from the bytes behind it. Some steps send well-formed frames with
 * chosen fields, so that short inputs reach far; others send raw bytes as a packet. Limits are
 * small, so that everything fills up.
 *
 * After each call the core's own invariants must hold, and what it sends must be what PROTOCOL.md
 * allows: whole frames, publications under a DELIVERY, numbers without holes, descriptors alone. */
#include "broker/core/core.h"
#include "proto/wire/limits.h"
#include "proto/wire/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLIENTS = 3 };

struct client {
        struct session_id id;
        bool is_open;
        size_t room;
        uint64_t last_id, last_seq, token;
        uint32_t last_sub;
};

struct play {
        const uint8_t *at, *end;
        struct core *core;
        uint64_t now_ns;
        struct buf packet;
        struct client clients[CLIENTS];
};

static void must(bool condition)
{
        if (!condition)
                abort();
}

static uint8_t next(struct play *p)
{
        return p->at < p->end ? *p->at++ : 0;
}

static void check(const struct play *p)
{
        const char *why = core_check(p->core);

        if (why) {
                fprintf(stderr, "core_check: %s\n", why);
                abort();
        }
}

/* ----------------------------------------------------------------- output */

static void read_delivery(struct client *c, const struct frame *f, struct msg_delivery *d)
{
        must(message_decode_delivery(f, d) == 0);
        must(d->seq == c->last_seq + 1);
        if (d->token)
                c->token = d->token;
}

static void read_packet(struct client *c, const uint8_t *at, size_t len, const struct fdset *fds)
{
        const uint8_t *end = at + len;
        struct frame f;
        struct msg_delivery d = {0};
        struct message m;
        size_t n_pubs = 0, n_others = 0;

        must(len > 0 && len <= WIRE_PACKET_BYTES);
        while (at < end) {
                must(scan_frame(&at, end, &f) == 0);
                if (f.type == WIRE_DELIVERY) {
                        read_delivery(c, &f, &d);
                } else if (f.type == WIRE_PUB) {
                        must(d.seq > 0 && message_decode(&f, &m) == 0);
                        must(m.pub.n_fds - d.withheld == fdset_n(fds));
                        c->last_seq++;
                        n_pubs++;
                } else {
                        must(message_decode(&f, &m) == 0);
                        n_others++;
                }
        }
        must(!fds || (n_pubs == 1 && n_others == 0));
}

static enum core_out send_packet(struct client *c, const struct core_packet *packet)
{
        static uint8_t bytes[WIRE_PACKET_BYTES];
        size_t len = 0;

        if (packet->fds && (c->room & 1))
                return CORE_OUT_NO_FDS;
        if (packet->len > c->room)
                return CORE_OUT_FULL;
        c->room -= packet->len;
        for (size_t i = 0; i < packet->n_iov; i++) {
                must(len + packet->iov[i].iov_len <= sizeof(bytes));
                memcpy(bytes + len, packet->iov[i].iov_base, packet->iov[i].iov_len);
                len += packet->iov[i].iov_len;
        }
        must(len == packet->len);
        read_packet(c, bytes, len, packet->fds);
        return CORE_OUT_SENT;
}

static void close_client(struct play *p, struct client *c)
{
        core_close(p->core, c->id, p->now_ns);
        check(p);
        *c = (struct client){.is_open = false};
}

static void flush_client(struct play *p, struct client *c)
{
        struct core_packet packet;

        while (core_out_build(p->core, c->id, &packet)) {
                enum core_out how = send_packet(c, &packet);
                core_out_done(p->core, c->id, how, p->now_ns);
                check(p);
                if (how != CORE_OUT_FULL)
                        continue;
                if (core_is_ending(p->core, c->id))
                        close_client(p, c);
                return;
        }
        if (core_is_over(p->core, c->id))
                close_client(p, c);
}

static void flush(struct play *p)
{
        struct session_id id;

        while (core_next(p->core, &id)) {
                struct client *c = p->clients;
                while (c->id.slot != id.slot || c->id.generation != id.generation)
                        must(++c < p->clients + CLIENTS);
                must(c->is_open);
                flush_client(p, c);
        }
}

/* ------------------------------------------------------------------ input */

static struct slice text(const char *s)
{
        return (struct slice){(const uint8_t *)s, strlen(s)};
}

static struct slice topic_of(uint8_t n)
{
        static const char *const topics[] = {"a", "a.b", "b", "_a", "$sys.status", "", "a..b", "*",
                "a.*", ">", "a.>", "*.b", "a.b.c", "_a.>", "$sys.x", "b.c.d.e.f.g"};

        return text(topics[n % ARRAY_LEN(topics)]);
}

static void say(struct play *p, const struct message *m)
{
        must(message_encode(&p->packet, m) == 0);
}

static void say_pub(struct play *p, struct slice topic, uint32_t n_fds, uint8_t how)
{
        static uint8_t payload[30000];
        size_t len = how & 1 ? 20 : how & 2 ? sizeof(payload) : 0;

        say(p, &(struct message){.type = WIRE_PUB,
                       .pub = {.n_fds = n_fds, .topic = topic, .payload = {payload, len}}});
}

static void say_sub(struct play *p, struct client *c)
{
        uint8_t how = next(p);

        say(p, &(struct message){.type = WIRE_SUB,
                       .sub = {.id = ++c->last_id,
                               .sub = ++c->last_sub,
                               .filter = topic_of(how & 15),
                               .observer = how >> 6 == 1,
                               .max_fds = how >> 4 & 3}});
}

static void say_pubs(struct play *p, struct client *c)
{
        uint8_t how = next(p), topics = next(p);
        uint32_t n = 1 + (how >> 4 & 3);

        if (how & 15)
                say(p, &(struct message){.type = WIRE_INGRESS,
                               .ingress = {.flags = how & 15, .id = c->last_id + 1}});
        if (how & WIRE_INGRESS_CONFIRM)
                c->last_id += n;
        for (uint32_t i = 0; i < n; i++)
                say_pub(p, topic_of(i & 1 ? topics >> 4 : topics & 15), 0, how >> 6);
}

static void say_request(struct play *p, struct client *c)
{
        uint8_t how = next(p);

        say(p, &(struct message){.type = WIRE_REQUEST,
                       .request = {.id = ++c->last_id, .timeout_ms = (how >> 4) * 100}});
        say_pub(p, topic_of(how & 15), 0, 0);
}

static void say_reply(struct play *p, struct client *c)
{
        uint8_t how = next(p);

        say(p, &(struct message){.type = WIRE_REPLY,
                       .reply = {.token = c->token - (how >> 6),
                               .flags = how & 0x1c,
                               .id = how & 1 ? ++c->last_id : 0}});
        say_pub(p, how & 2 ? topic_of(how >> 5) : text(""), 0, how >> 5);
}

/* Bytes as they are: a length and a packet. */
static void say_raw(struct play *p)
{
        size_t n = next(p);

        n = size_min(n, (size_t)(p->end - p->at));
        must(buf_push(&p->packet, p->at, n) == 0);
        p->at += n;
}

static void say_one(struct play *p, struct client *c, uint8_t what)
{
        switch (what) {
        case 0:
                say_sub(p, c);
                break;
        case 1:
                say(p, &(struct message){.type = WIRE_UNSUB,
                               .unsub = {.id = ++c->last_id, .sub = 1 + next(p) % 8}});
                break;
        case 2:
                say_pubs(p, c);
                break;
        case 3:
                say_request(p, c);
                break;
        case 4:
                say_reply(p, c);
                break;
        case 5:
                say(p, &(struct message){.type = WIRE_CANCEL,
                               .number = c->last_id - size_min(c->last_id, next(p) % 4)});
                break;
        case 6:
                say(p, &(struct message){.type = next(p) & 1 ? WIRE_PING : WIRE_PONG});
                break;
        default:
                say_raw(p);
        }
}

/* Gives the packet to the core, in a block of its own size. */
static void feed(struct play *p, struct client *c, uint32_t n_fds)
{
        size_t len = size_min(p->packet.len, WIRE_PACKET_BYTES);
        int none[4] = {-1, -1, -1, -1}; /* closing these is nothing */
        struct fdset *fds = NULL;
        uint8_t *exact = malloc(len);

        must(exact || !len);
        if (len) {
                memcpy(exact, p->packet.data, len);
                if (n_fds)
                        must(fdset_new_take(none, n_fds, NULL, &fds) == 0);
                core_input(p->core, c->id, exact, len, fds, p->now_ns);
                check(p);
        }
        free(exact);
        buf_clear(&p->packet);
}

static void say_packet(struct play *p, struct client *c, uint8_t what)
{
        if (what < 8) {
                say_one(p, c, what);
        } else { /* two frames in a packet */
                say_one(p, c, what & 7);
                say_one(p, c, next(p) & 7);
        }
        feed(p, c, 0);
}

static void say_fds(struct play *p, struct client *c)
{
        uint8_t how = next(p);

        if (how & 16)
                say(p, &(struct message){.type = WIRE_INGRESS, .ingress = {.flags = 4}});
        if (how & 32)
                say(p, &(struct message){.type = WIRE_REQUEST, .request = {.id = ++c->last_id}});
        say_pub(p, topic_of(how & 1), 1 + (how >> 1 & 1), how >> 6);
        if (how & 8)
                say_raw(p);
        feed(p, c, 1 + (how >> 2 & 1));
}

static void open_client(struct play *p, struct client *c, bool hello)
{
        struct core_peer peer = {.pid = 1, .uid = 1000, .gid = 1000};

        *c = (struct client){.is_open = true, .room = 1 << 20};
        must(core_open(p->core, &peer, p->now_ns, &c->id) == 0);
        check(p);
        flush(p);
        if (!c->is_open || !hello)
                return;
        say(p, &(struct message){
                       .type = WIRE_HELLO, .hello = {.version = 1, .name = text("fuzz")}});
        feed(p, c, 0);
        flush(p);
}

static void step(struct play *p)
{
        uint8_t byte = next(p);
        struct client *c = &p->clients[byte % CLIENTS];
        uint8_t what = byte / CLIENTS % 32;

        if (!c->is_open) {
                open_client(p, c, what != 31);
        } else if (what < 16) {
                say_packet(p, c, what);
        } else if (what < 20) {
                say_fds(p, c);
        } else if (what < 23) {
                c->room = (size_t)next(p) * next(p);
                core_writable(p->core, c->id);
                check(p);
        } else if (what < 25) {
                p->now_ns += (uint64_t)next(p) * 10000000;
                core_tick(p->core, p->now_ns);
                check(p);
        } else if (what == 25) {
                close_client(p, c);
        } else if (what == 26) {
                say(p, &(struct message){.type = WIRE_BYE, .verdict = {.text = text("")}});
                feed(p, c, 0);
        } else if (what == 27 && next(p) == 255) {
                core_shutdown(p->core, p->now_ns);
                check(p);
        }
        if (what & 1)
                flush(p);
}

static void set_limits(struct core_limits *limits)
{
        core_limits_default(limits);
        limits->window_bytes = 4 * WIRE_PACKET_BYTES;
        limits->queue_bytes = WIRE_PACKET_BYTES;
        limits->queue_messages = 3;
        limits->control_bytes = 4096;
        limits->requests = 3;
        limits->subscriptions = 5;
        limits->sessions = 4;
        limits->routes = 2;
        limits->match_nodes = 17;
        limits->stall_ms = limits->drain_ms = limits->handshake_ms = 1000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct play p = {.at = data, .end = data + size, .now_ns = 1};
        struct core_config config = {
                .seed = 1, .name = "fuzz", .self = {.uid = 1000}, .rights = 0xff};

        set_limits(&config.limits);
        must(core_new(&config, p.now_ns, &p.core) == 0);
        while (p.at < p.end)
                step(&p);
        flush(&p);
        core_free(p.core);
        buf_deinit(&p.packet);
        return 0;
}
