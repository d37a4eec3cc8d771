/* Design note. Every lead byte is described by one line of a table: how many bytes stand before
 * what varies, how wide the length or count behind it is, and how many values one count stands
 * for. One loop walks values; open containers are a stack of counts, at most WIRE_DEPTH high. A
 * count larger than the bytes left is refused where it is read, so the work is O(bytes) and what
 * msgpack-c allocates later is at most 24 bytes per byte of the frame.
 *
 * A publication takes a path of its own: its envelope has one shape nearly always, and walking it
 * by that shape costs a third. The path only ever says yes; what it does not know, sound or not,
 * goes the common way. */
#include "proto/wire/scan.h"

#include "proto/wire/format.h"
#include "proto/wire/limits.h"
#include "proto/wire/proto.h"

#include <assert.h>
#include <stdbool.h>

struct form {
        uint8_t fixed; /* bytes without the counted ones; 0: never valid */
        uint8_t width; /* of the length or count behind the lead byte; 0: it has none */
        uint8_t per;   /* values per count, for containers; 0: the number counts bytes */
};

/* Lead bytes MP_NIL (0xc0) to MP_MAP32 (0xdf). */
static const struct form forms[32] = {
        {1, 0, 0}, {0, 0, 0}, {1, 0, 0}, {1, 0, 0}, /* nil, 0xc1, false, true */
        {2, 1, 0}, {3, 2, 0}, {5, 4, 0},            /* bin */
        {3, 1, 0}, {4, 2, 0}, {6, 4, 0}, /* ext: a byte of type stands after the length */
        {5, 0, 0}, {9, 0, 0},            /* float */
        {2, 0, 0}, {3, 0, 0}, {5, 0, 0}, {9, 0, 0},  /* uint */
        {2, 0, 0}, {3, 0, 0}, {5, 0, 0}, {9, 0, 0},  /* int */
        {3, 0, 0}, {4, 0, 0}, {6, 0, 0}, {10, 0, 0}, /* fixext 1, 2, 4, 8 */
        {18, 0, 0},                                  /* fixext 16 */
        {2, 1, 0}, {3, 2, 0}, {5, 4, 0},             /* str */
        {3, 2, 1}, {5, 4, 1},                        /* array */
        {3, 2, 2}, {5, 4, 2},                        /* map */
};

/* What stands at one place. */
struct head {
        uint64_t bytes;    /* to the next value: of a container its header alone */
        uint64_t children; /* values inside */
        bool is_container;
};

/* Pre: p < end. Inlined for `ret` to stay in registers. */
static inline __attribute__((always_inline)) bool head_read(
        const uint8_t *p, const uint8_t *end, struct head *ret)
{
        uint8_t lead = *p;
        uint64_t left = (uint64_t)(end - p);

        if (lead <= MP_FIXINT_MAX || lead >= MP_FIXINT_NEGATIVE) {
                *ret = (struct head){.bytes = 1};
                return true;
        }
        if (lead < MP_NIL) {
                if (lead >= MP_FIXSTR)
                        *ret = (struct head){.bytes = 1u + (lead & 31)};
                else if (lead >= MP_FIXARRAY)
                        *ret = (struct head){1, lead & 15, true};
                else
                        *ret = (struct head){1, 2u * (lead & 15), true};
                return ret->bytes + ret->children <= left;
        }
        struct form form = forms[lead - MP_NIL];
        if (!form.fixed || form.fixed > left)
                return false;
        uint64_t n = form.width ? mp_get(p + 1, form.width) : 0;
        if (form.per)
                *ret = (struct head){form.fixed, n * form.per, true};
        else
                *ret = (struct head){.bytes = form.fixed + n};
        return ret->bytes + ret->children <= left;
}

/* Where the uint of 1, 2, 4 or 8 bytes at `p` ends; NULL: behind `end`. As head_read says, but
 * sooner: DELIVERY and the control frames consist of little else. */
static inline const uint8_t *uint_end(const uint8_t *p, const uint8_t *end)
{
        size_t n = 1 + ((size_t)1 << (*p & 3));

        return n <= (size_t)(end - p) ? p + n : NULL;
}

/* Walks over `n` values whose containers may nest `depth` deep. Returns where the next one would
 * stand, NULL if they are malformed. */
static const uint8_t *walk(const uint8_t *p, const uint8_t *end, uint64_t n, unsigned depth)
{
        uint64_t outer[WIRE_DEPTH]; /* values still to come behind each open container */
        unsigned level = 0;
        struct head head;

        for (;;) {
                while (n == 0) {
                        if (level == 0)
                                return p;
                        n = outer[--level];
                }
                if (p >= end)
                        return NULL;
                n--;
                if (*p <= MP_FIXINT_MAX) {
                        p++;
                        continue;
                }
                if ((*p & ~3) == MP_UINT8) {
                        p = uint_end(p, end);
                        if (!p)
                                return NULL;
                        continue;
                }
                if (!head_read(p, end, &head))
                        return NULL;
                p += head.bytes;
                if (!head.is_container)
                        continue;
                if (level == depth)
                        return NULL;
                outer[level++] = n;
                n = head.children;
        }
}

