/* Design note. One point of a curve, for curves.py:
 *
 *      curve ADDRESS hold N SESSIONS FORMAT     subscriptions that nothing is published to, idle
 *      curve ADDRESS run NAME=VALUE...          a stream; prints deliveries and nanoseconds
 *      curve ADDRESS trips PAIRS ROUNDS         messages alone in their packets; prints the same
 *
 * `run` publishes from here and receives in a child: `messages` of `size` bytes, by `publishers`
 * handles in turn, on `topics` topics in turn, to `receivers` handles, with one of the `feature`s.
 * Each receiver counts, and ends when it has all: nothing may be lost.
 *
 * `trips` has so many messages go to and fro between here and a child, each on a topic of its own,
 * and each answered as soon as it comes. */
#include "client/baton.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_MS = 120000, EVENTS = 64, TOPIC_BYTES = 64, CONFIRMS = 10000 };

static struct {
        const char *address, *feature;
        uint64_t messages, size, publishers, topics, receivers, placed;
} run = {.feature = "",
        .messages = 100000,
        .size = 64,
        .publishers = 1,
        .topics = 1,
        .receivers = 1};

static void must(int r, const char *what)
{
        if (r >= 0)
                return;
        fprintf(stderr, "curve: %s: %s\n", what, baton_strerror(r));
        exit(1);
}

static uint64_t now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static baton *join(void)
{
        baton *b;

        must(baton_new(&b), "new");
        must(baton_connect(b, run.address, TIMEOUT_MS), "connect");
        if (run.placed)
                baton_set_large(b, run.placed);
        return b;
}

static bool is(const char *feature)
{
        return !strcmp(run.feature, feature);
}

/* ---------------------------------------------------------------- receiving */

struct receiver {
        baton *b;
        uint64_t n, bytes;
};

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        struct receiver *r = arg;

        (void)b;
        r->n++;
        r->bytes += m->payload_len;
}

static void listen_to(int loop, struct receiver *r)
{
        struct baton_subscription options = {
                .group = is("group") || is("ack") ? "workers" : NULL,
                .window = is("group") || is("ack") ? 4096 : 0,
                .ack = is("ack"),
        };
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = r};

        r->b = join();
        must(baton_subscribe(r->b, "curve.>", &options, on_message, r, NULL), "subscribe");
        must(epoll_ctl(loop, EPOLL_CTL_ADD, baton_fd(r->b), &e) < 0 ? -errno : 0, "epoll");
}

/* Handles that block: what they have to send waits for nothing else here. */
static void receive(const int *pipes)
{
        struct receiver *all = calloc(run.receivers, sizeof(*all));
        struct epoll_event events[EVENTS];
        uint64_t waiting = run.receivers, total = run.messages;
        int loop = epoll_create1(EPOLL_CLOEXEC);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (uint64_t i = 0; i < run.receivers; i++)
                listen_to(loop, &all[i]);
        must((int)write(pipes[1], "", 1), "write");
        while (waiting) {
                int n = epoll_wait(loop, events, EVENTS, TIMEOUT_MS);
                must(n > 0 ? 0 : -ETIMEDOUT, "waiting");
                for (int i = 0; i < n; i++) {
                        struct receiver *r = events[i].data.ptr;
                        uint64_t before = r->n;
                        must(baton_wait(r->b, 0), "receive");
                        waiting -= before < total && r->n >= total;
                }
        }
        for (uint64_t i = 0; i < run.receivers; i++)
                must(all[i].bytes == run.messages * run.size ? 0 : -EBADMSG, "what came");
        uint64_t now = now_ns();
        must((int)write(pipes[1], &now, sizeof(now)), "write");
        exit(0);
}

/* --------------------------------------------------------------- publishing */

static void on_done(baton *b, int result, const char *text, void *arg)
{
        uint64_t *n = arg;

        (void)b, (void)text;
        must(result, "confirmed");
        ++*n;
}

static uint64_t n_confirmed;

