/* model.h - the core's own structures. Who points to whom:
 *
 *      core ── sessions[slot] ── session ── subs ── sub ── node (the index of filters)
 *        │                          ├── queue: entry ── msg (shared, counted), subset (shared)
 *        │                          ├── parked: parked ── msg, its pending receivers
 *        │                          └── requests, held reply tokens
 *        └── routes: topic → receivers, valid while `generation` stands still
 */
#ifndef BATON_BROKER_CORE_MODEL_H
#define BATON_BROKER_CORE_MODEL_H

#include "broker/core/account.h"
#include "broker/core/backlog.h"
#include "broker/core/core.h"
#include "broker/core/packet.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/wire/limits.h"
#include "proto/wire/message.h"

enum timer_kind {
        TIMER_STATE,
        TIMER_STALL,
        TIMER_REQUEST,
        TIMER_FLIGHT,
        TIMER_POOL,
        TIMER_MEMBER,
        TIMER_POOL_ENTRY,
        TIMER_UPLOAD,
};

struct timer {
        struct heap_node node;
        enum timer_kind kind;
};

struct node;
struct pool;
struct member;

struct sub {
        struct map_node by_number; /* session.subs */
        struct list at_node;       /* node.subs or node.tails */
        struct node *node;
        struct session *session;
        uint32_t number;
        uint32_t max_fds;
        bool observer, is_tail;
        enum wire_overflow overflow;
        struct lane *lane; /* NULL: blocks, and may use all of the backlog */
        /* One that takes turns with others, or has a window, is a member of a pool, and it is the
         * pool that stands in the index: as a subscription of nobody. Else NULL. */
        struct member *member;
        struct pool *pool;
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

/* ------------------------------------------------------------------ routes */

struct target {
        struct session *session;
        struct subset *subset;
        uint32_t max_fds;
        bool counts; /* a receiver: not an observer, nor the rest of one with many subscriptions */
        bool observer;
        bool is_retained;
        struct pool *pool; /* then that decides who: there is no session, no subset */
        struct lane *lane; /* whose rules hold; NULL: blocks */
};

/* Who receives a topic. Never changed, and shared by all topics that go to the same ones. */
struct targets {
        struct map_node by_content; /* core.targets */
        unsigned refs;
        bool is_split;  /* one has a lane or is a pool, which count each publication */
        bool has_lanes; /* one has a lane, if only a coarse one */
        uint32_t n;
        struct target at[];
};

struct route {
        struct map_node by_topic;
        struct list in_order; /* core.route_order, oldest first */
        uint64_t generation;
        struct targets *targets;
        uint32_t topic_len;
        uint8_t topic[];
};

/* ---------------------------------------------------------------- sessions */

enum session_state {
        SESSION_HELLO, /* connected, has not said HELLO */
        SESSION_OPEN,
        SESSION_LEAVING, /* has said BYE: its queue is being sent */
        SESSION_ENDING,  /* BYE to it is in `control`: nothing else will be sent */
        SESSION_GHOST,   /* disconnected, but what it had published waits for its receivers */
};

/* What is published when a session ends without BYE. */
struct will {
        struct msg *msg; /* NULL: nothing */
        uint64_t flags;  /* enum wire_ingress_flag, without WILL */
};

/* What was sent to a session and has to be acknowledged: ascending by `seq`. */
struct acks {
        struct pool_entry **at; /* [start .. start + n) are used */
        size_t start, n, cap;
        size_t n_due; /* with those that are queued yet */
};

/* The last value of a topic, for whoever subscribes later. */
struct retained {
        struct map_node by_topic; /* core.retained */
        struct list in_order;     /* core.retained_order, as their topics were first kept */
        struct msg *msg;
        struct identity *owner;
        struct account *payer;
};

/* Packets with descriptors that the kernel has and the receiver has not credited yet. */
struct flight_window {
        uint64_t ends;     /* a bit for each descriptor, the oldest lowest: its packet's last? */
        uint64_t payloads; /* the same: a payload? */
        uint32_t n_fds;    /* of these bits */
        uint32_t n_payloads;
        uint64_t since_ns;  /* when the receiver last showed that it reads */
        uint64_t scarce_ns; /* since when the kernel refuses the next one; 0: it does not */
        bool is_held;       /* for that: until it is tried again */
        struct list flying; /* core.flying, by since_ns */
        struct list waits;  /* core.fd_waiters: its next packet waits for the budget */
};

enum pub_kind { PUB_PLAIN, PUB_REQUEST, PUB_REPLY };

/* The header frame in force, and what it says about the publications behind it. */
struct header_state {
        enum pub_kind kind;
        bool pending; /* REQUEST or REPLY whose publication has not come yet */
        uint64_t flags, id, ttl_ms;
        uint64_t timeout_ms, max_fds; /* REQUEST */
        uint64_t token;               /* REPLY */
};

struct session {
        struct session_id id; /* generation 0 once disconnected */
        uint64_t number;      /* as the wire says it; never used twice */
        struct core_peer peer;
        struct identity *who;
        struct account *account;
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
        struct buf control;     /* encoded answers: overtake the queue */
        struct msg_ok confirms; /* behind them, not encoded yet; n 0: none */
        uint64_t confirm_bytes; /* of `control`, at least */
        size_t bye_len;         /* ENDING: of them, BYE at the end */
        struct list queue;      /* struct entry */
        uint64_t queue_bytes, queue_messages;
        uint64_t note_bytes; /* of queue_bytes: answers that keep their place */
        uint64_t n_mortal;   /* entries with a ttl */
        uint64_t n_gaps;
        uint64_t queue_fds, placed_bytes, n_placed;
        struct list untried;  /* lanes that may be over their limits, if the socket is full */
        struct load dropping; /* of all these, what may be dropped: it makes nobody wait */
        uint64_t n_dropped;   /* messages, told by gaps */
        struct flight_window flight;
        /* The first of the queue is being sent in chunks: BEGIN is out, and so many bytes. */
        bool is_chunking;
        uint64_t chunked;
        uint64_t next_seq;
        bool socket_full;
        struct list waiters; /* struct pending: publications that wait for room here */

