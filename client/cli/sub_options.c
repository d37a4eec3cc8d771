/* Design note. The command line of `sub`: most of it are options of a subscription, for the broker
 * to judge. */
#include "client/cli/sub.h"
#include "proto/wire/limits.h"

#include <string.h>

const char sub_help[] =
        "usage: sub [OPTION]... FILTER...\n"
        "\n"
        "Prints the messages that match: `topic payload`, one a line. In a FILTER a whole token\n"
        "may be *, which stands for one token, and the last one >, for one or more.\n"
        "\n"
        "  -n, --number COUNT   stop after COUNT messages\n"
        "  -w, --wait SECONDS   stop after SECONDS in all\n"
        "      --json           print one JSON object a line, and one for each event\n"
        "      --raw            print the bare bytes of the payloads, nothing between them\n"
        "      --fd-cat         print the content of each descriptor that comes, too: files from\n"
        "                       their beginning, pipes and sockets to their end\n"
        "      --observer       see everything, but count as nobody\n"
        "      --group G        share the messages with the other members of G; each FILTER is a\n"
        "                       group of its own\n"
        "      --ack            group: acknowledge each message when it is written; what is not,\n"
        "                       goes to another member\n"
        "      --ack-ms MS      when the first is not acknowledged in this time all goes there,\n"
        "                       too (30000)\n"
        "      --deliveries N   what has failed so often goes to $sys.dead instead (5)\n"
        "      --window N       at most N messages under way; groups: 16\n"
        "      --overflow P     if we are too slow: block, drop-oldest, drop-newest, latest,\n"
        "                       disconnect\n"
        "      --queue B[,N]    the broker keeps B bytes, N messages for us\n"
        "      --will T=P       the broker publishes P on T if we end without "
        "good-bye\n" CLI_MEMFD_HELP CLI_HELP "\n"
        "With -v `ready` is printed on stderr once the broker has confirmed the subscriptions.\n"
        "A broker that is lost is waited for; that is said on stderr.\n"
        "Exit status: 0 done, also by SIGTERM, SIGINT, and when nobody reads stdout any more;\n"
        "1 failed, 2 usage, 3 no broker, 4 -n was not reached in -w seconds, 5 refused.\n";

enum {
        OPTION_JSON = 256,
        OPTION_RAW,
        OPTION_FD_CAT,
        OPTION_OBSERVER,
        OPTION_GROUP,
        OPTION_ACK,
        OPTION_ACK_MS,
        OPTION_DELIVERIES,
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

static int take_u32(struct sub *s, const char *name, uint32_t most, uint32_t *ret)
{
        uint64_t value = 0;
        int status = cli_number(&s->cli, name, optarg, 1, most, &value);

        *ret = (uint32_t)value;
        return status;
}

static int take_subscription(struct sub *s, int option)
{
        struct baton_subscription *options = &s->keeper.options;

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
        case OPTION_ACK_MS:
                return take_u32(s, "--ack-ms", WIRE_ACK_MS_MAX, &options->ack_ms);
        case OPTION_DELIVERIES:
                return take_u32(s, "--deliveries", UINT32_MAX, &options->max_deliveries);
        case OPTION_WINDOW:
                return take_u32(s, "--window", UINT32_MAX, &options->window);
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

int sub_parse(struct sub *s, int argc, char **argv)
{
        static const struct option known[] = {
                CLI_LONG,
                CLI_MEMFD_LONG,
                {"number", required_argument, NULL, 'n'},
                {"wait", required_argument, NULL, 'w'},
                {"json", no_argument, NULL, OPTION_JSON},
                {"raw", no_argument, NULL, OPTION_RAW},
                {"fd-cat", no_argument, NULL, OPTION_FD_CAT},
                {"observer", no_argument, NULL, OPTION_OBSERVER},
                {"group", required_argument, NULL, OPTION_GROUP},
                {"ack", no_argument, NULL, OPTION_ACK},
                {"ack-ms", required_argument, NULL, OPTION_ACK_MS},
                {"deliveries", required_argument, NULL, OPTION_DELIVERIES},
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
        if (s->keeper.options.ack && !s->keeper.options.group)
                return cli_usage(&s->cli, "--ack is for a --group");
        if (!s->keeper.options.ack &&
                (s->keeper.options.ack_ms || s->keeper.options.max_deliveries))
                return cli_usage(&s->cli, "--ack-ms and --deliveries are for --ack");
        if (s->keeper.options.group && s->keeper.options.observer)
                return cli_usage(&s->cli, "--observer takes no part in the work of a --group");
        s->keeper.options.hold = s->keeper.options.ack;
        /* No more than will be printed is kept from the other members. */
        if (s->keeper.options.group && !s->keeper.options.window && s->wanted &&
                s->wanted < WIRE_GROUP_WINDOW_DEFAULT)
                s->keeper.options.window = (uint32_t)s->wanted;
        s->keeper.filters = argv + optind;
        s->keeper.n_filters = (size_t)(argc - optind);
        s->keeper.options.max_fds = s->json || s->fd_cat ? WIRE_FDS : 0;
        return 0;
}
