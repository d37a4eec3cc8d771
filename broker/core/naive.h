/* naive.h - the broker said as simply as possible: for naive_test alone, which holds the core to
 * it.
 *
 * What PROTOCOL.md promises about publications without descriptors and requests, written with lists
 * that are walked, and without a thought for speed or for memory, which is freed at the end.
 * Topics are single letters, `*` is the only wildcard, DEAD is `$sys.dead`. The driver calls
 * naive_... and the core with the same; each session's `words` are what its client must hear. */
#ifndef BATON_BROKER_CORE_NAIVE_H
#define BATON_BROKER_CORE_NAIVE_H

#include "proto/wire/limits.h"
#include "proto/wire/proto.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NAIVE_SUBS = 5, NAIVE_DEAD = 'X', NAIVE_BLOCK_RANK = 2 };

/* A list of pointers. */
struct many {
        void **at;
        size_t n, cap;
};

void many_add(struct many *m, void *p);
void many_add_first(struct many *m, void *p);
void many_insert(struct many *m, size_t i, void *p);
bool many_remove(struct many *m, const void *p); /* false: it was not in it */
void *many_take_first(struct many *m);           /* NULL: it is empty */
bool many_has(const struct many *m, const void *p);

/* Times in ns; at 0: not set. Of two the one that was set first. */
struct naive_timer {
        uint64_t at, order;
};

struct naive_msg {
        uint64_t sender;
        char topic;
        unsigned number; /* its payload; 0: empty */
        uint64_t born, ttl;
};

struct naive_sub {
        struct naive_session *session;
        uint32_t number;
        char filter;
        enum wire_overflow overflow;
        bool has_rules; /* a policy, or a limit, of its own */
        size_t most;
        struct naive_pool *pool; /* of which it is a member; else NULL */
        int64_t free;
        struct many under_way;    /* naive_held */
        struct naive_timer timer; /* until the first of them has to be answered */
        uint64_t first_at;        /* since when it is the first */
};

/* A place in a backlog: a publication, or a gap (msg NULL). */
struct naive_entry {
        struct naive_msg *msg;
        uint32_t subs[NAIVE_SUBS];
        size_t n_subs;
        struct naive_sub *lane; /* whose rules it is under; NULL: none of its own */
        bool is_latest, is_retained;
        bool had_waited; /* in a pool */
        uint64_t redelivered;
        struct naive_held *held;
        unsigned reason;
        uint64_t lost;
};

/* A group, or one subscription with a window (group 0). */
struct naive_pool {
        uint32_t number;
        char group, filter;
        size_t most;
        bool acks;
        uint64_t ack_ms, max_deliveries;
        struct many members;                           /* naive_sub: who has waited longest first */
        struct many returned, waiting, aside, delayed; /* naive_held */
        struct many waiters;                           /* naive_pending */
        struct naive_timer timer;
};

/* A publication in the hands of a pool. */
struct naive_held {
        struct naive_pool *pool;
        struct naive_msg *msg;
        uint64_t not_to, last; /* sessions */
        struct naive_sub *with;
        struct naive_entry *place; /* in its queue */
        uint64_t seq, n_sent, n_failed;
        bool is_probe;
        struct naive_timer timer; /* while it waits */
};

/* A publication that waits at its publisher's expense. */
struct naive_parked {
        struct naive_session *publisher;
        struct naive_msg *msg;
        uint64_t flags, id;
        bool is_routed;
        uint64_t n_received;
        size_t n_pending;
};

/* For this receiver, or this pool. */
struct naive_pending {
        struct naive_parked *parked;
        struct naive_session *session;
        struct naive_pool *pool;
        struct naive_entry entry;
};

/* What a client must hear. */
struct naive_word {
        enum wire_type type; /* OK, ERR, BYE, GAP, PUB */
        uint64_t id, value;  /* OK; ERR and BYE: value is the code; GAP: id is the subscription */
        uint64_t count, reason; /* GAP */
        uint64_t seq;
        struct naive_entry entry; /* PUB */
};

enum naive_state { NAIVE_OPEN, NAIVE_ENDING, NAIVE_GONE };

struct naive_session {
        uint64_t number;
        enum naive_state state;
        bool reads;   /* its client does */
        bool is_full; /* it was found that it does not */
        bool is_late, has_left;
        struct many subs;    /* naive_sub */
        struct many pooled;  /* those of them in a pool, as they joined */
        uint32_t last_sub;   /* its greatest number */
        struct many control; /* naive_word: overtake the queue */
        struct many queue;   /* naive_entry */
        struct many untried; /* naive_sub: their limits hold when the socket is found full */
        struct many waiters; /* naive_pending */
        struct many parked;  /* naive_parked */
        struct many unacked; /* naive_held, by seq */
        struct naive_timer stall;
        struct naive_msg *will;
        uint64_t will_flags, next_seq, discarded;
        struct many words; /* naive_word: not compared yet */
};

struct naive {
        uint64_t now, n_timers;
        size_t queue_messages;
        uint64_t stall_ms, linger_ms;
        uint64_t last_session;
        unsigned last_msg;
        uint32_t last_pool;
        struct many sessions; /* those whose parked publications are not through, too; by number */
        struct many pools;    /* by number */
        struct many retained; /* naive_msg, as their topics were first kept */
        struct many dirty, runnable, ended; /* naive_session */
        struct many due;                    /* naive_pool */
        struct many old_pools;              /* to be freed */
        struct many garbage;
        struct {
                uint64_t published, delivered, unrouted, discarded, dropped, returned, dead;
                uint64_t owed; /* matched: each for each receiver, a group being one */
        } count;
};

