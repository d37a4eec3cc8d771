/* fake.h - a shell without sockets: opens sessions, feeds packets, pulls what the core has to say
 * and decodes it into records that are easy to compare.
 *
 * What must hold always is checked on the way: core_check after every call, packets within their
 * bounds, sequence numbers without holes, no publication without its DELIVERY, a packet with
 * descriptors with exactly one publication and exactly the descriptors that its header leaves.
 *
 *      struct fake f;
 *      fake_init(&f);
 *      struct client *pub = fake_open(&f), *sub = fake_open(&f);
 *      fake_sub(sub, 1, "a.*");
 *      say_pub(pub, "a.b", "hello");
 *      fake_go(pub);
 *      expect_pub(sub, "a.b", "hello");
 *      fake_deinit(&f); */
#ifndef BATON_BROKER_CORE_FAKE_H
#define BATON_BROKER_CORE_FAKE_H

#include "broker/core/core.h"
#include "proto/wire/limits.h"
#include "proto/wire/message.h"

struct fake;

/* A frame as a client got it. */
struct got {
        struct got *next;
        size_t packet;                /* it came in this one of the client's packets, from 1 */
        bool leads;                   /* PUB: a DELIVERY stands right in front of it */
        struct message m;             /* its slices point into `bytes` */
        struct msg_delivery delivery; /* PUB: the one in force; `seq` is this publication's own */
        size_t n_fds;
        int fd, last_fd;  /* the first and the last of them, borrowed; -1: none */
        struct buf whole; /* END: all that came in chunks; `delivery` and descriptors are BEGIN's */
        size_t n_chunks;
        size_t len;
        uint8_t bytes[]; /* [len], and a NUL, so that a payload may be read as text */
};

/* What BEGIN came with, and the chunks so far. */
struct coming {
        struct msg_delivery delivery;
        size_t n_fds;
        int fd, last_fd;
        struct buf whole;
        size_t n_chunks;
        uint64_t left;
};

struct client {
        struct fake *fake;
        struct session_id id;
        bool is_gone; /* the session is closed */
        size_t room;  /* bytes that its socket takes; SIZE_MAX: any number */
        bool is_full; /* it has refused a packet since */
        bool takes_no_fds;
        bool reads_nothing; /* the shell cannot read what goes to it in chunks */
        bool is_chunked;    /* between BEGIN and END */
        struct coming coming;
        /* Packets with descriptors that came and are not credited; how many each had. */
        size_t flying[WIRE_FD_WINDOW], n_flying;
        struct buf packet; /* under construction: say_... */
        uint64_t number;   /* as WELCOME said */
        uint64_t window;   /* likewise */
        uint64_t last_id, last_seq, credited;
        size_t n_packets, n_credits;
        struct got *first, *last, *current;
};

struct fake {
        struct core *core;
        struct core_config config;
        struct graveyard yard;
        uint64_t now_ns;
        uint64_t budget; /* of work: more of a packet is fed as its rest; 0: it is fed whole */
        bool odd_fds;    /* what is fed comes with descriptors that need a right of their own */
        bool scarce;     /* the kernel takes no descriptors now */
        bool append_fails, seal_fails;  /* no room for chunked payloads */
        void (*inside)(bool is_inside); /* told around every call of the core; NULL: nobody */
        size_t n_clients, cap;
        struct client **clients;
};

/* fake_init starts a core with the default limits, all rights, and time at 1000 s. fake_init_with
 * takes limits as "name=value name=value". */
void fake_init(struct fake *f);
void fake_init_with(struct fake *f, const char *limits);

/* fake_deinit frees the core and checks that nothing is left over. */
void fake_deinit(struct fake *f);

/* fake_connect makes a session that has said nothing yet; fake_open also shakes hands. */
struct client *fake_connect(struct fake *f);
struct client *fake_connect_as(struct fake *f, const struct core_peer *peer);
struct client *fake_open(struct fake *f);
struct client *fake_open_named(struct fake *f, const char *name);
struct client *fake_open_memfd(struct fake *f); /* one that takes placed payloads */

/* Policies (fake_policy.c): "user:2000 publish:a.> see-sys uid_sessions:3 any connect:no".
 * fake_policy puts one in force, NULL: none. fake_stranger opens a session of another uid, and of
 * the group of the same number. */
struct policy *fake_make_policy(const char *words);
void fake_policy(struct fake *f, const char *words);
struct client *fake_stranger(struct fake *f, uint32_t uid);
void fake_sub_stranger(struct client *c, uint32_t sub, const char *filter); /* it may not block */

