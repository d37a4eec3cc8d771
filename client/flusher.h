/* flusher.h - who sends what a handle has gathered when the application does not call again, forks
 * or ends. Private to this room.
 *
 * The buffer of a handle belongs to the application's thread. When a call leaves something in it,
 * it is opened: then whoever comes first takes it, the next call (flusher_close) or the flusher,
 * and has it alone until it gives it back. */
#ifndef BATON_CLIENT_FLUSHER_H
#define BATON_CLIENT_FLUSHER_H

#include "proto/base/defs.h"
#include "proto/base/list.h"
#include <pthread.h>
#include <stdatomic.h>

enum {
        /* Nanoseconds between two looks. What stood there at the last look already is sent: so it
         * waits for one to two of them. */
        FLUSHER_TICK_NS = 400000,
        /* Looks without finding anything open, after which the thread sleeps until it is woken. */
        FLUSHER_QUIET_TICKS = 16,
        /* Ticks between two tries at a socket that is full, at most. */
        FLUSHER_PAUSE_TICKS = 32,
        /* Milliseconds that a process's end is put off for sockets that are full. */
        FLUSHER_EXIT_MS = 1000,
        /* Bytes of the thread's stack; the sanitizers need most of it. */
        FLUSHER_STACK_BYTES = 256 * 1024,
};

enum park_state {
        PARK_CLOSED, /* the application's, or nothing is in it */
        PARK_OPEN,   /* whoever takes it first */
        PARK_TAKEN,  /* the flusher's, for the time of a send that does not wait */
};

/* The part of a handle that the flusher knows. */
struct park {
        struct list link;
        struct baton *b;
        atomic_uint state;        /* enum park_state */
        atomic_uint packet;       /* which packet it is: changes when one was sent */
        atomic_bool needs_thread; /* else the application's event loop sends it */
        pthread_mutex_t sending;  /* locked while TAKEN: to wait for its end */

        /* The flusher's. */
        unsigned seen; /* `packet` at the last look */
        unsigned pause, left;
};

/* flusher_open opens the buffer of a handle, which has something in it, from now on. If there can
 * be no flusher the buffer stays closed, and the caller must send.
 * Returns 0 · -ENOMEM · -EAGAIN no thread. */
BT_MUST int flusher_open(struct baton *b);

/* flusher_close takes the buffer back; it may wait for the end of a send. */
void flusher_close(struct baton *b);

/* flusher_wake ends the thread's sleep. */
void flusher_wake(void);

/* flusher_leave ends all this for a handle, whose buffer is closed. */
void flusher_leave(struct baton *b);

extern atomic_bool flusher_is_asleep;

/* The two of them in a burst, where nobody disturbs. park_try_close returns false if it must be
 * done by flusher_close; park_reopen is for the same packet. */
static inline bool park_try_close(struct park *p)
{
        unsigned open = PARK_OPEN;

        return atomic_compare_exchange_strong_explicit(
                &p->state, &open, PARK_CLOSED, memory_order_acquire, memory_order_relaxed);
}

static inline void park_reopen(struct park *p)
{
        /* In one order with the flusher's own two: either it sees this, or we see it sleep. */
        atomic_store(&p->state, PARK_OPEN);
        if (bt_unlikely(atomic_load(&flusher_is_asleep)))
                flusher_wake();
}

#endif
