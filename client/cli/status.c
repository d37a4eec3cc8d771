/* Design note. The broker's report is JSON; this tool asks for it, and shows it in one of three
 * forms. Keys that a broker does not send are left out, keys that we do not know stay in --json. */
#include "client/cli/status_form.h"

#include "client/cli/common.h"
#include "client/cli/output.h"
#include "client/cli/tools.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char HELP[] =
        "usage: status [OPTION]...\n"
        "\n"
        "Asks the broker how it is.\n"
        "\n"
        "      --json           the report as the broker sends it, one JSON object\n"
        "      --prometheus     the counts in Prometheus' text format\n" CLI_HELP "\n"
        "Exit status: 0 done, 1 failed, 2 usage, 3 no broker, 4 timed out, 5 refused.\n";

enum { ANSWER_MS = 5000 };

enum form { FORM_TABLE, FORM_JSON, FORM_PROMETHEUS };

struct status {
        struct cli cli;
        enum form form;
        struct output output;
        int status;
};

static int format(struct status *s, const struct baton_message *m)
{
        struct buf *out = &s->output.buf;
        json_error_t why;
        json_t *report = json_loadb(m->payload, m->payload_len, 0, &why);

        if (!json_is_object(report)) {
                json_decref(report);
                cli_say(&s->cli, "%s: not a report: %s", baton_address(s->cli.b),
                        report ? "no object" : why.text);
                return CLI_FAILED;
        }
        int r = 0;
        if (s->form == FORM_PROMETHEUS)
                r = status_form_prometheus(out, report);
        else if (s->form == FORM_TABLE)
                r = status_form_table(out, report, baton_address(s->cli.b));
        else if ((r = buf_push(out, m->payload, m->payload_len)) == 0)
                r = buf_push(out, "\n", 1);
        json_decref(report);
        return r < 0 ? cli_fail_about(&s->cli, r, "report", NULL) : 0;
}

static void on_reply(baton *b, const struct baton_message *m, void *arg)
{
        struct status *s = arg;

        (void)b;
        s->status = format(s, m);
}

static int run(struct status *s)
{
        struct baton_publication ask = {.topic = "$sys.status"};
        int status = cli_connect(&s->cli, CLI_CONNECT_MS);

        if (status)
                return status;
        int r = baton_request(s->cli.b, &ask, ANSWER_MS, on_reply, s);
        if (r < 0)
                return cli_fail(&s->cli, r);
        if (s->status)
                return s->status;
        r = output_flush(&s->output);
        return r ? cli_fail_about(&s->cli, r < 0 ? r : -EPIPE, "stdout", NULL) : 0;
}

enum { OPTION_JSON = 256, OPTION_PROMETHEUS };

static int parse(struct status *s, int argc, char **argv)
{
        static const struct option known[] = {
                CLI_LONG,
                {"json", no_argument, NULL, OPTION_JSON},
                {"prometheus", no_argument, NULL, OPTION_PROMETHEUS},
                {0},
        };
        int option, status = 0;

        while (status == 0 && (option = getopt_long(argc, argv, CLI_SHORT, known, NULL)) != -1) {
                enum form form = option == OPTION_JSON         ? FORM_JSON
                                 : option == OPTION_PROMETHEUS ? FORM_PROMETHEUS
                                                               : FORM_TABLE;
                if (form == FORM_TABLE)
                        status = cli_take(&s->cli, option);
                else if (s->form != FORM_TABLE && s->form != form)
                        status = cli_usage(&s->cli, "either --json or --prometheus");
                else
                        s->form = form;
        }
        if (status == 0 && optind < argc)
                status = cli_usage(&s->cli, "unexpected argument '%s'", argv[optind]);
        return status;
}

int status_main(int argc, char **argv)
{
        struct status s = {.cli = {.tool = "status", .help = HELP}};
        int status = cli_init(&s.cli, argv);

        if (status == 0)
                status = parse(&s, argc, argv);
        if (status == 0)
                status = run(&s);
        status = cli_exit(&s.cli, status);
        output_deinit(&s.output);
        return status;
}
