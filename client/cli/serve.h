/* serve.h - what the files of `serve` share. */
#ifndef BATON_CLIENT_CLI_SERVE_H
#define BATON_CLIENT_CLI_SERVE_H

#include "client/cli/common.h"
#include "client/cli/keeper.h"
#include "proto/base/list.h"

enum {
        /* Commands at once. */
        RUNNING_MAX = 16,
        /* Requests that wait here, and their bytes, before the broker is read no more. */
        WAITING_MAX = 4096,
        WAITING_BYTES_MAX = 64 << 20,
        /* Milliseconds SIGTERM gives what runs. */
        DRAIN_MS = 5000,
};

struct serve {
        struct cli cli;
        struct keeper keeper;
        char *const *command; /* NULL: echo */
        struct list waiting, running, answers;
        size_t n_waiting, waiting_bytes, n_running;
        uint64_t stop_ns; /* when to leave at the latest; 0: nobody has asked */
        int signal_fd;
};

extern const char serve_help[];

/* serve_parse fills in the rest. Returns 0 · an exit status, said on stderr. */
BT_MUST int serve_parse(struct serve *s, int argc, char **argv);

#endif
