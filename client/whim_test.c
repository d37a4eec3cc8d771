/* A handle that stays connected, an application that does anything at any moment, inside callbacks
 * too, and a broker that comes, answers, refuses, talks nonsense and goes as it likes. By seeds, so
 * that each life can be lived again. What is asked for ends exactly once, READY is told once for
 * each connection, and nobody is kept busy for nothing. */
#include "client/fake_whim.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 60, STEPS = 150, MOST_SUBS = 8, IDLE_TURNS = 500 };

struct life {
        struct house h;
        struct whim broker;
        int started, ended; /* done callbacks */
        int depth;          /* callbacks under way */
        bool is_ready;      /* told for this connection */
        uint32_t subs[MOST_SUBS];
};

static unsigned pick(struct life *l, unsigned n)
{
        return whim_pick(&l->broker, n);
}

static void act(struct life *l);

/* Inside a callback anything may be done, but the chain must end. */
static void act_inside(struct life *l)
{
        if (l->h.f.b && l->depth < 2 && pick(l, 4) == 0) {
                l->depth++;
                act(l);
                l->depth--;
        }
}

static void on_done(baton *b, int result, const char *text, void *arg)
{
        struct life *l = arg;

        (void)b;
        (void)result;
        CHECK_PTR(text);
        l->ended++;
        act_inside(l);
}

static void on_connected(baton *b, int result, const char *text, void *arg)
{
        ((struct life *)arg)->is_ready = false;
        on_done(b, result, text, arg);
}

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        struct life *l = arg;

        if (m->token && l->h.f.b) {
                int r = baton_reply(b, m->token, "r", 1);
                (void)r;
        }
        act_inside(l);
}

static void on_gap(baton *b, const struct baton_gap *gap, void *arg)
{
        (void)b;
        CHECK_PTR(gap->filter);
        act_inside(arg);
}

static void on_event(baton *b, const struct baton_event *e, void *arg)
{
        struct life *l = arg;

        (void)b;
        CHECK_PTR(e->text);
        CHECK(e->uncertain < 100000 && e->dropped < 100000);
        if (e->change == BATON_READY) {
                CHECK(!l->is_ready);
                l->is_ready = true;
        } else if (e->change == BATON_LOST) {
                l->is_ready = false;
        } else if (e->change == BATON_DENIED) {
                CHECK_PTR(e->filter);
        }
        act_inside(l);
}

/* ---------------------------------------------------------------- the application */

static void stay(struct life *l, bool on)
{
        static const size_t keeps[] = {0, 300, 1 << 20};
        struct baton_reconnect o = {
                .first_ms = 1,
                .most_ms = 2,
                .keep_bytes = keeps[pick(l, 3)],
                .on_event = on_event,
                .arg = l,
        };

        CHECK_EQ(baton_set_reconnect(l->h.f.b, on ? &o : NULL), 0);
        l->is_ready = l->is_ready && on;
}

static void publish(struct life *l)
{
        static const char bytes[150000];
        static const size_t sizes[] = {0, 10, 200, 3000, 40000, 150000};
        static const uint32_t flags[] = {
                0, 0, 0, BATON_NO_ECHO, BATON_RETAIN, BATON_WILL, BATON_RETAIN | BATON_WILL};
        static const char *const topics[] = {"a", "b", "c"};
        struct baton_publication p = {
                .topic = topics[pick(l, 3)],
                .payload = bytes,
                .payload_len = sizes[pick(l, 6)],
                .flags = flags[pick(l, 7)],
                .ttl_ms = pick(l, 5) == 0,
        };
        int r;

        switch (pick(l, 5)) {
        case 0:
                l->started++;
                if (baton_publish_confirm(l->h.f.b, &p, on_done, l) < 0)
                        l->started--;
                break;
        case 1:
                r = baton_publish_wait(l->h.f.b, &p, (int)pick(l, 2));
                break;
        case 2:
                r = baton_publish_with(l->h.f.b, &p);
                break;
        default:
                r = baton_publish(l->h.f.b, p.topic, p.payload, p.payload_len);
        }
        (void)r;
}

static void subscribe(struct life *l)
{
        struct baton_subscription o = {.window = pick(l, 3)};
        uint32_t *sub = &l->subs[pick(l, MOST_SUBS)], id = 0;

        if (pick(l, 2)) {
                int r = baton_unsubscribe(l->h.f.b, *sub);
                (void)r;
                return;
        }
        l->started++;
        if (baton_subscribe_start(l->h.f.b, "a", &o, on_message, on_done, l, &id) < 0)
                l->started--;
        else
                *sub = l->broker.sub = id;
}

