/* fake_payload.h - large payloads: how tests make them, send them, and look at what has come. Their
 * bytes are a pattern, so that any piece can be checked by its place. */
#ifndef BATON_CLIENT_FAKE_PAYLOAD_H
#define BATON_CLIENT_FAKE_PAYLOAD_H

#include "client/fake_broker.h"
#include "proto/base/memfile.h"

#define NEEDS_MEMFD()                                                \
        do {                                                         \
                if (!memfile_can_seal())                             \
                        TEST_SKIP("no sealed files on this system"); \
        } while (0)

enum { KIB = 1024, MIB = 1024 * 1024 };

/* payload_make allocates the first `n` bytes of the pattern; free them. payload_check compares `n`
 * bytes from offset `at` on. */
void *payload_make(size_t n);
void payload_check(const void *data, size_t at, size_t n);

/* payload_file makes a memory file of the first `n` bytes, sealed if so wanted. payload_set puts it
 * behind `n_pipes` descriptors of pipes. */
int payload_file(size_t n, bool sealed);
struct fdset *payload_set(int file, size_t n_pipes);

/* One publication of the client, whole, in whatever form it came. */
struct got {
        enum wire_type type; /* PUB or BEGIN */
        bool placed;
        size_t bytes;       /* of its payload, which was checked */
        uint64_t announced; /* BEGIN: size */
        uint64_t status;    /* BEGIN: of END */
        size_t n_chunks;    /* BEGIN */
        size_t n_fds;       /* of the user */
        char topic[256];
        enum wire_type head; /* the header frame before it; 0: none */
        uint64_t flags, id;  /* of an INGRESS or REQUEST */
        uint64_t token;      /* of a REPLY */
};

/* fake_collect reads one publication. It gives the window back when half of it is used, and where
 * nothing has come it lets the handle go on (`b` not NULL) or waits. fake_collect_frames does so
 * only as long as frames are there; it returns true when the publication is whole. */
struct got fake_collect(struct fake *f, baton *b);

/* fake_place delivers a placed payload of `n` bytes as message 1 of `sub`. fake_place_file: with
 * this file, owned by the call, this size, and descriptors of pipes before it. */
void fake_place(struct fake *f, uint32_t sub, const char *topic, size_t n);
void fake_place_file(struct fake *f, struct message delivery, const char *topic, int file,
        uint64_t size, size_t n_pipes);

/* fake_begin, fake_chunks and fake_end deliver in chunks: `n` bytes of the pattern from offset `at`
 * on, in packets of at most `piece` bytes of it. While the socket is full the handle goes on. */
void fake_begin(struct fake *f, struct message delivery, const char *topic, uint64_t size);
void fake_chunks(struct fake *f, size_t at, size_t n, size_t piece);
void fake_end(struct fake *f, unsigned status);

/* payload_maps counts the mappings of this process that are memory files. */
size_t payload_maps(void);

/* note_large notes "TOPIC:BYTES;" and checks the bytes. */
void note_large(baton *b, const struct baton_message *m, void *arg);

#endif
