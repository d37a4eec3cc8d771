/* pool.h - who takes turns: a group, or a single subscription with a window. Private to the core.
 */
#ifndef BATON_BROKER_CORE_POOL_H
#define BATON_BROKER_CORE_POOL_H

#include "broker/core/internal.h"

/* A free window is never more. */
enum { POOL_WINDOW_MAX = INT32_MAX };

struct pool {
        struct map_node by_name; /* core.pools, if it is a group: if it has a name */
        struct sub anchor;       /* its place in the index */
        struct list members;     /* struct member: who has waited longest for a turn first */
        struct list waiting;     /* struct pool_entry: publications, for a free window */
        struct list waiters;     /* struct pending: others that wait for room among those */
        struct load load;        /* of `waiting` */
        uint64_t most_bytes, most_messages;
        struct timer stall;
        size_t name_len, filter_len;
        uint8_t text[]; /* the group's name, then its filter */
};

/* A subscription that takes turns. */
struct member {
        struct sub *sub;
        struct pool *pool;
        struct list at_pool, of_session; /* pool.members, session.pooled */
        int64_t free; /* of its window; less than 0 after retained values, which do not wait */
        struct subset *subset; /* of itself alone */
};

/* A publication that waits until some member has a free window. */
struct pool_entry {
        struct list link;       /* pool.waiting */
        struct list of_request; /* request.pooled */
        struct pool *pool;
        struct msg *msg;
        struct request *request; /* NULL: it is none */
        uint64_t not_to;         /* the session that does not want its own; 0: none */
};

void pool_free_entry(struct core *c, struct pool_entry *e);

/* pool_could_go_on: the member that is next could take what waits, and has been asked: that is when
 * its backlog has become low. For core_check. */
bool pool_could_go_on(const struct core *c, const struct pool *p);

#endif
