/* What a client notices of the others: prints the median and the 99th percentile of round trips, in
 * nanoseconds, and messages a second of a stream.
 *
 *      victim ADDRESS ROUNDS MESSAGES
 *
 * Design note. A server and a subscriber in a process of their own, a client and a publisher here.
 * The stream's last message is answered, so its time ends when all has arrived; that all has, and
 * in order, is checked. */
#include "client/baton.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD = 64, PATIENCE_MS = 60000 };

static uint64_t expected;

static uint64_t now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void must(int r, const char *what)
{
        if (r >= 0)
                return;
        fprintf(stderr, "victim: %s: %s\n", what, baton_strerror(r));
        exit(1);
}

static baton *join(const char *address)
{
        baton *b;

        must(baton_new(&b), "new");
        must(baton_connect(b, address, PATIENCE_MS), "connect");
        return b;
}

static void on_ask(baton *b, const struct baton_message *m, void *arg)
{
        (void)arg;
        must(baton_reply(b, m->token, m->payload, m->payload_len), "reply");
}

static void on_stream(baton *b, const struct baton_message *m, void *arg)
{
        uint64_t number;

        (void)arg;
        memcpy(&number, m->payload, sizeof(number));
        if (number != expected++) {
                fprintf(stderr, "victim: message %" PRIu64 " instead of %" PRIu64 "\n", number,
                        expected - 1);
                exit(1);
        }
        if (m->token) /* the last one */
                must(baton_reply(b, m->token, "", 0), "reply");
}

static void serve(const char *address, int ready)
{
        baton *b = join(address);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        must(baton_subscribe(b, "victim.ask", NULL, on_ask, NULL, NULL), "subscribe");
        must(baton_subscribe(b, "victim.stream", NULL, on_stream, NULL, NULL), "subscribe");
        if (write(ready, "", 1) != 1)
                exit(1);
        for (;;)
                must(baton_wait(b, -1), "wait");
}

static int by_size(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

static void measure_trips(baton *b, size_t n)
{
        struct baton_publication ask = {.topic = "victim.ask", .payload = "?", .payload_len = 1};
        uint64_t *took = calloc(n, sizeof(*took));

        if (!took)
                exit(1);
        for (size_t i = 0; i < n; i++) {
                uint64_t begin = now_ns();
                must(baton_request(b, &ask, PATIENCE_MS, NULL, NULL), "request");
                took[i] = now_ns() - begin;
        }
        qsort(took, n, sizeof(*took), by_size);
        printf("%" PRIu64 " %" PRIu64, took[n / 2], took[n * 99 / 100]);
        free(took);
}

static void measure_stream(baton *b, uint64_t n)
{
        uint8_t payload[PAYLOAD] = {0};
        struct baton_publication last = {
                .topic = "victim.stream", .payload = payload, .payload_len = PAYLOAD};
        uint64_t begin = now_ns();

        baton_cork(b);
        for (uint64_t i = 0; i < n; i++) {
                memcpy(payload, &i, sizeof(i));
                must(baton_publish(b, "victim.stream", payload, PAYLOAD), "publish");
        }
        must(baton_uncork(b), "uncork");
        memcpy(payload, &n, sizeof(n));
        must(baton_request(b, &last, PATIENCE_MS, NULL, NULL), "request");
        printf(" %.0f\n", (double)n * 1e9 / (double)(now_ns() - begin));
}

int main(int argc, char **argv)
{
        int ends[2];
        char byte;

        if (argc != 4 || pipe(ends) < 0)
                return 2;
        pid_t server = fork();
        if (server < 0)
                return 1;
        if (server == 0)
                serve(argv[1], ends[1]);
        close(ends[1]);
        if (read(ends[0], &byte, 1) != 1)
                return 1;
        baton *b = join(argv[1]);
        measure_trips(b, strtoull(argv[2], NULL, 10));
        measure_stream(b, strtoull(argv[3], NULL, 10));
        baton_free(b);
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
        return 0;
}
