/* Design note. A publication has few headers, so distinct keys are found by comparing each with
 * all before it: at most 2,016 comparisons of strings that share 8 KiB, and none of it allocates.
 * The broker runs this on every publication that has headers. */
#include "proto/wire/headers.h"

#include "proto/wire/limits.h"
#include "proto/wire/pack.h"
#include "proto/wire/topic.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Negative integers; the others are read_uint's. */
static int64_t signed_of(const uint8_t *p, unsigned width)
{
        switch (width) {
        case 1:
                return (int8_t)*p;
        case 2:
                return (int16_t)mp_get16(p);
        case 4:
                return (int32_t)mp_get32(p);
        default:
                return (int64_t)mp_get64(p);
        }
}

static double float_of(const uint8_t *p)
{
        uint32_t bits32;
        uint64_t bits64;
        float narrow;
        double wide;

        if (*p == MP_FLOAT32) {
                bits32 = mp_get32(p + 1);
                memcpy(&narrow, &bits32, sizeof(narrow));
                return (double)narrow;
        }
        bits64 = mp_get64(p + 1);
        memcpy(&wide, &bits64, sizeof(wide));
        return wide;
}

/* Reads a value that is its lead byte and a fixed number of bytes. */
static int read_scalar(struct reader *r, struct header *h)
{
        uint8_t lead = *r->at;

        if (lead >= MP_FIXINT_NEGATIVE) {
                h->kind = HEADER_INT;
                h->value.i = (int8_t)lead;
        } else if (lead >= MP_INT8 && lead <= MP_INT64) {
                h->kind = HEADER_INT;
                h->value.i = signed_of(r->at + 1, 1u << (lead - MP_INT8));
        } else if (lead == MP_FLOAT32 || lead == MP_FLOAT64) {
                h->kind = HEADER_FLOAT;
                h->value.f = float_of(r->at);
        } else if (lead == MP_FALSE || lead == MP_TRUE) {
                h->kind = HEADER_BOOL;
                h->value.boolean = lead == MP_TRUE;
        } else if (lead == MP_NIL) {
                h->kind = HEADER_NIL;
        } else {
                return HEADERS_E_BAD;
        }
        read_skip(r);
        return 0;
}

int headers_next(struct reader *r, struct header *ret_header)
{
        struct header h = {0};

        if (read_str(r, &h.key))
                return HEADERS_E_BAD;
        if (!read_uint(r, &h.value.u))
                h.kind = HEADER_UINT;
        else if (!read_str(r, &h.value.bytes))
                h.kind = HEADER_STR;
        else if (!read_bin(r, &h.value.bytes))
                h.kind = HEADER_BIN;
        else if (read_scalar(r, &h))
                return HEADERS_E_BAD;
        *ret_header = h;
        return 0;
}

static bool is_among(struct slice key, const struct slice *keys, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (keys[i].len == key.len && !memcmp(keys[i].data, key.data, key.len))
                        return true;
        }
        return false;
}

/* Returns what is wrong with one entry by itself, NULL if nothing is. */
static const char *fault_of(const struct header *h, bool reserved_ok)
{
        if (h->key.len < 1 || h->key.len > WIRE_HEADER_KEY_BYTES)
                return "a header's key is not of 1 to 255 bytes";
        if (!utf8_is_valid(h->key.data, h->key.len))
                return "a header's key is not UTF-8";
        if (!reserved_ok && h->key.data[0] == '$')
                return "a header's key begins with $, which belongs to the broker";
        if (h->kind == HEADER_STR && !utf8_is_valid(h->value.bytes.data, h->value.bytes.len))
                return "a header's string is not UTF-8";
        if (h->kind == HEADER_FLOAT && !isfinite(h->value.f))
                return "a header's number is not finite";
        return NULL;
}

static const char *find_fault(struct slice map, bool reserved_ok)
{
        struct reader r = {map.data, map.data + map.len};
        struct slice keys[WIRE_HEADER_ENTRIES];
        struct header h;
        uint32_t n;

        if (map.len > WIRE_HEADER_BYTES)
                return "headers of more than 8192 bytes";
        if (map.len < 1 || read_map(&r, &n))
                return "headers are not a map";
        if (n > WIRE_HEADER_ENTRIES)
                return "more than 64 headers";
        for (uint32_t i = 0; i < n; i++) {
                if (headers_next(&r, &h))
                        return "a header's key is no string, or its value is a container";
                const char *why = fault_of(&h, reserved_ok);
                if (why)
                        return why;
                if (is_among(h.key, keys, i))
                        return "two headers have the same key";
                keys[i] = h.key;
        }
        return NULL;
}

int headers_check(struct slice map, bool reserved_ok, const char **ret_why)
{
        const char *why = find_fault(map, reserved_ok);

        if (!why)
                return 0;
        *ret_why = why;
        return HEADERS_E_BAD;
}

static void pack_header(struct pack *p, const struct header *h)
{
        pack_str(p, h->key);
        switch (h->kind) {
        case HEADER_NIL:
                pack_nil(p);
                break;
        case HEADER_BOOL:
                pack_bool(p, h->value.boolean);
                break;
        case HEADER_INT:
                pack_int(p, h->value.i);
                break;
        case HEADER_UINT:
                pack_uint(p, h->value.u);
                break;
        case HEADER_FLOAT:
                pack_double(p, h->value.f);
                break;
        case HEADER_STR:
                pack_str(p, h->value.bytes);
                break;
        case HEADER_BIN:
                pack_bin(p, h->value.bytes);
                break;
        }
}

int headers_encode(struct buf *out, const struct header *entries, size_t n)
{
        struct pack p;

        assert(n <= WIRE_HEADER_ENTRIES);
        pack_begin(&p, out);
        pack_map(&p, n);
        for (size_t i = 0; i < n; i++)
                pack_header(&p, &entries[i]);
        return pack_end(&p);
}
