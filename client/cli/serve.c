/* Design note. Three lists: requests that wait for a free place, commands that run, answers that
 * wait to be sent. The handle does not block; nor do the pipes; so nothing a command or the broker
 * does holds up another command.
 *
 * When too many requests wait, the broker is read no more until some are done, and so learns that
 * we are behind. Requests of a session that was lost are nobody's: their answers are dropped.
 *
 * In a group each request holds its place in our window until its answer is sent: what we cannot
 * begin now stays with the broker, for whichever member is free first. */
#include "client/cli/serve.h"
#include "client/cli/job.h"
#include "client/cli/signals.h"
#include "client/cli/tools.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static struct job *job_of(struct list *link)
{
        return list_entry(link, struct job, link);
}

/* ---------------------------------------------------------------- answers */

/* One request less is with us. */
static void release(struct serve *s)
{
        if (!s->keeper.options.hold)
                return;
        int r = baton_release(s->cli.b, s->keeper.sub);
        /* After SIGTERM nothing is subscribed any more. */
        if (r < 0 && r != -ENOENT)
                cli_note(&s->cli, "%s", baton_error(s->cli.b));
}

/* Returns 0 (sent, or it never will be) · -EAGAIN. */
static int answer(struct serve *s, struct job *j)
{
        struct baton_publication p = {.flags = j->has_failed ? BATON_FAILED : 0};
        int r = job_answer(j, &p.payload, &p.payload_len);

        if (r < 0) {
                job_fail(j, "the reply cannot be read: %s", strerror(-r));
                return answer(s, j);
        }
        r = j->token ? baton_reply_with(s->cli.b, j->token, &p) : 0;
        if (r == -EAGAIN)
                return r;
        if (r == -EMSGSIZE) {
                job_fail(j, "the reply is too large: %s", baton_error(s->cli.b));
                return answer(s, j);
        }
        if (r < 0 && r != -ENOTCONN)
                cli_say(&s->cli, "%s: %s", j->topic, baton_error(s->cli.b));
        if (j->token)
                release(s);
        return 0;
}

static void send_answers(struct serve *s)
{
        for (struct list *it; (it = list_first(&s->answers));) {
                if (answer(s, job_of(it)) < 0)
                        return;
                job_free(job_of(it));
        }
}

static void finish(struct serve *s, struct job *j)
{
        list_remove(&j->link);
        list_push_back(&s->answers, &j->link);
}

/* ---------------------------------------------------------------- requests */

static struct job *unqueue(struct serve *s)
{
        struct job *j = job_of(list_first(&s->waiting));

        list_remove(&j->link);
        s->n_waiting--;
        s->waiting_bytes -= j->payload.len;
        return j;
}

static void start_waiting(struct serve *s)
{
        while (s->n_waiting && s->n_running < RUNNING_MAX) {
                struct job *j = unqueue(s);
                int r = job_start(j, s->command);
                if (r < 0) {
                        cli_fail_about(&s->cli, r, s->command[0], NULL);
                        job_fail(j, "%s cannot be started: %s", s->command[0], strerror(-r));
                        finish(s, j);
                } else {
                        list_push_back(&s->running, &j->link);
                        s->n_running++;
                }
        }
}

static bool is_full(const struct serve *s)
{
        return s->n_waiting >= WAITING_MAX || s->waiting_bytes >= WAITING_BYTES_MAX;
}

/* Nothing can be done for it but to say so; if that fails too it will time out. */
static void refuse(struct serve *s, const struct baton_message *m, int error)
{
        const char *why = strerror(-error);
        struct baton_publication p = {
                .payload = why, .payload_len = strlen(why), .flags = BATON_FAILED};

        cli_fail_about(&s->cli, error, m->topic, NULL);
        if (baton_reply_with(s->cli.b, m->token, &p) < 0)
                cli_note(&s->cli, "%s", baton_error(s->cli.b));
        release(s);
}

static void echo(struct serve *s, const struct baton_message *m)
{
        int r = baton_reply(s->cli.b, m->token, m->payload, m->payload_len);
        struct job *j;

        if (r < 0 && r != -EAGAIN)
                cli_say(&s->cli, "%s: %s", m->topic, baton_error(s->cli.b));
        if (r != -EAGAIN) {
                release(s);
                return;
        }
        if ((r = job_new(m, 0, &j)) < 0) {
                refuse(s, m, r);
                return;
        }
        j->echoes = true;
        finish(s, j);
}

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        struct serve *s = container_of(arg, struct serve, keeper);
        size_t limit = baton_limit(b, "payload_bytes");
        struct job *j;

        if (!m->token) {
                cli_note(&s->cli, "%s: not a request: ignored", m->topic);
                release(s);
                return;
        }
        if (m->fds_withheld)
                cli_say(&s->cli, "%s: %u descriptors withheld", m->topic, m->fds_withheld);
        if (!s->command) {
                echo(s, m);
                return;
        }
        int r = job_new(m, limit ? limit : WIRE_FRAME_BYTES, &j);
        if (r < 0) {
                refuse(s, m, r);
                return;
        }
        list_push_back(&s->waiting, &j->link);
        s->n_waiting++;
        s->waiting_bytes += j->payload.len;
}

