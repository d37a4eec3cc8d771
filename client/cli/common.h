/* common.h - what all tools share: exit statuses, the form of an error, options, the connection.
 *
 *      int pub_main(int argc, char **argv)
 *      {
 *              struct pub p = {.cli = {.tool = "pub", .help = HELP}};
 *              int status = cli_init(&p.cli, argv);
 *
 *              if (status == 0)
 *                      status = parse(&p, argc, argv);
 *              if (status == 0)
 *                      status = cli_connect(&p.cli, CLI_CONNECT_MS);
 *              ...
 *              return cli_exit(&p.cli, status);
 *      }
 *
 * Functions return 0 to go on, or the exit status, with the line about it printed already. */
#ifndef BATON_CLIENT_CLI_COMMON_H
#define BATON_CLIENT_CLI_COMMON_H

#include "client/baton.h"

#include "proto/base/defs.h"
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

enum cli_status {
        CLI_DONE = 0,
        CLI_FAILED = 1,
        CLI_USAGE = 2,
        CLI_NO_BROKER = 3,     /* or none to trust, or it is lost */
        CLI_TIMED_OUT = 4,     /* in the time that was given */
        CLI_REFUSED = 5,       /* policy, quota, file permission */
        CLI_NO_RESPONDERS = 6, /* nobody took the request: to ask again is safe */
        CLI_HELPED = 64,       /* --help or --version was printed: cli_exit makes it 0 */
};

enum {
        /* Milliseconds to reach a broker and be greeted. */
        CLI_CONNECT_MS = 5000,
        /* Milliseconds for the good-bye of a tool that has done its work. */
        CLI_CLOSE_MS = 1000,
        /* What getopt_long returns for an option of which all tools have the same. */
        CLI_OPTION_MEMFD = 128,
};

struct cli {
        const char *tool;     /* leads each line on stderr */
        const char *help;     /* from "usage:" on */
        bool takes_datagrams; /* a `dgram:` address will do: nothing needs to come back */
        const char *addresses;
        size_t large; /* for baton_set_large */
        bool verbose;
        baton *b; /* owned */
};

/* The options that every tool has. */
#define CLI_SHORT "a:vhV"
#define CLI_LONG                                                                        \
        {"address", required_argument, NULL, 'a'}, {"verbose", no_argument, NULL, 'v'}, \
                {"help", no_argument, NULL, 'h'},                                       \
        {                                                                               \
                "version", no_argument, NULL, 'V'                                       \
        }
#define CLI_HELP                                                                                  \
        "  -a, --address ADDR   the broker: @NAME, /PATH or ./PATH, stream:/PATH; several with\n" \
        "                       commas, tried in turn; ?uid=NAME behind one: whom to expect\n"    \
        "                       there. Without: the socket that $BATON_FD numbers, else\n"        \
        "                       $BATON_ADDRESS, else @baton-UID, then\n"                          \
        "                       $XDG_RUNTIME_DIR/baton.sock (root: /run/baton/baton.sock)\n"      \
        "  -v, --verbose        say more on stderr\n"                                             \
        "  -h, --help           this text\n"                                                      \
        "  -V, --version        the version\n"

/* And of those that have to do with payloads. */
#define CLI_MEMFD_LONG                                             \
        {                                                          \
                "memfd", required_argument, NULL, CLI_OPTION_MEMFD \
        }
#define CLI_MEMFD_HELP                                                                             \
        "      --memfd BYTES    payloads larger than BYTES travel in shared memory (without it:\n" \
        "                       those that do not fit a packet, about 64,000); never: in pieces\n" \
        "                       instead, and none is received in shared memory either\n"

/* cli_init prepares the process: descriptors 0, 1 and 2 are open, and under `bazel run` the current
 * directory is the user's, so that relative paths are too. argv[0] becomes the tool's name. */
BT_MUST int cli_init(struct cli *cli, char **argv);

/* cli_take deals with a common option, and with all that getopt_long does not know.
 * Returns 0 · CLI_USAGE · CLI_HELPED. */
BT_MUST int cli_take(struct cli *cli, int option);

/* cli_connect makes the handle, if there is none yet, and connects it. Returns 0 · as cli_fail. */
BT_MUST int cli_connect(struct cli *cli, int timeout_ms);

/* cli_is_datagram: connected to a `dgram:` address; cli_is_inherited: by $BATON_FD, which cannot be
 * done a second time. */
bool cli_is_datagram(const struct cli *cli);
bool cli_is_inherited(const struct cli *cli);

/* cli_check_datagram complains if the connection, just made, is to a `dgram:` address and that will
 * not do. Returns 0 · CLI_USAGE. */
BT_MUST int cli_check_datagram(const struct cli *cli);

/* cli_exit frees the handle and flushes stdout. Returns the process's exit status. */
int cli_exit(struct cli *cli, int status);

/* ---------------------------------------------------------------- lines on stderr */

/* cli_say prints one line, "tool: ...", whatever control characters are in it; cli_note does so
 * only with -v; cli_tell prints a line that scripts wait for, without the name before it. */
void cli_say(const struct cli *cli, const char *format, ...) BT_PRINTF(2, 3);
void cli_note(const struct cli *cli, const char *format, ...) BT_PRINTF(2, 3);
void cli_tell(const char *format, ...) BT_PRINTF(1, 2);

/* cli_usage complains about the command line. Returns CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *format, ...) BT_PRINTF(2, 3);

/* cli_status_of gives the exit status of a negative errno. */
int cli_status_of(int error);

/* cli_fail prints baton_error() and returns the status of `error`. cli_fail_about prints why
 * `subject` failed: `text`, or the errno's if that is NULL. */
int cli_fail(const struct cli *cli, int error);
int cli_fail_about(const struct cli *cli, int error, const char *subject, const char *text);

/* ---------------------------------------------------------------- the values of options */

/* cli_number reads a whole number from `least` to `most`. Returns 0 · CLI_USAGE. */
BT_MUST int cli_number(const struct cli *cli, const char *option, const char *text, uint64_t least,
        uint64_t most, uint64_t *ret_value);

/* cli_seconds reads seconds, with decimals, as milliseconds. Returns 0 · CLI_USAGE. */
BT_MUST int cli_seconds(
        const struct cli *cli, const char *option, const char *text, int *ret_milliseconds);

/* ---------------------------------------------------------------- time */

uint64_t cli_now_ns(void);

/* cli_left_ms gives the time until `deadline_ns`, rounded up, at most `most` (-1: no limit; then
 * UINT64_MAX is -1), as poll wants it. */
int cli_left_ms(uint64_t deadline_ns, int most);

#endif
