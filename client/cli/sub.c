/* Design note. One turn: wait, let the library dispatch what there is, print all of it into one
 * buffer, write that. So a reader sees each message as soon as it is here, and a burst costs few
 * system calls. stdout stays blocking: a reader that is slow slows us, and by way of the broker
 * whoever publishes.
 *
 * A reader that went away (`sub ... | head -1`) has had what it wanted: status 0, and at once, not
 * with the next message. */
#include "client/cli/common.h"
#include "client/cli/fdcat.h"
#include "client/cli/keeper.h"
#include "client/cli/output.h"
#include "client/cli/signals.h"
#include "client/cli/sub_print.h"
#include "client/cli/tools.h"
#include "proto/wire/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char HELP[] =
        "usage: sub [OPTION]... FILTER...\n"
        "\n"
        "Prints the messages that match: `topic payload`, one a line. In a FILTER a whole token\n"
        "may be *, which stands for one token, and the last one >, for one or more.\n"
        "\n"
        "  -n, --number COUNT   stop after COUNT messages\n"
        "  -w, --wait SECONDS   stop after SECONDS in all\n"
        "      --json           print one JSON object a line, and one for each event\n"
        "      --raw            print the bare bytes of the payloads, nothing between them\n"
        "      --fd-cat         print the content of each descriptor that comes, too\n"
        "      --observer       see everything, but count as nobody\n"
        "      --group G        share the messages with the other members of G (*)\n"
        "      --ack            group: what is not acknowledged goes to another member (*)\n"
        "      --window N       at most N messages under way (*)\n"
        "      --overflow P     if we are too slow: block, drop-oldest, drop-newest, latest,\n"
        "                       disconnect (*)\n"
        "      --queue B[,N]    the broker keeps B bytes, N messages for us (*)\n"
        "      --will T=P       the broker publishes P on T if we end without good-bye "
        "(*)\n" CLI_HELP "\n"
        "(*) brokers of version 0.1 do not have it, and say so.\n"
        "With -v `ready` is printed on stderr once the broker has confirmed the subscriptions.\n"
        "A broker that is lost is waited for; that is said on stderr.\n"
        "Exit status: 0 done, also by SIGTERM, SIGINT, and when nobody reads stdout any more;\n"
        "1 failed, 2 usage, 3 no broker, 4 -n was not reached in -w seconds, 5 refused.\n";

struct sub {
        struct cli cli;
        struct keeper keeper;
        struct output output;
        struct baton_publication will;
        bool json, raw, fd_cat;
        uint64_t wanted, n_printed; /* wanted 0: all */
        int wait_ms;                /* -1: for ever */
        uint64_t last_seq;          /* delivered last in this session */
        bool is_over;
        int error; /* -errno, or an outcome of output_flush */
        int signal_fd;
};

/* ---------------------------------------------------------------- messages */

static int64_t now_ms(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_REALTIME, &ts);
        return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int print(struct sub *s, const struct baton_message *m)
{
        if (s->json)
                return sub_print_json(&s->output.buf, m, now_ms());
        if (s->raw)
                return buf_push(&s->output.buf, m->payload, m->payload_len);
        return sub_print_plain(&s->output.buf, m);
}

static int cat_fds(struct sub *s, const struct baton_message *m)
{
        int r = 0;

        for (uint32_t i = 0; i < m->n_fds && r == 0; i++) {
                r = fdcat_copy(m->fds[i], &s->output);
                if (r == FDCAT_E_KIND) {
                        cli_say(&s->cli, "%s: descriptor %" PRIu32 " has no content", m->topic, i);
                        r = 0;
                }
        }
        if (m->fds_withheld)
                cli_say(&s->cli, "%s: %" PRIu32 " descriptors withheld", m->topic, m->fds_withheld);
        return r == FDCAT_E_STOPPED ? 0 : r;
}

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        struct sub *s = container_of(arg, struct sub, keeper);

        (void)b;
        /* One that matches several filters comes for each of them, under one number. */
        if (s->is_over || s->error || m->seq == s->last_seq)
                return;
        s->last_seq = m->seq;
        s->error = print(s, m);
        if (s->error == 0 && s->fd_cat)
                s->error = cat_fds(s, m);
        s->is_over = ++s->n_printed == s->wanted;
}