/* fake_read decodes a packet into records: for fake.c. */
void fake_read(struct client *c, const uint8_t *at, size_t len, const int *fds, size_t n_fds);

/* fake_close: the client's connection is gone. */
void fake_close(struct client *c);

/* The say_... functions add a frame to the packet under construction. */
void say(struct client *c, const struct message *m);
void say_bytes(struct client *c, const char *hex);
void say_hello(struct client *c, const char *name);
void say_sub(struct client *c, uint64_t id, uint32_t sub, const char *filter);
void say_unsub(struct client *c, uint64_t id, uint32_t sub);
void say_pub(struct client *c, const char *topic, const char *payload);
/* A publication whose frame has `len` bytes; they begin with `text`. */
void say_large(struct client *c, const char *topic, const char *text, size_t len);
void say_ingress(struct client *c, uint64_t flags, uint64_t id);
void say_request(struct client *c, uint64_t id, uint64_t timeout_ms);
void say_reply(struct client *c, uint64_t token, uint64_t flags, uint64_t id);
void say_number(struct client *c, enum wire_type type, uint64_t number);
void say_bye(struct client *c);

/* Publications with descriptors, and large ones (fake_large.c). Of a placed one `n_fds` counts what
 * holds the payload too. */
void say_fds(struct client *c, const char *topic, uint32_t n_fds, const char *payload);
void say_placed(struct client *c, const char *topic, uint32_t n_fds, uint64_t size);
void say_begin(struct client *c, const char *topic, uint32_t n_fds, uint64_t size);
void say_chunk(struct client *c, const void *data, size_t len);
void say_end(struct client *c, uint64_t status);
/* `amount` packets with descriptors have been received. */
void say_credit(struct client *c, uint64_t amount);

/* fake_feed sends the packet under construction; fake_go flushes everybody then. */
void fake_feed(struct client *c);
void fake_feed_fds(struct client *c, struct fdset *fds);
void fake_go(struct client *c);
/* fake_flush lets every session send what its socket takes. */
void fake_flush(struct fake *f);

/* fake_room: the socket of `c` takes `bytes` from now on; then all flush. */
void fake_room(struct client *c, size_t bytes);

/* fake_sub subscribes, with the next id, and checks the OK. */
void fake_sub(struct client *c, uint32_t sub, const char *filter);

/* fake_sub_fds: with descriptors. */
void fake_sub_fds(struct client *c, uint32_t sub, const char *filter, uint64_t max_fds);

/* fake_pub sends one publication alone and flushes. */
void fake_pub(struct client *c, const char *topic, const char *payload);

/* fake_confirmed sends one that is confirmed as `id`. */
void fake_confirmed(struct client *c, uint64_t id, const char *topic, const char *payload);

/* fake_ask sends a request, and returns the token that `by` received; 0 if it received none. */
uint64_t fake_ask(
        struct client *c, uint64_t id, uint64_t timeout_ms, const char *topic, struct client *by);
/* fake_join subscribes, `group` may be NULL, `window` 0; fake_give_back frees its window;
 * fake_count takes what came, and returns how many publications there were. */
void fake_join(
        struct client *c, uint32_t sub, const char *filter, const char *group, uint64_t window);
void fake_give_back(struct client *c, uint32_t sub, uint64_t amount);
size_t fake_count(struct client *c);
void fake_reply(struct client *c, uint64_t token, uint64_t flags, uint64_t id, const char *payload);

/* Members of groups with `ack` (fake_ack.c). Zero: the protocol's. fake_member checks the OK. */
struct fake_ack {
        uint64_t window, ack_ms, max_deliveries, max_fds, queue_messages;
};
void say_member(struct client *c, uint32_t sub, const char *filter, const char *group,
        const struct fake_ack *options);
void fake_member(struct client *c, uint32_t sub, const char *filter, const char *group,
        const struct fake_ack *options);
void fake_acknowledge(struct client *c, uint64_t first, uint64_t last);
void fake_refuse(struct client *c, uint64_t first, uint64_t last, uint64_t delay_ms);

/* fake_seeds plays `rounds` lives, and prints the seed of each; SIM_SEED=n plays that one again,
 * SIM_ROUNDS=n plays more (fake_seeds.c). */
void fake_seeds(uint64_t rounds, void (*live)(uint64_t seed));

