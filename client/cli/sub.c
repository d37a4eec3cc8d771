/* Design note. One turn: wait, let the library dispatch what there is, print all of it into one
 * buffer, write that. So a reader sees each message as soon as it is here, and a burst costs few
 * system calls. stdout stays blocking: a reader that is slow slows us, and by way of the broker
 * whoever publishes.
 *
 * With --ack a message is acknowledged when its line has been written, not when it is printed into
 * the buffer: what a reader never got goes to another member of the group.
 *
 * A reader that went away (`sub ... | head -1`) has had what it wanted: status 0, and at once, not
 * with the next message. */
#include "client/cli/sub.h"

#include "client/cli/fdcat.h"
#include "client/cli/signals.h"
#include "client/cli/sub_print.h"
#include "client/cli/tools.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Below it nothing is drawn (progress.h), and nobody needs to be asked about terminals. */
enum { PROGRESS_BYTES = 8 << 20 };

/* ---------------------------------------------------------------- messages */

static int64_t now_ms(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_REALTIME, &ts);
        return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int print(struct sub *s, const struct baton_message *m)
{
        struct progress progress = {0};
        int r;

        /* A terminal that shows the payload has no place for more. */
        if (m->payload_len >= PROGRESS_BYTES && !isatty(STDOUT_FILENO))
                progress_start(&progress, m->topic, m->payload_len);
        if (s->json)
                r = sub_print_json(&s->output, m, now_ms(), &progress);
        else if (s->raw)
                r = sub_print_raw(&s->output, m, &progress);
        else
                r = sub_print_plain(&s->output, m, &progress);
        progress_end(&progress);
        return r;
}

/* Returns as fdcat_copy; what is wrong with the descriptor is said, and no failure of ours. */
static int cat_fd(struct sub *s, const struct baton_message *m, uint32_t i)
{
        int error = 0, r = fdcat_copy(m->fds[i], &s->output, &error);

        switch (r) {
        case FDCAT_E_KIND:
                cli_say(&s->cli, "%s: descriptor %" PRIu32 " has no content", m->topic, i);
                return 0;
        case FDCAT_E_READ:
                cli_say(&s->cli, "%s: descriptor %" PRIu32 ": %s", m->topic, i, strerror(-error));
                return 0;
        default:
                return r;
        }
}

static int cat_fds(struct sub *s, const struct baton_message *m)
{
        int r = 0;

        for (uint32_t i = 0; i < m->n_fds && r == 0; i++)
                r = cat_fd(s, m, i);
        if (m->fds_withheld)
                cli_say(&s->cli, "%s: %" PRIu32 " descriptors withheld", m->topic, m->fds_withheld);
        return r;
}

static bool ignores(const struct sub *s)
{
        return (s->keeper.is_over && !s->empties) || s->error;
}

static int note_receipt(struct sub *s, const struct baton_message *m)
{
        return m->receipt ? buf_push(&s->receipts, &m->receipt, sizeof(m->receipt)) : 0;
}

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        struct sub *s = container_of(arg, struct sub, keeper);

        (void)b;
        if (ignores(s))
                return;
        /* One that matches several filters comes for each of them, under one number. */
        if (m->seq == s->last_seq)
                return;
        s->last_seq = m->seq;
        s->error = print(s, m);
        int r = s->error == 0 && s->fd_cat ? cat_fds(s, m) : 0;
        if (r == FDCAT_E_STOPPED)
                return; /* not all of it is written */
        s->error = s->error ? s->error : r;
        if (s->error == 0)
                s->error = note_receipt(s, m);
        s->keeper.is_over |= ++s->n_printed == s->wanted;
}

static void on_gap(baton *b, const struct baton_gap *gap, void *arg)
{
        struct sub *s = container_of(arg, struct sub, keeper);

        (void)b;
        if (ignores(s))
                return;
        if (!strcmp(gap->reason, "revoked")) {
                cli_say(&s->cli, "%s: the broker's policy has changed: no right to subscribe",
                        gap->filter);
                s->is_refused |= ++s->n_revoked == s->keeper.n_filters;
                s->keeper.is_over |= s->is_refused;
        } else {
                cli_say(&s->cli, "%s: %" PRIu64 " messages lost (%s)", gap->filter, gap->count,
                        gap->reason);
        }
        if (s->json)
                s->error = sub_print_json_gap(&s->output, gap);
}

static void on_lost(struct keeper *k)
{
        struct sub *s = container_of(k, struct sub, keeper);

        s->last_seq = 0; /* the next session counts anew, and subscribes to all */
        s->n_revoked = 0;
}

