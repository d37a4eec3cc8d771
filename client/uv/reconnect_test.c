/* Connections that begin in the loop, are lost, and come back in it. */
#include "client/uv/baton_uv.h"
#include "tests/harness/broker_process.h"
#include "tests/harness/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_MS = 60000 };

struct scene {
        struct broker_process broker;
        uv_loop_t loop;
        baton *b;
        struct baton_uv u;
        char text[4096]; /* what happened: "connected 0;lost;..." */
        size_t len;
};

__attribute__((constructor)) static void warm_up(void)
{
        uv_loop_t loop;

        if (uv_loop_init(&loop) || uv_loop_close(&loop))
                abort();
}

static void tell(struct scene *s, const char *what, int number)
{
        int n = snprintf(s->text + s->len, sizeof(s->text) - s->len, "%s %d;", what, number);

        CHECK(n > 0 && (size_t)n < sizeof(s->text) - s->len);
        s->len += (size_t)n;
}

static void tell_end(struct baton_uv *u, int result, void *arg)
{
        (void)u;
        tell(arg, "end", result);
}

static void open_scene(struct scene *s)
{
        memset(s, 0, sizeof(*s));
        CHECK_EQ(uv_loop_init(&s->loop), 0);
        CHECK_EQ(baton_new(&s->b), 0);
        baton_uv_start(&s->u, &s->loop, s->b, tell_end, s);
        broker_process_start(&s->broker);
}

static void run_scene(struct scene *s)
{
        CHECK_EQ(uv_run(&s->loop, UV_RUN_DEFAULT), 0);
}

static void close_scene(struct scene *s)
{
        baton_uv_stop(&s->u, NULL);
        run_scene(s);
        CHECK_EQ(uv_loop_close(&s->loop), 0);
        baton_free(s->b);
        broker_process_stop(&s->broker);
}

/* A payload of "stop" stops the adapter. */
static void tell_message(baton *b, const struct baton_message *m, void *arg)
{
        struct scene *s = arg;

        (void)b;
        tell(s, m->topic, (int)m->payload_len);
        if (m->payload_len == 4 && memcmp(m->payload, "stop", 4) == 0)
                baton_uv_stop(&s->u, NULL);
}

static void tell_subscribed(baton *b, int result, const char *text, void *arg)
{
        (void)text;
        tell(arg, "subscribed", result);
        if (result >= 0)
                CHECK_EQ(baton_publish(b, "m", "stop", 4), 0);
}

static void tell_connected(baton *b, int result, const char *text, void *arg)
{
        (void)text;
        tell(arg, "connected", result);
        if (result == 0)
                CHECK_EQ(baton_subscribe_start(
                                 b, "m", NULL, tell_message, tell_subscribed, arg, NULL),
                        0);
}

TEST(a_connection_begins_in_the_loop)
{
        struct scene s;

        open_scene(&s);
        CHECK_EQ(baton_connect_start(s.b, s.broker.address, LONG_MS, tell_connected, &s), 0);
        CHECK_STR(s.text, "");
        run_scene(&s);
        CHECK_STR(s.text, "connected 0;subscribed 0;m 4;");
        close_scene(&s);
}

TEST(the_next_address_is_tried_in_the_loop)
{
        char addresses[256];
        struct scene s;

        open_scene(&s);
        snprintf(addresses, sizeof(addresses), "/tmp/nobody-is-here,%s", s.broker.address);
        CHECK_EQ(baton_connect_start(s.b, addresses, LONG_MS, tell_connected, &s), 0);
        run_scene(&s);
        CHECK_STR(s.text, "connected 0;subscribed 0;m 4;");
        close_scene(&s);
}

TEST(a_connection_that_nobody_takes_ends_in_the_loop)
{
        struct scene s;

        open_scene(&s);
        CHECK_EQ(baton_connect_start(s.b, "/tmp/nobody-is-here", LONG_MS, tell_connected, &s), 0);
        run_scene(&s);
        CHECK_STR(s.text, "connected -111;end -107;");
        close_scene(&s);
}

