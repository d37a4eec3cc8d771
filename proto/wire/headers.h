/* headers.h - the headers of a publication: checked once by the broker, walked by clients. */
#ifndef BATON_WIRE_HEADERS_H
#define BATON_WIRE_HEADERS_H

#include "proto/wire/reader.h"
#include <stdbool.h>

enum header_kind {
        HEADER_NIL,
        HEADER_BOOL,
        HEADER_INT,  /* negative integers */
        HEADER_UINT, /* non-negative integers */
        HEADER_FLOAT,
        HEADER_STR,
        HEADER_BIN,
};

struct header {
        struct slice key;
        enum header_kind kind;
        union {
                bool boolean;
                int64_t i;
                uint64_t u;
                double f;
                struct slice bytes; /* HEADER_STR, HEADER_BIN */
        } value;
};

enum {
        HEADERS_E_BAD = 1,
};

/* headers_check tests the whole of PROTOCOL.md part 2 on an encoded map that went through
 * scan_frame.
 *
 * reserved_ok   keys that begin with `$` are fine (they came from the broker).
 * Returns 0 · HEADERS_E_BAD, and points `*ret_why` at a static text that says what is wrong. */
BT_MUST int headers_check(struct slice map, bool reserved_ok, const char **ret_why);

/* headers_next reads one entry of a map whose header was read with read_map. Returns 0 ·
 * HEADERS_E_BAD (not a header; cannot happen after headers_check). */
BT_MUST int headers_next(struct reader *r, struct header *ret_header);

/* headers_encode appends a map of `n` entries to `out`. Returns 0 · -ENOMEM. */
struct buf;
BT_MUST int headers_encode(struct buf *out, const struct header *entries, size_t n);

#endif
