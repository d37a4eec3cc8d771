/* alarm.h - when the loop is woken next. A timer of libuv would do, but to sleep with a time limit
 * costs more than to sleep without: the kernel sets up a timer for each time the loop sleeps, some
 * 2 us on a virtual machine, of the 14 that it spends on a message. This one is set up when the
 * deadline comes nearer, and stays. */
#ifndef BATON_BROKER_ALARM_H
#define BATON_BROKER_ALARM_H

#include "proto/base/defs.h"

#include <uv.h>

typedef void (*alarm_fn)(void *arg);

struct alarm {
        uv_timer_t timer; /* where the system has no such descriptors, or none to spare */
        uv_poll_t poll;
        int fd;         /* -1: none */
        uint64_t at_ns; /* when it rings, UINT64_MAX: never */
        alarm_fn fn;
        void *arg;
};

/* alarm_init makes an alarm that calls `fn` from the loop. It must stay where it is; its handles
 * are closed with the loop's others, and then alarm_deinit is due. */
void alarm_init(struct alarm *a, uv_loop_t *loop, alarm_fn fn, void *arg);
void alarm_deinit(struct alarm *a);

/* alarm_advance has it ring at `at_ns` of the loop's time (uv_now, in nanoseconds), if that is
 * before the time at which it rings already: who is called too early asks for the next time. */
void alarm_advance(struct alarm *a, uint64_t at_ns);

#endif
