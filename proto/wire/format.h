/* format.h - msgpack as bytes: the lead bytes and the big-endian numbers behind them.
 * https://github.com/msgpack/msgpack/blob/master/spec.md */
#ifndef BATON_WIRE_FORMAT_H
#define BATON_WIRE_FORMAT_H

#include <stdint.h>

/* Lead bytes. 0x00-0x7f and 0xe0-0xff are small integers themselves. */
enum {
        MP_FIXINT_MAX = 0x7f,
        MP_FIXMAP = 0x80,   /* + up to 15 entries */
        MP_FIXARRAY = 0x90, /* + up to 15 elements */
        MP_FIXSTR = 0xa0,   /* + up to 31 bytes */
        MP_NIL = 0xc0,
        MP_NEVER = 0xc1,
        MP_FALSE = 0xc2,
        MP_TRUE = 0xc3,
        MP_BIN8 = 0xc4,
        MP_BIN16 = 0xc5,
        MP_BIN32 = 0xc6,
        MP_EXT8 = 0xc7,
        MP_EXT32 = 0xc9,
        MP_FLOAT32 = 0xca,
        MP_FLOAT64 = 0xcb,
        MP_UINT8 = 0xcc,
        MP_UINT16 = 0xcd,
        MP_UINT32 = 0xce,
        MP_UINT64 = 0xcf,
        MP_INT8 = 0xd0,
        MP_INT64 = 0xd3,
        MP_FIXEXT1 = 0xd4,
        MP_FIXEXT16 = 0xd8,
        MP_STR8 = 0xd9,
        MP_STR16 = 0xda,
        MP_STR32 = 0xdb,
        MP_ARRAY16 = 0xdc,
        MP_ARRAY32 = 0xdd,
        MP_MAP16 = 0xde,
        MP_MAP32 = 0xdf,
        MP_FIXINT_NEGATIVE = 0xe0,
};

static inline uint16_t mp_get16(const uint8_t *p)
{
        return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t mp_get32(const uint8_t *p)
{
        return (uint32_t)mp_get16(p) << 16 | mp_get16(p + 2);
}

static inline uint64_t mp_get64(const uint8_t *p)
{
        return (uint64_t)mp_get32(p) << 32 | mp_get32(p + 4);
}

/* mp_get reads a number of `width` (1, 2, 4 or 8) bytes. */
static inline uint64_t mp_get(const uint8_t *p, unsigned width)
{
        switch (width) {
        case 1:
                return *p;
        case 2:
                return mp_get16(p);
        case 4:
                return mp_get32(p);
        default:
                return mp_get64(p);
        }
}

#endif
