/* Design note. Replies are printed as they come. An end without a final reply has a status of its
 * own each: nobody there (6, asking again is safe), too late (4), refused (5); a responder that
 * went away or said that it failed is 1, since it may have done something. */
#include "client/cli/common.h"
#include "client/cli/outgoing.h"
#include "client/cli/output.h"
#include "client/cli/tools.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char HELP[] =
        "usage: request [OPTION]... TOPIC [PAYLOAD]\n"
        "\n"
        "Sends a request to those who serve TOPIC and prints the reply. PAYLOAD - is stdin;\n"
        "without one the payload is empty. A PAYLOAD that begins with - stands behind --.\n"
        "\n"
        "  -w, --wait SECONDS   wait at most so long (30)\n"
        "  -H, --header K=V     a header; V is a string (may be repeated)\n"
        "      --fd FILE        pass a descriptor of FILE, open for reading; up to 16 times.\n"
        "                       /dev/fd/N passes our own descriptor N as it is\n" CLI_MEMFD_HELP
                CLI_HELP "\n"
        "The payload of the reply is printed as it is; on a terminal a newline is added where it\n"
        "has none. Of several replies each ends with a newline.\n"
        "Exit status: 0 done, 1 failed, or the responder says so, 2 usage, 3 no broker, or it is\n"
        "lost, 4 timed out, 5 refused, 6 no responders.\n";

enum { WAIT_MS = 30000 };

struct request {
        struct cli cli;
        struct outgoing out;
        struct output output;
        const char *topic;
        bool is_stdin; /* the payload */
        int wait_ms;
        bool is_one_of_several, is_done;
        int status;
};

static void print(struct request *q, const struct baton_message *m)
{
        const char *bytes = m->payload;
        bool has_newline = m->payload_len && bytes[m->payload_len - 1] == '\n';
        int r = output_put(&q->output, bytes, m->payload_len, NULL);

        if (m->more)
                q->is_one_of_several = true;
        if (r == 0 && !has_newline && (q->is_one_of_several || isatty(STDOUT_FILENO)))
                r = buf_push(&q->output.buf, "\n", 1);
        if (r == 0)
                r = output_flush(&q->output);
        if (r)
                q->status = cli_fail_about(&q->cli, r < 0 ? r : -EPIPE, "stdout", NULL);
}

static void on_reply(baton *b, const struct baton_message *m, void *arg)
{
        struct request *q = arg;

        (void)b;
        if (q->status)
                return;
        if (!m->failed) {
                print(q, m);
                return;
        }
        q->status = CLI_FAILED;
        if (m->payload_len)
                cli_say(&q->cli, "%s: %.*s", q->topic, (int)size_min(m->payload_len, 1024),
                        (const char *)m->payload);
        else
                cli_say(&q->cli, "%s: failed", q->topic);
}

static void on_done(baton *b, int result, const char *text, void *arg)
{
        struct request *q = arg;

        (void)b;
        q->is_done = true;
        if (result >= 0 || q->status)
                return;
        q->status = cli_status_of(result);
        if (result == -ENOTCONN) /* the text names the address */
                cli_say(&q->cli, "%s", text);
        else
                cli_fail_about(&q->cli, result, q->topic, text);
}

static int ask(struct request *q, int wait_ms)
{
        struct baton_publication p = outgoing_publication(&q->out, q->topic);
        int r = baton_request_start(
                q->cli.b, &p, wait_ms ? wait_ms : 1, on_reply, on_done, q, NULL);

        while (r >= 0 && !q->is_done && !q->status) {
                r = baton_wait(q->cli.b, -1);
                if (r == -EINTR)
                        r = 0;
        }
        return q->status ? q->status : r < 0 && !q->is_done ? cli_fail(&q->cli, r) : 0;
}

/* The broker says how large a payload may be, so stdin is read when it is there. That takes as long
 * as it takes; it does not count. */
static int run(struct request *q)
{
        uint64_t deadline_ns = cli_now_ns() + (uint64_t)q->wait_ms * 1000000;
        int connect_ms = q->wait_ms < CLI_CONNECT_MS ? q->wait_ms : CLI_CONNECT_MS;
        int status = cli_connect(&q->cli, connect_ms);

        if (status)
                return status;
        int left_ms = cli_left_ms(deadline_ns, -1);
        uint64_t most = baton_limit(q->cli.b, "payload_bytes");
        if (q->is_stdin)
                status = outgoing_read_stdin(&q->cli, &q->out, most ? most : WIRE_FRAME_BYTES);
        return status ? status : ask(q, left_ms);
}

/* ---------------------------------------------------------------- the command line */

enum { OPTION_FD = 256 };

static int take_option(struct request *q, int option)
{
        int status;

        switch (option) {
        case 'w':
                status = cli_seconds(&q->cli, "-w", optarg, &q->wait_ms);
                if (status == 0 && q->wait_ms == 0)
                        status = cli_usage(&q->cli, "-w %s: must be more than 0", optarg);
                return status;
        case 'H':
                return outgoing_add_header(&q->cli, &q->out, optarg);
        case OPTION_FD:
                return outgoing_add_fd(&q->cli, &q->out, optarg);
        default:
                return cli_take(&q->cli, option);
        }
}

static int parse(struct request *q, int argc, char **argv)
{
        static const struct option known[] = {
                CLI_LONG,
                CLI_MEMFD_LONG,
                {"wait", required_argument, NULL, 'w'},
                {"header", required_argument, NULL, 'H'},
                {"fd", required_argument, NULL, OPTION_FD},
                {0},
        };
        int option, status = 0;

        while (status == 0 &&
                (option = getopt_long(argc, argv, CLI_SHORT "w:H:", known, NULL)) != -1)
                status = take_option(q, option);
        if (status)
                return status;
        if (optind == argc)
                return cli_usage(&q->cli, "no topic");
        if (argc - optind > 2)
                return cli_usage(&q->cli, "unexpected argument '%s'", argv[optind + 2]);
        q->topic = argv[optind];
        const char *payload = argv[optind + 1];
        q->is_stdin = payload && !strcmp(payload, "-");
        if (!q->is_stdin)
                outgoing_set_text(&q->out, payload);
        return 0;
}

int request_main(int argc, char **argv)
{
        struct request q = {.cli = {.tool = "request", .help = HELP}, .wait_ms = WAIT_MS};
        int status = cli_init(&q.cli, argv);

        if (status == 0)
                status = parse(&q, argc, argv);
        if (status == 0)
                status = run(&q);
        status = cli_exit(&q.cli, status);
        outgoing_deinit(&q.out);
        output_deinit(&q.output);
        return status;
}