/* naive.c */
void naive_init(struct naive *n, size_t queue_messages, uint64_t stall_ms, uint64_t linger_ms);
void naive_deinit(struct naive *n);
struct naive_session *naive_open(struct naive *n);
void naive_close(struct naive *n, struct naive_session *s); /* the connection is gone */
void naive_leave(
        struct naive *n, struct naive_session *s); /* one that reads and waits for nothing */
void naive_read(struct naive *n, struct naive_session *s, bool reads);
void naive_tick(struct naive *n, uint64_t ms);
void naive_flush(struct naive *n);

struct naive_asked {
        uint64_t id;
        char filter, group; /* group 0: none */
        enum wire_overflow overflow;
        uint64_t messages, window; /* 0: the broker's; none */
        bool ack;
        uint64_t ack_ms, max_deliveries;
};
void naive_subscribe(struct naive *n, struct naive_session *s, const struct naive_asked *a);
void naive_unsubscribe(
        struct naive *n, struct naive_session *s, struct naive_sub *sub, uint64_t id);

/* naive_publish.c */
struct naive_msg *naive_msg_new(struct naive *n, uint64_t sender, char topic, bool is_empty);
void naive_publish(
        struct naive *n, struct naive_session *s, struct naive_msg *m, uint64_t flags, uint64_t id);
void naive_resume(struct naive *n);

/* naive_ack.c */
void naive_answer(struct naive *n, struct naive_session *s, uint64_t first, uint64_t last,
        bool is_refused, uint64_t delay_ms);
void naive_credit(struct naive *n, struct naive_sub *sub, uint64_t amount);

/* Sums, for the report. */
uint64_t naive_queued(const struct naive *n);
uint64_t naive_parked(const struct naive *n);
uint64_t naive_waiting(const struct naive *n);
uint64_t naive_unacked(const struct naive *n);
uint64_t naive_subs(const struct naive *n);

/* ------------------------------------------------------- between its files */

void *naive_new(struct naive *n, size_t size);
void naive_set(struct naive *n, struct naive_timer *t, uint64_t ms);
bool naive_matches(char filter, char topic);
bool naive_is_old(const struct naive *n, const struct naive_msg *m);

void naive_mark(struct naive *n, struct naive_session *s);
void naive_say(struct naive *n, struct naive_session *s, struct naive_word word);
void naive_end(struct naive *n, struct naive_session *s, enum wire_code code);
void naive_strip(struct naive *n, struct naive_session *s);
bool naive_is_low(const struct naive *n, const struct naive_session *s);
void naive_drop(struct naive *n, struct naive_session *s, struct naive_entry *e, unsigned reason);
void naive_trim(struct naive *n, struct naive_session *s);
void naive_watch(struct naive *n, struct naive_session *s);
void naive_drained(struct naive *n, struct naive_session *s);
bool naive_has_room(
        const struct naive *n, const struct naive_session *s, const struct naive_sub *lane);
bool naive_waits(const struct naive_sub *lane);
struct naive_entry *naive_push(
        struct naive *n, struct naive_session *s, const struct naive_entry *e);
void naive_lose(
        struct naive *n, struct naive_session *s, const struct naive_entry *like, unsigned reason);
bool naive_make_room(struct naive *n, struct naive_session *s, const struct naive_entry *e);

void naive_admit_waiters(struct naive *n, struct naive_session *s);
void naive_resolve(struct naive *n, struct naive_pending *p);
void naive_offer_once(struct naive *n, struct naive_msg *m);
void naive_publish_will(struct naive *n, struct naive_session *s);

bool naive_has_anybody(const struct naive_pool *p, uint64_t not_to);
bool naive_has_under_way(const struct naive_session *s);
void naive_touch(struct naive *n, struct naive_pool *p);
void naive_run(struct naive *n, struct naive_pool *p);
void naive_touch_all(struct naive *n, struct naive_session *s);
bool naive_pool_takes(struct naive *n, struct naive_pool *p, struct naive_parked *pub);
void naive_pool_waited_for(struct naive *n, struct naive_pool *p);
void naive_pool_takes_once(struct naive *n, struct naive_pool *p, struct naive_msg *m);
void naive_forget(struct naive *n, struct naive_held *h); /* it is on none of the lists any more */
void naive_lose_held(struct naive *n, struct naive_held *h, unsigned reason);
void naive_set_expiry(struct naive *n, struct naive_held *h);
void naive_limit_hopes(struct naive *n, struct naive_pool *p);
void naive_discard_all(struct naive *n, struct naive_pool *p);
void naive_held_timer(struct naive *n, struct naive_held *h);

struct naive_pool *naive_find_pool(const struct naive *n, const struct naive_asked *a);
bool naive_is_other(const struct naive_pool *p, const struct naive_asked *a);
void naive_join(struct naive *n, struct naive_sub *sub, const struct naive_asked *a);
void naive_leave_pool(struct naive *n, struct naive_sub *sub);
void naive_free_pools(struct naive *n);
void naive_hand_over(struct naive *n, struct naive_held *h, struct naive_sub *to);
void naive_pool_sent(struct naive_held *h, uint64_t seq);
void naive_pool_drop(struct naive *n, struct naive_held *h);
void naive_pool_timer(struct naive *n, struct naive_pool *p);
void naive_late(struct naive *n, struct naive_sub *member);

/* The timer that is due first; NULL: none is set. */
struct naive_due {
        struct naive_timer *timer;
        struct naive_session *session;
        struct naive_pool *pool;
        struct naive_sub *member;
        struct naive_held *held;
};
struct naive_due naive_first_due(const struct naive *n);

#endif
