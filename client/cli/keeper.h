/* keeper.h - subscriptions that outlive the broker: connect, subscribe, and say when the broker is
 * lost and when it is back. The library does the rest (baton_set_reconnect).
 *
 * Its owner has a poll loop:
 *
 *      status = keeper_start(k);
 *      while (status == 0) {
 *              poll(... baton_fd, baton_events, baton_timeout ...);
 *              status = keeper_turn(k);
 *      }
 *      keeper_end(k);
 *
 * A broker that is not there at first is a failure; one that is lost later is waited for, unless it
 * was reached by $BATON_FD. What is refused is a failure always. */
#ifndef BATON_CLIENT_CLI_KEEPER_H
#define BATON_CLIENT_CLI_KEEPER_H

#include "client/cli/common.h"

struct keeper {
        /* Filled in by the owner; borrowed. The `arg` of all callbacks is the keeper: they find
         * what it is embedded in by container_of. */
        struct cli *cli;
        char *const *filters; /* [n_filters] */
        size_t n_filters;
        struct baton_subscription options;
        const struct baton_publication *will; /* NULL: none */
        baton_message_fn on_message;
        baton_gap_fn on_gap;               /* may be NULL */
        void (*on_lost)(struct keeper *k); /* may be NULL */
        /* May be NULL. missed: as struct baton_event says. */
        void (*on_returned)(struct keeper *k, bool is_another_instance, int64_t missed);
        bool nonblocking;
        bool is_over; /* it has what it wanted: what happens to the connection is not told */

        /* The rest belongs to the keeper. */
        size_t n_asked, n_confirmed; /* of the first connection */
        uint32_t sub;                /* the number of the last filter's subscription */
        int64_t missed;              /* as BATON_BACK said */
        int status;                  /* set by a callback: what to end with */
};

/* keeper_start connects and asks for the subscriptions. Returns 0 · an exit status. */
BT_MUST int keeper_start(struct keeper *k);

/* keeper_turn does what there is to do after poll, whatever woke it. Returns 0 · an exit status. */
BT_MUST int keeper_turn(struct keeper *k);

/* keeper_end says good-bye to the broker, if there is one. What comes meanwhile is dispatched. Also
 * after keeper_start has failed. */
void keeper_end(struct keeper *k);

#endif
