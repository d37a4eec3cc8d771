/* internal.h - the core's own structures. Who points to whom:
 *
 *      core ── sessions[slot] ── session ── subs ── sub ── node (the index of filters)
 *        │                          ├── queue: entry ── msg (shared, counted), subset (shared)
 *        │                          ├── parked: parked ── msg, its pending receivers
 *        │                          └── requests, held reply tokens
 *        └── routes: topic → receivers, valid while `generation` stands still
 *
 * A publication goes input → publish → (route) → admit → queue → out, or waits in `parked` in front
 * of admit. One file per step. */
#ifndef BATON_BROKER_CORE_INTERNAL_H
#define BATON_BROKER_CORE_INTERNAL_H

#include "broker/core/core.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/wire/limits.h"
#include "proto/wire/message.h"

/* ------------------------------------------------------------------ timers */

enum timer_kind { TIMER_STATE, TIMER_STALL, TIMER_REQUEST };

struct timer {
        struct heap_node node;
        enum timer_kind kind;
};

/* ---------------------------------------------------------------- messages */

/* One run of publications: `n_frames` PUB frames of one topic from one sender, as they came in. */
struct msg {
        unsigned refs;
        uint32_t n_frames; /* 0: a note, i.e. control frames that keep their place in the queue */
        uint32_t n_fds;    /* as the frame says; n_frames is 1 then */
        uint32_t topic_at, topic_len; /* of the first frame, within data */
        struct fdset *fds;
        uint64_t sender; /* session number; 0: the broker */
        struct core_peer peer;
        uint64_t token, request; /* REQUEST: the right to reply; REPLY: the requester's id */
        uint32_t flags;          /* enum wire_delivery_flag */
        uint32_t len;
        uint8_t data[];
};

/* msg_new copies `len` bytes. Returns NULL without memory. */
struct msg *msg_new(const void *data, size_t len);
struct msg *msg_ref(struct msg *m);
void msg_unref(struct msg *m);

/* The subscription numbers of one receiver of a topic, shared by its queue entries. */
struct subset {
        unsigned refs;
        uint32_t n;
        uint32_t ids[];
};

void subset_unref(struct subset *s);

/* ---------------------------------------------------------- subscriptions */

struct node;

struct sub {
        struct map_node by_number; /* session.subs */
        struct list at_node;       /* node.subs or node.tails */
        struct node *node;
        struct session *session;
        uint32_t number;
        uint32_t max_fds;
        bool observer;
};

/* One token of the index of filters. */
struct node {
        struct map_node by_token; /* core.nodes, under hash(parent, token) */
        struct node *parent;
        struct node *star;   /* the child for `*` */
        struct list subs;    /* filters that end here */
        struct list tails;   /* filters that end here with `>` */
        uint32_t n_children; /* star included */
        uint32_t token_len;
        uint8_t token[];
};

/* index_add puts `sub` where its filter (valid) belongs. Returns 0 · -ENOMEM. */
BT_MUST int index_add(struct core *c, struct sub *sub, const void *filter, size_t len);
void index_remove(struct core *c, struct sub *sub);

enum { INDEX_E_LIMIT = 1 };

/* index_match appends pointers to all matching subs to `out` (an array of struct sub *).
 * Returns 0 · INDEX_E_LIMIT (more than limits.match_nodes steps) · -ENOMEM. */
BT_MUST int index_match(struct core *c, const void *topic, size_t len, struct buf *out);

/* ------------------------------------------------------------------ routes */

struct target {
        struct session *session;
        struct subset *subset;
        uint32_t max_fds;
        bool counts; /* a receiver: not an observer, nor the rest of one with many subscriptions */
        bool observer;
};

struct route {
        struct map_node by_topic;
        struct list in_order; /* core.route_order, oldest first */
        uint64_t generation;
        uint32_t n_targets;
        uint32_t topic_len;
        struct target *targets;
        uint8_t topic[];
};

enum { ROUTE_E_BAD_TOPIC = 1, ROUTE_E_LIMIT = 2 };

/* route_get finds who receives `topic`. The route is valid until subscriptions change.
 * Returns 0 · ROUTE_E_BAD_TOPIC · ROUTE_E_LIMIT · -ENOMEM. */
BT_MUST int route_get(struct core *c, const void *topic, size_t len, struct route **ret_route);
void routes_deinit(struct core *c);

/* ---------------------------------------------------------------- sessions */

enum session_state {
        SESSION_HELLO, /* connected, has not said HELLO */
        SESSION_OPEN,
        SESSION_LEAVING, /* has said BYE: its queue is being sent */
        SESSION_ENDING,  /* BYE to it is in `control`: nothing else will be sent */
        SESSION_GHOST,   /* disconnected, but what it had published waits for its receivers */
};

struct session {
        struct session_id id; /* generation 0 once disconnected */
        uint64_t number;      /* as the wire says it; never used twice */
        struct core_peer peer;
        char name[WIRE_NAME_BYTES + 1];
        enum session_state state;
        uint64_t rights, features;
        struct list dirty;    /* core.dirty */
        struct list ghost;    /* core.ghosts */
        struct list runnable; /* core.runnable */
        struct list ended;    /* core.ended */
        struct timer timer, stall;

