/* packet.h - a packet under construction. Private to the core. */
#ifndef BATON_BROKER_CORE_PACKET_H
#define BATON_BROKER_CORE_PACKET_H

#include "proto/wire/limits.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { CORE_IOV = 256, CORE_COPY_BYTES = 1024 };

/* The packet under construction: small pieces are copied into `scratch`, large ones referenced. */
struct packet {
        struct iovec iov[CORE_IOV];
        size_t n_iov, len;
        size_t control_len; /* bytes of session.control in front */
        const int *fds;
        size_t n_fds;
        bool places; /* the last of them is a payload */
        /* The piece of a payload that goes in chunks. */
        bool begins, ends;
        size_t chunk_len;
        uint8_t *chunk_at; /* in scratch: filled by the shell */
        size_t n_entries;  /* of the queue */
        uint32_t n_frames;
        uint64_t now_ns;
        size_t scratch_len;
        uint8_t scratch[WIRE_PACKET_BYTES];
};

#endif
