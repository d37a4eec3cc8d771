/* Design note. The input is what three clients do to one broker core: each step is a byte that says
 * who and what, and what it needs from the bytes behind it. Some steps send well-formed frames with
 * chosen fields, so that short inputs reach far; others send raw bytes as a packet. Limits are
 * small, so that everything fills up.
 *
 * After each call the core's own invariants must hold, what it sends is checked (session_read.c),
 * and when all have gone nothing may be left. */
#include "tests/fuzz/session_play.h"

#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void play_check(const struct play *p)
{
        const char *why = core_check(p->core);

        if (why) {
                fprintf(stderr, "core_check: %s\n", why);
                abort();
        }
}

/* ----------------------------------------------------------------- output */

static enum core_out send_packet(
        const struct play *p, struct client *c, const struct core_packet *packet)
{
        static uint8_t bytes[WIRE_PACKET_BYTES];
        size_t len = 0;

        if (packet->fds && (c->room & 3) == 3)
                return CORE_OUT_NO_FDS;
        if (packet->fds && p->is_scarce)
                return CORE_OUT_SCARCE;
        if (packet->fill_len && p->is_unreadable)
                return CORE_OUT_UNREADABLE;
        if (packet->len > c->room)
                return CORE_OUT_FULL;
        c->room -= packet->len;
        if (packet->fill_len)
                file_read(p, packet);
        for (size_t i = 0; i < packet->n_iov; i++) {
                must(len + packet->iov[i].iov_len <= sizeof(bytes));
                memcpy(bytes + len, packet->iov[i].iov_base, packet->iov[i].iov_len);
                len += packet->iov[i].iov_len;
        }
        must(len == packet->len);
        play_read(c, bytes, len, packet);
        return CORE_OUT_SENT;
}

static void close_client(struct play *p, struct client *c)
{
        core_close(p->core, c->id, p->now_ns);
        play_check(p);
        *c = (struct client){.is_open = false};
}

