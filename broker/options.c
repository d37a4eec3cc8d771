/* Design note. getopt_long, one error line each, exit status 2. Numbers must be whole and in range:
 * a limit that was mistyped must not silently become zero. */
#include "broker/options.h"

#include "broker/log.h"
#include "broker/passed.h"
#include "broker/policy_file.h"
#include "broker/policy_source.h"
#include "broker/version.h"
#include "proto/base/number.h"

#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIMITS_PER_LINE = 3 };

static void print_help(void)
{
        printf("usage: broker [--listen ADDRESS]... [--limit NAME=VALUE]...\n"
               "              [--client-fd N]... [--policy FILE] [--no-confine]\n"
               "       broker --check-policy FILE\n"
               "\n"
               "Routes messages between the services of this host.\n"
               "\n"
               "  -l, --listen ADDRESS    @NAME (abstract), /PATH or ./PATH, or for clients that\n"
               "                          need them stream:/PATH or dgram:/PATH; options of\n"
               "                          paths: ?mode=0660&group=NAME. Several are served at\n"
               "                          once.\n"
               "                          Without it: what systemd has passed on, else\n"
               "                          $BATON_ADDRESS, else @baton-UID and\n"
               "                          $XDG_RUNTIME_DIR/baton.sock (root:\n"
               "                          " ADDRESS_ROOT_DIR "/baton.sock)\n"
               "      --client-fd N       serve the client at descriptor N too: one end of a\n"
               "                          socketpair. Without --listen it serves nobody else,\n"
               "                          and ends with its last client\n"
               "  -p, --policy FILE       who else may use the bus, and what for; read again on\n"
               "                          SIGHUP. Without it: this uid and root alone\n"
               "      --check-policy FILE say what it allows, or what is wrong with it, and end\n"
               "      --no-confine        keep what a broker does not need: for valgrind, and\n"
               "                          whatever else makes system calls of its own\n"
               "  -L, --limit NAME=VALUE  change a limit (bytes, milliseconds or pieces):\n"
               "                         ");
        for (size_t i = 0; core_limits_name(i); i++)
                printf("%s%s", i && i % LIMITS_PER_LINE == 0 ? "\n                          " : " ",
                        core_limits_name(i));
        printf("\n"
               "  -h, --help              this text\n"
               "  -V, --version           the version\n"
               "\n"
               "Says on stderr one line for each address, then `ready`. Ends on SIGTERM or\n"
               "SIGINT when what is queued has been delivered, after 5 s at most (limit\n"
               "drain_ms). Exit status: 0 done, 1 failed, 2 usage.\n");
}

static int add_listen(struct options *o, const char *text)
{
        struct address_why why;
        size_t n = 0;
        int r = address_parse_list(text, ADDRESS_BROKER, o->listen + o->n_listen,
                LIMIT_ADDRESSES - o->n_listen, &n, &why);

        if (r) {
                log_line("%s: %s", text, r < 0 ? strerror(-r) : why.text);
                return OPTIONS_E_USAGE;
        }
        o->n_listen += n;
        return 0;
}

static int set_limit(struct options *o, const char *text)
{
        const char *equals = strchr(text, '=');
        char name[WIRE_NAME_BYTES];
        uint64_t least = 0, value;

        if (!equals || (size_t)(equals - text) >= sizeof(name)) {
                log_line("--limit %s: expected NAME=VALUE", text);
                return OPTIONS_E_USAGE;
        }
        snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
        if (!number_read(equals + 1, UINT64_MAX, &value)) {
                log_line("--limit %s: not a whole number", text);
                return OPTIONS_E_USAGE;
        }
        switch (core_limits_set(&o->limits, name, value, &least)) {
        case 0:
                return 0;
        case LIMITS_E_VALUE:
                log_line("--limit %s: must be %" PRIu64 " to 2^40", text, least);
                return OPTIONS_E_USAGE;
        default:
                log_line("--limit %s: no such limit (see --help)", text);
                return OPTIONS_E_USAGE;
        }
}

