/* test_bytes.h - bytes for tests: written as hex, laid so that a read beyond their end is seen by
 * the sanitizer, and turned into messages and back. */
#ifndef BATON_WIRE_TEST_BYTES_H
#define BATON_WIRE_TEST_BYTES_H

#include "proto/wire/message.h"

/* Bytes in a heap block of exactly their size. Zero state: all bytes zero. */
struct bytes {
        uint8_t *data; /* [len] */
        size_t len;
};

/* bytes_copy and bytes_from_hex ("92 05 63"; blanks are skipped) abort when they cannot. */
struct bytes bytes_copy(const void *data, size_t len);
struct bytes bytes_from_hex(const char *hex);
void bytes_deinit(struct bytes *b);

/* bytes_scan scans the one frame that `b` must be, and checks it. */
struct frame bytes_scan(const struct bytes *b);

/* bytes_decode scans and decodes the one frame that `b` must be; as message_decode, and the message
 * borrows from `b`. hex_decode is for those who want the outcome alone. */
int bytes_decode(const struct bytes *b, struct message *ret_message);
int hex_decode(const char *hex);

/* check_slice: it is there and holds `want`. */
void check_slice(struct slice got, const char *want);

/* check_encoded: `m` is encoded as `hex`. */
void check_encoded(const struct message *m, const char *hex);

#endif
