/* message.h - every frame of the protocol as a struct, decoded and encoded.
 *
 * Decoded slices borrow from the packet. Decoding goes scan_frame -> message_decode; what follows
 * is the same for all frames: a field that is missing from the right gets the default PROTOCOL.md
 * gives, unknown trailing fields are skipped. */
#ifndef BATON_WIRE_MESSAGE_H
#define BATON_WIRE_MESSAGE_H

#include "proto/base/buf.h"
#include "proto/wire/limits.h"
#include "proto/wire/proto.h"
#include "proto/wire/reader.h"
#include "proto/wire/scan.h"
#include <stdbool.h>
#include <string.h>

enum {
        MESSAGE_E_MALFORMED = 1,   /* a field is missing, of a wrong kind, or out of range */
        MESSAGE_E_UNSUPPORTED = 2, /* SUB has an option this version does not know */
        MESSAGE_E_UNKNOWN = 3,     /* a critical type this version does not know */
        MESSAGE_E_IGNORE = 4,      /* an ignorable type this version does not know: skip it */
};

struct msg_hello {
        uint64_t version;
        struct slice name;
        uint64_t features;
        struct slice resume_instance; /* data NULL: not resuming */
        uint64_t resume_session, resume_seq;
};

struct msg_limit {
        struct slice name;
        uint64_t value;
};

enum { MSG_WELCOME_LIMITS = 32 };

struct msg_welcome {
        uint64_t version, session;
        struct slice instance; /* WIRE_INSTANCE_BYTES */
        struct slice name;
        uint64_t features, rights, window;
        uint32_t n_limits; /* decoding keeps the first MSG_WELCOME_LIMITS */
        struct msg_limit limits[MSG_WELCOME_LIMITS];
        bool has_missed;
        uint64_t missed;
};

/* BYE, and ERR with the two fields more. */
struct msg_verdict {
        uint64_t id; /* ERR */
        uint64_t code;
        struct slice text;
        struct slice limit; /* ERR: empty if no limit is meant */
};

struct msg_ok {
        uint64_t id, value, n;
};

struct msg_sub {
        uint64_t id;
        uint64_t sub;
        struct slice filter;
        uint64_t max_fds;
        bool observer;
        enum wire_overflow overflow;
        uint64_t queue_bytes, queue_messages; /* 0: the broker's */
        bool has_window;
        uint64_t window;    /* 0: none */
        bool no_retained;   /* option `retained` is false */
        struct slice group; /* data NULL: none */
        bool ack;
        uint64_t ack_ms, max_deliveries; /* 0: the default, which decoding fills in */
        struct slice unknown;            /* the option that made MESSAGE_E_UNSUPPORTED */
};

struct msg_unsub {
        uint64_t id, sub;
};

struct msg_credit {
        uint64_t what, id, amount;
};

struct msg_ack { /* ACK and NACK */
        uint64_t first, last, delay_ms;
};

struct msg_gap {
        uint64_t sub, count, reason, seq;
};

/* PUB and BEGIN. */
struct msg_pub {
        uint32_t n_fds;
        struct slice topic;
        struct slice headers; /* the encoded map */
        uint32_t n_headers;
        struct slice payload; /* PUB inline; data NULL if placed or BEGIN */
        uint64_t size;        /* PUB placed: > 0, else 0; BEGIN: 0 = unknown */
};

struct msg_ingress {
        uint64_t flags, id, ttl_ms;
};

struct msg_request {
        uint64_t id, timeout_ms, max_fds;
};

struct msg_reply {
        uint64_t token, flags, id;
};

struct msg_delivery {
        uint64_t seq, session, pid, uid, gid;
        uint64_t flags, redelivered, withheld, token, age_ms, request;
        uint32_t n_subs;
        uint32_t subs[WIRE_DELIVERY_SUBS];
};

struct message {
        enum wire_type type;
        union {
                struct msg_hello hello;
                struct msg_welcome welcome;
                struct msg_verdict verdict; /* BYE, ERR */
                uint64_t number;            /* RIGHTS, PING, PONG, CANCEL, END */
                struct msg_ok ok;
                struct msg_sub sub;
                struct msg_unsub unsub;
                struct msg_credit credit;
                struct msg_ack ack; /* ACK, NACK */
                struct msg_gap gap;
                struct msg_pub pub; /* PUB, BEGIN */
                struct slice chunk;
                struct msg_ingress ingress;
                struct msg_request request;
                struct msg_reply reply;
                struct msg_delivery delivery;
        };
};

