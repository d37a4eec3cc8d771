/* Design note. Publishes until SIGTERM, everything confirmed, a bounded number of confirms in
 * flight. What is confirmed is in the queues of all who subscribe: the driver compares. */
#include "tests/soak/soak.h"

#include "proto/base/memfile.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
        MOST_BYTES = 24 << 20,
        MOST_PENDING = 64,
        MOST_FDS = 4,
        TURN_MS = 5000,
};

struct pub {
        uint64_t random, sent, confirmed, all;
        unsigned pending;
        uint8_t *bytes; /* [MOST_BYTES + 8], random: payloads are windows of it */
};

static uint64_t next(struct pub *p)
{
        p->random ^= p->random << 13;
        p->random ^= p->random >> 7;
        p->random ^= p->random << 17;
        return p->random;
}

static size_t choose_size(struct pub *p)
{
        uint64_t r = next(p) % 1000;

        if (r < 700)
                return next(p) % 200;
        if (r < 900)
                return next(p) % 65536;
        if (r < 990)
                return 60000 + next(p) % (1 << 20);
        return next(p) % MOST_BYTES;
}

static void on_done(baton *b, int result, const char *text, void *arg)
{
        struct pub *p = arg;

        (void)b;
        p->pending--;
        if (result < 0)
                soak_fail("a publication was refused: %s", text);
        p->confirmed++;
}

/* Descriptors of every kind that has a content: its bytes go into the sum. */
static int make_fd(struct pub *p, uint64_t *sum)
{
        uint8_t text[256];
        size_t n = 1 + next(p) % sizeof(text);
        int fd;

        for (size_t i = 0; i < n; i++)
                text[i] = (uint8_t)next(p);
        *sum = soak_sum(*sum, text, n);
        if (next(p) & 1) {
                if (memfile_new(&fd) < 0 || memfile_append(fd, text, n) < 0)
                        soak_fail("no memory file");
                return fd;
        }
        FILE *file = tmpfile();
        if (!file || fwrite(text, 1, n, file) != n || fflush(file) || (fd = dup(fileno(file))) < 0)
                soak_fail("no temporary file");
        fclose(file);
        return fd;
}

static void publish(baton *b, struct pub *p, const char *topic, bool is_last)
{
        size_t len = is_last ? 0 : choose_size(p);
        uint64_t sum = p->sent + 1;
        int fds[MOST_FDS];
        size_t n_fds = !is_last && next(p) % 10 == 0 ? 1 + next(p) % MOST_FDS : 0;
        const uint8_t *payload = p->bytes + (len < MOST_BYTES ? next(p) % (MOST_BYTES - len) : 0);

        sum = soak_sum(sum, payload, len);
        for (size_t i = 0; i < n_fds; i++)
                fds[i] = make_fd(p, &sum);
        struct baton_header headers[] = {
                {.key = "n", .kind = BATON_UINT, .value.u = p->sent + 1},
                {.key = "sum", .kind = BATON_UINT, .value.u = sum},
                {.key = "last", .kind = BATON_BOOL, .value.boolean = is_last},
        };
        struct baton_publication m = {.topic = topic,
                .payload = payload,
                .payload_len = len,
                .headers = headers,
                .n_headers = 3,
                .fds = fds,
                .n_fds = n_fds};
        if (baton_publish_confirm(b, &m, on_done, p) < 0)
                soak_fail("publish: %s", baton_error(b));
        p->sent++;
        p->pending++;
        p->all ^= sum * p->sent;
        for (size_t i = 0; i < n_fds; i++)
                close(fds[i]);
}

static void wait_for(baton *b, struct pub *p, unsigned most)
{
        while (p->pending > most) {
                int r = baton_wait(b, TURN_MS);
                if (r < 0 && r != -EINTR)
                        soak_fail("wait: %s", baton_error(b));
        }
}

int soak_pub(baton *b, const char *name, uint64_t seed)
{
        struct pub p = {.random = seed * 0x9e3779b97f4a7c15u | 1, .bytes = malloc(MOST_BYTES + 8)};
        char topic[128];

        if (!p.bytes)
                soak_fail("out of memory");
        for (size_t i = 0; i < MOST_BYTES; i += 8) {
                uint64_t word = next(&p);
                memcpy(p.bytes + i, &word, 8);
        }
        snprintf(topic, sizeof(topic), "soak.%s.x", name);
        struct soak_self first = soak_self();
        puts("ready");
        fflush(stdout);
        while (!soak_stopped()) {
                publish(b, &p, topic, false);
                wait_for(b, &p, MOST_PENDING);
        }
        publish(b, &p, topic, true);
        wait_for(b, &p, 0);
        struct soak_self last = soak_self();
        if (baton_close(b, TURN_MS) < 0)
                soak_fail("close: %s", baton_error(b));
        printf("{\"name\":\"%s\",\"sent\":%" PRIu64 ",\"confirmed\":%" PRIu64 ",\"all\":%" PRIu64
               ",\"fds\":[%ld,%ld],\"maps\":[%ld,%ld],\"kib\":[%ld,%ld]}\n",
                name, p.sent, p.confirmed, p.all, first.fds, last.fds, first.maps, last.maps,
                first.kib, last.kib);
        free(p.bytes);
        return 0;
}