static void publish_one(baton *b, const char *topic, const void *payload)
{
        static const struct baton_header headers[] = {
                {.key = "trace", .kind = BATON_UINT, .value.u = 12345678},
                {.key = "unit", .kind = BATON_STR, .value.bytes = {"kelvin", 6}},
        };
        struct baton_publication p = {
                .topic = topic,
                .payload = payload,
                .payload_len = run.size,
                .headers = headers,
                .n_headers = is("headers") ? 2 : 0,
                .ttl_ms = is("ttl") ? 60000 : 0,
                .flags = is("retain") ? BATON_RETAIN : 0,
        };
        int r;

        if (!*run.feature || is("group") || is("ack"))
                r = baton_publish(b, topic, payload, run.size);
        else if (is("confirm"))
                r = baton_publish_confirm(b, &p, on_done, &n_confirmed);
        else
                r = baton_publish_with(b, &p);
        must(r, "publish");
}

static void publish(void)
{
        baton **all = calloc(run.publishers, sizeof(baton *));
        uint8_t *payload = calloc(1, run.size + 1);
        char topic[TOPIC_BYTES];

        for (uint64_t i = 0; i < run.publishers; i++) {
                all[i] = join();
                if (run.publishers > 1)
                        baton_cork(all[i]); /* each is slow, for they all are one program */
        }
        for (uint64_t i = 0; i < run.messages; i++) {
                snprintf(topic, sizeof(topic), "curve.%" PRIu64, i % run.topics);
                publish_one(all[i % run.publishers], topic, payload);
                while (is("confirm") && i + 1 - n_confirmed > CONFIRMS)
                        must(baton_wait(all[0], TIMEOUT_MS), "wait");
        }
        for (uint64_t i = 0; i < run.publishers; i++)
                must(baton_flush(all[i], TIMEOUT_MS), "flush");
        while (is("confirm") && n_confirmed < run.messages)
                must(baton_wait(all[0], TIMEOUT_MS), "wait");
}

static void measure(void)
{
        uint64_t end = 0;
        int pipes[2];
        char byte;

        must(pipe(pipes) < 0 ? -errno : 0, "pipe");
        pid_t child = fork();
        must(child < 0 ? -errno : 0, "fork");
        if (!child)
                receive(pipes);
        close(pipes[1]);
        must(read(pipes[0], &byte, 1) == 1 ? 0 : -EPIPE, "the receivers");
        printf("ready\n");
        fflush(stdout);
        if (getchar() == EOF)
                exit(0);
        uint64_t start = now_ns();
        publish();
        must(read(pipes[0], &end, sizeof(end)) == sizeof(end) ? 0 : -EPIPE, "the receivers");
        printf("%" PRIu64 " %" PRIu64 "\n", run.messages * run.receivers, end - start);
}

/* ------------------------------------------------------------- to and fro */

struct end {
        baton *b;
        char topic[TOPIC_BYTES]; /* where it sends */
        uint64_t left;           /* what it has still to send */
};

static void send_one(struct end *e)
{
        static const uint8_t payload[64];

        must(baton_publish(e->b, e->topic, payload, sizeof(payload)), "publish");
        e->left--;
}

static void on_trip(baton *b, const struct baton_message *m, void *arg)
{
        struct end *e = arg;

        (void)b, (void)m;
        if (e->left)
                send_one(e);
}

/* So many ends, each of which hears `from`.N and sends to `to`.N. */
static struct end *open_ends(
        int loop, uint64_t pairs, uint64_t rounds, const char *from, const char *to)
{
        struct end *all = calloc(pairs, sizeof(*all));
        char topic[TOPIC_BYTES];

        for (uint64_t i = 0; i < pairs; i++) {
                struct end *e = &all[i];
                struct epoll_event event = {.events = EPOLLIN, .data.ptr = e};
                *e = (struct end){.b = join(), .left = rounds};
                snprintf(e->topic, sizeof(e->topic), "%s.%" PRIu64, to, i);
                snprintf(topic, sizeof(topic), "%s.%" PRIu64, from, i);
                must(baton_subscribe(e->b, topic, NULL, on_trip, e, NULL), "subscribe");
                must(epoll_ctl(loop, EPOLL_CTL_ADD, baton_fd(e->b), &event) < 0 ? -errno : 0,
                        "epoll");
        }
        return all;
}

