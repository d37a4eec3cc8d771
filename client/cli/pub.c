/* Design note. Every publication is confirmed, with --confirm or without: only so does the tool
 * know that all of it arrived, or what was refused and why, before it exits. Confirms are pipelined
 * and cost next to nothing; --confirm only adds what -v prints about them.
 *
 * With --lines what one read brings is gathered into packets, which leave as soon as the next read
 * would have to wait: a file goes at full speed, and a line from `tail -f` at once. */
#include "client/cli/common.h"
#include "client/cli/lines.h"
#include "client/cli/outgoing.h"
#include "client/cli/tools.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char HELP[] =
        "usage: pub [OPTION]... TOPIC [PAYLOAD]\n"
        "\n"
        "Publishes a message. PAYLOAD - is stdin; without one the payload is empty. A PAYLOAD\n"
        "that begins with - stands behind --.\n"
        "\n"
        "      --confirm        with -v: say how many clients took each message\n"
        "      --retain         keep it as the topic's last value; empty clears it (*)\n"
        "      --ttl MS         do not deliver it when it is older (*)\n"
        "  -H, --header K=V     a header; V is a string (may be repeated)\n"
        "      --fd FILE        pass a descriptor of FILE, open for reading; repeatable (*)\n"
        "  -f, --file FILE      the payload is the content of FILE\n"
        "      --lines          each line of FILE, or of stdin, is a message\n"
        "      --count N        publish it N times\n"
        "      --interval MS    wait between messages\n" CLI_HELP "\n"
        "(*) brokers of version 0.1 do not have it, and say so.\n"
        "When it exits with 0 the broker has taken everything.\n"
        "Exit status: 0 done, 1 failed, 2 usage, 3 no broker, or it is lost, 4 timed out,\n"
        "5 refused.\n";

/* Milliseconds without any confirm: a receiver that blocks is cut off after 30 s (stall_ms). */
enum { SETTLE_MS = 40000, NAME_BYTES = 32 };

struct pub {
        struct cli cli;
        struct outgoing out;
        const char *topic, *file;
        uint32_t flags, ttl_ms;
        bool confirm, lines;
        uint64_t count;
        int interval_ms;
        uint64_t n_sent, n_done;
        int status; /* of the first publication that failed */
};

/* ---------------------------------------------------------------- publishing */

/* The first failure is the one that is told: a lost connection fails all that is under way. */
static int fail(struct pub *p, int error)
{
        if (!p->status)
                p->status = cli_fail(&p->cli, error);
        return p->status;
}

/* What to call message `number` (from 1): by its topic, or by its line. */
static const char *name_of(const struct pub *p, uint64_t number, char line[NAME_BYTES])
{
        snprintf(line, NAME_BYTES, "line %" PRIu64, number);
        return p->lines ? line : p->topic;
}

static void on_done(baton *b, int result, const char *text, void *arg)
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
        if (result == -ENOTCONN)
                cli_say(&p->cli, "%s", text); /* names the address */
        else
                cli_fail_about(&p->cli, result, name_of(p, p->n_done, line), text);
}

/* Waits for something, at most until `deadline_ns`. Returns 0 · an exit status. */
static int wait_until(struct pub *p, uint64_t deadline_ns)
{
        int r = baton_wait(p->cli.b, cli_left_ms(deadline_ns, -1));

        if (r < 0 && r != -EINTR)
                return fail(p, r);
        return p->status;
}

/* Waits until no more than `most` confirms are missing. */
static int settle(struct pub *p, uint64_t most)
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

static int publish(struct pub *p, const void *payload, size_t len)
{
        struct baton_publication m = outgoing_publication(&p->out, p->topic);
        char line[NAME_BYTES];
        int r;

        m.payload = payload;
        m.payload_len = len;
        m.flags = p->flags;
        m.ttl_ms = p->ttl_ms;
        while ((r = baton_publish_confirm(p->cli.b, &m, on_done, p)) == -ENOBUFS) {
                /* So many are under way that the library wants answers to be dealt with. */
                int status = settle(p, (p->n_sent - p->n_done) / 2);
                if (status)
                        return status;
        }
        /* That is told here alone: what is under way does not fail with it. */
        if (r == -EMSGSIZE && p->lines)
                return cli_fail_about(
                        &p->cli, r, name_of(p, p->n_sent + 1, line), baton_error(p->cli.b));
        if (r < 0)
                return fail(p, r);
        p->n_sent++;
        return 0;
}

