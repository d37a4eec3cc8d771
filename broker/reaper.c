/* Design note. One chain of sets under one mutex. The loop hangs what died behind it; one thread,
 * the worker, takes one set at a time and closes it outside the lock, so the loop waits for a few
 * instructions at most.
 *
 * Two kinds of close take long. A connection that lingers waits for its peer, or the time that its
 * owner chose; a signal ends that wait, and the kernel goes on by itself, as it would without the
 * option. To clear the option instead would be seen by all who share the connection. A file of a
 * FUSE server that hangs heeds no signal, and keeps its thread, and the set it is in, for good.
 *
 * So there is always a second thread: while the worker is at a set, it looks at the clock. When the
 * worker has closed nothing since the last look it is sent a signal; when that has not helped
 * SIGNALS_MAX times in a row the other takes its place, and a third is started to watch. Whoever
 * passes us such a descriptor takes one thread from us, of THREADS_MAX, and nothing from anybody
 * else. With the last thread, or where the system has no more of them, descriptors stay open:
 * reaper_hung tells how many. */
#include "broker/reaper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
        LOOK_MS = 5,
        SIGNALS_MAX = 4,
        WAKE_MS = 20,
        STAND_MS = 100,
        THREADS_MAX = 64,
        /* Ignored by default, and nobody sends it: we use no out-of-band data. */
        WAKING_SIGNAL = SIGURG,
};

/* A thread, for whoever wakes it. */
struct digger {
        struct reaper *reaper;
        pthread_t thread;
        bool hangs; /* it was given up, and is still at its set */
};

struct reaper {
        pthread_mutex_t lock;
        pthread_cond_t more;   /* there is something to do */
        pthread_cond_t end;    /* is_over: who watches sleeps on this one */
        struct fdset *dead;    /* to be closed */
        size_t n_taken;        /* descriptors that were closed, or are about to be, ever */
        size_t n_closed;       /* descriptors of sets that are closed whole, ever */
        size_t n_hung;         /* descriptors of sets at which a thread hangs */
        size_t n_at;           /* descriptors of the worker's set */
        uint64_t n_sets;       /* sets taken, ever */
        atomic_uint n_steps;   /* descriptors closed, ever, by whomever */
        struct digger *worker; /* who is at a set, if is_busy */
        struct digger diggers[THREADS_MAX]; /* [n_threads] */
        unsigned n_threads, n_hanging, n_over;
        bool is_busy;    /* the worker is at a set, the last one taken */
        bool is_watched; /* somebody looks at the clock */
        bool is_waking;  /* somebody wakes those who hang */
        bool is_over;