        /* Receiving side. */
        struct map subs;
        uint32_t last_sub;
        uint64_t last_id;
        struct buf control; /* encoded answers: overtake the queue */
        size_t bye_len;     /* ENDING: of them, BYE at the end */
        struct list queue;  /* struct entry */
        uint64_t queue_bytes, queue_messages;
        uint64_t note_bytes; /* of queue_bytes: answers that keep their place */
        uint64_t next_seq;
        bool socket_full;
        struct list waiters; /* struct pending: publications that wait for room here */

        /* Publishing side. */
        uint64_t window_used; /* publication bytes not yet given back */
        uint64_t owed;        /* of them, admitted: to be given back by CREDIT */
        struct list parked;   /* struct parked, in order; only the first one is routed */
        uint64_t parked_bytes;

        struct map requests; /* own ones, by id */
        struct list held;    /* struct holder: requests of others that it may answer */

        uint64_t published, delivered; /* messages */
};

/* A place in a session's backlog. */
struct entry {
        struct list link;
        struct msg *msg;
        struct subset *subset; /* NULL: a reply or a note */
        bool observer;
        bool withheld; /* its descriptors are not for this receiver */
};

/* ------------------------------------------------------------ publications */

enum pub_kind { PUB_PLAIN, PUB_REQUEST, PUB_REPLY };

/* The header frame in force, and what it says about the publications behind it. */
struct header_state {
        enum pub_kind kind;
        bool pending; /* REQUEST or REPLY whose publication has not come yet */
        uint64_t flags, id, ttl_ms;
        uint64_t timeout_ms, max_fds; /* REQUEST */
        uint64_t token;               /* REPLY */
};

/* Why not. The texts are static. */
struct refusal {
        enum wire_code code; /* NONE: no reason */
        const char *limit, *text;
};

/* One run on its way to its receivers, or a refusal on its way back: answers keep the order of what
 * they answer. */
struct pub {
        struct header_state header;
        struct refusal refusal;
        struct msg *msg; /* NULL: refused */
        uint32_t n_frames;
        uint32_t n_received; /* sessions that count and took it */
        uint64_t cost;       /* of the publisher's window */
        bool is_promised;    /* a parked reply, counted in its holder's n_parked */
};

/* A receiver without room, that a parked publication waits for. */
struct pending {
        struct list link; /* receiver->waiters */
        struct session *receiver;
        struct parked *owner;
        struct target target; /* with its own reference on the subset */
};

struct parked {
        struct list link; /* session->parked */
        struct session *publisher;
        struct pub pub;
        struct request *request; /* PUB_REQUEST, unless it has ended meanwhile */
        bool is_routed;
        uint32_t n_pending;      /* receivers that had no room */
        uint32_t n_unresolved;   /* of them, still without */
        uint32_t n_responders;   /* of those, the ones that count */
        struct pending *pending; /* [n_pending], linked by address: never moved */
};

/* A publication between its receivers. */
struct flight {
        struct session *publisher;
        struct pub *pub;
        struct request *request; /* PUB_REQUEST; NULL: it has ended meanwhile */
        struct parked *parked;   /* once it had to wait */
        uint32_t n_targets;
};

struct holder {
        struct list of_session; /* session->held */
        struct list of_request; /* request->holders */
        struct session *session;
        struct request *request;
        uint32_t n_parked; /* replies of it that wait behind other publications */
};

struct request {
        struct map_node by_token; /* core.requests */
        struct map_node by_id;    /* session.requests */
        struct timer timer;
        struct session *requester;
        uint64_t id, token, max_fds;
        struct list holders;
        bool was_received;
        struct parked *parked; /* while it waits, for its turn or for some receiver */
};

/* -------------------------------------------------------------------- core */

enum { CORE_IOV = 256, CORE_COPY_BYTES = 1024 };

/* The packet under construction: small pieces are copied into `scratch`, large ones referenced. */
struct packet {
        struct iovec iov[CORE_IOV];
        size_t n_iov, len;
        size_t control_len; /* bytes of session.control in front */
        size_t n_entries;   /* of the queue */
        uint32_t n_frames;
        size_t scratch_len;
        uint8_t scratch[WIRE_PACKET_BYTES];
};

struct core {
        struct core_config config;
        uint64_t started_ns, now_ns;
        struct session **slots; /* [n_slots], NULL: free */
        uint32_t *generations;
        size_t n_slots, slot_hint, n_sessions, n_unready, n_ghosts;
        uint64_t last_number, last_token;
        struct list dirty, ghosts, runnable, ended;
        bool is_stopping;
        struct list spare; /* struct entry, for reuse */
        size_t n_spare;
        struct heap timers;

        struct map nodes;
        struct node *root;
        size_t n_subs;

        struct map routes;
        struct list route_order;
        uint64_t generation; /* of the subscriptions */
        struct buf matches;  /* scratch of route_get */

        struct map requests;
        struct packet packet;