/* message_decode turns a scanned frame into a struct.
 *
 * Topics, filters, groups and headers are *not* judged here (topic.h, headers.h): breaking their
 * rules ends no session; nor are texts (text_is_plain before they are shown). HELLO's name is, and
 * every number whose range PROTOCOL.md gives: ids, SUB.sub (1..2^32-1), n_fds, first <= last ...
 * Bits and codes of later versions are no fault. An overflow policy of a later version is an option
 * this version does not know. Returns 0 · MESSAGE_E_MALFORMED · _UNSUPPORTED (`sub` is valid, with
 * defaults for what is not known, and `sub.unknown` set) · _UNKNOWN · _IGNORE · -ENOMEM (HELLO,
 * WELCOME, SUB: msgpack-c's zone). */
BT_MUST int message_decode(const struct frame *frame, struct message *ret_message);

/* The hot ones alone, without the switch; as message_decode. */
BT_MUST int message_decode_pub(const struct frame *frame, struct msg_pub *ret_pub);
BT_MUST int message_decode_delivery(const struct frame *frame, struct msg_delivery *ret_delivery);

/* Publications to one topic come in runs whose frames are the same up to the payload's length, and
 * the same bytes say the same: who has scanned and decoded the first need only compare the rest.
 *
 * message_run_prefix gives those bytes of a frame of which `pub` was decoded: to the lead byte of a
 * payload of less than 256 bytes that ends the frame, so that in each of the run one byte of length
 * and that many of payload follow. `len` 0: the frame begins no run.
 *
 * message_run_next tells whether the frame at `at` goes on with the run of `prefix` (len > 0); then
 * it is a sound PUB, all like the first but for `*ret_payload`, with which it ends. If not, it may
 * still be sound: scan_frame tells. */
struct slice message_run_prefix(const struct frame *frame, const struct msg_pub *pub);

static inline bool message_run_next(
        struct slice prefix, const uint8_t *at, const uint8_t *end, struct slice *ret_payload)
{
        size_t left = (size_t)(end - at);

        if (left <= prefix.len || memcmp(at, prefix.data, prefix.len) != 0)
                return false;
        at += prefix.len;
        if (left - prefix.len <= *at)
                return false;
        *ret_payload = (struct slice){at + 1, *at};
        return true;
}

/* message_encode appends the frame of any type to `out`. Lengths and numbers must be within
 * limits.h and PROTOCOL.md (asserted); only whether a PUB fits WIRE_FRAME_BYTES as a whole is for
 * the caller to see. Trailing fields and options that have their default are left out. No headers
 * (`headers.len` 0) are an empty map. A PUB is placed if it has a `size` and no `payload.data`,
 * else its payload is inline. Returns 0 · -ENOMEM (nothing was appended). */
BT_MUST int message_encode(struct buf *out, const struct message *message);

/* message_encode_pub_open appends a PUB up to and including the payload's own header; the caller
 * sends `payload_len` bytes behind it, so that a large payload need not be copied.
 * Returns 0 · -ENOMEM (nothing was appended). */
BT_MUST int message_encode_pub_open(struct buf *out, const struct msg_pub *pub, size_t payload_len);

enum { MESSAGE_DELIVERY_BYTES = 448 };

/* message_put_delivery writes a DELIVERY frame to `to` [MESSAGE_DELIVERY_BYTES] and returns its
 * length; it cannot fail. */
size_t message_put_delivery(uint8_t *to, const struct msg_delivery *delivery);

/* The frames of a placed publication that goes on in chunks, written without allocation; each
 * returns its length. message_put_begin turns a valid PUB into a BEGIN, which is no more than
 * MESSAGE_BEGIN_MORE bytes longer; `to` must have room for it. message_put_chunk writes a CHUNK up
 * to its data, of which `len` (<= UINT16_MAX) bytes follow. */
enum {
        MESSAGE_BEGIN_MORE = 16,
        MESSAGE_CHUNK_BYTES = 5,
        MESSAGE_END_BYTES = 3,
        MESSAGE_GAP_BYTES = 32
};
size_t message_put_begin(uint8_t *to, const struct frame *pub, uint32_t n_fds, uint64_t size);
size_t message_put_chunk(uint8_t *to, size_t len);
size_t message_put_end(uint8_t *to, unsigned status);

/* message_put_gap writes a GAP to `to` [MESSAGE_GAP_BYTES] and returns its length. */
size_t message_put_gap(uint8_t *to, const struct msg_gap *gap);

/* wire_code_name returns the name PROTOCOL.md part 9 gives, "UNKNOWN" for others. */
const char *wire_code_name(uint64_t code);
const char *wire_overflow_name(enum wire_overflow overflow);

#endif
