/* reader.h - take values, one by one, from a frame that scan.h has passed.
 *
 * The hot envelope (PUB, INGRESS, DELIVERY, CREDIT ...) is read with this; frames with maps and
 * many texts go through msgpack-c (message.h). Each call reads one value and moves on. They check
 * kinds, not bounds: scan_frame did that, so a reader must stay within its frame's n_fields. A
 * reader that met a value of another kind has not moved.
 *
 *      struct reader r = {frame.body, frame.data + frame.len};
 *      if (read_uint(&r, &n_fds) || read_str(&r, &topic)) ...
 */
#ifndef BATON_WIRE_READER_H
#define BATON_WIRE_READER_H

#include "proto/base/defs.h"
#include "proto/wire/format.h"
#include <stdint.h>

enum {
        READ_E_KIND = 1, /* the value is of another kind, or out of the range asked for */
};

struct reader {
        const uint8_t *at, *end;
};

/* Borrowed bytes of a packet. */
struct slice {
        const uint8_t *data;
        size_t len;
};

/* What the inline readers below leave to a call: the wider encodings. */
BT_MUST int read_uint_wide(struct reader *r, uint64_t *ret_value);
BT_MUST int read_str_wide(struct reader *r, struct slice *ret_str);
BT_MUST int read_bin_wide(struct reader *r, struct slice *ret_bin);

/* read_uint reads a non-negative integer in any encoding. Returns 0 · READ_E_KIND. */
BT_MUST static inline int read_uint(struct reader *r, uint64_t *ret_value)
{
        if (bt_unlikely(*r->at > MP_FIXINT_MAX))
                return read_uint_wide(r, ret_value);
        *ret_value = *r->at++;
        return 0;
}

/* read_str and read_bin read a string, a binary, of any encoding. Returns 0 · READ_E_KIND. */
BT_MUST static inline int read_str(struct reader *r, struct slice *ret_str)
{
        if (bt_unlikely((*r->at & 0xe0) != MP_FIXSTR))
                return read_str_wide(r, ret_str);
        *ret_str = (struct slice){r->at + 1, *r->at & 31};
        r->at = ret_str->data + ret_str->len;
        return 0;
}

BT_MUST static inline int read_bin(struct reader *r, struct slice *ret_bin)
{
        if (bt_unlikely(*r->at != MP_BIN8))
                return read_bin_wide(r, ret_bin);
        *ret_bin = (struct slice){r->at + 2, r->at[1]};
        r->at = ret_bin->data + ret_bin->len;
        return 0;
}

/* read_array and read_map read a container's header; its elements (for maps: n keys and n values)
 * follow. Returns 0 · READ_E_KIND. */
BT_MUST int read_array(struct reader *r, uint32_t *ret_n);
BT_MUST int read_map(struct reader *r, uint32_t *ret_n);

/* read_skip passes over one value of any kind. */
void read_skip(struct reader *r);

/* read_raw passes over one value and returns its encoded bytes. */
struct slice read_raw(struct reader *r);

#endif