static int pause_between(struct pub *p)
{
        uint64_t deadline_ns = cli_now_ns() + (uint64_t)p->interval_ms * 1000000u;
        int status = 0;

        while (status == 0 && cli_now_ns() < deadline_ns)
                status = wait_until(p, deadline_ns);
        return status;
}

static int publish_count(struct pub *p)
{
        int status = 0;

        baton_cork(p->cli.b);
        for (uint64_t i = 0; i < p->count && status == 0; i++) {
                if (i && p->interval_ms)
                        status = pause_between(p);
                if (status == 0)
                        status = publish(p, p->out.payload, p->out.payload_len);
        }
        return status ? status : settle(p, 0);
}

/* ---------------------------------------------------------------- lines */

static bool is_readable(int fd)
{
        struct pollfd pfd = {.fd = fd, .events = POLLIN};

        return poll(&pfd, 1, 0) > 0;
}

/* Sends what is gathered and waits for input, while the broker is heard. */
static int await_input(struct pub *p, const struct lines *l)
{
        baton *b = p->cli.b;

        do {
                struct pollfd pfds[] = {
                        {.fd = l->fd, .events = POLLIN},
                        {.fd = baton_fd(b), .events = baton_events(b)},
                };
                int timeout_ms = baton_timeout(b);
                int n = poll(pfds, ARRAY_LEN(pfds), timeout_ms);
                if (n < 0 && errno != EINTR)
                        return cli_fail_about(&p->cli, -errno, "poll", NULL);
                if (n > 0 && pfds[0].revents)
                        return 0;
                int r = baton_process(b);
                if (r < 0)
                        return fail(p, r);
                if (p->status)
                        return p->status;
        } while (true);
}

static int refill(struct pub *p, struct lines *l)
{
        int status = 0;

        if (!is_readable(l->fd)) {
                int r = baton_uncork(p->cli.b);
                if (r < 0)
                        return fail(p, r);
                status = await_input(p, l);
                baton_cork(p->cli.b);
        }
        if (status)
                return status;
        int r = lines_fill(l);
        return r < 0 ? cli_fail_about(&p->cli, r, strcmp(p->file, "-") ? p->file : "stdin", NULL)
                     : 0;
}

static int publish_line(struct pub *p, struct lines *l, const uint8_t *line, size_t len)
{
        int status = p->interval_ms && l->number > 1 ? pause_between(p) : 0;

        return status ? status : publish(p, line, len);
}

static int publish_lines_of(struct pub *p, struct lines *l)
{
        for (;;) {
                const uint8_t *line;
                size_t len;
                int status = 0;

                switch (lines_next(l, &line, &len)) {
                case 0:
                        status = publish_line(p, l, line, len);
                        break;
                case LINES_E_MORE:
                        status = refill(p, l);
                        break;
                case LINES_E_END:
                        return 0;
                default:
                        cli_say(&p->cli,
                                "line %" PRIu64 ": longer than a message can be (%zu bytes)",
                                l->number, l->longest);
                        return CLI_FAILED;
                }
                if (status)
                        return status;
        }
}

static int publish_lines(struct pub *p)
{
        uint64_t limit = baton_limit(p->cli.b, "payload_bytes");
        size_t longest = limit ? limit : WIRE_FRAME_BYTES;
        struct lines l = {0};
        int fd, status = outgoing_open(&p->cli, p->file, &fd);

        if (status)
                return status;
        lines_init(&l, fd, longest);
        baton_cork(p->cli.b);
        status = publish_lines_of(p, &l);
        /* What stood before a line that cannot be sent arrives all the same. */
        int settled = baton_is_connected(p->cli.b) ? settle(p, 0) : status;
        lines_deinit(&l);
        if (fd != STDIN_FILENO)
                close(fd);
        return status ? status : settled;
}

/* ---------------------------------------------------------------- the command line */

