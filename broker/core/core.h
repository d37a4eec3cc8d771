/* core.h - the routing core: sessions, topics, queues, requests. No system call, no clock, no loop.
 *
 * The shell (the program around it) owns sockets and time. It feeds what arrived and pulls what is
 * to be sent; the core never calls out:
 *
 *      core_open(core, &peer, now, &id);                 a connection was accepted
 *      core_input(core, id, &arrival, now);              a packet arrived on it
 *      while (core_next(core, &id))                      somebody has something to say
 *              flush(id);                                core_out_build, send, core_out_done ...
 *      core_tick(core, now)                              no later than core_deadline(core)
 *
 * Ids, not pointers, cross the border: a session may be gone when the shell comes back to it; then
 * calls about it do nothing. */
#ifndef BATON_BROKER_CORE_H
#define BATON_BROKER_CORE_H

#include "broker/core/policy.h"
#include "proto/base/buf.h"
#include "proto/base/fdset.h"
#include "proto/wire/proto.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct core;

struct session_id {
        uint32_t slot, generation; /* generation 0: none */
};

/* Who a connection belongs to, as the kernel says. */
struct core_peer {
        int32_t pid;
        uint32_t uid, gid;
};

/* The supplementary groups of a process. */
struct core_groups {
        const uint32_t *gids; /* [n] */
        size_t n;
};

/* The adjustable limits, by the names of limits.h. All in bytes, milliseconds or pieces. */
struct core_limits {
        uint64_t window_bytes, queue_bytes, queue_messages, control_bytes;
        uint64_t sessions, unready, subscriptions, requests, routes, match_nodes;
        uint64_t payload_bytes, placed_bytes, spool_bytes, queue_fds, held_fds, flight_fds;
        uint64_t retained, retained_bytes;
        uint64_t stall_ms, linger_ms, groups, unacknowledged, handshake_ms, drain_ms;
        uint64_t all_queue_bytes;
        uint64_t quotas[QUOTAS]; /* of each uid but the broker's own and root */
};

/* core_limits_default fills in limits.h's values. */
void core_limits_default(struct core_limits *limits);

enum {
        LIMITS_E_NAME = 1,  /* no such limit */
        LIMITS_E_VALUE = 2, /* below what works (*ret_least), or above 2^40 */
};

/* core_limits_set changes one by its name. Returns 0 · LIMITS_E_NAME · LIMITS_E_VALUE. */
BT_MUST int core_limits_set(
        struct core_limits *limits, const char *name, uint64_t value, uint64_t *ret_least);

/* core_limits_name returns the i-th name, NULL behind the last: for messages. */
const char *core_limits_name(size_t i);

/* Where the bytes of a chunked publication are kept until it is whole: the shell's memory files.
 * The one place where the core asks instead of being asked: leaf calls, that do not come back. */
struct core_store {
        /* Appends to the file *fd, or to a new one if that is -1. Returns 0 · -errno. */
        int (*append)(void *arg, int *fd, const void *data, size_t len);
        /* Makes it final; receivers with WIRE_FEATURE_MEMFD may be handed it. Returns 0 · -errno.
         */
        int (*seal)(void *arg, int fd);
        void (*drop)(void *arg, int fd);
        /* Makes another descriptor of the same open file. Returns it · -errno. */
        int (*copy)(void *arg, int fd);
        void *arg;
};

struct core_config {
        uint64_t seed; /* random: keeps strangers from choosing hash collisions */
        uint8_t instance[WIRE_INSTANCE_BYTES]; /* random: names this run of the broker */
        const char *name;                      /* "baton 0.1.0"; outlives the core */
        struct core_peer self;                 /* this process; its uid and root may use the bus */
        uint64_t rights;                       /* what those get; nobody gets more */
        uint64_t features;                     /* enum wire_feature */
        struct core_store store;
        struct graveyard *yard; /* where descriptors are laid; outlives the core */
        struct core_limits limits;
};

/* core_new · Returns 0 · -ENOMEM. */
BT_MUST int core_new(const struct core_config *config, uint64_t now_ns, struct core **ret_core);

/* core_free frees everything, queued descriptors included. NULL is fine; returns NULL. */
struct core *core_free(struct core *core);

/* core_open makes a session for a connection; `groups` (NULL: nobody knows) is copied. One that may
 * not come in (its uid, a limit) gets a session too, which only says BYE and ends: the shell treats
 * all alike. Returns 0 · -ENOMEM. */
BT_MUST int core_open(struct core *core, const struct core_peer *peer,
        const struct core_groups *groups, uint64_t now_ns, struct session_id *ret_id);

/* One packet that came. */
struct core_arrival {
        const void *data; /* [len], len >= 1; borrowed */
        size_t len;
        struct fdset *fds;     /* what came with it, or NULL; the core's from now on */
        uint64_t sealed_bytes; /* size of the last of them if it is a sealed memory file, else 0 */
        /* Some are not memory files, pipes, eventfds or ends of socketpairs: a right of its own. */
        bool has_odd_fds;
        /* Some could not be received, for this process has too many open: `fds` is NULL. */
        bool are_cut;
        bool is_rest;    /* of the packet that was not taken in whole */
        uint64_t budget; /* how much work to do of it at most; 0: all */
};

