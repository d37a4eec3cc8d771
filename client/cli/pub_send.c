/* Design note. Every publication is confirmed, with --confirm or without: only so does the tool
 * know that all of it arrived, or what was refused and why, before it exits. Confirms are pipelined
 * and cost next to nothing; --confirm only adds what -v prints about them.
 *
 * Over `dgram:` nothing comes back. There a message counts as sent when the socket has taken it; a
 * full socket is tried again, for the library offers nothing to wait for. */
#include "client/cli/pub.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

enum {
        /* Milliseconds without any confirm: a receiver that blocks is cut off after 30 s
         * (stall_ms). */
        SETTLE_MS = 40000,
        /* Milliseconds that a full datagram socket is tried for; microseconds between two tries. */
        FULL_MS = 10000,
        FULL_FIRST_US = 50,
        FULL_MOST_US = 10000,
        NAME_BYTES = 32,
};

/* What to call message `number` (from 1): by its topic, or by its line. */
static const char *name_of(const struct pub *p, uint64_t number, char line[NAME_BYTES])
{
        snprintf(line, NAME_BYTES, "line %" PRIu64, number);
        return p->lines ? line : p->topic;
}

int pub_fail(struct pub *p, int error)
{
        progress_end(&p->progress);
        if (!p->status)
                p->status = cli_fail(&p->cli, error);
        return p->status;
}

void pub_on_done(baton *b, int result, const char *text, void *arg)
{
        struct pub *p = arg;
        char line[NAME_BYTES];

        (void)b;
        p->n_done++;
        if (result >= 0 && p->confirm && p->cli.verbose)
                cli_tell("confirmed: %d receivers", result);
        if (result >= 0 || p->status)
                return;
        p->status = cli_status_of(result);
        progress_end(&p->progress);
        if (result == -ENOTCONN)
                cli_say(&p->cli, "%s", text); /* names the address */
        else
                cli_fail_about(&p->cli, result, name_of(p, p->n_done, line), text);
}

/* ---------------------------------------------------------------- waiting */

static void nap(long us)
{
        struct timespec ts = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

        nanosleep(&ts, NULL);
}

/* Waits for something, at most until `deadline_ns`. Returns 0 · an exit status. */
static int wait_until(struct pub *p, uint64_t deadline_ns)
{
        int left_ms = cli_left_ms(deadline_ns, -1);

        if (p->is_datagram) {
                nap(left_ms * 1000L);
                return 0;
        }
        int r = baton_wait(p->cli.b, left_ms);
        if (r < 0 && r != -EINTR)
                return pub_fail(p, r);
        return p->status;
}

int pub_settle(struct pub *p, uint64_t most)
{
        uint64_t n_done = p->n_done, deadline_ns = UINT64_MAX;

        while (p->n_sent - p->n_done > most) {
                if (p->n_done != n_done || deadline_ns == UINT64_MAX)
                        deadline_ns = cli_now_ns() + SETTLE_MS * UINT64_C(1000000);
                n_done = p->n_done;
                int status = wait_until(p, deadline_ns);
                if (status)
                        return status;
                if (p->n_done == n_done && cli_now_ns() >= deadline_ns)
                        return cli_fail_about(
                                &p->cli, -ETIMEDOUT, p->topic, "the broker confirms nothing");
        }
        return p->status;
}

int pub_settle_half(struct pub *p)
{
        return pub_settle(p, (p->n_sent - p->n_done) / 2);
}

int pub_pause(struct pub *p)
{
        uint64_t deadline_ns = cli_now_ns() + (uint64_t)p->interval_ms * 1000000u;
        int status = 0;

        while (status == 0 && cli_now_ns() < deadline_ns)
                status = wait_until(p, deadline_ns);
        return status;
}

/* Of the broker: what it says is dealt with. */
static int listen_to_broker(struct pub *p)
{
        int r = p->is_datagram ? 0 : baton_process(p->cli.b);

        return r < 0 ? pub_fail(p, r) : p->status;
}

int pub_await_input(struct pub *p, int fd)
{
        baton *b = p->cli.b;

        for (;;) {
                struct pollfd pfds[] = {
                        {.fd = fd, .events = POLLIN},
                        {.fd = baton_fd(b), .events = baton_events(b)},
                };
                int n = poll(pfds, ARRAY_LEN(pfds), p->is_datagram ? -1 : baton_timeout(b));
                if (n < 0 && errno != EINTR)
                        return cli_fail_about(&p->cli, -errno, "poll", NULL);
                if (n > 0 && pfds[0].revents)
                        return 0;
                int status = listen_to_broker(p);
                if (status)
                        return status;
        }
}

/* ---------------------------------------------------------------- publishing */

struct baton_publication pub_publication(const struct pub *p)
{
        struct baton_publication m = outgoing_publication(&p->out, p->topic);

        m.flags = p->flags;
        m.ttl_ms = p->ttl_ms;
        return m;
}

static int send_datagram(struct pub *p, const struct baton_publication *m)
{
        uint64_t deadline_ns = cli_now_ns() + FULL_MS * UINT64_C(1000000);
        long us = FULL_FIRST_US;
        int r;

        while ((r = baton_publish_with(p->cli.b, m)) == -EAGAIN && cli_now_ns() < deadline_ns) {
                nap(us);
                us = us * 2 > FULL_MOST_US ? FULL_MOST_US : us * 2;
        }
        return r == -EAGAIN ? -ETIMEDOUT : r;
}

static int send_confirmed(struct pub *p, const struct baton_publication *m)
{
        int r;

        while ((r = baton_publish_confirm(p->cli.b, m, pub_on_done, p)) == -ENOBUFS) {
                int status = pub_settle_half(p);
                if (status)
                        return status;
        }
        if (r == 0)
                p->n_sent++;
        return r;
}

int pub_send(struct pub *p, const void *payload, size_t len)
{
        struct baton_publication m = pub_publication(p);
        char line[NAME_BYTES];

        m.payload = payload;
        m.payload_len = len;
        int r = p->is_datagram ? send_datagram(p, &m) : send_confirmed(p, &m);
        /* That is told here alone: what is under way does not fail with it. */
        if (r == -EMSGSIZE && p->lines)
                return cli_fail_about(
                        &p->cli, r, name_of(p, p->n_sent + 1, line), baton_error(p->cli.b));
        return r < 0 ? pub_fail(p, r) : r;
}
