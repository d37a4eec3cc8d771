/* Design note. One table says which errno is which exit status, and one function writes to stderr:
 * a line is one write(2), so that lines of several processes stay whole, and has no control
 * characters in it, for some of its text comes from others and a terminal may show it. */
#include "client/cli/common.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 2048 };

/* ---------------------------------------------------------------- lines */

static void write_line(const char *lead, const char *format, va_list args) BT_PRINTF(2, 0);
static void write_line(const char *lead, const char *format, va_list args)
{
        char line[LINE_BYTES];
        int n = snprintf(line, sizeof(line), "%s%s", lead, *lead ? ": " : "");
        size_t len = n < 0 ? 0 : size_min((size_t)n, sizeof(line) - 1);

        n = vsnprintf(line + len, sizeof(line) - len, format, args);
        if (n < 0)
                return;
        len = size_min(len + (size_t)n, sizeof(line) - 1);
        for (size_t i = 0; i < len; i++) {
                if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
                        line[i] = ' ';
        }
        line[len] = '\n'; /* over the NUL */
        ssize_t written = write(STDERR_FILENO, line, len + 1);
        (void)written; /* there is nowhere left to say so */
}

void cli_say(const struct cli *cli, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        write_line(cli->tool, format, args);
        va_end(args);
}

void cli_note(const struct cli *cli, const char *format, ...)
{
        va_list args;

        if (!cli->verbose)
                return;
        va_start(args, format);
        write_line(cli->tool, format, args);
        va_end(args);
}

void cli_tell(const char *format, ...)
{
        va_list args;

        va_start(args, format);
        write_line("", format, args);
        va_end(args);
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
        char text[LINE_BYTES];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        cli_say(cli, "%s (see --help)", text);
        return CLI_USAGE;
}

int cli_status_of(int error)
{
        static const struct {
                int error, status;
        } table[] = {
                {ECONNREFUSED, CLI_NO_BROKER}, {ENOTCONN, CLI_NO_BROKER},
                {ESHUTDOWN, CLI_NO_BROKER}, {ETIMEDOUT, CLI_TIMED_OUT}, {EACCES, CLI_REFUSED},
                {EPERM, CLI_REFUSED}, {EDQUOT, CLI_REFUSED}, {EHOSTUNREACH, CLI_NO_RESPONDERS},
                {EINVAL, CLI_USAGE}, /* a topic, a filter, a header, an address */
        };

        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
                if (-error == table[i].error)
                        return table[i].status;
        }
        return error < 0 ? CLI_FAILED : CLI_DONE;
}

int cli_fail(const struct cli *cli, int error)
{
        const char *text = cli->b ? baton_error(cli->b) : "";

        cli_say(cli, "%s", *text ? text : strerror(-error));
        return cli_status_of(error);
}

int cli_fail_about(const struct cli *cli, int error, const char *subject, const char *text)
{
        cli_say(cli, "%s: %s", subject, text ? text : strerror(-error));
        return cli_status_of(error);
}

/* ---------------------------------------------------------------- the process */

/* A socket must not become descriptor 1 because somebody closed it: output would go to the broker.
 */
static int open_standard_fds(void)
{
        int fd;

        do {
                fd = open("/dev/null", O_RDWR | O_CLOEXEC);
                if (fd < 0)
                        return -errno;
        } while (fd <= STDERR_FILENO && fcntl(fd, F_SETFD, 0) == 0);
        close(fd);
        return 0;
}

int cli_init(struct cli *cli, char **argv)
{
        const char *directory = getenv("BUILD_WORKING_DIRECTORY");
        int r = open_standard_fds();

        argv[0] = (char *)cli->tool; /* leads getopt's messages */
        if (r < 0)
                return cli_fail_about(cli, r, "/dev/null", NULL);
        if (directory && chdir(directory) < 0)
                return cli_fail_about(cli, -errno, directory, NULL);
        return 0;
}

static int take_memfd(struct cli *cli, const char *text)
{
        uint64_t bytes = 0;

        if (!strcmp(text, "never")) {
                cli->large = SIZE_MAX;
                return 0;
        }
        int status = cli_number(cli, "--memfd", text, 1, SIZE_MAX - 1, &bytes);
        cli->large = (size_t)bytes;
        return status;
}

