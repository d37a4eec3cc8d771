/* Design note. The lead bytes of one kind lie side by side, narrow before wide, so the width of
 * what follows is 1 << (lead - first): no table, one shift. */
#include "proto/wire/reader.h"

#include "proto/wire/limits.h"
#include "proto/wire/scan.h"

#include <assert.h>

/* A signed integer that is not negative. */
static int read_int(struct reader *r, uint64_t *ret_value)
{
        uint8_t lead = *r->at;

        if (lead < MP_INT8 || lead > MP_INT64 || r->at[1] & 0x80)
                return READ_E_KIND;
        unsigned width = 1u << (lead - MP_INT8);
        *ret_value = mp_get(r->at + 1, width);
        r->at += 1 + width;
        return 0;
}

/* The unsigned ones each by itself: half of a DELIVERY are such. */
int read_uint_wide(struct reader *r, uint64_t *ret_value)
{
        const uint8_t *p = r->at + 1;

        switch (p[-1]) {
        case MP_UINT8:
                *ret_value = *p;
                r->at = p + 1;
                return 0;
        case MP_UINT16:
                *ret_value = mp_get16(p);
                r->at = p + 2;
                return 0;
        case MP_UINT32:
                *ret_value = mp_get32(p);
                r->at = p + 4;
                return 0;
        case MP_UINT64:
                *ret_value = mp_get64(p);
                r->at = p + 8;
                return 0;
        default:
                return read_int(r, ret_value);
        }
}

static int read_bytes(struct reader *r, uint8_t first, struct slice *ret_bytes)
{
        uint8_t lead = *r->at;

        if (lead < first || lead > first + 2)
                return READ_E_KIND;
        unsigned width = 1u << (lead - first);
        const uint8_t *data = r->at + 1 + width;
        *ret_bytes = (struct slice){data, mp_get(r->at + 1, width)};
        r->at = data + ret_bytes->len;
        return 0;
}

int read_str_wide(struct reader *r, struct slice *ret_str)
{
        return read_bytes(r, MP_STR8, ret_str);
}

int read_bin_wide(struct reader *r, struct slice *ret_bin)
{
        return read_bytes(r, MP_BIN8, ret_bin);
}

static int read_count(struct reader *r, uint8_t fix, uint8_t wide, uint32_t *ret_n)
{
        uint8_t lead = *r->at;

        if ((lead & 0xf0) == fix) {
                *ret_n = lead & 15;
                r->at++;
                return 0;
        }
        if (lead != wide && lead != wide + 1)
                return READ_E_KIND;
        unsigned width = 2u << (lead - wide);
        *ret_n = (uint32_t)mp_get(r->at + 1, width);
        r->at += 1 + width;
        return 0;
}

int read_array(struct reader *r, uint32_t *ret_n)
{
        return read_count(r, MP_FIXARRAY, MP_ARRAY16, ret_n);
}

int read_map(struct reader *r, uint32_t *ret_n)
{
        return read_count(r, MP_FIXMAP, MP_MAP16, ret_n);
}

struct slice read_raw(struct reader *r)
{
        const uint8_t *start = r->at;
        int failed = scan_value(&r->at, r->end, WIRE_DEPTH);

        assert(!failed);
        (void)failed;
        return (struct slice){start, (size_t)(r->at - start)};
}

void read_skip(struct reader *r)
{
        (void)read_raw(r);
}
