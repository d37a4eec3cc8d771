/* Design note. One list under one mutex. The loop appends, the thread takes the whole list and
 * closes it outside the lock, so the loop waits for a few instructions at most. */
#include "broker/reaper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct reaper {
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t more;
        struct fdset *chains[64]; /* ring of chains to close */
        unsigned first, n;
        bool is_over;
        pthread_cond_t fewer;
        size_t n_closed;      /* descriptors, ever */
        size_t n_seen_closed; /* as the loop last saw it */
};

enum { KEEP_UP_MS = 10 };

static struct fdset *next_chain(struct reaper *r)
{
        struct fdset *chain = NULL;

        pthread_mutex_lock(&r->lock);
        while (!r->n && !r->is_over)
                pthread_cond_wait(&r->more, &r->lock);
        if (r->n) {
                chain = r->chains[r->first];
                r->first = (r->first + 1) % ARRAY_LEN(r->chains);
                r->n--;
        }
        pthread_mutex_unlock(&r->lock);
        return chain;
}

/* The thread owns the reaper from the moment that nobody hands it anything more. */
static void *run(void *arg)
{
        struct reaper *r = arg;
        struct fdset *chain;

        while ((chain = next_chain(r))) {
                size_t n = fdset_bury(chain);
                pthread_mutex_lock(&r->lock);
                r->n_closed += n;
                pthread_cond_signal(&r->fewer);
                pthread_mutex_unlock(&r->lock);
        }
        pthread_cond_destroy(&r->more);
        pthread_cond_destroy(&r->fewer);
        pthread_mutex_destroy(&r->lock);
        free(r);
        return NULL;
}

static int start(struct reaper *r)
{
        sigset_t all, before;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int e = pthread_create(&r->thread, NULL, run, r);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -e;
}

int reaper_new(struct reaper **ret_reaper)
{
        struct reaper *r = calloc(1, sizeof(*r));

        if (!r)
                return -ENOMEM;
        pthread_mutex_init(&r->lock, NULL);
        pthread_cond_init(&r->more, NULL);
        pthread_cond_init(&r->fewer, NULL);
        int e = start(r);
        if (e < 0) {
                free(r);
                return e;
        }
        *ret_reaper = r;
        return 0;
}

void reaper_take(struct reaper *r, struct graveyard *yard)
{
        if (!yard->dead)
                return;
        pthread_mutex_lock(&r->lock);
        if (r->n < ARRAY_LEN(r->chains)) { /* else they stay on the yard until there is room */
                r->chains[(r->first + r->n++) % ARRAY_LEN(r->chains)] = graveyard_take(yard);
                pthread_cond_signal(&r->more);
        }
        pthread_mutex_unlock(&r->lock);
}

/* CLOCK_REALTIME, which may jump: then it waits a little shorter or longer. */
static struct timespec soon(void)
{
        struct timespec at;

        clock_gettime(CLOCK_REALTIME, &at);
        at.tv_nsec += KEEP_UP_MS * 1000000;
        if (at.tv_nsec >= 1000000000) {
                at.tv_sec++;
                at.tv_nsec -= 1000000000;
        }
        return at;
}

void reaper_keep_up(struct reaper *r, struct graveyard *yard, size_t most)
{
        if (yard->n_laid - r->n_seen_closed <= most)
                return;
        reaper_take(r, yard);
        struct timespec until = soon();
        pthread_mutex_lock(&r->lock);
        while (yard->n_laid - r->n_closed > most &&
                pthread_cond_timedwait(&r->fewer, &r->lock, &until) == 0)
                continue;
        r->n_seen_closed = r->n_closed;
        pthread_mutex_unlock(&r->lock);
}

void reaper_abandon(struct reaper *r)
{
        pthread_detach(r->thread);
        pthread_mutex_lock(&r->lock);
        r->is_over = true;
        pthread_cond_signal(&r->more);
        pthread_mutex_unlock(&r->lock); /* the thread may free it from here on */
}
