/* session_play.h - what the files of session_fuzz share: the clients, and what is known of them. */
#ifndef BATON_TESTS_SESSION_PLAY_H
#define BATON_TESTS_SESSION_PLAY_H

#include "broker/core/core.h"
#include "proto/wire/limits.h"
#include "proto/wire/message.h"

#include <stdlib.h>

enum {
        CLIENTS = 3,
        MEMFD_CLIENT = 2, /* takes placed payloads */
        /* Files are numbers that no descriptor has: closing them is nothing. */
        FIRST_FILE = 1 << 20,
};

struct client {
        struct session_id id;
        bool is_open;
        size_t room;
        uint64_t last_id, last_seq, token;
        uint32_t last_sub;
        bool is_chunked; /* between BEGIN and END, of which so many bytes came, and are missing */
        uint64_t chunked, left;
        /* Packets with descriptors that came and are not credited; how many each had. */
        size_t flying[WIRE_FD_WINDOW], n_flying;
};

struct play {
        const uint8_t *at, *end;
        struct core *core;
        uint64_t now_ns, n_steps;
        struct buf packet;
        struct buf files; /* their sizes, uint64_t each */
        bool is_scarce, is_unreadable, is_store_full;
        struct client clients[CLIENTS];
};

static inline void must(bool condition)
{
        if (!condition)
                abort();
}

/* next returns the next byte of the input, 0 behind its end. */
static inline uint8_t next(struct play *p)
{
        return p->at < p->end ? *p->at++ : 0;
}

/* session_fuzz.c: play_check aborts if an invariant of the core is broken. play_feed gives the core
 * what was said, with `n_fds` descriptors of which the last is a sealed file of `sealed_bytes`, or
 * all are nothing. */
void play_check(const struct play *p);
void play_feed(struct play *p, struct client *c, uint32_t n_fds, uint64_t sealed_bytes);

/* session_file.c: memory files of which there is nothing but a size. */
int file_new(struct play *p, uint64_t size);
void file_read(const struct play *p, const struct core_packet *packet);
struct core_store file_store(struct play *p);

/* session_read.c: checks a packet that the core sends to `c`. */
void play_read(struct client *c, const uint8_t *at, size_t len, const struct core_packet *packet);

/* session_say.c. play_say_packet: frames as they may come, with no descriptors; `what` < 16. The
 * others say and feed one publication with descriptors, one in pieces, one that is placed, or a
 * packet without a connection. play_turn turns one of the knobs of the world. */
void play_say_packet(struct play *p, struct client *c, uint8_t what);
void play_say_fds(struct play *p, struct client *c);
void play_say_upload(struct play *p, struct client *c);
void play_say_placed(struct play *p, struct client *c);
void play_datagram(struct play *p);
void play_turn(struct play *p, struct client *c);

#endif