int scan_value(const uint8_t **cursor, const uint8_t *end, unsigned depth)
{
        assert(depth <= WIRE_DEPTH);
        const uint8_t *p = walk(*cursor, end, 1, depth);
        if (!p)
                return SCAN_E_MALFORMED;
        *cursor = p;
        return 0;
}

/* Reads the frame's own array header and type, in any encoding. */
static int open_frame(const uint8_t *p, const uint8_t *end, struct frame *frame)
{
        struct head head;

        bool is_array = (*p & 0xf0) == MP_FIXARRAY || *p == MP_ARRAY16 || *p == MP_ARRAY32;
        if (!is_array || !head_read(p, end, &head) || head.children == 0)
                return SCAN_E_MALFORMED;
        frame->n_fields = (uint32_t)head.children - 1;
        p += head.bytes;
        if (!head_read(p, end, &head))
                return SCAN_E_MALFORMED;
        uint64_t type = *p;
        if (*p >= MP_UINT8 && *p <= MP_INT64)
                type = mp_get(p + 1, (unsigned)head.bytes - 1);
        if (type >= WIRE_TYPE_END)
                return SCAN_E_MALFORMED;
        frame->type = (uint8_t)type;
        frame->body = p + head.bytes;
        return 0;
}

/* A frame of any shape. */
static __attribute__((noinline)) int scan_any(
        const uint8_t **cursor, const uint8_t *end, struct frame *ret_frame)
{
        struct frame frame = {.data = *cursor};

        int r = open_frame(*cursor, end, &frame);
        if (r)
                return r;
        const uint8_t *behind = walk(frame.body, end, frame.n_fields, WIRE_DEPTH - 1);
        if (!behind || behind - frame.data > WIRE_FRAME_BYTES)
                return SCAN_E_MALFORMED;
        frame.len = (size_t)(behind - frame.data);
        *ret_frame = frame;
        *cursor = behind;
        return 0;
}

/* The three functions below scan a publication as nearly all are: 95 10, n_fds below 128, a topic
 * with a header of one or two bytes, headers, an inline payload below 64 KiB. They hand on to each
 * other and to scan_any in tail calls alone, for nothing then needs saving across a call: half of
 * what they cost. */

/* The end: the payload is at `at`, and `n` the bytes that the frame may have. */
static inline int scan_pub_payload(
        const uint8_t **cursor, const uint8_t *end, struct frame *ret_frame, size_t n, size_t at)
{
        const uint8_t *p = *cursor;

        if (at + 2 <= n && p[at] == MP_BIN8)
                at += 2u + p[at + 1];
        else if (at + 3 <= n && p[at] == MP_BIN16)
                at += 3u + mp_get16(p + at + 1);
        else
                return scan_any(cursor, end, ret_frame);
        if (at > n)
                return scan_any(cursor, end, ret_frame);
        *ret_frame = (struct frame){p, at, p + 2, 4, WIRE_PUB};
        *cursor = p + at;
        return 0;
}

/* The middle, if there are headers. */
static __attribute__((noinline)) int scan_pub_headers(
        const uint8_t **cursor, const uint8_t *end, struct frame *ret_frame, size_t n, size_t at)
{
        const uint8_t *p = *cursor, *behind = walk(p + at, p + n, 1, WIRE_DEPTH - 1);

        if (!behind)
                return scan_any(cursor, end, ret_frame);
        return scan_pub_payload(cursor, end, ret_frame, n, (size_t)(behind - p));
}

int scan_frame(const uint8_t **cursor, const uint8_t *end, struct frame *ret_frame)
{
        const uint8_t *p = *cursor;
        size_t n = size_min((size_t)(end - p), WIRE_FRAME_BYTES), at;

        /* The shortest is 95 10 00 a0 80 c4 00. */
        if (n < 7 || mp_get16(p) != ((MP_FIXARRAY | 5) << 8 | WIRE_PUB) || p[2] > MP_FIXINT_MAX)
                return scan_any(cursor, end, ret_frame);
        if ((p[3] & 0xe0) == MP_FIXSTR)
                at = 4u + (p[3] & 31);
        else if (p[3] == MP_STR8)
                at = 5u + p[4];
        else
                return scan_any(cursor, end, ret_frame);
        if (at >= n)
                return scan_any(cursor, end, ret_frame);
        if (p[at] == MP_FIXMAP)
                return scan_pub_payload(cursor, end, ret_frame, n, at + 1);
        return scan_pub_headers(cursor, end, ret_frame, n, at);
}