int cli_take(struct cli *cli, int option)
{
        switch (option) {
        case 'a':
                cli->addresses = optarg;
                return 0;
        case 'v':
                cli->verbose = true;
                return 0;
        case 'h':
                fputs(cli->help, stdout);
                return CLI_HELPED;
        case 'V':
                printf("%s (baton) %s\n", cli->tool, BATON_VERSION);
                return CLI_HELPED;
        case CLI_OPTION_MEMFD:
                return take_memfd(cli, optarg);
        default:
                return CLI_USAGE; /* getopt has said why */
        }
}

static void on_log(const char *text, void *arg)
{
        cli_say(arg, "%s", text);
}

static bool has_address(const struct cli *cli, const char *lead)
{
        return !strncmp(baton_address(cli->b), lead, strlen(lead));
}

bool cli_is_datagram(const struct cli *cli)
{
        return has_address(cli, "dgram:");
}

bool cli_is_inherited(const struct cli *cli)
{
        return has_address(cli, "fd:");
}

int cli_check_datagram(const struct cli *cli)
{
        if (cli->takes_datagrams || !cli_is_datagram(cli))
                return 0;
        return cli_usage(cli,
                "%s: only pub can use it: nothing comes back over dgram:", baton_address(cli->b));
}

static void note_connected(const struct cli *cli)
{
        struct baton_sender broker = baton_broker(cli->b);
        char pid[24] = ""; /* not every system says it */

        if (cli_is_datagram(cli)) {
                cli_note(cli, "sending to %s", baton_address(cli->b));
                return;
        }
        if (broker.pid)
                snprintf(pid, sizeof(pid), "pid %d, ", (int)broker.pid);
        cli_note(cli, "connected to %s (%suid %u), session %" PRIu64, baton_address(cli->b), pid,
                (unsigned)broker.uid, baton_session(cli->b));
}

int cli_connect(struct cli *cli, int timeout_ms)
{
        int r = cli->b ? 0 : baton_new(&cli->b);

        if (r == 0) {
                baton_set_log(cli->b, on_log, cli);
                baton_set_large(cli->b, cli->large);
                r = baton_set_name(cli->b, cli->tool);
        }
        if (r == 0)
                r = baton_connect(cli->b, cli->addresses, timeout_ms);
        /* What is there and does not answer, or not as a broker would, is none. */
        if (r == -ETIMEDOUT || r == -EPROTO)
                r = -ECONNREFUSED;
        if (r < 0)
                return cli_fail(cli, r);
        note_connected(cli);
        return cli_check_datagram(cli);
}

int cli_exit(struct cli *cli, int status)
{
        cli->b = baton_free(cli->b);
        if (status == CLI_HELPED)
                status = CLI_DONE;
        if (fflush(stdout) == 0 || errno == EPIPE)
                return status;
        int failed = cli_fail_about(cli, -errno, "stdout", NULL);
        return status ? status : failed;
}

/* ---------------------------------------------------------------- values */

int cli_number(const struct cli *cli, const char *option, const char *text, uint64_t least,
        uint64_t most, uint64_t *ret_value)
{
        char *end;

        errno = 0;
        uint64_t value = strtoull(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end)
                return cli_usage(cli, "%s %s: not a whole number", option, text);
        if (errno || value < least || value > most)
                return cli_usage(
                        cli, "%s %s: must be %" PRIu64 " to %" PRIu64, option, text, least, most);
        *ret_value = value;
        return 0;
}

int cli_seconds(const struct cli *cli, const char *option, const char *text, int *ret_milliseconds)
{
        enum { MOST_SECONDS = 1000000 };
        char *end;
        double value = strtod(text, &end);

        if (((text[0] < '0' || text[0] > '9') && text[0] != '.') || *end || !isfinite(value))
                return cli_usage(cli, "%s %s: not a number of seconds", option, text);
        if (value > MOST_SECONDS)
                return cli_usage(cli, "%s %s: at most %d", option, text, MOST_SECONDS);
        *ret_milliseconds = (int)ceil(value * 1000);
        return 0;
}

uint64_t cli_now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int cli_left_ms(uint64_t deadline_ns, int most)
{
        if (deadline_ns == UINT64_MAX)
                return most;
        uint64_t now = cli_now_ns();
        uint64_t ms = deadline_ns <= now ? 0 : (deadline_ns - now + 999999) / 1000000;
        uint64_t limit = most < 0 ? INT_MAX : (uint64_t)most;
        return (int)(ms < limit ? ms : limit);
}
