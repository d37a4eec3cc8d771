/* Design note. A timer descriptor in the loop's epoll, and a timer of libuv should that fail. Times
 * are of the loop, which lags behind the clock: what is counted from it rings when the loop's time
 * has come, never just before. */
#include "broker/alarm.h"

#include "broker/watch.h"
#include "proto/base/sys.h"

#include <unistd.h>

static void ring(struct alarm *a)
{
        a->at_ns = UINT64_MAX;
        a->fn(a->arg);
}

static void on_timer(uv_timer_t *timer)
{
        ring(timer->data);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
        struct alarm *a = poll->data;

        (void)status;
        (void)events;
        (void)!sys_timer_set(a->fd, 0); /* no more readable */
        ring(a);
}

static int start_poll(struct alarm *a, uv_loop_t *loop)
{
        int r = uv_poll_init(loop, &a->poll, a->fd);

        if (r < 0)
                return r;
        a->poll.data = a;
        r = watch_start(&a->poll, UV_READABLE, on_readable);
        if (r < 0)
                uv_close((uv_handle_t *)&a->poll, NULL);
        return r;
}

void alarm_init(struct alarm *a, uv_loop_t *loop, alarm_fn fn, void *arg)
{
        *a = (struct alarm){.fd = sys_timer_new(), .at_ns = UINT64_MAX, .fn = fn, .arg = arg};
        uv_timer_init(loop, &a->timer);
        a->timer.data = a;
        if (a->fd >= 0 && start_poll(a, loop) < 0)
                alarm_deinit(a);
}

void alarm_deinit(struct alarm *a)
{
        if (a->fd >= 0)
                close(a->fd);
        a->fd = -1;
}

void alarm_advance(struct alarm *a, uint64_t at_ns)
{
        uint64_t now_ns = uv_now(a->timer.loop) * UINT64_C(1000000);
        uint64_t in_ns = at_ns > now_ns ? at_ns - now_ns : 1;

        if (at_ns >= a->at_ns)
                return;
        a->at_ns = at_ns;
        if (a->fd < 0 || sys_timer_set(a->fd, in_ns) < 0)
                uv_timer_start(&a->timer, on_timer, (in_ns + 999999) / 1000000, 0);
}
