/* stay.h - a handle that stays connected: what it does when its broker goes, and when it comes
 * back. Private to this room. */
#ifndef BATON_CLIENT_STAY_H
#define BATON_CLIENT_STAY_H

#include "client/handle.h"

#include "proto/link/address.h"

struct stay {
        struct baton_reconnect options;
        uint8_t instance[WIRE_INSTANCE_BYTES];
        bool had_session;   /* `instance` is the latest broker's */
        bool was_cut;       /* a publication in chunks was not whole when it ended */
        bool is_other;      /* the present broker is another instance than the one before */
        bool is_ready;      /* READY was told for the present connection */
        struct join *spare; /* for the next way back; NULL: in use */
        unsigned tries;     /* to come back, until a connection has lasted */
        uint64_t back_ns;   /* when the present one was made */
        unsigned n_asked;   /* subscriptions and lasting publications not yet answered */
        uint64_t dropped;   /* since it was told the last time */
        struct list kept;
        size_t kept_bytes;
        struct list lasting; /* struct kept: retained values, and the will */
        size_t lasting_bytes;
};

enum {
        STAY_FIRST_MS = 50,
        STAY_MOST_MS = 500,
        /* Bytes of retained values and will that are kept for another instance of the broker. */
        STAY_LASTING_BYTES = 4 << 20,
};

/* stay_delay_ms gives the time before the next try. */
int stay_delay_ms(struct baton *b);

/* stay_is_passing: what failed so may succeed next time. */
bool stay_is_passing(int error);

/* stay_lose deals with the loss of the connection, which is closed already; `b->loss_text` says
 * why. Returns false if the handle does not stay connected. */
bool stay_lose(struct baton *b, int error, unsigned code);

/* stay_gone: it will not come back. */
void stay_gone(struct baton *b, const struct verdict *v);

/* stay_begin notes a new connection, and that the application is to be told. stay_restore makes
 * everything there again that was before. */
void stay_begin(struct baton *b, const struct address *list, size_t n);
void stay_restore(struct baton *b);

/* stay_come_back tries whether the broker is back, for a call that cannot run callbacks. A handle
 * that blocks waits for the greeting. */
void stay_come_back(struct baton *b);

/* stay_turn does what is due in a turn of the loop. */
void stay_turn(struct baton *b);

/* stay_answered: what was asked for when the connection was made is answered. stay_unask: nobody
 * waits for the answer any more. */
void stay_answered(struct baton *b, const struct op *op, const struct verdict *v);
void stay_unask(struct baton *b);

/* stay_close ends what is kept, and what lasts: the application has said good-bye. */
void stay_close(struct baton *b);

/* stay_push has an event told in its turn; its words are copied. stay_tell tells the application
 * what `event` holds, and frees it. */
void stay_push(struct baton *b, const struct baton_event *of);
void stay_tell(struct baton *b, void *event);

void stay_deinit(struct baton *b);

#endif
