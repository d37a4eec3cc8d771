/* routing.h - from a topic to its receivers, and what may travel to them as one piece. Private to
 * the core. */
#ifndef BATON_BROKER_CORE_ROUTING_H
#define BATON_BROKER_CORE_ROUTING_H

#include "broker/core/internal.h"

/* index.c */
/* index_add puts `sub` where its filter (valid) belongs. Returns 0 · -ENOMEM. */
BT_MUST int index_add(struct core *c, struct sub *sub, const void *filter, size_t len);
void index_remove(struct core *c, struct sub *sub);
/* index_filter writes the filter of `sub`, with a NUL, and returns its length. */
size_t index_filter(const struct sub *sub, char ret_text[WIRE_TOPIC_BYTES + 1]);

enum { INDEX_E_LIMIT = 1 };

/* index_match appends pointers to all matching subs to `out` (an array of struct sub *).
 * Returns 0 · INDEX_E_LIMIT (more than limits.match_nodes steps) · -ENOMEM. */
BT_MUST int index_match(struct core *c, const void *topic, size_t len, struct buf *out);

/* route.c */
enum { ROUTE_E_BAD_TOPIC = 1, ROUTE_E_LIMIT = 2 };

/* route_get finds who receives `topic`. They are valid until subscriptions change, or another topic
 * is looked up: targets_ref keeps them, though who is in them may end.
 * Returns 0 · ROUTE_E_BAD_TOPIC · ROUTE_E_LIMIT · -ENOMEM. */
BT_MUST int route_get(struct core *c, const void *topic, size_t len, struct targets **ret_targets);
void routes_deinit(struct core *c);

/* targets.c: targets_new makes an empty set with room for so many, targets_drop frees it. */
struct targets *targets_new(uint32_t most);
void targets_drop(struct targets *t);
/* targets_share makes one of `t`, which is the caller's alone, and of what is just the same
 * already. It owns `t`. Returns NULL without memory. */
struct targets *targets_share(struct core *c, struct targets *t);
struct targets *targets_ref(struct targets *t);
void targets_unref(struct core *c, struct targets *t);

/* run.c */
/* run_takes tells whether a publication on `topic` may travel with the run. If it may not, and its
 * receivers were looked up for that, they are `*ret_targets`, the caller's; else that is NULL. */
bool run_takes(struct core *c, const struct session *s, struct run *run, const struct slice *topic,
        struct targets **ret_targets);
/* run_must_split: it may not be published as one piece. */
bool run_must_split(struct core *c, const struct run *run);
/* run_must_split_parked: nor what waits, of which the receivers may have changed. */
bool run_must_split_parked(struct core *c, const struct parked *p);

#endif
