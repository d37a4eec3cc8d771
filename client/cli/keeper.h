/* keeper.h - subscriptions that outlive the broker: connect, subscribe, and when the broker is lost
 * come back to it, or to its successor, and subscribe again.
 *
 * Its owner has a poll loop:
 *
 *      status = keeper_start(k);
 *      while (status == 0) {
 *              keeper_poll(k, &pfd, &timeout_ms);
 *              poll(...);
 *              status = keeper_turn(k);
 *      }
 *
 * A broker that is not there at first is a failure; one that is lost later is waited for, unless it
 * was reached by $BATON_FD. What is refused is a failure always. */
#ifndef BATON_CLIENT_CLI_KEEPER_H
#define BATON_CLIENT_CLI_KEEPER_H

#include "client/cli/common.h"
#include <poll.h>

struct keeper {
        /* Filled in by the owner; borrowed. The `arg` of all callbacks is the keeper: they find
         * what it is embedded in by container_of. */
        struct cli *cli;
        char *const *filters; /* [n_filters] */
        size_t n_filters;
        struct baton_subscription options;
        const struct baton_publication *will; /* NULL: none */
        baton_message_fn on_message;
        baton_gap_fn on_gap;                                             /* may be NULL */
        void (*on_lost)(struct keeper *k);                               /* may be NULL */
        void (*on_returned)(struct keeper *k, bool is_another_instance); /* may be NULL */
        bool nonblocking;

        /* The rest belongs to the keeper. */
        size_t n_asked, n_confirmed;
        uint32_t sub; /* the number of the last filter's subscription */
        bool was_ready;
        uint8_t instance[16];
        int backoff_ms;
        uint64_t retry_ns; /* while not connected */
        int status;        /* set by a callback: what to end with */
};

/* keeper_start connects and asks for the subscriptions. Returns 0 · an exit status. */
BT_MUST int keeper_start(struct keeper *k);

/* keeper_poll says what to poll for, and how long at most (-1: no limit). */
void keeper_poll(const struct keeper *k, struct pollfd *ret_pfd, int *ret_timeout_ms);

/* keeper_turn does what there is to do after poll, whatever woke it. Returns 0 · an exit status. */
BT_MUST int keeper_turn(struct keeper *k);

/* keeper_is_ready: connected, and all subscriptions are confirmed. */
bool keeper_is_ready(const struct keeper *k);

#endif
