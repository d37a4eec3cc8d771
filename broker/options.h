/* options.h - the broker's command line. */
#ifndef BATON_BROKER_OPTIONS_H
#define BATON_BROKER_OPTIONS_H

#include "broker/core/core.h"
#include "proto/link/address.h"
#include "proto/wire/limits.h"

struct options {
        struct address listen[LIMIT_ADDRESSES];
        size_t n_listen;
        size_t n_passed; /* listeners from PASSED_FD_FIRST on: passed.h */
        bool is_default; /* no --listen: one of the addresses is enough */
        int client_fds[LIMIT_ADDRESSES];
        size_t n_client_fds;
        bool is_unconfined;
        struct core_limits limits;
        char *policy; /* owned; NULL: none */
};

enum options_outcome {
        OPTIONS_E_DONE = 1,   /* what was asked for was printed: exit 0 */
        OPTIONS_E_USAGE = 2,  /* the error is on stderr: exit 2 */
        OPTIONS_E_POLICY = 3, /* likewise: exit 1 */
        OPTIONS_E_PASSED = 4, /* likewise: exit 1 */
};

/* options_parse reads argv, and what the environment says of addresses and of listeners that were
 * passed on. Call it before anything is opened, and from one thread: it changes the environment.
 * Returns 0 · OPTIONS_E_DONE · OPTIONS_E_USAGE · OPTIONS_E_POLICY · OPTIONS_E_PASSED. */
BT_MUST int options_parse(int argc, char **argv, struct options *ret_options);
void options_deinit(struct options *options);

#endif
