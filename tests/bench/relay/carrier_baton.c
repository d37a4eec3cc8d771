#include "tests/bench/relay/carrier.h"

#include "client/baton.h"

#include <stdbool.h>
#include <stdlib.h>

enum { TIMEOUT_MS = 60000 };

struct end {
        baton *b;
        carrier_fn fn;
        void *arg;
};

static const char *const topics[] = {"", "bench.one", "bench.two"};

static void must(const struct end *e, int r, const char *what)
{
        if (r < 0)
                fail(what, baton_error(e->b));
}

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        struct end *e = arg;

        (void)b;
        e->fn(e->arg, m->payload, m->payload_len, m->n_fds ? m->fds[0] : -1);
}

static void *open_end(const char *address, int channel, carrier_fn fn, void *arg)
{
        struct baton_subscription options = {.max_fds = 1};
        struct end *e = calloc(1, sizeof(*e));

        if (!e || baton_new(&e->b) < 0)
                fail("baton_new", "no memory");
        e->fn = fn;
        e->arg = arg;
        must(e, baton_connect(e->b, address, TIMEOUT_MS), "connect");
        if (channel) {
                must(e, baton_subscribe(e->b, topics[channel], &options, on_message, e, NULL),
                        "subscribe");
                must(e, baton_ping(e->b, TIMEOUT_MS), "ping");
        }
        return e;
}

static void *open_corked(const char *address, int channel, carrier_fn fn, void *arg)
{
        struct end *e = open_end(address, channel, fn, arg);

        if (!channel)
                baton_cork(e->b);
        return e;
}

static void send_one(void *end, int channel, const void *data, size_t len, int fd)
{
        struct end *e = end;
        struct baton_publication p = {
                .topic = topics[channel],
                .payload = data,
                .payload_len = len,
                .fds = &fd,
                .n_fds = 1,
        };

        must(e,
                fd < 0 ? baton_publish(e->b, topics[channel], data, len)
                       : baton_publish_with(e->b, &p),
                "publish");
}

static void flush(void *end)
{
        struct end *e = end;

        must(e, baton_flush(e->b, TIMEOUT_MS), "flush");
}

static void receive(void *end)
{
        struct end *e = end;

        must(e, baton_wait(e->b, TIMEOUT_MS), "wait");
}

const struct carrier carrier_baton = {"baton", open_corked, send_one, flush, receive};
const struct carrier carrier_plain = {"plain", open_end, send_one, flush, receive};
