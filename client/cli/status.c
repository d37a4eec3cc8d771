/* Design note. The broker's report is JSON; this tool asks for it, and shows it in one of three
 * forms. Keys that a broker does not send are left out, keys that we do not know stay in --json. */
#include "client/cli/status_form.h"

#include "client/cli/common.h"
#include "client/cli/output.h"
#include "client/cli/status_may.h"
#include "client/cli/tools.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char HELP[] =
        "usage: status [OPTION]...\n"
        "       status [OPTION]... --may USER ACTION [TOPIC or FILTER]\n"
        "\n"
        "Asks the broker how it is, or what its policy lets somebody do.\n"
        "\n"
        "      --json           the report as the broker sends it, one JSON object\n"
        "      --prometheus     the counts in Prometheus' text format\n"
        "      --may            ask about USER, a name or a uid: connect, see-sys, administer;\n"
        "                       or on a TOPIC: publish, retain, will, send-fds, send-any-fds,\n"
        "                       send-memfd; or on a FILTER: subscribe, join, block\n" CLI_HELP "\n"
        "Exit status: 0 done, 1 failed, 2 usage, 3 no broker, 4 timed out, 5 refused (or, of\n"
        "--may: no).\n";

enum { ANSWER_MS = 5000 };

enum form { FORM_TABLE, FORM_JSON, FORM_PROMETHEUS };

struct status {
        struct cli cli;
        enum form form;
        bool asks_may;
        struct buf question; /* then */
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

static int answer(struct status *s, const struct baton_message *m)
{
        struct buf *out = &s->output.buf, words cleanup_(buf_deinit) = BUF_INIT;
        int status = status_may_answer(&s->cli, m->payload, m->payload_len, &words);
        bool as_json = s->form == FORM_JSON;
        int r = as_json ? buf_push(out, m->payload, m->payload_len)
                        : buf_push(out, words.data, words.len);

        if (r == 0 && as_json)
                r = buf_push(out, "\n", 1);
        return r < 0 ? cli_fail_about(&s->cli, r, "answer", NULL) : status;
}

static void on_reply(baton *b, const struct baton_message *m, void *arg)
{
        struct status *s = arg;

        (void)b;
        s->status = s->asks_may ? answer(s, m) : format(s, m);
}

static int run(struct status *s)
{
        struct baton_publication ask = {.topic = s->asks_may ? "$sys.may" : "$sys.status",
                .payload = s->question.data,
                .payload_len = s->question.len};
        int status = cli_connect(&s->cli, CLI_CONNECT_MS);

        if (status)
                return status;
        int r = baton_request(s->cli.b, &ask, ANSWER_MS, on_reply, s);
        if (r < 0)
                return cli_fail(&s->cli, r);
        if (s->status && !s->asks_may)
                return s->status;
        r = output_flush(&s->output);
        return r ? cli_fail_about(&s->cli, r < 0 ? r : -EPIPE, "stdout", NULL) : s->status;
}

enum { OPTION_JSON = 256, OPTION_PROMETHEUS, OPTION_MAY };

static int parse(struct status *s, int argc, char **argv)
{
        static const struct option known[] = {
                CLI_LONG,
                {"json", no_argument, NULL, OPTION_JSON},
                {"prometheus", no_argument, NULL, OPTION_PROMETHEUS},
                {"may", no_argument, NULL, OPTION_MAY},
                {0},
        };
        int option, status = 0;

        while (status == 0 && (option = getopt_long(argc, argv, CLI_SHORT, known, NULL)) != -1) {
                enum form form = option == OPTION_JSON         ? FORM_JSON
                                 : option == OPTION_PROMETHEUS ? FORM_PROMETHEUS
                                                               : FORM_TABLE;
                if (option == OPTION_MAY)
                        s->asks_may = true;
                else if (form == FORM_TABLE)
                        status = cli_take(&s->cli, option);
                else if (s->form != FORM_TABLE && s->form != form)
                        status = cli_usage(&s->cli, "either --json or --prometheus");
                else
                        s->form = form;
        }
        if (status == 0 && s->asks_may && s->form == FORM_PROMETHEUS)
                return cli_usage(&s->cli, "--may has no --prometheus");
        if (status == 0 && s->asks_may)
                return status_may_ask(
                        &s->cli, argv + optind, (size_t)(argc - optind), &s->question);
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
        buf_deinit(&s.question);
        return status;
}