        /* Publishing side. */
        uint64_t window_used; /* publication bytes not yet given back */
        uint64_t owed;        /* of them, admitted: to be given back by CREDIT */
        struct list parked;   /* struct parked, in order; only the first one is routed */
        uint64_t parked_bytes;
        struct upload *upload;    /* between BEGIN and END; else NULL */
        struct header_state rest; /* in force for the rest of a packet */

        struct map requests; /* own ones, by id */
        struct list held;    /* struct holder: requests of others that it may answer */
        struct list pooled;  /* struct member.of_session */
        struct acks acks;
        bool is_late; /* it has let the time for one of them pass, and has not answered since */

        uint64_t published, delivered; /* messages */
        uint64_t discarded;            /* queued when it ended */

        struct will will;
        bool was_opened, has_left; /* said HELLO, said BYE */
        enum wire_code end_code;   /* why the broker ended it; NONE: it did not */
};

/* ------------------------------------------------------------ publications */

/* Why not. The texts are static. */
struct refusal {
        enum wire_code code; /* NONE: no reason */
        const char *limit, *text;
};

/* Publications as they came in, side by side: of one topic, or of several that just the same
 * receivers get. */
struct run {
        struct header_state header;
        struct msg_pub first;
        struct targets *targets; /* of them all, at `generation`; owned. NULL: not looked up yet */
        uint64_t generation;
        bool is_mixed;       /* of several topics */
        bool is_alone;       /* no other topic may join */
        const uint8_t *data; /* [len] */
        size_t len;
        uint32_t n_frames;
        uint64_t cost;
        struct fdset *fds;     /* owned; n_frames is 1 then */
        uint64_t sealed_bytes; /* of the last of them: see core_arrival */
        bool has_odd_fds;
        bool is_collected; /* its payload came in chunks, and is the broker's own file */
};

/* One run on its way to its receivers, or a refusal on its way back: answers keep the order of what
 * they answer. */
struct pub {
        struct header_state header;
        struct refusal refusal;
        struct msg *msg; /* NULL: refused */
        uint32_t n_frames;
        uint32_t n_received; /* sessions that count and took it */
        uint64_t cost;       /* of the publisher's window: publish_cost */
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

/* A payload on its way in: what BEGIN said, and what has come of it. */
struct upload {
        struct session *session;
        struct timer timer; /* while nothing comes of it */
        struct header_state header;
        struct msg_pub pub; /* BEGIN; its topic and headers are in `text` */
        struct buf text;
        struct fdset *fds;
        bool has_odd_fds;
        uint64_t got;    /* so far */
        uint64_t cost;   /* of BEGIN and END: stays taken until the whole is admitted */
        bool is_refused; /* and answered: the rest is skipped */
        uint64_t kept;   /* of them, charged to the session */
        int file;        /* in the store; -1: all is in `small` yet */
        struct buf small;
};

/* A publication between its receivers. */
struct flight {
        struct session *publisher;
        struct pub *pub;
        struct request *request; /* PUB_REQUEST; NULL: it has ended meanwhile */
        struct parked *parked;   /* once it had to wait */
        struct targets *targets; /* if they are known; else NULL */
        uint32_t n_targets;
};

struct holder {
        struct list of_session; /* session->held */
        struct list of_request; /* request->holders */
        struct session *session;
        struct request *request;
        uint32_t n_copies; /* it may have got it in several groups; 0: it was taken from it since */
        uint32_t n_parked; /* replies of it that wait behind other publications */
};

struct request {
        struct map_node by_token; /* core.requests */
        struct map_node by_id;    /* session.requests */
        struct timer timer;
        struct session *requester;
        uint64_t id, token, max_fds;
        struct list holders;
        struct list pooled; /* struct pool_entry: groups have it in their hands */
        bool was_received;
        struct parked *parked; /* while it waits, for its turn or for some receiver */
};

/* -------------------------------------------------------------------- core */

/* What things cost, measured roughly, in units of 15 ns. */
enum {
        WORK_FRAME = 3,
        WORK_ALIKE = 1, /* a publication that is like the one before */
        WORK_CONTROL = 16,
        WORK_PUBLICATION = 20,
        WORK_TARGET = 6,
        WORK_ROUTE = 4,    /* known, and looked up */
        WORK_STEP = 4,     /* of a match */
        WORK_RETAINED = 3, /* looked at for a new subscription */
        WORK_GAPS = 4,     /* so many that are looked at are one */
        WORK_REQUEST = 40,
        WORK_BYTES = 16, /* so many bytes that go into a file are one */
        WORK_REPORT_BYTES = 2,
};

struct core {
        struct core_config config;
        uint64_t started_ns, now_ns;
        struct session **slots; /* [n_slots], NULL: free */
        uint32_t *generations;
        size_t n_slots, slot_hint, n_sessions, n_unready, n_ghosts;
        uint64_t last_number, last_token;
        uint64_t work; /* done, ever: WORK_... */
        struct list dirty, ghosts, runnable, ended;
        struct list due;                /* struct pool: to be run */
        struct list flying, fd_waiters; /* sessions: flight_window */
        struct timer flight_timer;
        bool is_stopping;
        struct list spare; /* struct entry, for reuse */
        size_t n_spare;
        struct heap timers;

        struct policy *policy; /* NULL: none */
        struct account bus;
        uint32_t bus_users[QUOTAS];
        struct map uids, identities;
        struct list identity_list, idle_uids;
        size_t n_idle_uids;
        struct refusal_count refusals[REFUSALS];

        struct map nodes;
        struct node *root;
        size_t n_subs;

        struct map routes, targets;
        struct list route_order;
        uint64_t generation; /* of the subscriptions */
        struct buf matches;  /* scratch of route_get */

        struct map pools;     /* groups */
        uint32_t last_anchor; /* number of the latest pool's place in the index */
        struct map retained;
        struct list retained_order;
        struct departed *departed; /* a ring */
        uint64_t n_departed;       /* in all */
        struct map requests;
        struct packet packet;

        struct {
                uint64_t published, delivered, unrouted, refused, discarded, refused_sessions;
                uint64_t queued, queued_bytes, parked, parked_bytes;
                uint64_t dropped, placed_bytes;
                uint64_t pooled, unacked, returned, dead;
                uint64_t datagrams, datagrams_refused;
        } count;
};

#endif
