/* stay.h - a handle that stays connected: what it does when its broker goes, and when it comes
 * back. Private to this room. */
#ifndef BATON_CLIENT_STAY_H
#define BATON_CLIENT_STAY_H

#include "client/handle.h"

#include "proto/link/address.h"

struct stay {
        struct baton_reconnect options;
        uint8_t instance[WIRE_INSTANCE_BYTES];
        bool had_session; /* `instance` is the latest broker's */
        bool is_other;    /* the present broker is another instance than the one before */
        bool is_ready;    /* READY was told for the present connection */
        unsigned n_asked; /* subscriptions and lasting publications not yet answered */
        uint64_t dropped; /* since it was told the last time */
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

/* stay_delay_ms gives the time before a try, of which there were `tries` already. */
int stay_delay_ms(const struct baton *b, unsigned tries);

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

/* stay_answered: a subscription (`sub`), or a lasting publication on `topic`, was answered. */
void stay_answered(struct baton *b, uint32_t sub, const char *topic, const struct verdict *v);

/* stay_tell tells the application what `event` holds, and frees it. */
void stay_tell(struct baton *b, void *event);

void stay_deinit(struct baton *b);

#endif
