/* Design note. One end of a measurement, for bench.py, which runs several:
 *
 *      load CARRIER ADDRESS pub SIZE MILLISECONDS COUNT [fd]   publishes so long, at most so many
 *      load CARRIER ADDRESS sub SIZE                           hears the whole, and checks it
 *      load CARRIER ADDRESS ping SIZE ROUNDS                   round trips, one at a time
 *      load CARRIER ADDRESS echo SIZE                          the other end of those
 *
 * Each says `ready`; pub and ping wait for a line. The results are a line of numbers. A message
 * begins with its number, and ends with a pattern that is compared; the last one says how many
 * there were. */
#include "tests/bench/relay/carrier.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { DATA = 1, BACK = 2, HEAD = 16, WARM_UP = 1000 };

static const struct carrier *carrier;
static const char *address;
static size_t size;
static uint8_t *pattern;

void fail(const char *what, const char *why)
{
        fprintf(stderr, "load: %s: %s\n", what, why);
        exit(1);
}

static uint64_t now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void say_ready(void)
{
        printf("ready\n");
        fflush(stdout);
}

static void wait_line(void)
{
        char line[16];

        if (!fgets(line, sizeof(line), stdin))
                exit(0);
}

static void wait_end(void)
{
        char byte;

        fflush(stdout);
        while (read(0, &byte, 1) > 0)
                ;
}

/* -------------------------------------------------------------------- stream */

static void publish(uint64_t duration_ns, uint64_t most, bool with_fd)
{
        void *end = carrier->open(address, 0, NULL, NULL);
        int fd = with_fd ? memfd_create("bench", MFD_CLOEXEC) : -1;
        uint64_t head[2] = {0, UINT64_MAX};
        uint8_t *message = malloc(size);

        if (!message)
                fail("malloc", "no memory");
        memcpy(message, pattern, size);
        say_ready();
        wait_line();
        uint64_t start = now_ns();
        for (; head[0] < most; head[0]++) {
                bool looks = (head[0] & 15) == 0 || size > 65536;
                if (looks && now_ns() - start > duration_ns)
                        break;
                memcpy(message, head, HEAD);
                carrier->send(end, DATA, message, size, fd);
        }
        head[1] = head[0];
        memcpy(message, head, HEAD);
        carrier->send(end, DATA, message, size, fd);
        carrier->flush(end);
        printf("%" PRIu64 " %" PRIu64 "\n", head[0], start);
        wait_end();
}

struct heard {
        uint64_t n, last_ns;
        bool is_over;
};

static void on_data(void *arg, const void *data, size_t len, int fd)
{
        struct heard *h = arg;
        uint64_t head[2];

        (void)fd;
        if (len != size)
                fail("a message", "of another length");
        memcpy(head, data, HEAD);
        if (head[0] != h->n || memcmp((const uint8_t *)data + HEAD, pattern + HEAD, size - HEAD))
                fail("a message", "lost, out of order, or changed");
        h->is_over = head[1] != UINT64_MAX;
        h->n += !h->is_over;
}

static void subscribe(void)
{
        struct heard h = {0};
        void *end = carrier->open(address, DATA, on_data, &h);

        say_ready();
        while (!h.is_over) {
                carrier->receive(end);
                h.last_ns = now_ns();
        }
        printf("%" PRIu64 " %" PRIu64 "\n", h.n, h.last_ns);
        wait_end();
}

/* --------------------------------------------------------------- round trips */

static void on_trip(void *arg, const void *data, size_t len, int fd)
{
        (void)fd;
        if (len != size || memcmp(data, pattern, size))
                fail("a round trip", "something else came back");
        ++*(uint64_t *)arg;
}

static int by_value(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

static void ping(uint64_t rounds)
{
        uint64_t heard = 0, *took = calloc(rounds, sizeof(*took));
        void *in = carrier->open(address, BACK, on_trip, &heard);
        void *out = carrier->open(address, 0, NULL, NULL);

        if (!took)
                fail("malloc", "no memory");
        say_ready();
        wait_line();
        for (uint64_t i = 0; i < rounds + WARM_UP; i++) {
                uint64_t start = now_ns();
                carrier->send(out, DATA, pattern, size, -1);
                carrier->flush(out);
                while (heard == i)
                        carrier->receive(in);
                if (i >= WARM_UP)
                        took[i - WARM_UP] = now_ns() - start;
        }
        qsort(took, rounds, sizeof(*took), by_value);
        printf("%" PRIu64 " %" PRIu64 "\n", took[rounds / 2], took[rounds * 99 / 100]);
        wait_end();
}

static void echo(void)
{
        uint64_t heard = 0, answered = 0;
        void *in = carrier->open(address, DATA, on_trip, &heard);
        void *out = carrier->open(address, 0, NULL, NULL);

        say_ready();
        for (;;) { /* until it is killed */
                carrier->receive(in);
                for (; answered < heard; answered++)
                        carrier->send(out, BACK, pattern, size, -1);
                carrier->flush(out);
        }
}

static const struct carrier *find(const char *name)
{
        static const struct carrier *const all[] = {
                &carrier_baton, &carrier_plain, &carrier_raw, &carrier_single};

        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
                if (!strcmp(all[i]->name, name))
                        return all[i];
        }
        fail(name, "no such carrier");
}

int main(int argc, char **argv)
{
        uint64_t number = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;

        if (argc < 5)
                return 2;
        carrier = find(argv[1]);
        address = argv[2];
        size = strtoull(argv[4], NULL, 10);
        pattern = malloc(size);
        if (size < HEAD || !pattern)
                return 2;
        for (size_t i = 0; i < size; i++)
                pattern[i] = (uint8_t)(i * 131 + (i >> 8));
        if (!strcmp(argv[3], "pub"))
                publish(number * 1000000, strtoull(argv[6], NULL, 10), argc > 7);
        else if (!strcmp(argv[3], "sub"))
                subscribe();
        else if (!strcmp(argv[3], "ping"))
                ping(number);
        else
                echo();
        return 0;
}
