/* baton_uv.h - a Baton handle in a libuv loop.
 *
 *      static void on_end(struct baton_uv *u, int result, void *arg)
 *      {
 *              (void)result, (void)arg;
 *              fprintf(stderr, "%s\n", baton_error(u->b));
 *              baton_uv_stop(u, NULL);
 *      }
 *
 *      struct baton_uv u;
 *      baton_uv_start(&u, uv_default_loop(), b, on_end, NULL);
 *      uv_run(uv_default_loop(), UV_RUN_DEFAULT);
 *      uv_loop_close(uv_default_loop());
 *      baton_free(b);
 *
 * That is all there is to it: the handle's callbacks are called from the loop, and what any
 * callback of the loop publishes has left before the loop sleeps. Whatever becomes of the
 * connection (one that begins in the loop, with baton_connect_start; one that is lost and comes
 * back, with baton_set_reconnect; another one, by baton_close and baton_connect) is followed.
 *
 * Uses baton.h alone. One loop, one thread: that of the handle. */
#ifndef BATON_UV_H
#define BATON_UV_H

#include "baton.h"

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

struct baton_uv;

/* Called when baton_process has failed with `result`, which is baton.h's for good: the connection
 * is lost and nobody tries to get it back (-ENOTCONN, -EPROTO, ...), or baton_connect_start has
 * failed and was not called again. baton_error(u->b) says why. The adapter rests from then on: it
 * does not keep the loop alive, and uses the handle no more until baton_uv_resume. Everything may
 * be called: baton_uv_stop and baton_free, or baton_connect_start and baton_uv_resume. */
typedef void (*baton_uv_end_fn)(struct baton_uv *u, int result, void *arg);

/* Called when the loop holds nothing of `u` any more, whose memory may now be released. */
typedef void (*baton_uv_stopped_fn)(struct baton_uv *u, void *arg);

/* Called once, by baton_uv_retry. */
typedef void (*baton_uv_retry_fn)(struct baton_uv *u, void *arg);

/* In the caller's memory, which must stay until the adapter has stopped. Yours to read are `b`
 * (NULL once the handle was freed) and `arg`; the rest is private. */
struct baton_uv {
        baton *b;
        void *arg;

        baton_uv_end_fn on_end;
        baton_uv_stopped_fn on_stopped;
        baton_uv_retry_fn on_retry;
        uv_loop_t *loop;
        uv_prepare_t prepare;
        uv_timer_t timer;
        uv_poll_t poll;
        int fd;   /* a copy of the handle's descriptor, which `poll` watches; -1: none */
        int seen; /* the number of that descriptor itself, and which socket it was */
        dev_t seen_dev;
        ino_t seen_ino;
        bool was_connected; /* then; and as what */
        uint64_t session;
        uint8_t instance[16];
        int events; /* UV_..., watched at present */
        bool is_resting;
        bool is_stopping;
        bool is_in_doubt;   /* baton_process was called in this turn */
        bool is_starved;    /* the last try failed for lack of memory or of descriptors */
        bool has_poll;      /* `poll` is initialised, and not closed yet */
        unsigned n_handles; /* of the loop, that are ours */
};

/* baton_uv_start makes the handle non-blocking (it stays so) and attaches it to `loop`. It need not
 * be connected yet. It has one adapter at a time.
 *
 * on_end   may be NULL. The loop then ends, if there is nothing else in it.
 * Cannot fail: should there be no descriptor to watch with (EMFILE), or no memory, the handle is
 * looked after by a timer until there is.
 *
 * A uv_prepare_t that publishes, and that was started before, calls baton_flush itself: libuv runs
 * it after ours, when there is only sleep to come. */
void baton_uv_start(
        struct baton_uv *u, uv_loop_t *loop, baton *b, baton_uv_end_fn on_end, void *arg);

/* baton_uv_stop detaches the handle: the adapter calls it no more. Safe in any callback of the
 * handle and of the loop; a second call does nothing. The handle may be freed before or after, in
 * its own callbacks too: baton_free makes the adapter rest, without on_end.
 *
 * fn   called by the loop, with `arg` of baton_uv_start; may be NULL. Run the loop until then: it
 *      cannot be closed before, and the memory of `u` is needed. */
void baton_uv_stop(struct baton_uv *u, baton_uv_stopped_fn fn);

/* baton_uv_resume goes on after on_end, or inside it, when the handle was connected again or is
 * about to be. Otherwise it does nothing. */
void baton_uv_resume(struct baton_uv *u);

/* baton_uv_retry has `fn` called once, with `arg` of baton_uv_start, after the next baton_process:
 * the moment to try again what was -EAGAIN, and to call this again if it still is. NULL: not any
 * more. It is not called when the connection is lost instead. */
void baton_uv_retry(struct baton_uv *u, baton_uv_retry_fn fn);

/* A started adapter keeps the loop running, as every active handle of libuv does; not so after
 * baton_uv_unref. baton_uv_ref undoes it. */
void baton_uv_unref(struct baton_uv *u);
void baton_uv_ref(struct baton_uv *u);

#ifdef __cplusplus
}
#endif

#endif
