/* internal.h - what the shell's files share. */
#ifndef BATON_BROKER_INTERNAL_H
#define BATON_BROKER_INTERNAL_H

#include "broker/alarm.h"
#include "broker/core/core.h"
#include "broker/options.h"
#include "broker/reaper.h"
#include "proto/base/buf.h"
#include "proto/base/list.h"
#include "proto/link/link.h"
#include "proto/link/listener.h"
#include "proto/link/lone.h"

#include <uv.h>

/* One listener on the loop. */
struct front {
        uv_poll_t poll;
        uv_timer_t pause; /* runs while accept rests */
        struct server *server;
        struct listener *listener; /* NULL once closed */
        bool is_ready;             /* somebody waits to be accepted */
};

/* One connection. Freed when libuv has let go of `poll`. */
struct conn {
        uv_poll_t poll;
        struct server *server;
        struct link *link;
        struct session_id id; /* none yet: adopted, and it has not said who it is */
        int events;           /* that `poll` watches */
        struct crowd *crowd;  /* its uid's; NULL: not any more */
        struct list ready;    /* crowd.ready: it has something to say */
        struct buf rest;      /* of a packet, from `rest_at` on: not taken in by the core yet */
        size_t rest_at;
        bool is_deaf;     /* its peer reads no more */
        bool is_broken;   /* sending fails, who knows why: to be closed */
        bool is_resting;  /* there was no memory to send with: tried again when `rest` is up */
        bool takes_fds;   /* its socket lets descriptors in */
        bool has_brought; /* descriptors, and since then the reaper was not seen idle */
        bool is_partial;  /* of the next packet a part has come */
        struct lone lone;
};

/* The connections of a uid (turns.c). */
struct crowd {
        struct list of_server, in_line; /* server.crowds, server.line */
        struct list ready;              /* struct conn */
        uid_t uid;
        size_t n_conns;
};

struct server {
        uv_loop_t loop;
        uv_prepare_t prepare;
        uv_check_t check;
        struct alarm alarm;          /* for deadlines of the core, and for burials */
        uv_timer_t drain, handshake; /* handshake: of the adopted */
        uv_signal_t sigterm, sigint, sighup;
        uv_timer_t rest; /* of connections */
        size_t n_buried; /* yard.n_laid when the reaper was last told */

        struct core *core;
        struct graveyard yard;
        struct reaper *reaper;
        struct front fronts[LIMIT_ADDRESSES];
        size_t n_fronts;
        struct conn **conns; /* [n_conns], by session slot */
        size_t n_conns;
        struct conn *adopted[LIMIT_ADDRESSES]; /* without a session yet */
        size_t n_adopted;
        struct list crowds, line; /* struct crowd: all, and those that have something to say */
        uv_idle_t idle;           /* while the line is not empty */
        uint8_t *packet;          /* [WIRE_PACKET_BYTES], what is being received */
        uint64_t drain_ms;
        const char *policy_path; /* NULL: none */
        size_t hung_fds_max;     /* open though nobody wants them: reaper.h */
        bool is_stopping;
        bool is_private; /* no listeners: it ends with its last client */
        uint64_t n_bad_datagrams;
};

/* server.c */
uint64_t server_now(const struct server *s);

/* front.c */
BT_MUST int front_open(struct server *s, const struct options *options);
/* front_accept_all lets in some of those who wait, once those who have left are known. */
void front_accept_all(struct server *s);
void front_close_all(struct server *s);

/* conn.c */
void conn_accept(struct server *s, int fd, enum transport transport);
void conn_flush_all(struct server *s);

/* conn_bury_all gives the reaper what lies on the yard. */
void conn_bury_all(struct server *s);
void conn_on_rested(uv_timer_t *timer);
void conn_close(struct conn *conn);
/* conn_let_fds_in lets descriptors in by its socket if it has a right to send some; else not. */
void conn_let_fds_in(struct conn *conn);

/* reload.c: reload_policy reads the policy and puts it in force. Returns 0 · 1 (it is bad, and was
 * said why; the one before stays) · -errno. */
BT_MUST int reload_policy(struct server *s);

/* turns.c: reads from those who have something to say, for a while. */
void turns_serve(struct server *s);

/* adopted.c */
BT_MUST int adopted_open(struct server *s, const struct options *options); /* says why not */
void adopted_close_all(struct server *s);

/* prepare.c */
BT_MUST int prepare_streams(void); /* before any descriptor is opened */
BT_MUST int prepare_process(struct server *s, struct core_limits *limits);

#endif
