#include "client/uv/stage.h"

#include <stdlib.h>
#include <string.h>

/* libuv opens a pipe for signals with the first loop of a process, and keeps it: before descriptors
 * are counted. */
__attribute__((constructor)) static void warm_up(void)
{
        uv_loop_t loop;

        if (uv_loop_init(&loop) || uv_loop_close(&loop))
                abort();
}

void note_end(struct baton_uv *u, int result, void *stage)
{
        struct stage *s = stage;

        CHECK(&s->u == u);
        note(&s->notes, "end %d;", result);
}

void note_stopped(struct baton_uv *u, void *stage)
{
        struct stage *s = stage;

        CHECK(&s->u == u);
        note(&s->notes, "stopped;");
}

void run_loop(struct stage *s)
{
        CHECK_EQ(uv_run(&s->loop, UV_RUN_DEFAULT), 0);
}

static void obey(baton *b, const struct baton_message *m, void *arg)
{
        struct slice order = {m->payload, m->payload_len};
        struct stage *s = arg;

        note_message(b, m, &s->notes);
        if (slice_is(order, "stop") || slice_is(order, "both"))
                baton_uv_stop(&s->u, note_stopped);
        if (slice_is(order, "free") || slice_is(order, "both"))
                s->f.b = baton_free(b);
}

void subscribe(struct stage *s)
{
        s->sub = fake_subscribe(&s->f, "m", obey, s);
}

void open_with(struct stage *s, uint64_t window)
{
        memset(s, 0, sizeof(*s));
        CHECK_EQ(uv_loop_init(&s->loop), 0);
        fake_open_with(&s->f, window, FAKE_RIGHTS);
        baton_uv_start(&s->u, &s->loop, s->f.b, note_end, s);
        subscribe(s);
}

void open_stage(struct stage *s)
{
        open_with(s, FAKE_WINDOW);
}

void close_stage(struct stage *s)
{
        baton_uv_stop(&s->u, NULL);
        run_loop(s);
        CHECK_EQ(uv_loop_close(&s->loop), 0);
        fake_close(&s->f);
}

void deliver(struct stage *s, const char *order)
{
        fake_deliver(&s->f, 1, s->sub, "m", order);
}

void call_soon(struct stage *s, uv_timer_t *timer, uv_timer_cb fn)
{
        CHECK_EQ(uv_timer_init(&s->loop, timer), 0);
        timer->data = s;
        CHECK_EQ(uv_timer_start(timer, fn, 0, 0), 0);
}

void close_timer(uv_timer_t *timer)
{
        uv_close((uv_handle_t *)timer, NULL);
}
