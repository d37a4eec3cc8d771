/* Design note. Descriptors and large payloads, as clients send and get them. A large payload is a
 * pattern, told by its seed and size, so that no test has to keep its bytes. */
#include "broker/core/fake.h"

#include "proto/base/memfile.h"
#include "tests/harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES = 65536 };

/* No two blocks of a page are the same, so that what comes in a wrong place is seen. */
void fake_pattern(uint64_t seed, uint64_t at, uint8_t *to, size_t n)
{
        for (size_t i = 0; i < n; i++, at++)
                to[i] = (uint8_t)(at * 167 + (at >> 8) * 13 + (at >> 16) * 7 + seed * 29);
}

/* ------------------------------------------------------------- descriptors */

void fake_bury(struct fake *f)
{
        fdset_bury(graveyard_take(&f->yard));
}

static int some_fd(void)
{
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                abort();
        return fd;
}

int fake_memfile(uint64_t seed, uint64_t size)
{
        static uint8_t piece[PIECE_BYTES];
        int fd;

        CHECK_EQ(memfile_new(&fd), 0);
        for (uint64_t at = 0; at < size;) {
                size_t n = size - at < PIECE_BYTES ? (size_t)(size - at) : PIECE_BYTES;
                fake_pattern(seed, at, piece, n);
                CHECK_EQ(memfile_append(fd, piece, n), 0);
                at += n;
        }
        return fd;
}

struct fdset *fake_fds(struct fake *f, size_t n)
{
        int fds[FDSET_MAX];
        struct fdset *set = NULL;

        for (size_t i = 0; i < n; i++)
                fds[i] = some_fd();
        CHECK_EQ(fdset_new_take(fds, n, &f->yard, &set), 0);
        return set;
}

struct fdset *fake_placed_fds(struct fake *f, size_t n, uint64_t seed, uint64_t size)
{
        int fds[FDSET_MAX];
        struct fdset *set = NULL;

        for (size_t i = 0; i < n; i++)
                fds[i] = some_fd();
        fds[n] = fake_memfile(seed, size);
        CHECK_EQ(memfile_seal(fds[n]), 0);
        CHECK_EQ(fdset_new_take(fds, n + 1, &f->yard, &set), 0);
        return set;
}

void fake_sub_fds(struct client *c, uint32_t sub, const char *filter, uint64_t max_fds)
{
        say(c, &(struct message){.type = WIRE_SUB,
                       .sub = {.id = ++c->last_id,
                               .sub = sub,
                               .filter = fake_text(filter),
                               .max_fds = max_fds}});
        fake_go(c);
        if (!c->fake->inside)
                expect_ok(c, c->last_id, WIRE_OVERFLOW_BLOCK);
}

void say_credit(struct client *c, uint64_t amount)
{
        size_t n = amount < c->n_flying ? (size_t)amount : c->n_flying;

        say(c, &(struct message){
                       .type = WIRE_CREDIT, .credit = {.what = WIRE_CREDIT_FDS, .amount = amount}});
        c->n_flying -= n;
        memmove(c->flying, c->flying + n, c->n_flying * sizeof(c->flying[0]));
}

/* -------------------------------------------------------------------- say */

void say_fds(struct client *c, const char *topic, uint32_t n_fds, const char *payload)
{
        say(c, &(struct message){.type = WIRE_PUB,
                       .pub = {.n_fds = n_fds,
                               .topic = fake_text(topic),
                               .payload = fake_text(payload)}});
}

void say_placed(struct client *c, const char *topic, uint32_t n_fds, uint64_t size)
{
        say(c, &(struct message){.type = WIRE_PUB,
                       .pub = {.n_fds = n_fds, .topic = fake_text(topic), .size = size}});
}

void say_begin(struct client *c, const char *topic, uint32_t n_fds, uint64_t size)
{
        say(c, &(struct message){.type = WIRE_BEGIN,
                       .pub = {.n_fds = n_fds, .topic = fake_text(topic), .size = size}});
}

void say_chunk(struct client *c, const void *data, size_t len)
{
        say(c, &(struct message){.type = WIRE_CHUNK, .chunk = {data, len}});
}

void say_end(struct client *c, uint64_t status)
{
        say_number(c, WIRE_END, status);
}

void fake_send(struct client *c, size_t n)
{
        fake_feed_fds(c, n ? fake_fds(c->fake, n) : NULL);
        fake_flush(c->fake);
}

