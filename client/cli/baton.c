/* Design note. All tools in one program, for installation: `baton pub ...`, or by a link named
 * `pub` or `baton-pub` to it. The table is the list of tools. */
#include "client/cli/common.h"
#include "client/cli/tools.h"

#include <stdio.h>
#include <string.h>

static const struct tool {
        const char *name, *purpose;
        int (*run)(int argc, char **argv);
} tools[] = {
        {"pub", "publish messages", pub_main},
        {"sub", "print messages", sub_main},
        {"request", "send a request and print the reply", request_main},
        {"serve", "answer requests by running a command", serve_main},
        {"status", "ask the broker how it is", status_main},
        {"demo", "a guided tour, with a broker of its own", demo_main},
};

static void print_help(void)
{
        printf("usage: baton TOOL [ARGUMENT]...\n"
               "\n"
               "Talks to the services of this host.\n"
               "\n");
        for (size_t i = 0; i < ARRAY_LEN(tools); i++)
                printf("  %-10s %s\n", tools[i].name, tools[i].purpose);
        printf("\n`baton TOOL --help` says more.\n");
}

static const struct tool *find(const char *name)
{
        for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
                if (!strcmp(name, tools[i].name))
                        return &tools[i];
        }
        return NULL;
}

/* The tool that the program is called by the name of, NULL if that is `baton` or anything else. */
static const struct tool *find_by_program(const char *path)
{
        static const char LEAD[] = "baton-";
        const char *slash = path ? strrchr(path, '/') : NULL;
        const char *name = slash ? slash + 1 : path ? path : "";

        if (!strncmp(name, LEAD, strlen(LEAD)))
                name += strlen(LEAD);
        return find(name);
}

int baton_main(int argc, char **argv)
{
        struct cli cli = {.tool = "baton"};
        const struct tool *tool = find_by_program(argv[0]);
        const char *word = argc > 1 ? argv[1] : "";

        if (tool)
                return tool->run(argc, argv);
        if ((tool = find(word))) {
                argv[1] = argv[0]; /* `demo` finds its broker beside the program */
                return tool->run(argc - 1, argv + 1);
        }
        if (!strcmp(word, "-h") || !strcmp(word, "--help")) {
                print_help();
                return cli_exit(&cli, CLI_HELPED);
        }
        if (!strcmp(word, "-V") || !strcmp(word, "--version")) {
                printf("baton (baton) %s\n", BATON_VERSION);
                return cli_exit(&cli, CLI_HELPED);
        }
        if (*word)
                return cli_usage(&cli, "no tool '%s'", word);
        return cli_usage(&cli, "no tool named");
}
