/* Design note. One chain of sets under one mutex. The loop hangs what died behind it; one thread,
 * the worker, takes one set at a time and closes it outside the lock, so the loop waits for a few
 * instructions at most.
 *
 * A close that hangs keeps its thread, and the set it is in, for good. So there is always a second
 * thread: while the worker is at a set and others wait, it looks at the clock, and when the worker
 * has been at the same set for HANG_MS it takes its place, and another is started to watch. Whoever
 * passes us such a descriptor takes one thread from us, and nothing from anybody else. */
#include "broker/reaper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum {
        /* How long the loop waits at most for the worker to catch up. */
        KEEP_UP_MS = 10,
        HANG_MS = 20,
        THREADS_MAX = 64,
};

struct reaper {
        pthread_mutex_t lock;
        pthread_cond_t more, fewer;
        struct fdset *dead; /* to be closed */
        size_t n_taken;     /* descriptors that were closed, or are about to be, ever */
        uint64_t n_sets;    /* sets taken, ever */
        unsigned n_threads, n_hanging;
        bool is_busy;    /* the worker is at a set, the last one taken */
        bool is_watched; /* somebody looks at the clock */
        bool is_over;

        size_t n_seen_taken; /* the loop's alone */
};

/* CLOCK_REALTIME, which may jump: then it waits a little shorter or longer. */
static struct timespec in_ms(long ms)
{
        struct timespec at;

        clock_gettime(CLOCK_REALTIME, &at);
        at.tv_nsec += ms * 1000000;
        if (at.tv_nsec >= 1000000000) {
                at.tv_sec++;
                at.tv_nsec -= 1000000000;
        }
        return at;
}

static int start(struct reaper *r);

/* Sees to it that there is a second thread, as far as there can be. */
static void complete(struct reaper *r)
{
        if (r->n_threads - r->n_hanging < 2 && r->n_threads < THREADS_MAX)
                (void)!start(r);
}

/* Waits while the worker moves. If it does not it is given up, and its place is free. */
static void watch(struct reaper *r)
{
        uint64_t set = r->n_sets;
        struct timespec until = in_ms(HANG_MS);

        int e = 0;

        r->is_watched = true;
        while (e == 0 && r->is_busy && r->n_sets == set)
                e = pthread_cond_timedwait(&r->more, &r->lock, &until);
        r->is_watched = false;
        if (!r->is_busy || r->n_sets != set)
                return;
        r->is_busy = false;
        r->n_hanging++;
        complete(r);
}

/* Returns the set to close, and its number; NULL when all is over. */
static struct fdset *next_set(struct reaper *r, uint64_t *ret_number)
{
        struct fdset *set = NULL;

        pthread_mutex_lock(&r->lock);
        while (!r->dead || r->is_busy) {
                if (!r->dead && r->is_over)
                        goto out;
                if (r->dead && !r->is_watched)
                        watch(r);
                else
                        pthread_cond_wait(&r->more, &r->lock);
        }
        set = r->dead;
        r->dead = fdset_behind(set);
        r->n_taken += fdset_n(set);
        *ret_number = ++r->n_sets;
        r->is_busy = true;
        if (r->dead && !r->is_watched)
                pthread_cond_signal(&r->more); /* to be watched */
        pthread_cond_signal(&r->fewer);
out:
        pthread_mutex_unlock(&r->lock);
        return set;
}

static void finish_set(struct reaper *r, uint64_t number)
{
        pthread_mutex_lock(&r->lock);
        if (r->is_busy && r->n_sets == number)
                r->is_busy = false;
        else
                r->n_hanging--; /* it took its time, and another its place */
        pthread_mutex_unlock(&r->lock);
}

static void destroy(struct reaper *r)
{
        pthread_cond_destroy(&r->more);
        pthread_cond_destroy(&r->fewer);
        pthread_mutex_destroy(&r->lock);
        free(r);
}

/* The threads own the reaper from the moment that nobody hands it anything more. */
static void *run(void *arg)
{
        struct reaper *r = arg;
        struct fdset *set;
        uint64_t number;

        while ((set = next_set(r, &number))) {
                fdset_bury(set);
                finish_set(r, number);
        }
        pthread_mutex_lock(&r->lock);
        bool is_last = --r->n_threads == 0;
        pthread_mutex_unlock(&r->lock);
        if (is_last)
                destroy(r);
        return NULL;
}

/* Starts a thread, all signals blocked; the lock is held. */
static int start(struct reaper *r)
{
        sigset_t all, before;
        pthread_t thread;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int e = pthread_create(&thread, NULL, run, r);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (e)
                return -e;
        pthread_detach(thread);
        r->n_threads++;
        return 0;
}

int reaper_new(struct reaper **ret_reaper)
{
        struct reaper *r = calloc(1, sizeof(*r));

        if (!r)
                return -ENOMEM;
        pthread_mutex_init(&r->lock, NULL);
        pthread_cond_init(&r->more, NULL);
        pthread_cond_init(&r->fewer, NULL);
        pthread_mutex_lock(&r->lock);
        int e = start(r);
        if (e == 0)
                complete(r);
        pthread_mutex_unlock(&r->lock);
        if (e < 0) {
                destroy(r);
                return e;
        }
        *ret_reaper = r;
        return 0;
}

static void take(struct reaper *r, struct graveyard *yard)
{
        r->dead = fdset_join(graveyard_take(yard), r->dead);
        complete(r); /* the system may have had no thread for us before */
        pthread_cond_signal(&r->more);
}

void reaper_take(struct reaper *r, struct graveyard *yard)
{
        if (!yard->dead)
                return;
        pthread_mutex_lock(&r->lock);
        take(r, yard);
        pthread_mutex_unlock(&r->lock);
}

void reaper_keep_up(struct reaper *r, struct graveyard *yard, size_t most)
{
        if (yard->n_laid - r->n_seen_taken <= most)
                return;
        struct timespec until = in_ms(KEEP_UP_MS);
        pthread_mutex_lock(&r->lock);
        if (yard->dead)
                take(r, yard);
        while (yard->n_laid - r->n_taken > most &&
                pthread_cond_timedwait(&r->fewer, &r->lock, &until) == 0)
                continue;
        r->n_seen_taken = r->n_taken;
        pthread_mutex_unlock(&r->lock);
}

void reaper_abandon(struct reaper *r)
{
        pthread_mutex_lock(&r->lock);
        r->is_over = true;
        pthread_cond_broadcast(&r->more);
        pthread_mutex_unlock(&r->lock); /* the last thread may free it from here on */
}
