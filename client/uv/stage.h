/* stage.h - a handle whose broker is a fake, its adapter, and their loop; for the tests here. */
#ifndef BATON_CLIENT_UV_STAGE_H
#define BATON_CLIENT_UV_STAGE_H

#include "client/fake_broker.h"
#include "client/uv/baton_uv.h"

struct stage {
        uv_loop_t loop;
        struct fake f;
        struct baton_uv u;
        struct notes notes;
        uint32_t sub;   /* of "m" */
        uv_poll_t peer; /* the broker's end, if a test plays it in the loop */
        size_t n_sent, n_read, n_wanted;
};

/* open_stage makes all of it, started and subscribed to "m"; open_with with such a window. What the
 * callbacks say is in the notes: "end RESULT;", "stopped;", "m=PAYLOAD;". The payload of a message
 * is an order: "stop" stops the adapter, "free" frees the handle, "both" does both. */
void open_stage(struct stage *s);
void open_with(struct stage *s, uint64_t window);

/* close_stage stops the adapter if need be, and checks that nothing is left in the loop. */
void close_stage(struct stage *s);

/* run_loop runs it until nothing is left to wait for. */
void run_loop(struct stage *s);

/* subscribe subscribes to "m" again, on a new connection; deliver sends a message for it. */
void subscribe(struct stage *s);
void deliver(struct stage *s, const char *order);

void note_end(struct baton_uv *u, int result, void *stage);
void note_stopped(struct baton_uv *u, void *stage);

/* call_soon has the loop call `fn` once, with the stage in `data`; `fn` closes the timer. */
void call_soon(struct stage *s, uv_timer_t *timer, uv_timer_cb fn);
void close_timer(uv_timer_t *timer);

#endif
