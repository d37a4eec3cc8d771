/* Design note. One thread for all handles of the process, started by the first burst on a handle
 * that blocks. It looks at the open buffers every 0.4 ms for as long as there are any, and sends
 * those in which it finds the packet that it saw the last time; in a burst there is always another
 * one, so it never stands in the way of a fast publisher. When nothing has been open for a while it
 * sleeps.
 *
 * This is the only thing in the library that belongs to the process and not to a handle: a thread
 * for each would be as many as there are handles, and only the process knows of fork and exit.
 *
 * Fork. What is gathered is sent before, while the thread can be kept still, so that parent and
 * child do not both have it. What a full socket does not take then is the parent's. The child has
 * no thread until it needs one.
 *
 * Exit. What is gathered is sent, and waits for full sockets a while. The same when a program
 * unloads the library: the thread must not outlive its code. */
#include "client/flusher.h"

#include "client/handle.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

static struct {
        pthread_mutex_t lock; /* of all below; held while a buffer is TAKEN */
        pthread_cond_t wake;
        pthread_t thread;
        struct list parks;
        bool is_ready;          /* list and condition are initialised, hooks are set */
        atomic_bool is_running; /* there is a thread */
        atomic_bool ends;
} flusher = {.lock = PTHREAD_MUTEX_INITIALIZER};

atomic_bool flusher_is_asleep;

/* ---------------------------------------------------------------- one buffer */

static bool take(struct park *p)
{
        unsigned open = PARK_OPEN;

        pthread_mutex_lock(&p->sending);
        if (atomic_compare_exchange_strong(&p->state, &open, PARK_TAKEN))
                return true;
        pthread_mutex_unlock(&p->sending);
        return false;
}

static void give_back(struct park *p, bool is_sent)
{
        atomic_store(&p->state, is_sent ? PARK_CLOSED : PARK_OPEN);
        pthread_mutex_unlock(&p->sending);
}

/* Returns false if the socket is full. */
static bool send_parked(struct park *p)
{
        if (!take(p))
                return true;
        bool is_sent = out_send_parked(p->b);
        give_back(p, is_sent);
        return is_sent;
}

/* Returns the number of ticks after which it is worth another look; 0: none is. */
static unsigned look(struct park *p)
{
        if (atomic_load(&p->state) != PARK_OPEN || !atomic_load(&p->needs_thread))
                return 0;
        unsigned packet = atomic_load(&p->packet);
        if (packet != p->seen) {
                p->seen = packet;
                p->pause = p->left = 0;
                return 1;
        }
        if (p->left > 1)
                return --p->left;
        if (send_parked(p))
                return 1;
        p->pause = p->pause * 2 >= FLUSHER_PAUSE_TICKS ? FLUSHER_PAUSE_TICKS : p->pause * 2 + 1;
        return p->left = p->pause;
}

static bool look_at_all(void)
{
        bool any = false;

        list_for_each (it, &flusher.parks)
                any |= look(list_entry(it, struct park, link)) != 0;
        return any;
}

static bool is_any_open(void)
{
        list_for_each (it, &flusher.parks) {
                struct park *p = list_entry(it, struct park, link);
                if (atomic_load(&p->state) == PARK_OPEN && atomic_load(&p->needs_thread))
                        return true;
        }
        return false;
}

/* ---------------------------------------------------------------- the thread */

static void tick(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        ts.tv_nsec += FLUSHER_TICK_NS;
        if (ts.tv_nsec >= 1000000000) {
                ts.tv_nsec -= 1000000000;
                ts.tv_sec++;
        }
        pthread_cond_timedwait(&flusher.wake, &flusher.lock, &ts);
}

static void sleep_until_woken(void)
{
        atomic_store(&flusher_is_asleep, true);
        /* Whoever opened one before it could see that has not woken us. */
        while (!atomic_load(&flusher.ends) && atomic_load(&flusher_is_asleep) && !is_any_open())
                pthread_cond_wait(&flusher.wake, &flusher.lock);
        atomic_store(&flusher_is_asleep, false);
}

static void *run(void *arg)
{
        unsigned quiet = 0;

        pthread_mutex_lock(&flusher.lock);
        while (!atomic_load(&flusher.ends)) {
                tick();
                quiet = look_at_all() ? 0 : quiet + 1;
                if (quiet < FLUSHER_QUIET_TICKS)
                        continue;
                sleep_until_woken();
                quiet = 0;
        }
        pthread_mutex_unlock(&flusher.lock);
        return arg;
}

void flusher_wake(void)
{
        pthread_mutex_lock(&flusher.lock);
        atomic_store(&flusher_is_asleep, false);
        pthread_cond_signal(&flusher.wake);
        pthread_mutex_unlock(&flusher.lock);
}

/* No signal of the application is handled on our thread. */
static int start_thread(void)
{
        sigset_t all, old;
        pthread_attr_t attr;
        int r = pthread_attr_init(&attr);

        if (r)
                return -r;
        /* Should it be too little for this system, the default will do. */
        (void)pthread_attr_setstacksize(&attr, FLUSHER_STACK_BYTES);
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        r = pthread_create(&flusher.thread, &attr, run, NULL);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        pthread_attr_destroy(&attr);
        atomic_store(&flusher.is_running, r == 0);
        return -r;
}