        /* The loop's alone. */
        size_t n_seen_taken;
        unsigned n_seen_steps;
        struct timespec patience;
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

static bool is_past(const struct timespec *at)
{
        struct timespec now = in_ms(0);

        return now.tv_sec > at->tv_sec || (now.tv_sec == at->tv_sec && now.tv_nsec >= at->tv_nsec);
}

static int start(struct reaper *r);

/* Sees to it that there is a second thread, as far as there can be. */
static void complete(struct reaper *r)
{
        if (r->n_threads - r->n_hanging < 2 && r->n_threads < THREADS_MAX)
                (void)!start(r);
}

/* Waits for LOOK_MS, whatever the worker does meanwhile: to be woken with each set would cost more
 * than to close it. Returns false when the worker is still at `set`. */
static bool is_through(struct reaper *r, uint64_t set)
{
        struct timespec until = in_ms(LOOK_MS);
        int e = 0;

        while (e == 0 && (r->is_busy || !r->is_over))
                e = pthread_cond_timedwait(&r->end, &r->lock, &until);
        return !r->is_busy || r->n_sets != set;
}

/* Who was given up may have come since to something that a signal ends. */
static void wake_hanging(struct reaper *r)
{
        for (unsigned i = 0; r->n_hanging && i < r->n_threads; i++) {
                if (r->diggers[i].hangs)
                        pthread_kill(r->diggers[i].thread, WAKING_SIGNAL);
        }
}

/* Waits while the worker moves. If it does not it is woken, and at last given up: its place is free
 * then. */
static void watch(struct reaper *r)
{
        uint64_t set = r->n_sets;
        unsigned steps = r->n_steps, signals = 0;

        r->is_watched = true;
        while (!is_through(r, set) && signals < SIGNALS_MAX) {
                signals = r->n_steps == steps ? signals + 1 : 0;
                steps = r->n_steps;
                if (signals) {
                        pthread_kill(r->worker->thread, WAKING_SIGNAL);
                        wake_hanging(r);
                }
        }
        r->is_watched = false;
        if (!r->is_busy || r->n_sets != set)
                return;
        r->is_busy = false;
        r->worker->hangs = true;
        r->n_hung += r->n_at;
        r->n_hanging++;
        complete(r);
}

/* Waits for something to do, and wakes those who hang, from time to time. */
static void rest(struct reaper *r)
{
        struct timespec until = in_ms(WAKE_MS);

        if (!r->n_hanging || r->is_waking) {
                pthread_cond_wait(&r->more, &r->lock);
                return;
        }
        r->is_waking = true;
        if (pthread_cond_timedwait(&r->more, &r->lock, &until))
                wake_hanging(r);
        r->is_waking = false;
}

/* Returns the set to close; NULL when all is over. The lock is held. */
static struct fdset *next_set(struct reaper *r, struct digger *self)
{
        while (!r->dead || r->is_busy) {
                if (!r->dead && r->is_over)
                        return NULL;
                if (r->is_busy && !r->is_watched)
                        watch(r);
                else
                        rest(r);
        }
        struct fdset *set = r->dead;
        r->dead = fdset_behind(set);
        r->n_at = fdset_n(set);
        r->n_taken += r->n_at;
        r->n_sets++;
        r->is_busy = true;
        r->worker = self;
        if (!r->is_watched)
                pthread_cond_signal(&r->more); /* to be watched */
        return set;
}

/* One at a time, so that whoever watches sees that it moves. */
static size_t close_set(struct reaper *r, struct fdset *set)
{
        size_t n = fdset_n(set);

        for (size_t i = 0; i < n; i++) {
                int fd = fdset_steal_dead(set, i);
                if (fd >= 0)
                        close(fd);
                r->n_steps++;
        }
        fdset_bury(set);
        return n;
}

/* The lock is held. */
static void finish_set(struct reaper *r, struct digger *self, size_t n)
{
        r->n_closed += n;
        if (self->hangs) { /* it took its time, and another its place */
                self->hangs = false;
                r->n_hung -= n;
                r->n_hanging--;
        } else {
                r->is_busy = false;
        }
}

static void destroy(struct reaper *r)
{
        pthread_cond_destroy(&r->more);
        pthread_cond_destroy(&r->end);
        pthread_mutex_destroy(&r->lock);
        free(r);
}

/* The threads own the reaper from the moment that nobody hands it anything more. */
static void *run(void *arg)
{
        struct digger *self = arg;
        struct reaper *r = self->reaper;
        struct fdset *set;

        pthread_mutex_lock(&r->lock);
        while ((set = next_set(r, self))) {
                pthread_mutex_unlock(&r->lock);
                size_t n = close_set(r, set);
                pthread_mutex_lock(&r->lock);
                finish_set(r, self, n);
        }
        bool is_last = ++r->n_over == r->n_threads;
        pthread_mutex_unlock(&r->lock);
        if (is_last)
                destroy(r);
        return NULL;
}

static void on_wake(int number)
{
        (void)number; /* that it came is all */
}

/* Starts a thread; the lock is held. */
static int start(struct reaper *r)
{
        struct digger *digger = &r->diggers[r->n_threads];
        sigset_t all, before;

        sigfillset(&all);
        sigdelset(&all, WAKING_SIGNAL);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        *digger = (struct digger){.reaper = r};
        int e = pthread_create(&digger->thread, NULL, run, digger);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (e)
                return -e;
        pthread_detach(digger->thread);
        r->n_threads++;
        return 0;
}

int reaper_new(struct reaper **ret_reaper)
{
        struct sigaction wake = {.sa_handler = on_wake, .sa_flags = SA_RESTART};
        struct reaper *r = calloc(1, sizeof(*r));

        if (!r)
                return -ENOMEM;
        sigaction(WAKING_SIGNAL, &wake, NULL);
        pthread_mutex_init(&r->lock, NULL);
        pthread_cond_init(&r->more, NULL);
        pthread_cond_init(&r->end, NULL);
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

/* The lock is held. Returns whether somebody must be woken for it, who had better find the lock
 * open: the worker, when it is done, looks by itself. */
static bool take(struct reaper *r, struct graveyard *yard)
{
        r->dead = fdset_join(graveyard_take(yard), r->dead);
        complete(r); /* the system may have had no thread for us before */
        return !r->is_busy;
}

void reaper_take(struct reaper *r, struct graveyard *yard)
{
        if (!yard->dead)
                return;
        pthread_mutex_lock(&r->lock);
        bool wakes = take(r, yard);
        pthread_mutex_unlock(&r->lock);
        if (wakes)
                pthread_cond_signal(&r->more);
}

/* The system has no second thread for us: then the loop itself looks at the clock. */
static bool stands_still(struct reaper *r)
{
        unsigned steps = r->n_steps;

        if (!r->is_busy || steps != r->n_seen_steps) {
                r->n_seen_steps = steps;
                r->patience = in_ms(STAND_MS);
                return false;
        }
        return is_past(&r->patience);
}

static bool is_stuck(struct reaper *r)
{
        if (r->n_threads - r->n_hanging > 1)
                return false;
        return r->n_threads == THREADS_MAX || stands_still(r);
}

bool reaper_is_behind(struct reaper *r, struct graveyard *yard, size_t most)
{
        if (bt_likely(yard->n_laid - r->n_seen_taken <= most))
                return false;
        pthread_mutex_lock(&r->lock);
        bool wakes = yard->dead && take(r, yard);
        r->n_seen_taken = r->n_taken;
        bool is_behind = yard->n_laid - r->n_taken > most && !is_stuck(r);
        pthread_mutex_unlock(&r->lock);
        if (wakes)
                pthread_cond_signal(&r->more);
        return is_behind;
}

size_t reaper_hung(struct reaper *r, const struct graveyard *yard)
{
        pthread_mutex_lock(&r->lock);
        size_t n = is_stuck(r) ? yard->n_laid - r->n_closed : r->n_hung;
        pthread_mutex_unlock(&r->lock);
        return n;
}

void reaper_abandon(struct reaper *r)
{
        pthread_mutex_lock(&r->lock);
        r->is_over = true;
        pthread_cond_broadcast(&r->more);
        pthread_cond_broadcast(&r->end);
        pthread_mutex_unlock(&r->lock); /* the last thread may free it from here on */
}
