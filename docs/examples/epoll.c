/* epoll.c - a service on plain epoll. It publishes the time (a timer), prints what others say,
 * outlives its broker, and on SIGTERM takes leave properly. */
#include <baton.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct loop {
        baton *b;
        int epoll, timer, signals;
        int fd; /* of the handle, as epoll knows it; -1: not */
        short events;
};

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        (void)b, (void)arg;
        printf("%s %.*s\n", m->topic, (int)m->payload_len, (const char *)m->payload);
}

static void on_event(baton *b, const struct baton_event *e, void *arg)
{
        static const char *const names[] = {
                [BATON_LOST] = "lost",
                [BATON_BACK] = "back",
                [BATON_READY] = "ready",
                [BATON_DENIED] = "denied",
                [BATON_GONE] = "gone",
        };

        (void)b, (void)arg;
        printf("%s: %s\n", names[e->change], e->text);
}

/* Tells epoll which descriptor the handle has now, and what to watch it for (the bits of
 * poll and epoll are the same). One that was closed epoll has forgotten by itself. */
static int follow(struct loop *l)
{
        struct epoll_event e = {.events = (uint32_t)baton_events(l->b), .data.fd = baton_fd(l->b)};
        int r = 0;

        if (e.data.fd >= 0 && e.data.fd != l->fd)
                r = epoll_ctl(l->epoll, EPOLL_CTL_ADD, e.data.fd, &e);
        else if (e.data.fd >= 0 && baton_events(l->b) != l->events)
                r = epoll_ctl(l->epoll, EPOLL_CTL_MOD, e.data.fd, &e);
        l->fd = e.data.fd;
        l->events = baton_events(l->b);
        return r < 0 ? -errno : 0;
}

static int publish_time(struct loop *l)
{
        uint64_t n_expired;
        char text[32];

        if (read(l->timer, &n_expired, sizeof(n_expired)) < 0)
                return 0; /* not yet */
        int len = snprintf(text, sizeof(text), "%lld", (long long)time(NULL));
        int r = baton_publish(l->b, "clock.now", text, (size_t)len);
        /* The next one will do: away, or the broker is behind. */
        return r == -ENOTCONN || r == -EAGAIN ? 0 : r;
}

/* Returns 1 to go on · 0 SIGTERM · -errno. */
static int turn(struct loop *l)
{
        struct epoll_event ready[4];
        int r = follow(l);
        int n = r < 0 ? r : epoll_wait(l->epoll, ready, 4, baton_timeout(l->b));

        if (n < 0)
                return r < 0 ? r : -errno;
        for (int i = 0; i < n; i++) {
                if (ready[i].data.fd == l->signals)
                        return 0;
                if (ready[i].data.fd == l->timer && (r = publish_time(l)) < 0)
                        return r;
        }
        r = baton_process(l->b);
        return r < 0 ? r : 1;
}

static int watch(struct loop *l, int fd)
{
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

        return epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e);
}

static int open_loop(struct loop *l)
{
        const struct itimerspec often = {{0, 200000000}, {0, 1}};
        sigset_t term;

        sigemptyset(&term);
        sigaddset(&term, SIGTERM);
        sigprocmask(SIG_BLOCK, &term, NULL);
        l->epoll = epoll_create1(EPOLL_CLOEXEC);
        l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        l->signals = signalfd(-1, &term, SFD_NONBLOCK | SFD_CLOEXEC);
        if (l->epoll < 0 || l->timer < 0 || l->signals < 0)
                return -errno;
        if (timerfd_settime(l->timer, 0, &often, NULL) < 0 || watch(l, l->timer) < 0 ||
                watch(l, l->signals) < 0)
                return -errno;
        return baton_new(&l->b);
}

static int run(struct loop *l)
{
        const struct baton_reconnect options = {.on_event = on_event};
        int r = baton_set_reconnect(l->b, &options);

        baton_set_nonblocking(l->b, true);
        if (r == 0)
                r = baton_connect_start(l->b, NULL, -1, NULL, NULL);
        if (r == 0) /* it need not be connected yet */
                r = baton_subscribe_start(l->b, "clock.>", NULL, on_message, NULL, NULL, NULL);
        if (r == 0)
                r = 1;
        while (r > 0)
                r = turn(l);
        return r == 0 ? baton_close(l->b, 1000) : r;
}

int main(void)
{
        struct loop l = {.fd = -1};
        int r = open_loop(&l);

        setvbuf(stdout, NULL, _IOLBF, 0);
        if (r == 0)
                r = run(&l);
        if (r < 0)
                fprintf(stderr, "epoll: %s (%s)\n", baton_strerror(r), l.b ? baton_error(l.b) : "");
        baton_free(l.b);
        return r < 0;
}