static void on_gap(baton *b, const struct baton_gap *gap, void *arg)
{
        struct sub *s = container_of(arg, struct sub, keeper);

        (void)b;
        if (s->is_over || s->error)
                return;
        cli_say(&s->cli, "%s: %" PRIu64 " messages lost (%s)", gap->filter, gap->count,
                gap->reason);
        if (s->json)
                s->error = sub_print_json_gap(&s->output.buf, gap);
}

static void on_lost(struct keeper *k)
{
        struct sub *s = container_of(k, struct sub, keeper);

        s->last_seq = 0; /* the next session counts anew */
}

static void on_returned(struct keeper *k, bool is_another_instance)
{
        struct sub *s = container_of(k, struct sub, keeper);

        if (s->json && s->error == 0)
                s->error = sub_print_json_reconnected(&s->output.buf, is_another_instance);
}

/* ---------------------------------------------------------------- the loop */

static int wait_for_any(struct sub *s, uint64_t deadline_ns)
{
        enum { BROKER, SIGNALS, READER, N };
        struct pollfd pfds[N] = {
                [SIGNALS] = {.fd = s->signal_fd, .events = POLLIN},
                [READER] = {.fd = STDOUT_FILENO}, /* errors only: its reader is gone */
        };
        int timeout_ms;

        keeper_poll(&s->keeper, &pfds[BROKER], &timeout_ms);
        if (poll(pfds, N, cli_left_ms(deadline_ns, timeout_ms)) < 0 && errno != EINTR)
                return cli_fail_about(&s->cli, -errno, "poll", NULL);
        if (pfds[SIGNALS].revents > 0)
                signals_drain();
        if (signals_stopping() || pfds[READER].revents)
                s->is_over = true;
        return 0;
}

/* Returns 0 · an exit status. */
static int flush(struct sub *s)
{
        int r = s->error;

        if (r == 0)
                r = output_flush(&s->output);
        if (r == 0)
                return 0;
        s->is_over = true;
        if (r == OUTPUT_E_CLOSED)
                return 0;
        return cli_fail_about(&s->cli, r < 0 ? r : -ETIME, "stdout",
                r == OUTPUT_E_STUCK ? "not everything was read" : NULL);
}

static int time_out(struct sub *s)
{
        s->is_over = true;
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
        while (status == 0 && !s->is_over) {
                status = wait_for_any(s, deadline_ns);
                if (status == 0 && !s->is_over)
                        status = keeper_turn(&s->keeper);
                int flushed = flush(s);
                status = status ? status : flushed;
                if (status == 0 && !s->is_over && cli_now_ns() >= deadline_ns)
                        status = time_out(s);
        }
        s->is_over = true;
        if (s->cli.b && baton_is_connected(s->cli.b) && baton_close(s->cli.b, CLI_CLOSE_MS) < 0)
                cli_note(&s->cli, "%s", baton_error(s->cli.b));
        return status;
}

/* ---------------------------------------------------------------- the command line */

enum {
        OPTION_JSON = 256,
        OPTION_RAW,
        OPTION_FD_CAT,
        OPTION_OBSERVER,
        OPTION_GROUP,
        OPTION_ACK,
        OPTION_WINDOW,
        OPTION_OVERFLOW,
        OPTION_QUEUE,
        OPTION_WILL,
};

static int take_overflow(struct sub *s, const char *text)
{
        static const char *const names[] = {
                [BATON_BLOCK] = "block",
                [BATON_DROP_OLDEST] = "drop-oldest",
                [BATON_DROP_NEWEST] = "drop-newest",
                [BATON_LATEST] = "latest",
                [BATON_DISCONNECT] = "disconnect",
        };

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                if (!strcmp(text, names[i])) {
                        s->keeper.options.overflow = (enum baton_overflow)i;
                        return 0;
                }
        }
        return cli_usage(&s->cli, "--overflow %s: no such policy", text);
}

static int take_queue(struct sub *s, char *text)
{
        char *comma = strchr(text, ',');
        int status = 0;

        if (comma) {
                *comma = '\0';
                status = cli_number(&s->cli, "--queue", comma + 1, 1, UINT32_MAX,
                        &s->keeper.options.queue_messages);
        }
        return status ? status
                      : cli_number(&s->cli, "--queue", text, 1, UINT64_C(1) << 40,
                                &s->keeper.options.queue_bytes);
}

