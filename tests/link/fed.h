/* fed.h - a stream link that is fed by hand: the other end is a bare socket. */
#ifndef BATON_TESTS_LINK_FED_H
#define BATON_TESTS_LINK_FED_H

#include "tests/link/support.h"

/* What leads a packet on the wire. */
enum { HEAD = 5 };

struct fed {
        int raw; /* -1: it has left */
        struct link *link;
        struct graveyard yard;
        /* The latest packet; there would be room for a longer one. */
        uint8_t buf[LINK_PACKET_BYTES + 1];
        size_t len, n_fds;
        size_t n_buried; /* descriptors that lay on the yard after the latest call */
};

void open_fed(struct fed *f);

/* Nothing may lie on the yard any more. */
void close_fed(struct fed *f);

/* The bare end is closed. */
void leave(struct fed *f);

/* Writes bytes, with descriptors. */
void feed(struct fed *f, const void *bytes, size_t len, size_t n_fds);

/* The outcome of link_recv, into memory that holds nothing of earlier calls. Only when the link has
 * ended may there be descriptors that are not the packet's. */
int take(struct fed *f);

/* The next packet is whole and is this one. */
void check_packet(struct fed *f, const void *body, size_t len, size_t n_fds);

bool is_readable(struct fed *f);

/* Writes a packet as it is on the wire; returns its length there. */
size_t wire(uint8_t *out, const void *body, size_t len);

#endif
