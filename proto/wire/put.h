/* put.h - write msgpack by hand, in its shortest form, where room is known to suffice. For the
 * frames that are written by the million; the rest goes through pack.h. Private to this room.
 *
 * Each writes at `p` and returns where the next value goes. */
#ifndef BATON_WIRE_PUT_H
#define BATON_WIRE_PUT_H

#include "proto/wire/format.h"
#include "proto/wire/reader.h"
#include <string.h>

enum {
        PUT_UINT_BYTES = 9, /* the most put_uint writes */
        PUT_HEAD_BYTES = 5, /* the most a header of a str, bin or array takes */
};

/* put_wide writes `lead` and `value` in `width` (1, 2, 4, 8) big-endian bytes. */
static inline uint8_t *put_wide(uint8_t *p, uint8_t lead, uint64_t value, unsigned width)
{
        *p++ = lead;
        while (width--)
                *p++ = (uint8_t)(value >> (8 * width));
        return p;
}

static inline uint8_t *put_uint(uint8_t *p, uint64_t value)
{
        if (value <= MP_FIXINT_MAX) {
                *p = (uint8_t)value;
                return p + 1;
        }
        if (value <= UINT8_MAX)
                return put_wide(p, MP_UINT8, value, 1);
        if (value <= UINT16_MAX)
                return put_wide(p, MP_UINT16, value, 2);
        if (value <= UINT32_MAX)
                return put_wide(p, MP_UINT32, value, 4);
        return put_wide(p, MP_UINT64, value, 8);
}

/* put_array opens an array of `n` < 65,536 elements. */
static inline uint8_t *put_array(uint8_t *p, uint32_t n)
{
        if (n < 16) {
                *p = (uint8_t)(MP_FIXARRAY | n);
                return p + 1;
        }
        return put_wide(p, MP_ARRAY16, n, 2);
}

static inline uint8_t *put_raw(uint8_t *p, struct slice bytes)
{
        if (bytes.len)
                memcpy(p, bytes.data, bytes.len);
        return p + bytes.len;
}

/* put_str writes a string of less than 65,536 bytes. */
static inline uint8_t *put_str(uint8_t *p, struct slice str)
{
        if (str.len < 32)
                *p++ = (uint8_t)(MP_FIXSTR | str.len);
        else if (str.len <= UINT8_MAX)
                p = put_wide(p, MP_STR8, str.len, 1);
        else
                p = put_wide(p, MP_STR16, str.len, 2);
        return put_raw(p, str);
}

/* put_bin_head opens a binary; its `len` bytes follow. */
static inline uint8_t *put_bin_head(uint8_t *p, size_t len)
{
        if (len <= UINT8_MAX)
                return put_wide(p, MP_BIN8, len, 1);
        if (len <= UINT16_MAX)
                return put_wide(p, MP_BIN16, len, 2);
        return put_wide(p, MP_BIN32, len, 4);
}

#endif