static void flush_client(struct play *p, struct client *c)
{
        struct core_packet packet;

        while (core_out_build(p->core, c->id, &packet)) {
                enum core_out how = send_packet(p, c, &packet);
                core_out_done(p->core, c->id, how, p->now_ns);
                play_check(p);
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

/* What the packet says about descriptors that were received: also if it was raw. */
static void note_credit(struct client *c, const uint8_t *at, size_t len)
{
        const uint8_t *end = at + len;
        struct message m;
        struct frame f;

        while (at < end && scan_frame(&at, end, &f) == 0) {
                if (f.type != WIRE_CREDIT || message_decode(&f, &m) != 0 ||
                        m.credit.what != WIRE_CREDIT_FDS)
                        continue;
                size_t n = m.credit.amount < c->n_flying ? (size_t)m.credit.amount : c->n_flying;
                c->n_flying -= n;
                memmove(c->flying, c->flying + n, c->n_flying * sizeof(c->flying[0]));
        }
}

/* In a block of its own size. */
void play_feed(struct play *p, struct client *c, uint32_t n_fds, uint64_t sealed_bytes)
{
        size_t len = size_min(p->packet.len, WIRE_PACKET_BYTES);
        int all[] = {-1, -1, -1, -1}; /* closing these is nothing */
        struct fdset *fds = NULL;
        uint8_t *exact = malloc(len);

        must(exact || !len);
        if (len) {
                memcpy(exact, p->packet.data, len);
                if (sealed_bytes)
                        all[n_fds - 1] = file_new(p, sealed_bytes);
                if (n_fds)
                        must(fdset_new_take(all, n_fds, NULL, &fds) == 0);
                note_credit(c, exact, len);
                struct core_arrival a = {.data = exact,
                        .len = len,
                        .fds = fds,
                        .sealed_bytes = sealed_bytes,
                        .budget = len % 3}; /* some in pieces */
                for (size_t n; a.len; a.data = (const uint8_t *)a.data + n, a.len -= n) {
                        n = core_input(p->core, c->id, &a, p->now_ns);
                        a.is_rest = true;
                        must(n > 0);
                        play_check(p);
                }
        }
        free(exact);
        buf_clear(&p->packet);
}

static void open_client(struct play *p, struct client *c, bool hello)
{
        struct core_peer peer = {.pid = 1, .uid = 1000, .gid = 1000};
        struct message m = {
                .type = WIRE_HELLO, .hello = {.version = 1, .name = {(const uint8_t *)"fuzz", 4}}};

        *c = (struct client){.is_open = true, .room = 1 << 20};
        must(core_open(p->core, &peer, NULL, p->now_ns, &c->id) == 0);
        play_check(p);
        flush(p);
        if (!c->is_open || !hello)
                return;
        m.hello.features = c == &p->clients[MEMFD_CLIENT] ? WIRE_FEATURE_MEMFD : 0;
        must(message_encode(&p->packet, &m) == 0);
        play_feed(p, c, 0, 0);
        flush(p);
}

static void shut_down(struct play *p)
{
        if (next(p) != 255)
                return;
        core_shutdown(p->core, p->now_ns);
        play_check(p);
}

static void step_large(struct play *p, struct client *c, uint8_t what)
{
        if (what == 28)
                play_say_upload(p, c);
        else if (what == 29)
                play_say_placed(p, c);
        else if (what == 30)
                play_turn(p, c);
        else
                play_datagram(p);
}

static void step(struct play *p)
{
        uint8_t byte = next(p);
        struct client *c = &p->clients[byte % CLIENTS];
        uint8_t what = byte / CLIENTS % 32;

        if (!c->is_open) {
                open_client(p, c, what != 31);
        } else if (what < 16) {
                play_say_packet(p, c, what);
        } else if (what < 20) {
                play_say_fds(p, c);
        } else if (what < 23) {
                c->room = (size_t)next(p) * next(p);
                core_writable(p->core, c->id, p->now_ns);
                play_check(p);
        } else if (what < 25) {
                p->now_ns += (uint64_t)next(p) * 10000000;
                core_tick(p->core, p->now_ns);
                play_check(p);
        } else if (what == 25) {
                close_client(p, c);
        } else if (what == 26) {
                must(buf_push(&p->packet, "\x93\x03\x00\xa0", 4) == 0); /* BYE */
                play_feed(p, c, 0, 0);
        } else if (what == 27) {
                shut_down(p);
        } else {
                step_large(p, c, what);
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
        limits->queue_fds = limits->flight_fds = WIRE_FDS + 1;
        limits->held_fds = 40;
        limits->placed_bytes = limits->payload_bytes = 100000;
        limits->spool_bytes = 150000;
        limits->stall_ms = limits->drain_ms = limits->handshake_ms = 1000;
        limits->linger_ms = 1000;
}

/* Half of the inputs leave it to core_free. */
static void finish(struct play *p)
{
        struct buf report = BUF_INIT;

        if (p->n_steps & 1)
                return;
        for (size_t i = 0; i < CLIENTS; i++) {
                if (p->clients[i].is_open)
                        close_client(p, &p->clients[i]);
        }
        core_tick(p->core, p->now_ns + UINT64_C(2000000000)); /* groups do not wait any longer */
        must(core_report(p->core, p->now_ns, &report) == 0 && buf_push(&report, "", 1) == 0);
        must(strstr((const char *)report.data,
                "\"queued\":0,\"queued_bytes\":0,\"waiting\":0,\"parked\":0,"
                "\"parked_bytes\":0"));
        must(strstr((const char *)report.data,
                "\"descriptors\":0,\"descriptors_in_flight\":0,\"placed_bytes\":0,"
                "\"spooled_bytes\":0"));
        buf_deinit(&report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct play p = {.at = data, .end = data + size, .now_ns = 1};
        struct core_config config = {.seed = 1,
                .name = "fuzz",
                .self = {.uid = 1000},
                .rights = 0xff,
                .features = WIRE_FEATURE_MEMFD,
                .store = file_store(&p)};

        set_limits(&config.limits);
        must(core_new(&config, p.now_ns, &p.core) == 0);
        for (; p.at < p.end; p.n_steps++)
                step(&p);
        flush(&p);
        finish(&p);
        core_free(p.core);
        buf_deinit(&p.packet);
        buf_deinit(&p.files);
        return 0;
}