/* core_input takes in one packet. Whatever is wrong with it is answered to its sender; that is no
 * failure of this call. When the budget is used up it stops between two frames, but never in a
 * packet with descriptors. Returns how many bytes it has taken in: the rest must come next of what
 * this session has sent. */
size_t core_input(struct core *core, struct session_id id, const struct core_arrival *arrival,
        uint64_t now_ns);

/* core_set_partial: of the next packet of a session a part has come, or (false) the whole. What has
 * begun to come has stall_ms to become whole, or the session is told BYE(TIMEOUT). */
void core_set_partial(struct core *core, struct session_id id, bool is_partial, uint64_t now_ns);

/* core_work tells how much has been done so far, in units of some 15 ns: a publication that goes
 * on with a run is one. For sharing out time fairly. */
uint64_t core_work(const struct core *core);

/* core_datagram takes in one packet that came without a connection (PROTOCOL.md part 10); `len` 0:
 * one that was no packet. Nothing is answered: what is wrong with it is counted.
 * Returns true if it was published. */
bool core_datagram(struct core *core, const struct core_peer *sender, const void *packet,
        size_t len, uint64_t now_ns);

/* core_set_policy puts `policy` in force, which the core owns from now on; NULL: nobody but the
 * broker's own uid and root may use the bus. Who may not connect any more is told BYE(REFUSED), the
 * others which rights they have now; subscriptions that are not allowed any more end, which is told
 * by GAP, and retained values whose owner may not retain them any more are forgotten. */
void core_set_policy(struct core *core, struct policy *policy, uint64_t now_ns);

/* core_end ends a session for what the shell knows about it (a truncated packet, no credentials):
 * it is told BYE(code, text). */
void core_end(struct core *core, struct session_id id, enum wire_code code, const char *text,
        uint64_t now_ns);

/* core_close: the connection is gone, all that had arrived was given to core_input. */
void core_close(struct core *core, struct session_id id, uint64_t now_ns);

/* core_next returns true and a session that has something to send or is to be closed, false when
 * all is quiet. The session is then out of the list until something new happens to it. */
bool core_next(struct core *core, struct session_id *ret_id);

/* One packet to send. Everything is borrowed until core_out_done. */
struct core_packet {
        const struct iovec *iov; /* [n_iov] */
        size_t n_iov;
        size_t len;
        const int *fds; /* [n_fds] */
        size_t n_fds;
        /* Before it is sent, `fill_len` bytes of the file `fill_fd`, from offset `fill_at` on, must
         * be read to `fill`, to which an iov points. 0: nothing. */
        uint8_t *fill;
        size_t fill_len;
        int fill_fd;
        uint64_t fill_at;
};

/* core_out_build makes the next packet for a session. Returns true, or false if there is nothing to
 * send (now). Must be followed by core_out_done before anything else is done with the core. */
bool core_out_build(struct core *core, struct session_id id, struct core_packet *ret_packet);

enum core_out {
        CORE_OUT_SENT,   /* the kernel took it */
        CORE_OUT_FULL,   /* it would not now: core_writable says when to try again */
        CORE_OUT_NO_FDS, /* this receiver takes no descriptors: it goes without, and says how many
                          */
        CORE_OUT_SCARCE, /* too many descriptors are under way: it waits until there are fewer */
        CORE_OUT_UNREADABLE, /* `fill` could not be read: the receiver is told of a gap */
};

void core_out_done(struct core *core, struct session_id id, enum core_out how, uint64_t now_ns);

/* core_writable: the socket has room again. */
void core_writable(struct core *core, struct session_id id, uint64_t now_ns);

/* core_asks_fd_kinds: what this session sends is judged by kind (core_arrival.has_odd_fds); of
 * others that need not be found out. */
bool core_asks_fd_kinds(const struct core *core, struct session_id id);

/* core_may_send_fds: this session has a right for which its socket must let descriptors in. */
bool core_may_send_fds(struct core *core, struct session_id id);

/* core_is_over: the session has said BYE and all of it is sent (or never will be): close it. */
bool core_is_over(struct core *core, struct session_id id);

/* core_is_ending: BYE is all that is left to send: worth making room in the socket for it. */
bool core_is_ending(struct core *core, struct session_id id);

/* core_deadline returns when core_tick wants to be called, UINT64_MAX if never. */
uint64_t core_deadline(const struct core *core);
void core_tick(struct core *core, uint64_t now_ns);

/* core_shutdown tells every session BYE(SHUTDOWN) behind what is queued for it. */
void core_shutdown(struct core *core, uint64_t now_ns);

/* core_sessions counts the connected ones. */
size_t core_sessions(const struct core *core);

/* core_report appends the status as JSON (docs/ARCHITECTURE.md lists the keys).
 * Returns 0 · -ENOMEM. */
BT_MUST int core_report(const struct core *core, uint64_t now_ns, struct buf *out);

/* core_check walks all structures and returns a text that says which invariant is broken, NULL if
 * none is: for tests. */
const char *core_check(const struct core *core);

#endif