/* ---------------------------------------------------------------- fork and exit */

static void before_fork(void)
{
        pthread_mutex_lock(&flusher.lock);
        list_for_each (it, &flusher.parks)
                (void)send_parked(list_entry(it, struct park, link));
}

static void after_fork_in_parent(void)
{
        pthread_mutex_unlock(&flusher.lock);
}

static int init_condition(void)
{
        pthread_condattr_t attr;
        int r = pthread_condattr_init(&attr);

        if (r)
                return -r;
        r = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        if (r == 0)
                r = pthread_cond_init(&flusher.wake, &attr);
        pthread_condattr_destroy(&attr);
        return -r;
}

static void after_fork_in_child(void)
{
        list_for_each (it, &flusher.parks) {
                struct park *p = list_entry(it, struct park, link);
                if (atomic_load(&p->state) == PARK_OPEN)
                        out_forget_parked(p->b);
                atomic_store(&p->state, PARK_CLOSED);
                /* Another thread may have been waiting at it, and is not here. */
                pthread_mutex_init(&p->sending, NULL);
        }
        atomic_store(&flusher.is_running, false);
        atomic_store(&flusher_is_asleep, false);
        /* So may the thread at this one. */
        flusher.is_ready = init_condition() == 0;
        pthread_mutex_unlock(&flusher.lock);
}

static void send_last(struct park *p, uint64_t deadline_ns)
{
        bool is_sent;

        if (!take(p))
                return;
        while (!(is_sent = out_send_parked(p->b)) &&
                link_wait(p->b->link, POLLOUT, clock_left_ms(deadline_ns)) == 0)
                continue;
        give_back(p, is_sent);
}

static void at_exit(void)
{
        uint64_t deadline_ns = clock_deadline(FLUSHER_EXIT_MS);

        pthread_mutex_lock(&flusher.lock);
        atomic_store(&flusher.ends, true);
        bool is_running = atomic_exchange(&flusher.is_running, false);
        pthread_cond_signal(&flusher.wake);
        list_for_each (it, &flusher.parks)
                send_last(list_entry(it, struct park, link), deadline_ns);
        pthread_mutex_unlock(&flusher.lock);
        if (is_running)
                pthread_join(flusher.thread, NULL);
}

/* ---------------------------------------------------------------- joining */

static int make_ready(void)
{
        int r = flusher.is_ready ? 0 : init_condition();

        if (r < 0)
                return r;
        if (!flusher.parks.next) {
                list_init(&flusher.parks);
                if (pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) ||
                        atexit(at_exit))
                        return -ENOMEM;
        }
        flusher.is_ready = true;
        return 0;
}

static int join(struct baton *b)
{
        struct park *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        if (pthread_mutex_init(&p->sending, NULL)) {
                free(p);
                return -ENOMEM;
        }
        p->b = b;
        list_push_back(&flusher.parks, &p->link);
        b->out.park = p;
        return 0;
}

/* Makes sure that there are a park, and a thread if it is needed. */
static int prepare(struct baton *b)
{
        bool needs_thread = !b->nonblocking;
        int r;

        pthread_mutex_lock(&flusher.lock);
        r = atomic_load(&flusher.ends) ? -EAGAIN : make_ready();
        if (r == 0 && !b->out.park)
                r = join(b);
        if (r == 0 && needs_thread && !atomic_load(&flusher.is_running))
                r = start_thread();
        if (r == 0)
                atomic_store(&b->out.park->needs_thread, needs_thread);
        pthread_mutex_unlock(&flusher.lock);
        return r;
}

/* A process that was forked has no thread, and one that ends has nobody, and must find out. */
static bool is_prepared(const struct baton *b)
{
        const struct park *p = b->out.park;

        return p && !atomic_load(&flusher.ends) &&
               atomic_load(&p->needs_thread) == !b->nonblocking &&
               (b->nonblocking || atomic_load(&flusher.is_running));
}

int flusher_open(struct baton *b)
{
        int r = is_prepared(b) ? 0 : prepare(b);

        if (r < 0)
                return r;
        atomic_store(&b->out.park->packet, b->out.packet_no);
        b->out.is_open = true;
        park_reopen(b->out.park);
        return 0;
}

void flusher_close(struct baton *b)
{
        struct park *p = b->out.park;

        b->out.is_open = false;
        while (!park_try_close(p) && atomic_load(&p->state) != PARK_CLOSED) {
                pthread_mutex_lock(&p->sending);
                pthread_mutex_unlock(&p->sending);
        }
}

void flusher_leave(struct baton *b)
{
        struct park *p = b->out.park;

        if (!p)
                return;
        pthread_mutex_lock(&flusher.lock);
        list_remove(&p->link);
        pthread_mutex_unlock(&flusher.lock);
        pthread_mutex_destroy(&p->sending);
        free(p);
        b->out.park = NULL;
}