static int take_will(struct sub *s, char *text)
{
        char *equals = strchr(text, '=');

        if (!equals || equals == text)
                return cli_usage(&s->cli, "--will %s: expected TOPIC=PAYLOAD", text);
        *equals = '\0';
        s->will = (struct baton_publication){
                .topic = text,
                .payload = equals + 1,
                .payload_len = strlen(equals + 1),
                .flags = BATON_WILL,
        };
        s->keeper.will = &s->will;
        return 0;
}

static int take_subscription(struct sub *s, int option)
{
        struct baton_subscription *options = &s->keeper.options;
        uint64_t value = 0;
        int status;

        switch (option) {
        case OPTION_OBSERVER:
                options->observer = true;
                return 0;
        case OPTION_GROUP:
                options->group = optarg;
                return 0;
        case OPTION_ACK:
                options->ack = true;
                return 0;
        case OPTION_WINDOW:
                status = cli_number(&s->cli, "--window", optarg, 1, UINT32_MAX, &value);
                options->window = (uint32_t)value;
                return status;
        case OPTION_OVERFLOW:
                return take_overflow(s, optarg);
        case OPTION_QUEUE:
                return take_queue(s, optarg);
        case OPTION_WILL:
                return take_will(s, optarg);
        default:
                return cli_take(&s->cli, option);
        }
}

static int take_option(struct sub *s, int option)
{
        switch (option) {
        case 'n':
                return cli_number(&s->cli, "-n", optarg, 1, UINT64_MAX, &s->wanted);
        case 'w':
                return cli_seconds(&s->cli, "-w", optarg, &s->wait_ms);
        case OPTION_JSON:
                s->json = true;
                return 0;
        case OPTION_RAW:
                s->raw = true;
                return 0;
        case OPTION_FD_CAT:
                s->fd_cat = true;
                return 0;
        default:
                return take_subscription(s, option);
        }
}

static int parse(struct sub *s, int argc, char **argv)
{
        static const struct option known[] = {
                CLI_LONG,
                {"number", required_argument, NULL, 'n'},
                {"wait", required_argument, NULL, 'w'},
                {"json", no_argument, NULL, OPTION_JSON},
                {"raw", no_argument, NULL, OPTION_RAW},
                {"fd-cat", no_argument, NULL, OPTION_FD_CAT},
                {"observer", no_argument, NULL, OPTION_OBSERVER},
                {"group", required_argument, NULL, OPTION_GROUP},
                {"ack", no_argument, NULL, OPTION_ACK},
                {"window", required_argument, NULL, OPTION_WINDOW},
                {"overflow", required_argument, NULL, OPTION_OVERFLOW},
                {"queue", required_argument, NULL, OPTION_QUEUE},
                {"will", required_argument, NULL, OPTION_WILL},
                {0},
        };
        int option, status = 0;

        while (status == 0 &&
                (option = getopt_long(argc, argv, CLI_SHORT "n:w:", known, NULL)) != -1)
                status = take_option(s, option);
        if (status)
                return status;
        if (optind == argc)
                return cli_usage(&s->cli, "no filter");
        if (s->json && (s->raw || s->fd_cat))
                return cli_usage(&s->cli, "--json stands alone: neither --raw nor --fd-cat");
        s->keeper.filters = argv + optind;
        s->keeper.n_filters = (size_t)(argc - optind);
        s->keeper.options.max_fds = s->json || s->fd_cat ? WIRE_FDS : 0;
        return 0;
}

int sub_main(int argc, char **argv)
{
        struct sub s = {
                .cli = {.tool = "sub", .help = HELP},
                .keeper = {.on_message = on_message,
                        .on_gap = on_gap,
                        .on_lost = on_lost,
                        .on_returned = on_returned},
                .wait_ms = -1,
        };
        int status = cli_init(&s.cli, argv);

        s.keeper.cli = &s.cli;
        if (status == 0)
                status = parse(&s, argc, argv);
        if (status == 0)
                status = run(&s);
        status = cli_exit(&s.cli, status);
        output_deinit(&s.output);
        return status;
}