/* ---------------------------------------------------------------- staying connected */

static void tell_event(baton *b, const struct baton_event *event, void *arg)
{
        struct scene *s = arg;

        switch (event->change) {
        case BATON_LOST:
                tell(s, "lost", event->error);
                broker_process_restart(&s->broker);
                return;
        case BATON_BACK:
                tell(s, "back", event->other_instance);
                return;
        case BATON_READY:
                tell(s, "ready", event->other_instance);
                if (event->other_instance)
                        CHECK_EQ(baton_publish(b, "m", "stop", 4), 0);
                return;
        default:
                tell(s, "event", (int)event->change);
        }
}

static void kill_broker(uv_timer_t *timer)
{
        struct scene *s = timer->data;

        broker_process_kill(&s->broker);
        uv_close((uv_handle_t *)timer, NULL);
}

TEST(a_handle_that_reconnects_receives_again_without_a_word_to_the_adapter)
{
        struct scene s;
        uv_timer_t timer;

        open_scene(&s);
        struct baton_reconnect options = {.first_ms = 1, .on_event = tell_event, .arg = &s};
        CHECK_EQ(baton_set_reconnect(s.b, &options), 0);
        CHECK_EQ(baton_connect(s.b, s.broker.address, LONG_MS), 0);
        CHECK_EQ(baton_subscribe(s.b, "m", NULL, tell_message, &s, NULL), 0);
        CHECK_EQ(uv_timer_init(&s.loop, &timer), 0);
        timer.data = &s;
        CHECK_EQ(uv_timer_start(&timer, kill_broker, 0, 0), 0);
        run_scene(&s);
        CHECK_STR(s.text, "ready 0;lost -107;back 1;ready 1;m 4;");
        close_scene(&s);
}

static void start_broker(uv_timer_t *timer)
{
        struct scene *s = timer->data;

        broker_process_restart(&s->broker);
        uv_close((uv_handle_t *)timer, NULL);
}

TEST(a_handle_that_reconnects_waits_in_the_loop_for_a_broker_that_is_not_there_yet)
{
        struct scene s;
        uv_timer_t timer;

        open_scene(&s);
        broker_process_end(&s.broker);
        struct baton_reconnect options = {.first_ms = 1};
        CHECK_EQ(baton_set_reconnect(s.b, &options), 0);
        CHECK_EQ(baton_connect_start(s.b, s.broker.address, LONG_MS, tell_connected, &s), 0);
        CHECK_EQ(uv_timer_init(&s.loop, &timer), 0);
        timer.data = &s;
        CHECK_EQ(uv_timer_start(&timer, start_broker, 20, 0), 0);
        run_scene(&s);
        CHECK_STR(s.text, "connected 0;subscribed 0;m 4;");
        close_scene(&s);
}

static void stop_while_away(uv_timer_t *timer)
{
        struct scene *s = timer->data;

        baton_uv_stop(&s->u, NULL);
        s->b = baton_free(s->b);
        uv_close((uv_handle_t *)timer, NULL);
}

TEST(an_adapter_stops_while_its_handle_is_away)
{
        struct scene s;
        uv_timer_t timer;

        open_scene(&s);
        struct baton_reconnect options = {.first_ms = 1};
        CHECK_EQ(baton_set_reconnect(s.b, &options), 0);
        CHECK_EQ(baton_connect(s.b, s.broker.address, LONG_MS), 0);
        broker_process_kill(&s.broker);
        CHECK_EQ(uv_timer_init(&s.loop, &timer), 0);
        timer.data = &s;
        CHECK_EQ(uv_timer_start(&timer, stop_while_away, 20, 0), 0);
        run_scene(&s);
        CHECK_STR(s.text, "");
        broker_process_restart(&s.broker);
        close_scene(&s);
}