static void request(struct life *l)
{
        struct baton_publication p = {.topic = "r"};
        int r = 0;

        switch (pick(l, 4)) {
        case 0:
                r = baton_cancel(l->h.f.b, l->broker.request);
                break;
        default:
                l->started++;
                if (baton_request_start(
                            l->h.f.b, &p, 1, on_message, on_done, l, &l->broker.request) < 0)
                        l->started--;
        }
        (void)r;
}

static void write_large(struct life *l)
{
        static const char bytes[70000];
        struct baton_publication p = {.topic = "large"};
        int r = 0;

        switch (pick(l, 5)) {
        case 0:
                baton_abandon(l->h.f.b);
                break;
        case 1:
                r = baton_end(l->h.f.b);
                break;
        case 2:
                r = baton_begin(l->h.f.b, &p, 0, NULL, NULL);
                break;
        default:
                r = baton_write(l->h.f.b, bytes, pick(l, sizeof(bytes)));
        }
        (void)r;
}

static void connect_or_close(struct life *l)
{
        baton *b = l->h.f.b;
        int r;

        switch (pick(l, 6)) {
        case 0:
                r = baton_close(b, (int)pick(l, 2));
                l->is_ready = false;
                break;
        case 1:
                stay(l, pick(l, 3) != 0);
                return;
        case 2:
                if (pick(l, 10) == 0)
                        l->h.f.b = baton_free(b);
                return;
        default:
                l->started++;
                r = baton_connect_start(b, l->h.address, (int)pick(l, 20), on_connected, l);
                l->started -= r < 0;
        }
        (void)r;
}

static void act(struct life *l)
{
        baton *b = l->h.f.b;
        int r = 0;

        switch (pick(l, 12)) {
        case 0:
                baton_cork(b);
                break;
        case 1:
                r = baton_uncork(b);
                break;
        case 2:
                r = pick(l, 2) ? baton_flush(b, 1) : baton_ping(b, 1);
                break;
        case 3:
        case 4:
                subscribe(l);
                break;
        case 5:
                request(l);
                break;
        case 6:
                write_large(l);
                break;
        case 7:
                connect_or_close(l);
                break;
        case 8:
                r = pick(l, 2) ? baton_process(b) : baton_wait(b, 1);
                break;
        default:
                publish(l);
        }
        (void)r;
}

/* ---------------------------------------------------------------- both */

static void turn(struct life *l)
{
        baton *b = l->h.f.b;
        struct pollfd pfd = {.fd = baton_fd(b), .events = baton_events(b)};
        int ms = baton_timeout(b);

        CHECK(poll(&pfd, pfd.fd >= 0, ms < 0 || ms > 1 ? 1 : ms) >= 0);
        int r = baton_process(b);
        CHECK(r >= 0 || r == -ENOTCONN || r == -EPROTO || r == -EACCES || !l->h.f.b);
}

/* Nobody does anything any more: the loop comes to rest. */
static void check_rest(struct life *l)
{
        baton *b = l->h.f.b;
        int n = 0;

        while (b && n++ < IDLE_TURNS && baton_timeout(b) == 0) {
                int r = baton_process(b);
                (void)r;
                b = l->h.f.b;
        }
        CHECK(n < IDLE_TURNS);
}

static void live(uint64_t seed)
{
        static struct life l;

        memset(&l, 0, sizeof(l));
        l.broker = (struct whim){.h = &l.h, .random = seed};
        house_open(&l.h);
        baton_set_gap(l.h.f.b, on_gap, &l);
        if (pick(&l, 4))
                stay(&l, true);
        for (int i = 0; i < STEPS && l.h.f.b; i++) {
                act(&l);
                whim_turn(&l.broker);
                if (l.h.f.b)
                        turn(&l);
        }
        l.depth = 2;
        check_rest(&l);
        l.h.f.b = baton_free(l.h.f.b);
        CHECK_EQ(l.ended, l.started);
        house_close(&l.h);
}

TEST(whatever_happens_each_thing_ends_once)
{
        const char *first = getenv("ATTACK_SEED");
        uint64_t seed = first ? strtoull(first, NULL, 10) : 1;

        for (uint64_t i = seed; i < seed + SEEDS; i++) {
                if (first)
                        print_message("seed %llu\n", (unsigned long long)i);
                live(i);
        }
}
