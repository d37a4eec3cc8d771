/* Baton as a peer of the comparison bench (docs/PERFORMANCE.md says how to run it): one executable,
 * `peer-baton`, on the public API alone. The publisher is corked, as its siblings are: PLAIN=1 in
 * the environment makes it a plain publish loop, LARGE=N places payloads of more than N bytes. The
 * broker is the real one, started by ours.py. */
#include "harness.h"

#include <baton.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct client {
        baton *b;
        int role;
        bool is_plain;
        msg_cb cb;
        void *arg;
        int n;
};

static void check(struct client *c, int r, const char *what)
{
        if (r < 0)
                die("%s: %s", what, baton_error(c->b));
}

static void *connect_client(const char *address, int role)
{
        struct client *c = calloc(1, sizeof(*c));

        if (!c || baton_new(&c->b) < 0)
                return NULL;
        c->role = role;
        c->is_plain = envi("PLAIN", 0);
        if (envi("LARGE", 0))
                baton_set_large(c->b, (size_t)envi("LARGE", 0));
        check(c, baton_connect(c->b, address, 10000), "connect");
        if (role == R_PUB && !c->is_plain)
                baton_cork(c->b);
        return c;
}

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        struct client *c = arg;

        (void)b;
        c->cb(c->arg, m->payload, m->payload_len, m->n_fds ? m->fds[0] : -1);
        c->n++;
}

static int subscribe(void *client, const char *topic)
{
        struct client *c = client;
        struct baton_subscription options = {.max_fds = envi("FDS", 0) ? 16 : 0};

        return baton_subscribe(c->b, topic, &options, on_message, c, NULL);
}

static int sync_client(void *client)
{
        struct client *c = client;

        return baton_ping(c->b, 30000);
}

static int publish(void *client, const char *topic, const void *data, size_t len, int fd)
{
        struct client *c = client;
        struct baton_publication p = {
                .topic = topic,
                .payload = data,
                .payload_len = len,
                .fds = &fd,
                .n_fds = fd >= 0,
        };

        return fd < 0 ? baton_publish(c->b, topic, data, len) : baton_publish_with(c->b, &p);
}

static int flush_client(void *client)
{
        struct client *c = client;

        return baton_flush(c->b, 30000);
}

static int dispatch(void *client, int timeout_ms, msg_cb cb, void *arg)
{
        struct client *c = client;

        c->cb = cb;
        c->arg = arg;
        c->n = 0;
        int r = baton_wait(c->b, timeout_ms);
        return r < 0 ? r : c->n;
}

const struct peer peer = {
        "baton", connect_client, subscribe, sync_client, publish, flush_client, dispatch, NULL};
