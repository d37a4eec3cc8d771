/* pool.h - who takes turns: a group, or a single subscription with a window. Private to the core.
 *
 * A publication in the hands of a group with `ack`:
 *
 *      waiting ──▶ under way (queued, then sent) ──ACK──▶ done
 *         ▲                 │ NACK, the member's time, the member's end
 *      returned ◀── delayed ┴──▶ $sys.dead, after max_deliveries failures
 *
 * Without `ack` it leaves the pool when a member's queue has it. */
#ifndef BATON_BROKER_CORE_POOL_H
#define BATON_BROKER_CORE_POOL_H

#include "broker/core/internal.h"

/* A free window is never more. */
enum { POOL_WINDOW_MAX = INT32_MAX };

struct pool {
        struct map_node by_name; /* core.pools, if it is a group: if it has a name */
        struct list due;         /* core.due */
        struct sub anchor;       /* its place in the index */
        struct list members;     /* struct member: who has waited longest for a turn first */
        struct list returned;    /* struct pool_entry: to be delivered again, before others */
        struct list waiting;     /* struct pool_entry: publications, for a free window */
        struct list aside;       /* struct pool_entry: for another than who is free */
        struct list delayed;     /* struct pool_entry: to be returned later */
        struct list waiters;     /* struct pending: others that wait for room among those */
        struct load load;        /* of all entries, those under way too */
        struct account *payer;   /* for these, and for the group: who made it */
        struct identity *who;    /* whose quotas hold */
        uint64_t most_bytes, most_messages;
        bool acks;
        uint64_t ack_ms, max_deliveries;
        struct timer timer; /* with members: publishers wait too long; without: its end */
        size_t name_len, filter_len;
        uint8_t text[]; /* the group's name, then its filter */
};

/* A subscription that takes turns. */
struct member {
        struct sub *sub;
        struct pool *pool;
        struct list at_pool, of_session; /* pool.members, session.pooled */
        struct list under_way;           /* struct pool_entry, as they were given */
        struct timer timer;              /* until the first of them has to be answered */
        uint64_t first_ns;               /* since when it is the first */
        int64_t free; /* of its window; less than 0 after retained values, which do not wait */
        struct subset *subset; /* of itself alone */
};

/* A publication in the hands of a pool. */
struct pool_entry {
        struct list link;       /* of a list of the pool, or member.under_way */
        struct list of_request; /* request.pooled */
        struct pool *pool;
        struct msg *msg;
        struct request *request; /* NULL: it is none, or it is over */
        uint64_t not_to;         /* the session that does not want its own; 0: none */
        struct timer timer;      /* while it waits: it gets too old; delayed: it is returned */

        /* With `ack`. */
        struct member *with; /* who has it; NULL: nobody */
        struct entry place;  /* in that one's queue, until it is sent */
        uint64_t seq;        /* its number there, then; 0: not sent yet */
        uint64_t last;       /* session that had it last; 0: none */
        uint32_t n_sent, n_failed;
        bool is_probe;   /* the member was late already: its failing again says nothing */
        bool is_delayed; /* on pool.delayed */
};

static inline struct pool_entry *pool_entry_of(struct entry *place)
{
        return container_of(place, struct pool_entry, place);
}

/* pool_choose.c. pool_give gives a publication that is not kept here to a member, pool_give_entry
 * one that waits. They return false if nobody can take it now. pool_has_anybody: some member other
 * than the session `not_to` (0: any member) may get something. pool_excludes: only `not_to` keeps
 * it from being taken. */
bool pool_give(struct core *c, struct pool *p, struct msg *m, struct request *r, uint64_t not_to);
bool pool_give_entry(struct core *c, struct pool_entry *e);
bool pool_excludes(const struct core *c, const struct pool_entry *e);
bool pool_has_anybody(const struct pool *p, uint64_t not_to);

/* pool.c: pool_touch has the pool run when the call is done: something may be possible now. */
void pool_touch(struct core *c, struct pool *p);

/* pool_wait.c. pool_has_room: one always fits. pool_append puts a publication behind what waits.
 * Returns 0 · -ENOMEM. pool_tell_loss: of a group it is nobody's. pool_set_aside: only a session
 * that must not have it could take it now. pool_free_entry: it is not with a member. pool_lose: the
 * same, and it is told or counted. pool_set_expiry: it waits, until it is too old. pool_lists gives
 * the lists of what waits. */
enum { POOL_LISTS = 4 };
bool pool_has_room(const struct core *c, const struct pool *p, const struct msg *m);
BT_MUST int pool_append(
        struct core *c, struct pool *p, struct msg *m, struct request *r, uint64_t not_to);
void pool_tell_loss(
        struct core *c, struct pool *p, const struct msg *m, enum wire_gap_reason reason);
void pool_set_aside(struct core *c, struct pool_entry *e);
void pool_free_entry(struct core *c, struct pool_entry *e);
void pool_lose(struct core *c, struct pool_entry *e, enum wire_gap_reason reason);
void pool_set_expiry(struct core *c, struct pool_entry *e);
void pool_lists(const struct pool *p, const struct list *ret_lists[POOL_LISTS]);
/* pool_limit_hopes: a member has left; what is aside may be for nobody else. */
void pool_limit_hopes(struct core *c, struct pool *p);
/* pool_discard: nobody will get it any more, which is told to who waits for a reply. */
void pool_discard(struct core *c, struct pool_entry *e);

/* pool_members.c: the time that a SUB asks for. */
uint64_t pool_ack_ms(const struct msg_sub *m);

/* pool_ack.c. pool_does_not_read: some of what a member was given has not been sent for a while.
 * pool_hand_over gives `e`, which waits, to a member. Returns false if that has no memory for it,
 * and ends. pool_give_up: the member leaves; what it has is for others, and if it was lost the
 * first of that has failed. */
bool pool_does_not_read(const struct core *c, const struct member *m);
bool pool_hand_over(struct core *c, struct member *to, struct pool_entry *e);
void pool_give_up(struct core *c, struct member *m, bool is_lost);

/* dead.c: what nobody could deal with is published to `$sys.dead`. */
void dead_publish(struct core *c, const struct pool_entry *e);

/* For core_check. pool_could_go_on: the member that is next could take what waits, and nothing is
 * queued for it that would make it be asked once it is sent. pool_could_admit: publishers wait, and
 * there is room. */
bool pool_could_go_on(const struct core *c, const struct pool *p);
bool pool_could_admit(const struct core *c, const struct pool *p);

#endif
