/* subs.h - who gets what. Private to this room. */
#ifndef BATON_CLIENT_SUBS_H
#define BATON_CLIENT_SUBS_H

#include "client/baton.h"

#include "proto/base/list.h"
#include "proto/base/map.h"

enum {
        /* Group subscriptions have this window if none is asked for (PROTOCOL.md part 4). */
        SUBS_GROUP_WINDOW = 16,
};

struct sub {
        struct map_node node;
        struct list order;
        struct baton_subscription options; /* `group` points behind the filter */
        uint32_t id;
        baton_message_fn fn;
        void *arg;
        uint32_t window; /* 0: none */
        uint64_t owed;   /* dispatched, not yet credited */
        uint32_t n_held; /* dispatched, for the application to release */
        bool ack;
        char filter[];
};

struct sub *subs_find(struct baton *b, uint64_t id);
void subs_remove(struct baton *b, uint32_t id);
void subs_clear(struct baton *b);

/* subs_restore asks a new session for all of them, and counts what it asks for in `*n_asked`.
 * Returns 0 · as out_control · -ENOBUFS · -ENOMEM. */
BT_MUST int subs_restore(struct baton *b, unsigned *n_asked);

/* window.c. subs_begin: one that counts goes to the callback of `id` now. subs_delivered: it has
 * returned; gives the broker what is due. subs_lost: `n` will not come, a gap says. */
void subs_begin(struct baton *b, uint64_t id, uint64_t seq);
void subs_delivered(struct baton *b, uint64_t id);
void subs_lost(struct baton *b, uint64_t id, uint64_t n);

/* subs_receipt names a delivery of this connection. */
uint64_t subs_receipt(const struct baton *b, uint64_t seq);

/* subs_missed: what came cannot be dispatched. Another member of the group may have it. */
void subs_missed(struct baton *b, uint64_t id, uint64_t seq, bool gap_follows);

/* subs_settle acknowledges what the callback of `s`, if that is running, was called with: as its
 * return would have done. */
void subs_settle(struct baton *b, const struct sub *s);

#endif
