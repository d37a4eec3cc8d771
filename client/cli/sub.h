/* sub.h - what the parts of `sub` share. */
#ifndef BATON_CLIENT_CLI_SUB_H
#define BATON_CLIENT_CLI_SUB_H

#include "client/cli/keeper.h"
#include "client/cli/output.h"

#include "proto/base/buf.h"

struct sub {
        struct cli cli;
        struct keeper keeper;
        struct output output;
        struct baton_publication will;
        bool json, raw, fd_cat;
        uint64_t wanted, n_printed; /* wanted 0: all */
        int wait_ms;                /* -1: for ever */
        uint64_t last_seq;          /* delivered last in this session */
        int error;                  /* -errno, or an outcome of output_flush */
        size_t n_revoked;           /* filters that the broker has ended */
        bool is_refused;            /* all of them */
        bool empties;               /* it ends, but prints what is under way to it alone */
        struct buf receipts;        /* uint64_t: printed, and not acknowledged yet */
        int signal_fd;
};

/* sub_parse reads the command line. Returns 0 · an exit status. */
BT_MUST int sub_parse(struct sub *s, int argc, char **argv);

/* For --help. */
extern const char sub_help[];

#endif
