/* sim_model.h - what sessions may expect, said naively: for sim_test alone.
 *
 * A publication may be routed any time between its sending and its confirm. So a receiver *must*
 * get it if it was subscribed all that time, and *may* get it if it was at some time. Everything
 * comes in the order of its publisher, whatever waited where, and however large it is. */
#ifndef BATON_BROKER_CORE_SIM_MODEL_H
#define BATON_BROKER_CORE_SIM_MODEL_H

#include "broker/core/fake.h"

enum { SIM_PEERS = 400, SIM_SUBS = 6, SIM_TOKENS = 8, SIM_BAD_TOPIC = '!' };

/* One publication that a receiver may or must get. */
struct item {
        uint32_t counter; /* of its publisher */
        bool must;
        bool is_answered; /* a reply whose id was answered by OK: it is on its way */
};

/* All of one publisher that a receiver still expects, in order. */
struct line {
        struct item *items; /* [cap]; first .. n are expected */
        size_t first, n, cap;
};

/* What was published, to find out what may still be routed. */
struct post {
        uint64_t id; /* 0: neither confirm nor request */
        uint32_t counter;
        char topic;       /* 0: a reply */
        bool no_echo;     /* not to its publisher */
        bool asks;        /* a request */
        bool is_open;     /* ... that has not ended */
        uint32_t replies; /* a reply: to this peer */
        uint64_t size;    /* of its payload (sim_payload); 0: only its number */
        uint32_t n_fds;   /* for others */
};

enum sim_kind { SIM_PLAIN, SIM_REQUEST, SIM_REPLY };

/* A payload that a peer is sending in chunks. The model hears of it when it is whole: until then it
 * is not on its way. */
struct sim_upload {
        bool is_on;
        enum sim_kind kind;
        char topic;
        bool no_echo;
        uint64_t id; /* 0: none */
        uint32_t asker, n_fds;
        uint64_t size, at;
        uint64_t idle_ms; /* since its last byte */
};

struct peer {
        struct client *c; /* NULL: not used yet */
        uint32_t index;
        bool has_left;    /* said BYE, or is gone */
        uint32_t max_fds; /* of all its subscriptions and requests */
        struct sim_upload upload;
        struct {
                uint32_t number;
                char filter;
        } subs[SIM_SUBS];
        size_t n_subs;
        uint32_t last_sub, last_counter;
        uint64_t sent; /* bytes of the window */
        struct post *posts;
        size_t n_posts, cap_posts, n_done; /* those before n_done have been routed */
        uint64_t last_answered;
        struct {
                uint64_t token;
                uint32_t asker;
        } tokens[SIM_TOKENS];
        size_t n_tokens;
        struct line from[SIM_PEERS];
        size_t n_received;
};

struct sim {
        struct fake f;
        struct peer *peers[SIM_PEERS];
        uint32_t n_peers;
        size_t n_delivered, n_answered, n_large, n_withheld;
        bool was_scarce; /* descriptors may be withheld from anybody */
};

void sim_init(struct sim *sim, const char *limits);
void sim_deinit(struct sim *sim);
struct peer *sim_open(struct sim *sim, bool memfd, uint32_t max_fds);

/* The model is told before the core is. */
void sim_subscribes(struct sim *sim, struct peer *p, char filter);
void sim_unsubscribes(struct sim *sim, struct peer *p, size_t i);
struct post *sim_publishes(struct sim *sim, struct peer *p, char topic, bool no_echo);
struct post *sim_asks(struct sim *sim, struct peer *p, char topic, uint64_t id);
void sim_replies(struct sim *sim, struct peer *p, uint32_t asker, uint64_t id);
void sim_leaves(struct sim *sim, struct peer *p);

/* sim_large.c: a large payload says which publication of its sender it is, and each of its bytes
 * where it stands. sim_counter_of tells which publication came. sim_check_large compares payload
 * and descriptors with what was sent. */
void sim_payload(uint32_t counter, uint64_t at, uint8_t *to, size_t n);
uint32_t sim_counter_of(const struct got *g);
void sim_check_large(
        struct sim *sim, const struct peer *to, const struct post *post, const struct got *g);

/* sim_read compares all that came since with what was expected. */
void sim_read(struct sim *sim);

/* sim_finish: everything has been drained. Nothing may be missing. */
void sim_finish(struct sim *sim);

#endif
