/* backlog.h - messages, and their places in backlogs. A part of the core's own structures. */
#ifndef BATON_BROKER_CORE_BACKLOG_H
#define BATON_BROKER_CORE_BACKLOG_H

#include "broker/core/core.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/wire/proto.h"

/* ---------------------------------------------------------------- messages */

struct account;

/* One run of publications: `n_frames` PUB frames from one sender, as they came in. */
struct msg {
        unsigned refs;
        uint32_t n_frames; /* 0: a note, i.e. control frames that keep their place in the queue */
        uint32_t n_fds;    /* as the frame says; n_frames is 1 then */
        uint32_t topic_at, topic_len; /* of the first frame, within data */
        /* Not all are of this topic, but all had the same receivers at this core.generation; 0: all
         * are of it. */
        uint64_t mixed_at;
        struct fdset *fds;
        bool has_odd_fds;      /* some of a kind that needs a right of its own */
        bool is_collected;     /* its payload came in chunks, and is the broker's own file */
        struct account *payer; /* with fds: who is charged for them */
        struct msg *original;  /* whose descriptors they are, and charged there; NULL: its own */
        uint64_t placed;       /* bytes of the payload in the last of fds; 0: it is in the frame */
        uint64_t born_ns;      /* when it came in */
        uint64_t ttl_ns;       /* not delivered when older; 0: no end */
        uint64_t sender;       /* session number; 0: the broker */
        struct core_peer peer;
        uint64_t token, request; /* REQUEST: the right to reply; REPLY: the requester's id */
        uint32_t flags;          /* enum wire_delivery_flag */
        uint32_t len;
        uint8_t data[];
};

/* The subscription numbers of one receiver of a topic, shared by its queue entries. */
struct subset {
        unsigned refs;
        uint32_t n;
        uint32_t ids[];
};

/* Messages in a backlog, and what they weigh. */
struct load {
        uint64_t bytes, messages, fds, placed_bytes, n_placed;
};

/* The rules of a subscription that has its own (overflow.c), and what it has in the backlog. */
struct lane {
        unsigned refs;  /* the subscription's, and one for each entry and pending */
        bool is_coarse; /* what comes in one piece is counted, and lost, as one */
        enum wire_overflow overflow;
        uint64_t most_bytes, most_messages;
        struct load load;
        struct list entries; /* struct lane_entry, in the order of the backlog */
        struct map latest;   /* LATEST: the newest of each topic */
        struct list untried; /* session.untried */
};

/* ---------------------------------------------------------------- places */

enum entry_kind {
        ENTRY_PLAIN,
        ENTRY_LANE, /* a lane_entry */
        ENTRY_POOL, /* the place of a pool_entry, which owns it */
};

/* A place in a session's backlog. */
struct entry {
        struct list link;
        struct msg *msg;       /* NULL: a gap */
        struct subset *subset; /* NULL: a reply or a note */
        bool observer;
        bool withheld;      /* its descriptors are not for this receiver */
        bool is_chunked;    /* nor is the one of its payload */
        bool is_retained;   /* the topic's last value from before */
        bool is_spent;      /* what it was a place of is elsewhere: it only goes on */
        uint8_t kind;       /* enum entry_kind */
        uint8_t gap_reason; /* enum wire_gap_reason */
        union {
                uint32_t gap_count;
                uint32_t redelivered; /* a message: times it was delivered before */
        };
};

/* One that a lane rules. */
struct lane_entry {
        struct entry entry;
        struct lane *lane; /* its own reference; NULL once it has become a gap */
        struct list of_lane;
        bool is_latest; /* in lane.latest: none of its topic came later */
        struct map_node by_topic;
};

#endif
