/* Design note. The fake does what the real shell does, in the same order: all input of a turn, then
 * one flush of whoever is dirty; a full socket is tried again only after core_writable; a session
 * that is ending gets a last chance to say BYE and is closed. Sockets are a number: the bytes they
 * still take. */
#include "broker/core/fake.h"

#include "proto/base/memfile.h"
#include "tests/harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static int store_append(void *arg, int *fd, const void *data, size_t len)
{
        struct fake *f = arg;

        if (f->append_fails)
                return -ENOSPC;
        int r = *fd < 0 ? memfile_new(fd) : 0;
        return r < 0 ? r : memfile_append(*fd, data, len);
}

static int store_seal(void *arg, int fd)
{
        struct fake *f = arg;

        return f->seal_fails ? -EIO : memfile_seal(fd);
}

static void store_drop(void *arg, int fd)
{
        (void)arg;
        close(fd);
}

static int store_copy(void *arg, int fd)
{
        struct fake *f = arg;

        return f->append_fails ? -EMFILE : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

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
                        .rights = 0xff,
                        .features = WIRE_FEATURE_MEMFD},
        };

        *f = fresh;
        f->config.yard = &f->yard;
        f->config.store = (struct core_store){store_append, store_seal, store_drop, store_copy, f};
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
        buf_deinit(&c->coming.whole);
        free(c);
}

void fake_deinit(struct fake *f)
{
        f->core = core_free(f->core);
        fake_bury(f);
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
        int r = core_open(f->core, peer, &(struct core_groups){NULL, 0}, f->now_ns, &c->id);
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

static struct client *open_as(struct fake *f, const char *name, uint64_t features)
{
        struct client *c = fake_connect(f);

        if (c->is_gone)
                return c;
        say(c, &(struct message){.type = WIRE_HELLO,
                       .hello = {.version = WIRE_VERSION,
                               .name = {(const uint8_t *)name, strlen(name)},
                               .features = features}});
        fake_go(c);
        if (!f->inside)
                expect(c, WIRE_WELCOME);
        return c;
}

struct client *fake_open_named(struct fake *f, const char *name)
{
        return open_as(f, name, 0);
}

struct client *fake_open(struct fake *f)
{
        return open_as(f, "client", 0);
}

struct client *fake_open_memfd(struct fake *f)
{
        return open_as(f, "memfd", WIRE_FEATURE_MEMFD);
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

/* As the shell finds out. */
static uint64_t sealed_bytes(const struct fdset *fds)
{
        size_t n = fdset_n(fds);
        uint64_t size = 0;

        return n && memfile_sealed_size(fdset_fds(fds)[n - 1], &size) == 0 ? size : 0;
}

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
        struct core_arrival a = {.data = exact,
                .len = len,
                .fds = fds,
                .sealed_bytes = sealed_bytes(fds),
                .has_odd_fds = fds && f->odd_fds,
                .budget = f->budget};
        size_t n = core_input(f->core, c->id, &a, f->now_ns);
        leave(f);
        while ((a.len -= n)) {
                CHECK(f->budget && n &&
                        !fds); /* it goes on, and a packet with descriptors is whole */
                a.data = (const uint8_t *)a.data + n;
                a.is_rest = true;
                enter(f);
                n = core_input(f->core, c->id, &a, f->now_ns);
                leave(f);
        }
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
        core_writable(f->core, c->id, f->now_ns);
        leave(f);
        fake_flush(f);
}

/* ----------------------------------------------------------------- output */

static void take_packet(struct client *c, const struct core_packet *packet)
{
        if (packet->fill_len)
                CHECK_EQ(memfile_read(
                                 packet->fill_fd, packet->fill_at, packet->fill, packet->fill_len),
                        0);
        uint8_t *bytes = malloc(packet->len);
        size_t len = 0;

        if (!bytes)
                abort();
        for (size_t i = 0; i < packet->n_iov; i++) {
                memcpy(bytes + len, packet->iov[i].iov_base, packet->iov[i].iov_len);
                len += packet->iov[i].iov_len;
        }
        CHECK_EQ(len, packet->len);
        fake_read(c, bytes, len, packet->fds, packet->n_fds);
        free(bytes);
}

static enum core_out send_packet(struct client *c, const struct core_packet *packet)
{
        const struct fake *f = c->fake;

        if (packet->n_fds && c->takes_no_fds)
                return CORE_OUT_NO_FDS;
        if (packet->n_fds && f->scarce)
                return CORE_OUT_SCARCE;
        if (packet->fill_len && c->reads_nothing)
                return CORE_OUT_UNREADABLE;
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
                core_writable(f->core, c->id, f->now_ns);
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
