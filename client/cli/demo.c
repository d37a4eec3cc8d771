/* Design note. A tour that tells only what it has just seen: every station checks what it claims,
 * and the first that fails ends the tour with status 1. Other clients are real processes, so that
 * what is said about senders is true. */
#include "client/cli/demo.h"

#include "client/cli/tools.h"
#include "proto/base/sys.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char HELP[] =
        "usage: demo [OPTION]...\n"
        "\n"
        "A guided tour of Baton, with a broker of its own: it disturbs no other. The broker's\n"
        "program is $BATON_BROKER, or found beside this one, or in $PATH.\n"
        "\n" CLI_HELP "\n"
        "Exit status: 0 all that is said has happened, 1 something failed, 2 usage, 3 no broker.\n";

enum { HEAR_MS = 5000, COLUMNS = 80 };

/* ---------------------------------------------------------------- telling */

void demo_tell(const char *about, const char *format, ...)
{
        char text[COLUMNS];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof(text) - 9 /* name, space; NUL */, format, args);
        va_end(args);
        printf("%-9s %s\n", about, text);
        fflush(stdout);
}

int demo_fail(const struct demo *d, const char *about, const char *why)
{
        cli_say(&d->cli, "%s: %s", about, why);
        return CLI_FAILED;
}

/* ---------------------------------------------------------------- processes */

static _Noreturn void run_part(struct demo *d, int (*fn)(struct demo *, int), int out, pid_t parent)
{
        sys_die_with_parent();
        if (getppid() != parent)
                _exit(CLI_FAILED);
        d->cli.b = NULL; /* the parent's, which is not ours to use */
        int status = baton_new(&d->cli.b) < 0 ? CLI_FAILED : fn(d, out);
        baton_free(d->cli.b);
        _exit(status);
}

int demo_fork(struct demo *d, int (*fn)(struct demo *d, int out), struct part *ret_part)
{
        pid_t parent = getpid();
        int fds[2];
        int r = sys_pipe(false, fds);

        if (r < 0)
                return cli_fail_about(&d->cli, r, "pipe", NULL);
        pid_t pid = fork();
        if (pid == 0)
                run_part(d, fn, fds[1], parent);
        r = pid < 0 ? -errno : 0;
        close(fds[1]);
        if (r < 0) {
                close(fds[0]);
                return cli_fail_about(&d->cli, r, "fork", NULL);
        }
        *ret_part = (struct part){pid, fds[0]};
        return 0;
}

bool demo_hear(const struct part *p, char *text, size_t cap)
{
        struct pollfd pfd = {.fd = p->says, .events = POLLIN};

        if (poll(&pfd, 1, HEAR_MS) <= 0)
                return false;
        ssize_t n = read(p->says, text, cap - 1);
        if (n <= 0)
                return false;
        text[n] = '\0';
        return true;
}

int demo_join(struct part *p)
{
        struct pollfd pfd = {.fd = p->says, .events = POLLIN};
        char text[256];
        int status;

        /* Its end of the pipe is closed when it is gone. */
        while (poll(&pfd, 1, HEAR_MS) > 0 && read(p->says, text, sizeof(text)) > 0)
                ;
        if (waitpid(p->pid, &status, WNOHANG) != p->pid) {
                kill(p->pid, pfd.revents ? 0 : SIGKILL);
                if (waitpid(p->pid, &status, 0) != p->pid)
                        return CLI_FAILED;
        }
        close(p->says);
        return WIFEXITED(status) ? WEXITSTATUS(status) : CLI_FAILED;
}

bool demo_is_from(const struct baton_sender *who, pid_t pid)
{
        return who->uid == geteuid() && (who->pid == pid || who->pid == 0);
}

/* ---------------------------------------------------------------- the tour */

static int begin(struct demo *d)
{
        int status = demo_start_broker(d);

        if (status)
                return status;
        d->cli.addresses = d->address;
        status = cli_connect(&d->cli, CLI_CONNECT_MS);
        if (status)
                return status;
        struct baton_sender broker = baton_broker(d->cli.b);
        if (!demo_is_from(&broker, d->broker))
                return demo_fail(d, "broker", "somebody else holds its address");
        demo_tell("broker", "%s: %s (pid %d)", d->address,
                d->dir[0] ? "no port" : "an abstract name, no file, no port", (int)d->broker);
        return 0;
}

static int end(struct demo *d)
{
        if (baton_close(d->cli.b, CLI_CLOSE_MS) < 0)
                return cli_fail(&d->cli, -EIO);
        int status = demo_stop_broker(d);
        if (status == 0)
                demo_tell("end", "the broker delivered what was queued and left nothing behind");
        return status;
}

static int tour(struct demo *d)
{
        static int (*const stations[])(struct demo *) = {begin, demo_message, demo_wildcard,
                demo_headers, demo_request, demo_nobody, demo_stranger, demo_file, demo_large,
                demo_speed, end};
        int status = 0;

        demo_tell("Baton", "messages between the services of one host; a tour");
        for (size_t i = 0; i < ARRAY_LEN(stations) && status == 0; i++)
                status = stations[i](d);
        if (status == 0)
                demo_tell("next",
                        "a terminal each: //broker, //client:sub -- '>', //client:pub -- a.b hi");
        return status;
}

int demo_main(int argc, char **argv)
{
        static const struct option known[] = {CLI_LONG, {0}};
        struct demo d = {.cli = {.tool = "demo", .help = HELP}, .broker_says = -1};
        bool is_found = demo_find_broker(&d, argv[0]);
        int option, status = cli_init(&d.cli, argv);

        while (status == 0 && (option = getopt_long(argc, argv, CLI_SHORT, known, NULL)) != -1)
                status = cli_take(&d.cli, option);
        if (status == 0 && optind < argc)
                status = cli_usage(&d.cli, "unexpected argument '%s'", argv[optind]);
        if (status == 0 && d.cli.addresses)
                status = cli_usage(&d.cli, "it starts a broker of its own: no --address");
        if (status == 0 && !is_found)
                status = cli_fail_about(&d.cli, -ECONNREFUSED, "broker",
                        "its program is not to be found: set $BATON_BROKER");
        if (status == 0)
                status = tour(&d);
        status = cli_exit(&d.cli, status);
        demo_kill_broker(&d);
        return status;
}
