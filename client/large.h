/* large.h - payloads that fit no frame, on their way out. Private to this room.
 *
 * Placed, in a sealed memory file (out_fds.c), where the broker takes it; else in chunks: BEGIN,
 * CHUNK ..., END, of which as many are put into each packet as window and socket allow. */
#ifndef BATON_CLIENT_LARGE_H
#define BATON_CLIENT_LARGE_H

#include "client/out.h"

#include "proto/base/fdset.h"

enum {
        /* Bytes that are gathered before they are sent, or written to a file: a full frame. */
        LARGE_PIECE_BYTES = WIRE_FRAME_BYTES - MESSAGE_CHUNK_BYTES,
        /* A packet with room for fewer is left to what is in it already. */
        LARGE_LEAST_BYTES = 4096,
};

enum large_state {
        LARGE_NONE,
        LARGE_FILLS,  /* baton_begin: gathered here, published by baton_end */
        LARGE_CHUNKS, /* BEGIN was put, END was not */
};

struct large {
        enum large_state state;
        bool open;        /* between baton_begin and baton_end */
        uint64_t size;    /* as announced by baton_begin; 0: not known */
        uint64_t written; /* by baton_write */
        struct buf kept;  /* what was given and is neither sent nor in the file */

        /* LARGE_CHUNKS */
        const uint8_t *at; /* [left] not yet put; in `kept`, or lent by the call under way */
        size_t left;
        uint64_t sent;   /* bytes put */
        bool ending;     /* END is to follow what is left */
        unsigned status; /* END's */
        uint64_t id;     /* what waits for the answer; 0: nothing does */

        /* LARGE_FILLS */
        struct post post; /* to be published; points into `text`, `fds`, `kept` */
        struct buf text;
        struct fdset *fds;
        int file; /* -1: not needed so far */
        bool is_sealed;
};

/* large_threshold: longer payloads are placed though they fit a frame. */
size_t large_threshold(const struct baton *b);

/* large_may_place: the broker takes memory files of this session, and the handle may use them. */
bool large_may_place(const struct baton *b);

/* large_refuse_size fails for a payload of `bytes`. Returns -EMSGSIZE. */
int large_refuse_size(struct baton *b, uint64_t bytes);

/* large_post publishes in chunks. Returns as post_publication. */
BT_MUST int large_post(struct baton *b, struct post *p);

/* large_start puts BEGIN and starts the operation. Returns as post_frame. */
BT_MUST int large_start(struct baton *b, struct post *p);

/* large_keep appends to what is kept until it is sent. Returns 0 · -ENOMEM. */
BT_MUST int large_keep(struct baton *b, const void *data, size_t len);

/* large_clear waits until the handle may publish. Returns 0 · -EBUSY between baton_begin and
 * baton_end · -EAGAIN · as handle_await. */
BT_MUST int large_clear(struct baton *b, uint64_t deadline_ns);

/* large_drain sends chunks until none is due. Returns 0 · as handle_await. */
BT_MUST int large_drain(struct baton *b, uint64_t deadline_ns);

/* large_is_due: something must still be sent, as soon as window and socket allow. */
bool large_is_due(const struct baton *b);

/* large_fill puts what fits the packet and the window into the packet. For out_push alone. */
void large_fill(struct baton *b);

/* large_give_up makes END(1) follow what has been put; nothing is sent of the rest. */
void large_give_up(struct baton *b);

/* large_leave does so with what was begun and not ended, before a good-bye. */
void large_leave(struct baton *b);

/* large_forget ends it here; what waits for its answer is left alone. */
void large_forget(struct baton *b);

/* large_lose: the connection is gone. What was begun ends as `v` says. */
void large_lose(struct baton *b, const struct verdict *v);

#endif