static void on_returned(struct keeper *k, bool is_another_instance, int64_t missed)
{
        struct sub *s = container_of(k, struct sub, keeper);

        if (s->json && s->error == 0)
                s->error = sub_print_json_reconnected(&s->output, is_another_instance, missed);
}

/* ---------------------------------------------------------------- the loop */

/* What a group has given to us nobody else gets, unless we acknowledge: it is printed still. */
static void begin_end(struct sub *s)
{
        s->keeper.is_over = true;
        s->empties = s->keeper.options.group && !s->keeper.options.ack;
}

static int wait_for_any(struct sub *s, uint64_t deadline_ns)
{
        enum { BROKER, SIGNALS, READER, N };
        const baton *b = s->cli.b;
        struct pollfd pfds[N] = {
                [BROKER] = {.fd = baton_fd(b), .events = baton_events(b)},
                [SIGNALS] = {.fd = s->signal_fd, .events = POLLIN},
                [READER] = {.fd = STDOUT_FILENO}, /* errors only: its reader is gone */
        };

        if (poll(pfds, N, cli_left_ms(deadline_ns, baton_timeout(b))) < 0 && errno != EINTR)
                return cli_fail_about(&s->cli, -errno, "poll", NULL);
        if (pfds[SIGNALS].revents > 0)
                signals_drain();
        s->keeper.is_over |= pfds[READER].revents != 0;
        if (signals_stopping() && !s->keeper.is_over)
                begin_end(s);
        return 0;
}

/* All that is written. What cannot be acknowledged goes to another member. */
static void acknowledge(struct sub *s)
{
        const uint64_t *receipts = (const uint64_t *)(void *)s->receipts.data;
        size_t n = s->receipts.len / sizeof(*receipts);

        if (!n)
                return;
        baton_cork(s->cli.b);
        for (size_t i = 0; i < n; i++) {
                int r = baton_ack(s->cli.b, receipts[i]);
                if (r < 0 && r != -ENOENT && r != -ENOTCONN)
                        cli_note(&s->cli, "%s", baton_error(s->cli.b));
        }
        int r = baton_uncork(s->cli.b);
        (void)r; /* a lost broker is told elsewhere */
        buf_clear(&s->receipts);
}

/* Returns 0 · an exit status. */
static int flush(struct sub *s)
{
        int r = s->error;

        if (r == 0)
                r = output_flush(&s->output);
        if (r == 0) {
                acknowledge(s);
                return 0;
        }
        s->keeper.is_over = true;
        if (r == OUTPUT_E_CLOSED)
                return 0;
        return cli_fail_about(&s->cli, r < 0 ? r : -ETIME, "stdout",
                r == OUTPUT_E_STUCK ? "not everything was read" : NULL);
}

static int time_out(struct sub *s)
{
        begin_end(s);
        if (!s->wanted)
                return 0;
        cli_say(&s->cli, "timed out: %" PRIu64 " of %" PRIu64 " messages", s->n_printed, s->wanted);
        return CLI_TIMED_OUT;
}

static int run(struct sub *s)
{
        uint64_t deadline_ns = UINT64_MAX;

        if (s->wait_ms >= 0)
                deadline_ns = cli_now_ns() + (uint64_t)s->wait_ms * 1000000;
        int r = signals_open(false, &s->signal_fd);
        if (r < 0)
                return cli_fail_about(&s->cli, r, "signals", NULL);
        int status = keeper_start(&s->keeper);
        while (status == 0 && !s->keeper.is_over) {
                status = wait_for_any(s, deadline_ns);
                if (status == 0 && !s->keeper.is_over)
                        status = keeper_turn(&s->keeper);
                int flushed = flush(s);
                status = status ? status : flushed;
                if (status == 0 && !s->keeper.is_over && cli_now_ns() >= deadline_ns)
                        status = time_out(s);
        }
        keeper_end(&s->keeper);
        int flushed = s->empties ? flush(s) : 0;
        status = status ? status : flushed;
        return status == 0 && s->is_refused ? CLI_REFUSED : status;
}

int sub_main(int argc, char **argv)
{
        struct sub s = {
                .cli = {.tool = "sub", .help = sub_help},
                .keeper = {.on_message = on_message,
                        .on_gap = on_gap,
                        .on_lost = on_lost,
                        .on_returned = on_returned},
                .wait_ms = -1,
        };
        int status = cli_init(&s.cli, argv);

        s.keeper.cli = &s.cli;
        if (status == 0)
                status = sub_parse(&s, argc, argv);
        if (status == 0)
                status = run(&s);
        status = cli_exit(&s.cli, status);
        output_deinit(&s.output);
        buf_deinit(&s.receipts);
        return status;
}