/* A payload that can be told from others: fake_pattern writes its bytes from `at` on. */
void fake_pattern(uint64_t seed, uint64_t at, uint8_t *to, size_t n);

/* fake_fds makes `n` descriptors, fake_placed_fds `n` and behind them a sealed memory file with a
 * pattern. They are buried in the fake's yard; fake_bury closes what is there. */
struct fdset *fake_fds(struct fake *f, size_t n);
struct fdset *fake_placed_fds(struct fake *f, size_t n, uint64_t seed, uint64_t size);
int fake_memfile(uint64_t seed, uint64_t size); /* not sealed */
void fake_bury(struct fake *f);

/* fake_send sends the packet under construction with `n` descriptors, fake_placed one placed
 * publication, and flush. fake_chunks says a pattern in chunks of `piece` bytes, and feeds the
 * packets as they get full; BEGIN and END are the caller's. */
void fake_send(struct client *c, size_t n);
void fake_placed(struct client *c, const char *topic, uint64_t seed, uint64_t size);
void fake_chunks(struct client *c, uint64_t seed, uint64_t size, size_t piece);

/* fake_close_all closes everybody and checks that all accounts are empty then. */
void fake_close_all(struct fake *f);

/* fake_tick moves time on. */
void fake_tick(struct fake *f, uint64_t ms);

/* fake_check fails the test if an invariant of the core is broken. */
void fake_check(const struct fake *f);

/* fake_report returns the value of a number in the core's report: {"key":value. */
uint64_t fake_report(struct fake *f, const char *key);

/* fake_next takes the next record, NULL if there is none. It stays until the next call for `c`. */
struct got *fake_next(struct client *c);
void fake_forget(struct client *c); /* everything that came */

bool slice_is(struct slice s, const char *text);
struct slice fake_text(const char *s);

/* Each takes the next record, compares it, and returns it. Of an answer for several expect_ok takes
 * the first; expect_ok_run wants all. */
struct got *fake_expect(struct client *c, enum wire_type type, const char *file, int line);
struct got *fake_expect_ok(
        struct client *c, uint64_t id, uint64_t value, uint64_t n, const char *file, int line);
struct got *fake_expect_err(
        struct client *c, uint64_t id, enum wire_code code, const char *file, int line);
struct got *fake_expect_bye(struct client *c, enum wire_code code, const char *file, int line);
struct got *fake_expect_pub(
        struct client *c, const char *topic, const char *payload, const char *file, int line);
/* One that was delivered so often before. */
struct got *fake_expect_again(struct client *c, const char *topic, const char *payload,
        uint64_t redelivered, const char *file, int line);
/* One with a pattern for payload, in whichever way it came; of chunks the record is END's. */
struct got *fake_expect_large(struct client *c, const char *topic, uint64_t seed, uint64_t size,
        const char *file, int line);
/* END, behind a BEGIN that was taken already. */
struct got *fake_expect_end(
        struct client *c, uint64_t seed, uint64_t size, const char *file, int line);
struct got *fake_expect_gap(struct client *c, uint64_t sub, uint64_t count, uint64_t reason,
        uint64_t seq, const char *file, int line);
void fake_expect_nothing(struct client *c, const char *file, int line);

#define expect(c, type)                fake_expect(c, type, __FILE__, __LINE__)
#define expect_ok(c, id, value)        fake_expect_ok(c, id, value, 1, __FILE__, __LINE__)
#define expect_ok_run(c, id, value, n) fake_expect_ok(c, id, value, n, __FILE__, __LINE__)
#define expect_err(c, id, code)        fake_expect_err(c, id, code, __FILE__, __LINE__)
/* The session is told why and is closed. */
#define expect_bye(c, code)           fake_expect_bye(c, code, __FILE__, __LINE__)
#define expect_pub(c, topic, payload) fake_expect_pub(c, topic, payload, __FILE__, __LINE__)
#define expect_again(c, topic, payload, redelivered) \
        fake_expect_again(c, topic, payload, redelivered, __FILE__, __LINE__)
#define expect_large(c, topic, seed, size) \
        fake_expect_large(c, topic, seed, size, __FILE__, __LINE__)
#define expect_end(c, seed, size) fake_expect_end(c, seed, size, __FILE__, __LINE__)
#define expect_gap(c, sub, count, reason, seq) \
        fake_expect_gap(c, sub, count, reason, seq, __FILE__, __LINE__)
#define expect_nothing(c) fake_expect_nothing(c, __FILE__, __LINE__)

#endif