/* Tokens end with their session. */
static void on_lost(struct keeper *k)
{
        struct serve *s = container_of(k, struct serve, keeper);

        while (s->n_waiting)
                job_free(unqueue(s));
        list_for_each (it, &s->running)
                job_of(it)->token = 0;
        list_for_each (it, &s->answers)
                job_of(it)->token = 0;
}

/* ---------------------------------------------------------------- the loop */

static int wait_for_any(struct serve *s, bool *ret_is_due)
{
        const baton *b = s->cli.b;
        struct pollfd pfds[2 + 2 * RUNNING_MAX] = {
                {.fd = baton_fd(b), .events = baton_events(b)},
                {.fd = s->signal_fd, .events = POLLIN},
        };
        nfds_t n = 2;
        int timeout_ms = baton_timeout(b);
        bool is_due = timeout_ms == 0;
        bool reads = !is_full(s) || !list_is_empty(&s->answers) || !baton_is_connected(b);

        if (!reads)
                pfds[0].events &= (short)~POLLIN;
        list_for_each (it, &s->running) {
                job_poll(job_of(it), &pfds[n]);
                n += 2;
        }
        if (!reads && is_due)
                timeout_ms = -1;
        int n_ready = poll(pfds, n, cli_left_ms(s->stop_ns ? s->stop_ns : UINT64_MAX, timeout_ms));
        if (n_ready < 0 && errno != EINTR)
                return cli_fail_about(&s->cli, -errno, "poll", NULL);
        if (n_ready > 0 && pfds[1].revents)
                signals_drain();
        *ret_is_due = reads || (n_ready > 0 && pfds[0].revents);
        return 0;
}

static void tend_jobs(struct serve *s)
{
        list_for_each_safe (it, &s->running) {
                struct job *j = job_of(it);
                job_turn(j);
                job_reap(j, s->command[0]);
                if (j->is_over) {
                        s->n_running--;
                        finish(s, j);
                }
        }
}

/* No more requests; those that were not begun are told. */
static void begin_stop(struct serve *s)
{
        s->stop_ns = cli_now_ns() + DRAIN_MS * UINT64_C(1000000);
        if (baton_unsubscribe(s->cli.b, s->keeper.sub) < 0)
                cli_note(&s->cli, "%s", baton_error(s->cli.b));
        while (s->n_waiting) {
                struct job *j = unqueue(s);
                job_fail(j, "serve is stopping");
                finish(s, j);
        }
}

/* Nothing is left to do after a SIGTERM, or no time. */
static bool is_done(const struct serve *s)
{
        if (!s->stop_ns)
                return false;
        bool is_idle = !s->n_running && list_is_empty(&s->answers);
        return is_idle || !baton_is_connected(s->cli.b) || cli_now_ns() >= s->stop_ns;
}

static int turn(struct serve *s)
{
        bool is_due = true;
        int status = wait_for_any(s, &is_due);

        if (signals_stopping() && !s->stop_ns)
                begin_stop(s);
        if (status == 0 && is_due)
                status = keeper_turn(&s->keeper);
        tend_jobs(s);
        if (!s->stop_ns)
                start_waiting(s);
        send_answers(s);
        return status;
}

static void free_all(struct list *jobs)
{
        for (struct list *it; (it = list_first(jobs));)
                job_free(job_of(it));
}

static int run(struct serve *s)
{
        int r = signals_open(true, &s->signal_fd);

        if (r < 0)
                return cli_fail_about(&s->cli, r, "signals", NULL);
        int status = keeper_start(&s->keeper);
        while (status == 0 && !is_done(s))
                status = turn(s);
        if (s->n_running)
                cli_say(&s->cli, "%zu still running, left alone", s->n_running);
        if (status == 0)
                keeper_end(&s->keeper);
        free_all(&s->waiting);
        free_all(&s->running);
        free_all(&s->answers);
        return status;
}

int serve_main(int argc, char **argv)
{
        struct serve s = {
                .cli = {.tool = "serve", .help = serve_help},
                .keeper = {.on_message = on_message, .on_lost = on_lost, .nonblocking = true},
        };
        int status = cli_init(&s.cli, argv);

        s.keeper.cli = &s.cli;
        list_init(&s.waiting);
        list_init(&s.running);
        list_init(&s.answers);
        if (status == 0)
                status = serve_parse(&s, argc, argv);
        if (status == 0)
                status = run(&s);
        return cli_exit(&s.cli, status);
}