enum {
        OPTION_CONFIRM = 256,
        OPTION_RETAIN,
        OPTION_TTL,
        OPTION_FD,
        OPTION_LINES,
        OPTION_COUNT,
        OPTION_INTERVAL
};

static int take_number(struct pub *p, int option)
{
        uint64_t value = 0;
        int status;

        switch (option) {
        case OPTION_TTL:
                status = cli_number(&p->cli, "--ttl", optarg, 1, UINT32_MAX, &value);
                p->ttl_ms = (uint32_t)value;
                return status;
        case OPTION_INTERVAL:
                status = cli_number(&p->cli, "--interval", optarg, 0, INT32_MAX, &value);
                p->interval_ms = (int)value;
                return status;
        default:
                return cli_number(&p->cli, "--count", optarg, 1, UINT64_MAX, &p->count);
        }
}

static int take_option(struct pub *p, int option)
{
        switch (option) {
        case OPTION_CONFIRM:
                p->confirm = true;
                return 0;
        case OPTION_RETAIN:
                p->flags |= BATON_RETAIN;
                return 0;
        case OPTION_LINES:
                p->lines = true;
                return 0;
        case OPTION_TTL:
        case OPTION_INTERVAL:
        case OPTION_COUNT:
                return take_number(p, option);
        case OPTION_FD:
                return outgoing_add_fd(&p->cli, &p->out, optarg);
        case 'H':
                return outgoing_add_header(&p->cli, &p->out, optarg);
        case 'f':
                p->file = optarg;
                return 0;
        default:
                return cli_take(&p->cli, option);
        }
}

static int take_arguments(struct pub *p, int n, char **arguments)
{
        const char *payload = n > 1 ? arguments[1] : NULL;
        bool is_stdin = payload && !strcmp(payload, "-");

        if (n < 1)
                return cli_usage(&p->cli, "no topic");
        if (n > 2)
                return cli_usage(&p->cli, "unexpected argument '%s'", arguments[2]);
        if (payload && p->file)
                return cli_usage(&p->cli, "either a payload or --file");
        if (p->lines && payload && !is_stdin)
                return cli_usage(&p->cli, "--lines takes its messages from stdin or --file");
        if (p->lines && p->count > 1)
                return cli_usage(&p->cli, "either --lines or --count");
        p->topic = arguments[0];
        if (p->lines) {
                p->file = p->file ? p->file : "-";
                return 0;
        }
        return p->file ? outgoing_read(&p->cli, &p->out, p->file)
                       : outgoing_take(&p->cli, &p->out, payload);
}

static int parse(struct pub *p, int argc, char **argv)
{
        static const struct option known[] = {
                CLI_LONG,
                {"confirm", no_argument, NULL, OPTION_CONFIRM},
                {"retain", no_argument, NULL, OPTION_RETAIN},
                {"ttl", required_argument, NULL, OPTION_TTL},
                {"header", required_argument, NULL, 'H'},
                {"fd", required_argument, NULL, OPTION_FD},
                {"file", required_argument, NULL, 'f'},
                {"lines", no_argument, NULL, OPTION_LINES},
                {"count", required_argument, NULL, OPTION_COUNT},
                {"interval", required_argument, NULL, OPTION_INTERVAL},
                {0},
        };
        int option, status = 0;

        while (status == 0 &&
                (option = getopt_long(argc, argv, CLI_SHORT "H:f:", known, NULL)) != -1)
                status = take_option(p, option);
        return status ? status : take_arguments(p, argc - optind, argv + optind);
}

int pub_main(int argc, char **argv)
{
        struct pub p = {.cli = {.tool = "pub", .help = HELP}, .count = 1};
        int status = cli_init(&p.cli, argv);

        if (status == 0)
                status = parse(&p, argc, argv);
        if (status == 0)
                status = cli_connect(&p.cli, CLI_CONNECT_MS);
        if (status == 0)
                status = p.lines ? publish_lines(&p) : publish_count(&p);
        /* Everything is confirmed: this is good-bye, and its failure changes nothing. */
        if (status == 0 && baton_close(p.cli.b, CLI_CLOSE_MS) < 0)
                cli_note(&p.cli, "%s", baton_error(p.cli.b));
        status = cli_exit(&p.cli, status);
        outgoing_deinit(&p.out);
        return status;
}