        struct {
                uint64_t published, delivered, unrouted, refused, discarded, refused_sessions;
                uint64_t queued, queued_bytes, parked, parked_bytes;
        } count;
};

/* session.c */
struct session *session_find(const struct core *c, struct session_id id);
void session_mark(struct core *c, struct session *s);
void session_end(struct core *c, struct session *s, enum wire_code code, const char *text);
void session_leave(struct core *c, struct session *s);
void session_strip(struct core *c, struct session *s);
/* session_keep_bye forgets the answers that the full socket of an ending session does not take:
 * there may be a little room for why it ends. */
void session_keep_bye(struct session *s);
void session_settle(struct core *c, struct session *s);
void session_free(struct core *c, struct session *s);

/* answer.c: frames that overtake the queue. Without memory, or beyond control_bytes, they end the
 * session: an answer is never lost in silence. */
void answer(struct core *c, struct session *s, const struct message *m);
void answer_ok(struct core *c, struct session *s, uint64_t id, uint64_t value, uint64_t n);
void answer_err(struct core *c, struct session *s, uint64_t id, enum wire_code code,
        const char *limit, const char *format, ...) BT_PRINTF(6, 7);

/* The same ERR, in its place behind what is queued: the end of a request. */
void answer_err_in_order(struct core *c, struct session *s, uint64_t id, enum wire_code code,
        const char *limit, const char *text);
struct slice slice_of(const char *text);

/* control.c: everything a client sends but publications. */
void control_input(struct core *c, struct session *s, const struct message *m);
/* A SUB with an option that nobody knows. */
void control_unsupported(struct core *c, struct session *s, const struct message *m);
void control_hello(struct core *c, struct session *s, const struct message *m);

/* publish.c. What a receiver has no room for is parked; a publisher whose first parked
 * publication got through is put on core.runnable, a session that has ended on core.ended;
 * publish_resume, called last in every public call, lets the one go on and strips the other: so
 * nothing here recurses, and nothing vanishes while a publication is between its receivers. */
void publish_run(struct core *c, struct session *s, const struct header_state *header,
        const struct msg_pub *first, const uint8_t *data, size_t len, uint32_t n_frames,
        struct fdset *fds);
void publish_refuse(struct core *c, struct session *s, const struct header_state *header,
        size_t len, enum wire_code code, const char *text);
void publish_resume(struct core *c);
void publish_credit(struct core *c, struct session *s, uint64_t bytes);

/* admit.c */
/* admit_all offers `f` to every target of its route. Returns true if it is through, false if it
 * waits, parked. */
bool admit_all(struct core *c, struct flight *f, const struct route *route);
/* admit_park puts `f` at the end of what its publisher has waiting. Returns 0 · -ENOMEM. */
BT_MUST int admit_park(struct core *c, struct flight *f);
void admit_waiters(struct core *c, struct session *s); /* `s` has room again */
/* admit_finish: every receiver has it. */
void admit_finish(struct core *c, struct session *s, struct pub *pub, struct request *r);

/* park.c */
BT_MUST int park_new(struct core *c, struct session *s, const struct pub *pub, struct parked **ret);
BT_MUST int park_add_pending(struct parked *p, const struct target *t, uint32_t most);
void park_resolve(struct core *c, struct pending *pending);
void park_forget_receiver(struct core *c, struct session *s); /* nobody reads `s` any more */
void park_free(struct core *c, struct parked *p);

/* queue.c */
bool queue_has_room(const struct core *c, const struct session *s, const struct msg *m);
bool queue_is_low(const struct core *c, const struct session *s);
BT_MUST int queue_push(struct core *c, struct session *s, struct msg *m, const struct target *t);
void queue_pop(struct core *c, struct session *s);
void queue_clear(struct core *c, struct session *s);

/* request.c */
enum { REQUEST_E_LIMIT = 1 };

/* request_new opens a request of `s`. Returns 0 · REQUEST_E_LIMIT (limits.requests) · -ENOMEM. */
BT_MUST int request_new(struct core *c, struct session *s, const struct header_state *h,
        struct request **ret_request);
void request_free(struct core *c, struct request *r);
void request_end(struct core *c, struct request *r, enum wire_code code, const char *limit,
        const char *text);
/* request_end_if_deserted ends it when nobody has it who could answer, nor will get it. */
void request_end_if_deserted(struct core *c, struct request *r);
/* request_reply sends `m` to the requester. Returns false if the request ended instead. */
bool request_reply(struct core *c, struct request *r, struct msg *m, uint64_t flags);
void request_answer_status(struct core *c, struct session *s, uint64_t id);
BT_MUST int request_add_holder(struct core *c, struct request *r, struct session *s);
struct request *request_by_id(const struct core *c, const struct session *s, uint64_t id);
/* request_holder finds the right of `s` to answer `token`; NULL if it has none. */
struct holder *request_holder(const struct core *c, const struct session *s, uint64_t token);
/* request_drop_holder takes a right to answer away, unless a reply by it is on its way. */
void request_drop_holder(struct core *c, struct holder *h);
void requests_drop(struct core *c, struct session *s); /* its own, and its right to answer others */

#endif
