/* core.h - the routing core: sessions, topics, queues, requests. No system call, no clock, no loop.
 *
 * The shell (the program around it) owns sockets and time. It feeds what arrived and pulls what is
 * to be sent; the core never calls out:
 *
 *      core_open(core, &peer, now, &id);                 a connection was accepted
 *      core_input(core, id, packet, len, fds, now);      a packet arrived on it
 *      while (core_next(core, &id))                      somebody has something to say
 *              flush(id);                                core_out_build, send, core_out_done ...
 *      core_tick(core, now)                              no later than core_deadline(core)
 *
 * Ids, not pointers, cross the border: a session may be gone when the shell comes back to it; then
 * calls about it do nothing. */
#ifndef BATON_BROKER_CORE_H
#define BATON_BROKER_CORE_H

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

/* The adjustable limits, by the names of limits.h. All in bytes, milliseconds or pieces. */
struct core_limits {
        uint64_t window_bytes, queue_bytes, queue_messages, control_bytes;
        uint64_t sessions, unready, subscriptions, requests, routes, match_nodes;
        uint64_t stall_ms, handshake_ms, drain_ms;
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

struct core_config {
        uint64_t seed; /* random: keeps strangers from choosing hash collisions */
        uint8_t instance[WIRE_INSTANCE_BYTES]; /* random: names this run of the broker */
        const char *name;                      /* "baton 0.1.0"; outlives the core */
        struct core_peer self;                 /* this process; its uid and root may use the bus */
        uint64_t rights;                       /* what those get, enum wire_right */
        uint64_t features;                     /* enum wire_feature */
        struct core_limits limits;
};

/* core_new · Returns 0 · -ENOMEM. */
BT_MUST int core_new(const struct core_config *config, uint64_t now_ns, struct core **ret_core);

/* core_free frees everything, queued descriptors included. NULL is fine; returns NULL. */
struct core *core_free(struct core *core);

/* core_open makes a session for a connection. One that may not come in (its uid, a limit) gets a
 * session too, which only says BYE and ends: the shell treats all alike.
 * Returns 0 · -ENOMEM. */
BT_MUST int core_open(struct core *core, const struct core_peer *peer, uint64_t now_ns,
        struct session_id *ret_id);

/* core_input takes in one packet of `len` >= 1 bytes. Whatever is wrong with it is answered to its
 * sender; that is no failure of this call.
 *
 * fds     the descriptors that came with it, or NULL; owned by the core from now on. */
void core_input(struct core *core, struct session_id id, const void *packet, size_t len,
        struct fdset *fds, uint64_t now_ns);

/* core_violation ends a session whose transport broke a rule (a truncated packet). */
void core_violation(struct core *core, struct session_id id, const char *text, uint64_t now_ns);

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
        const struct fdset *fds; /* NULL: none */
};

/* core_out_build makes the next packet for a session. Returns true, or false if there is nothing to
 * send (now). Must be followed by core_out_done before anything else is done with the core. */
bool core_out_build(struct core *core, struct session_id id, struct core_packet *ret_packet);

enum core_out {
        CORE_OUT_SENT,   /* the kernel took it */
        CORE_OUT_FULL,   /* it would not now: core_writable says when to try again */
        CORE_OUT_NO_FDS, /* not with its descriptors: it goes without them, and says how many */
};

void core_out_done(struct core *core, struct session_id id, enum core_out how, uint64_t now_ns);

/* core_writable: the socket has room again. */
void core_writable(struct core *core, struct session_id id);

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
