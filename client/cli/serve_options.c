/* Design note. The command line of `serve`. A command that cannot be run is found here, before
 * anybody asks for it. */
#include "client/cli/command.h"
#include "client/cli/serve.h"
#include "proto/wire/limits.h"

const char serve_help[] =
        "usage: serve [OPTION]... TOPIC -- COMMAND [ARGUMENT]...\n"
        "       serve [OPTION]... --echo TOPIC\n"
        "\n"
        "Answers requests: runs COMMAND for each, with the payload on its stdin; what it writes "
        "to\n"
        "stdout is the reply, both of any size. If it does not exit with 0 the request has "
        "failed.\n"
        "Descriptors that came with the request are 3, 4, ...; BATON_FDS in the environment is\n"
        "how many. Files are opened anew, in the mode they came in, so that COMMAND has an offset\n"
        "of its own; where that cannot be, the one that all share is set to the beginning. The\n"
        "environment also has BATON_TOPIC, BATON_SENDER_UID, BATON_SENDER_GID, BATON_SENDER_PID\n"
        "and BATON_SENDER_SESSION. Up to 16 run at once.\n"
        "\n"
        "      --echo           reply with the payload instead of running anything\n"
        "      --group G        share the requests with the other members of G: each goes to one\n"
        "                       that is free\n"
        "      --window N       group: be free while fewer than N run; without it "
        "1\n" CLI_MEMFD_HELP CLI_HELP "\n"
        "With -v `ready` is printed on stderr once the broker has confirmed the subscription.\n"
        "A broker that is lost is waited for; that is said on stderr. SIGTERM and SIGINT: what\n"
        "runs may finish, for 5 s; nothing is killed.\n"
        "Exit status: 0 done, 1 failed, 2 usage, 3 no broker, 5 refused.\n";

enum { OPTION_ECHO = 256, OPTION_GROUP, OPTION_WINDOW };

static int take_arguments(struct serve *s, bool is_echo, int n, char **arguments)
{
        if (n < 1)
                return cli_usage(&s->cli, "no topic");
        if (is_echo == (n > 1))
                return cli_usage(&s->cli, n > 1 ? "either --echo or a command" : "no command");
        s->keeper.filters = arguments;
        s->keeper.n_filters = 1;
        if (is_echo)
                return 0;
        s->keeper.options.max_fds = WIRE_FDS;
        s->command = arguments + 1;
        /* A mistake that each request would repeat. */
        int r = command_find(s->command[0]);
        if (r == 0)
                return 0;
        cli_fail_about(&s->cli, r, s->command[0], NULL);
        return CLI_USAGE;
}

int serve_parse(struct serve *s, int argc, char **argv)
{
        static const struct option known[] = {
                CLI_LONG,
                CLI_MEMFD_LONG,
                {"echo", no_argument, NULL, OPTION_ECHO},
                {"group", required_argument, NULL, OPTION_GROUP},
                {"window", required_argument, NULL, OPTION_WINDOW},
                {0},
        };
        struct baton_subscription *options = &s->keeper.options;
        int option, status = 0;
        uint64_t window = 0;
        bool is_echo = false;

        while (status == 0 && (option = getopt_long(argc, argv, CLI_SHORT, known, NULL)) != -1) {
                if (option == OPTION_ECHO)
                        is_echo = true;
                else if (option == OPTION_GROUP)
                        options->group = optarg;
                else if (option == OPTION_WINDOW)
                        status = cli_number(&s->cli, "--window", optarg, 1, RUNNING_MAX, &window);
                else
                        status = cli_take(&s->cli, option);
        }
        if (status == 0 && window && !options->group)
                status = cli_usage(&s->cli, "--window is for a group");
        if (options->group) {
                options->window = window ? (uint32_t)window : 1;
                options->hold = true;
        }
        return status ? status : take_arguments(s, is_echo, argc - optind, argv + optind);
}