/* Until the end of `n_left` messages. */
static void run_ends(int loop, uint64_t n_left)
{
        struct epoll_event events[EVENTS];

        while (n_left) {
                int n = epoll_wait(loop, events, EVENTS, TIMEOUT_MS);
                must(n > 0 ? 0 : -ETIMEDOUT, "waiting");
                for (int i = 0; i < n; i++) {
                        struct end *e = events[i].data.ptr;
                        int heard = baton_process(e->b);
                        must(heard, "receive");
                        n_left -= (uint64_t)heard;
                }
        }
}

static void echo(const int *pipes, uint64_t pairs, uint64_t rounds)
{
        int loop = epoll_create1(EPOLL_CLOEXEC);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        open_ends(loop, pairs, rounds, "to", "fro");
        must((int)write(pipes[1], "", 1), "write");
        run_ends(loop, pairs * rounds);
        exit(0);
}

static void trips(uint64_t pairs, uint64_t rounds)
{
        int pipes[2], loop = epoll_create1(EPOLL_CLOEXEC);
        char byte;

        must(pipe(pipes) < 0 ? -errno : 0, "pipe");
        pid_t child = fork();
        must(child < 0 ? -errno : 0, "fork");
        if (!child)
                echo(pipes, pairs, rounds);
        must(read(pipes[0], &byte, 1) == 1 ? 0 : -EPIPE, "the echo");
        struct end *all = open_ends(loop, pairs, rounds, "fro", "to");
        printf("ready\n");
        fflush(stdout);
        if (getchar() == EOF)
                exit(0);
        uint64_t start = now_ns();
        for (uint64_t i = 0; i < pairs; i++)
                send_one(&all[i]);
        run_ends(loop, pairs * rounds);
        printf("%" PRIu64 " %" PRIu64 "\n", 2 * pairs * rounds, now_ns() - start);
}

/* ------------------------------------------------------------------- holding */

static void on_nothing(baton *b, const struct baton_message *m, void *arg)
{
        (void)b, (void)m, (void)arg;
}

static void hold(uint64_t n, uint64_t sessions, const char *format)
{
        char filter[TOPIC_BYTES];

        for (uint64_t s = 0, k = 0; s < sessions; s++) {
                baton *b = join();
                for (uint64_t end = n * (s + 1) / sessions; k < end; k++) {
                        const char *at = strchr(format, '#');
                        int len = at ? (int)(at - format) : (int)strlen(format);
                        snprintf(filter, sizeof(filter), "%.*s%" PRIu64 "%s", len, format, k,
                                at ? at + 1 : "");
                        must(baton_subscribe_start(b, filter, NULL, on_nothing, NULL, NULL, NULL),
                                "subscribe");
                        if (k % 1000 == 999)
                                must(baton_ping(b, TIMEOUT_MS), "ping");
                }
                must(baton_ping(b, TIMEOUT_MS), "ping");
        }
        printf("ready\n");
        fflush(stdout);
        while (getchar() != EOF)
                ;
}

static uint64_t *number_of(const char *name, size_t len)
{
        const struct {
                const char *name;
                uint64_t *value;
        } all[] = {{"messages", &run.messages}, {"size", &run.size},
                {"publishers", &run.publishers}, {"topics", &run.topics},
                {"receivers", &run.receivers}, {"placed", &run.placed}};

        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
                if (strlen(all[i].name) == len && !memcmp(all[i].name, name, len))
                        return all[i].value;
        }
        return NULL;
}

int main(int argc, char **argv)
{
        if (argc < 3)
                return 2;
        run.address = argv[1];
        if (!strcmp(argv[2], "hold") && argc == 6) {
                hold(strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10), argv[5]);
                return 0;
        }
        if (!strcmp(argv[2], "trips") && argc == 5) {
                trips(strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
                return 0;
        }
        for (int i = 3; i < argc; i++) {
                const char *value = strchr(argv[i], '=');
                uint64_t *number = value ? number_of(argv[i], (size_t)(value - argv[i])) : NULL;
                if (number)
                        *number = strtoull(value + 1, NULL, 10);
                else if (!strncmp(argv[i], "feature=", 8))
                        run.feature = argv[i] + 8;
                else
                        return 2;
        }
        measure();
        return 0;
}