void fake_placed(struct client *c, const char *topic, uint64_t seed, uint64_t size)
{
        say_placed(c, topic, 1, size);
        fake_feed_fds(c, fake_placed_fds(c->fake, 0, seed, size));
        fake_flush(c->fake);
}

void fake_chunks(struct client *c, uint64_t seed, uint64_t size, size_t piece)
{
        static uint8_t data[WIRE_FRAME_BYTES];

        for (uint64_t at = 0; at < size;) {
                size_t n = size - at < piece ? (size_t)(size - at) : piece;
                fake_pattern(seed, at, data, n);
                if (c->packet.len + n + 16 > WIRE_PACKET_BYTES)
                        fake_feed(c);
                say_chunk(c, data, n);
                at += n;
        }
}

/* ------------------------------------------------------------------- hear */

static void wrong(const char *what, const char *file, int line)
{
        print_error("%s\n", what);
        _fail(file, line);
}

static void compare(
        const uint8_t *got, uint64_t at, size_t n, uint64_t seed, const char *file, int line)
{
        static uint8_t want[PIECE_BYTES];

        for (size_t done = 0; done < n;) {
                size_t m = size_min(n - done, PIECE_BYTES);
                fake_pattern(seed, at + done, want, m);
                if (memcmp(got + done, want, m) != 0)
                        wrong("the payload is another", file, line);
                done += m;
        }
}

static void compare_file(int fd, uint64_t seed, uint64_t size, const char *file, int line)
{
        static uint8_t piece[PIECE_BYTES];
        uint64_t real;

        if (memfile_sealed_size(fd, &real) != 0 || real != size)
                wrong("no sealed memory file of this size", file, line);
        for (uint64_t at = 0; at < size; at += PIECE_BYTES) {
                size_t n = size - at < PIECE_BYTES ? (size_t)(size - at) : PIECE_BYTES;
                CHECK_EQ(memfile_read(fd, at, piece, n), 0);
                compare(piece, at, n, seed, file, line);
        }
}

struct got *fake_expect_end(
        struct client *c, uint64_t seed, uint64_t size, const char *file, int line)
{
        struct got *g = fake_expect(c, WIRE_END, file, line);

        if (g->m.number != 0 || g->whole.len != size)
                wrong("END of another payload", file, line);
        compare(g->whole.data, 0, g->whole.len, seed, file, line);
        return g;
}

struct got *fake_expect_large(struct client *c, const char *topic, uint64_t seed, uint64_t size,
        const char *file, int line)
{
        struct got *g = fake_next(c);

        if (!g || (g->m.type != WIRE_PUB && g->m.type != WIRE_BEGIN) ||
                !slice_is(g->m.pub.topic, topic))
                wrong("no publication of this topic", file, line);
        if (g->m.type == WIRE_BEGIN) {
                if (g->m.pub.size != size)
                        wrong("BEGIN says another size", file, line);
                return fake_expect_end(c, seed, size, file, line);
        }
        if (g->m.pub.payload.data) {
                if (g->m.pub.payload.len != size)
                        wrong("a payload of another size", file, line);
                compare(g->m.pub.payload.data, 0, size, seed, file, line);
        } else {
                if (g->m.pub.size != size)
                        wrong("a placed payload of another size", file, line);
                compare_file(g->last_fd, seed, size, file, line);
        }
        return g;
}

struct got *fake_expect_gap(struct client *c, uint64_t sub, uint64_t count, uint64_t reason,
        uint64_t seq, const char *file, int line)
{
        struct got *g = fake_expect(c, WIRE_GAP, file, line);
        const struct msg_gap *gap = &g->m.gap;

        if (gap->sub != sub || gap->count != count || gap->reason != reason || gap->seq != seq) {
                print_error("got GAP(%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ")\n",
                        gap->sub, gap->count, gap->reason, gap->seq);
                _fail(file, line);
        }
        return g;
}

void fake_close_all(struct fake *f)
{
        static const char *const zero[] = {"sessions", "subscriptions", "requests", "queued",
                "queued_bytes", "parked", "parked_bytes", "descriptors", "descriptors_in_flight",
                "placed_bytes", "spooled_bytes", "waiting"};

        for (size_t i = 0; i < f->n_clients; i++)
                fake_close(f->clients[i]);
        for (size_t i = 0; i < ARRAY_LEN(zero); i++) {
                if (fake_report(f, zero[i]) != 0)
                        fail_msg("%s is not 0 when all have gone", zero[i]);
        }
}
