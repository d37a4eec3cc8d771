/* Design note. The command line, and which way it is done: one message, many, lines (pub_lines.c),
 * or a payload that is read from somewhere (pub_upload.c). What is wrong with the command line, or
 * a file that is not there, is told before anybody is connected to. */
#include "client/cli/pub.h"
#include "client/cli/tools.h"

#include <string.h>

static const char HELP[] =
        "usage: pub [OPTION]... TOPIC [PAYLOAD]\n"
        "\n"
        "Publishes a message of any size. PAYLOAD - is stdin; without one the payload is empty.\n"
        "A PAYLOAD that begins with - stands behind --.\n"
        "\n"
        "      --confirm        with -v: say how many clients took each message\n"
        "      --retain         keep it as the topic's last value; empty clears it\n"
        "      --ttl MS         do not deliver it when it is older\n"
        "  -H, --header K=V     a header; V is a string (may be repeated)\n"
        "      --fd FILE        pass a descriptor of FILE, open for reading; up to 16 times.\n"
        "                       /dev/fd/N passes our own descriptor N as it is\n"
        "  -f, --file FILE      the payload is the content of FILE. If FILE changes its size\n"
        "                       meanwhile, nothing is published\n"
        "      --lines          each line of FILE, or of stdin, is a message\n"
        "      --count N        publish it N times\n"
        "      --interval MS    wait between messages\n" CLI_MEMFD_HELP CLI_HELP "\n"
        "When it exits with 0 the broker has taken everything. ADDR may be dgram:/PATH, too: then\n"
        "nothing comes back, and 0 means that all was handed to the socket; no --confirm,\n"
        "--retain, --ttl, --fd, and a message is at most one packet, about 64,000 bytes.\n"
        "Exit status: 0 done, 1 failed, 2 usage, 3 no broker, or it is lost, 4 timed out,\n"
        "5 refused.\n";

/* ---------------------------------------------------------------- publishing */

static int publish_one(struct pub *p)
{
        return p->source.name ? pub_upload(p) : pub_send(p, p->out.payload, p->out.payload_len);
}

static int publish_count(struct pub *p)
{
        int status = p->source.name ? pub_prepare(p) : 0;

        if (status)
                return status;
        baton_cork(p->cli.b);
        for (uint64_t i = 0; i < p->count && status == 0; i++) {
                if (i && p->interval_ms)
                        status = pub_pause(p);
                if (status == 0)
                        status = publish_one(p);
        }
        /* What stood before one that failed arrives all the same. */
        int settled = baton_is_connected(p->cli.b) ? pub_settle(p, 0) : status;
        return status ? status : settled;
}

/* What needs an answer, or more than bytes, cannot be had from a datagram. */
static int check_datagram(struct pub *p)
{
        static const char silent[] = "the broker could not refuse it";

        p->is_datagram = cli_is_datagram(&p->cli);
        if (!p->is_datagram)
                return 0;
        if (p->confirm)
                return cli_usage(&p->cli, "--confirm: over dgram: no answer comes back");
        if (p->out.n_fds)
                return cli_usage(&p->cli, "--fd: dgram: carries no descriptors");
        if (p->flags & BATON_RETAIN)
                return cli_usage(&p->cli, "--retain: over dgram: %s", silent);
        if (p->ttl_ms)
                return cli_usage(&p->cli, "--ttl: over dgram: %s", silent);
        return 0;
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
        if (is_stdin || (p->lines && !p->file))
                p->file = "-";
        if (p->file)
                return source_open(&p->cli, p->file, &p->source);
        outgoing_set_text(&p->out, payload);
        return 0;
}

static int parse(struct pub *p, int argc, char **argv)
{
        static const struct option known[] = {
                CLI_LONG,
                CLI_MEMFD_LONG,
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

static int run(struct pub *p)
{
        int status = cli_connect(&p->cli, CLI_CONNECT_MS);

        if (status == 0)
                status = check_datagram(p);
        if (status == 0)
                status = p->lines ? pub_lines(p) : publish_count(p);
        /* Everything is confirmed: this is good-bye, and its failure changes nothing. */
        if (status == 0 && baton_close(p->cli.b, CLI_CLOSE_MS) < 0)
                cli_note(&p->cli, "%s", baton_error(p->cli.b));
        return status;
}

int pub_main(int argc, char **argv)
{
        struct pub p = {.cli = {.tool = "pub", .help = HELP, .takes_datagrams = true}, .count = 1};
        int status = cli_init(&p.cli, argv);

        if (status == 0)
                status = parse(&p, argc, argv);
        if (status == 0)
                status = run(&p);
        status = cli_exit(&p.cli, status);
        source_close(&p.source);
        outgoing_deinit(&p.out);
        return status;
}
