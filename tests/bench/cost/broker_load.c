/* Design note. What a broker gets to do, for broker_cost_test.py to count: publications from one
 * process, a subscriber in another, each of them checked. `broker_load ADDRESS MESSAGES TOPICS
 * RECEIVERS [BYTES_MIN BYTES_MAX]` */
#include <baton.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIMEOUT_MS = 120000, PAYLOAD_MAX = 4096 };

struct load {
        const char *address;
        uint64_t n_messages;
        unsigned n_topics, n_receivers;
        unsigned least, most; /* bytes */
};

static void must(int r, const char *what)
{
        if (r >= 0)
                return;
        fprintf(stderr, "broker_load: %s: %s\n", what, strerror(-r));
        exit(1);
}

static unsigned bytes_of(const struct load *l, uint64_t number)
{
        return l->least +
               (unsigned)(number * UINT64_C(0x9e3779b97f4a7c15) >> 33) % (l->most - l->least + 1);
}

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        uint64_t number, *next = arg;

        (void)b;
        memcpy(&number, m->payload, sizeof(number));
        if (number != *next) {
                fprintf(stderr, "broker_load: lost or out of order\n");
                exit(1);
        }
        ++*next;
}

static void receive(const struct load *l, int ready)
{
        uint64_t next = 0;
        baton *b = NULL;

        must(baton_new(&b), "new");
        must(baton_connect(b, l->address, TIMEOUT_MS), "connect");
        must(baton_subscribe(b, "load.data.*", NULL, on_message, &next, NULL), "subscribe");
        must(baton_ping(b, TIMEOUT_MS), "ping");
        must((int)write(ready, "", 1), "write");
        while (next < l->n_messages)
                must(baton_wait(b, TIMEOUT_MS), "wait");
        baton_free(b);
        exit(0);
}

static void publish(const struct load *l)
{
        char payload[PAYLOAD_MAX] = {0}, topic[] = "load.data.0";
        baton *b = NULL;

        must(baton_new(&b), "new");
        must(baton_connect(b, l->address, TIMEOUT_MS), "connect");
        baton_cork(b);
        for (uint64_t i = 0; i < l->n_messages; i++) {
                memcpy(payload, &i, sizeof(i));
                topic[sizeof(topic) - 2] = (char)('0' + i % l->n_topics);
                must(baton_publish(b, topic, payload, bytes_of(l, i)), "publish");
        }
        must(baton_uncork(b), "uncork");
        must(baton_flush(b, TIMEOUT_MS), "flush");
        baton_free(b);
}

int main(int argc, char **argv)
{
        struct load l = {.n_topics = 1, .n_receivers = 1, .least = 64, .most = 64};
        int ready[2], status;
        char byte;

        if (argc < 5 || pipe(ready) < 0)
                return 2;
        l.address = argv[1];
        l.n_messages = strtoull(argv[2], NULL, 10);
        l.n_topics = (unsigned)atoi(argv[3]);
        l.n_receivers = (unsigned)atoi(argv[4]);
        if (argc > 6) {
                l.least = (unsigned)atoi(argv[5]);
                l.most = (unsigned)atoi(argv[6]);
        }
        if (!l.n_topics || l.n_topics > 10 || l.least < sizeof(uint64_t) || l.most > PAYLOAD_MAX)
                return 2;
        for (unsigned i = 0; i < l.n_receivers; i++) {
                pid_t child = fork();
                must(child < 0 ? -errno : 0, "fork");
                if (!child)
                        receive(&l, ready[1]);
                must(read(ready[0], &byte, 1) == 1 ? 0 : -EPIPE, "read");
        }
        publish(&l);
        for (unsigned i = 0; i < l.n_receivers; i++) {
                must(wait(&status) < 0 ? -errno : 0, "wait");
                if (status)
                        return 1;
        }
        return 0;
}