static int add_client_fd(struct options *o, const char *text)
{
        char *end;
        long fd = strtol(text, &end, 10);

        if (*end || *text < '0' || *text > '9' || fd <= STDERR_FILENO || fd > INT_MAX) {
                log_line("--client-fd %s: not a descriptor above 2", text);
                return OPTIONS_E_USAGE;
        }
        if (o->n_client_fds == ARRAY_LEN(o->client_fds)) {
                log_line("--client-fd: at most %zu", ARRAY_LEN(o->client_fds));
                return OPTIONS_E_USAGE;
        }
        for (size_t i = 0; i < o->n_client_fds; i++) {
                if (o->client_fds[i] == fd) {
                        log_line("--client-fd %ld: given twice", fd);
                        return OPTIONS_E_USAGE;
                }
        }
        o->client_fds[o->n_client_fds++] = (int)fd;
        return 0;
}

static int set_policy(struct options *o, const char *path)
{
        free(o->policy);
        o->policy = policy_source_path(path);
        if (!o->policy)
                log_line("--policy %s: %s", path, strerror(ENOMEM));
        return o->policy ? 0 : OPTIONS_E_POLICY;
}

static int explain_policy(const char *path)
{
        char *full = policy_source_path(path);
        int r = full ? policy_file_explain(full) : 1;

        free(full);
        return r ? OPTIONS_E_POLICY : OPTIONS_E_DONE;
}

static int use_defaults(struct options *o)
{
        struct address_why why;
        int r = address_defaults(ADDRESS_BROKER, o->listen, LIMIT_ADDRESSES, &o->n_listen, &why);

        if (r) {
                log_line("default addresses: %s", r < 0 ? strerror(-r) : why.text);
                return OPTIONS_E_USAGE;
        }
        o->is_default = true;
        return 0;
}

/* Returns 0 · OPTIONS_E_USAGE · OPTIONS_E_PASSED. */
static int take_passed(struct options *o)
{
        if (passed_take(LIMIT_ADDRESSES - o->n_listen, &o->n_passed))
                return OPTIONS_E_PASSED;
        for (size_t i = 0; i < o->n_client_fds; i++) {
                int fd = o->client_fds[i];
                if (fd >= PASSED_FD_FIRST && (size_t)(fd - PASSED_FD_FIRST) < o->n_passed) {
                        log_line("--client-fd %d: passed on to be served (LISTEN_FDS)", fd);
                        return OPTIONS_E_USAGE;
                }
        }
        return 0;
}

static int take_option(struct options *o, int option)
{
        switch (option) {
        case 'l':
                return add_listen(o, optarg);
        case 'L':
                return set_limit(o, optarg);
        case 'C':
                return add_client_fd(o, optarg);
        case 'p':
                return set_policy(o, optarg);
        case 'c':
                return explain_policy(optarg);
        case 'N':
                o->is_unconfined = true;
                return 0;
        case 'h':
                print_help();
                return OPTIONS_E_DONE;
        case 'V':
                printf("broker (baton) %s\n", BATON_BROKER_VERSION);
                return OPTIONS_E_DONE;
        default:
                return OPTIONS_E_USAGE; /* getopt has said why */
        }
}

void options_deinit(struct options *options)
{
        free(options->policy);
        *options = (struct options){0};
}

int options_parse(int argc, char **argv, struct options *ret_options)
{
        static const struct option known[] = {
                {"listen", required_argument, NULL, 'l'},
                {"limit", required_argument, NULL, 'L'},
                {"client-fd", required_argument, NULL, 'C'},
                {"policy", required_argument, NULL, 'p'},
                {"check-policy", required_argument, NULL, 'c'},
                {"no-confine", no_argument, NULL, 'N'},
                {"help", no_argument, NULL, 'h'},
                {"version", no_argument, NULL, 'V'},
                {0},
        };
        struct options o = {0};
        int option, r = 0;

        core_limits_default(&o.limits);
        while (r == 0 && (option = getopt_long(argc, argv, "l:L:p:hV", known, NULL)) != -1)
                r = take_option(&o, option);
        if (r == 0 && optind < argc) {
                log_line("unexpected argument '%s' (see --help)", argv[optind]);
                r = OPTIONS_E_USAGE;
        }
        if (r == 0)
                r = take_passed(&o);
        if (r == 0 && !o.n_listen && !o.n_client_fds && !o.n_passed)
                r = use_defaults(&o);
        if (r == 0)
                *ret_options = o;
        else
                options_deinit(&o);
        return r;
}
