/* scan.h - check bytes before anybody decodes them: no allocation, no recursion, one pass.
 *
 * Everything else in this room, msgpack-c above all, only sees bytes that went through here:
 * msgpack-c allocates what a container's count asks for (5 bytes make it ask for gigabytes). */
#ifndef BATON_WIRE_SCAN_H
#define BATON_WIRE_SCAN_H

#include "proto/base/defs.h"
#include <stdint.h>

enum {
        SCAN_E_MALFORMED = 1, /* not msgpack within the limits, or not a frame */
};

/* One frame as it lies in its packet; borrowed from the packet. */
struct frame {
        const uint8_t *data; /* [len], starts with the array's own header */
        size_t len;
        const uint8_t *body; /* the first element after the type */
        uint32_t n_fields;   /* elements after the type */
        uint8_t type;        /* 0 .. WIRE_TYPE_END - 1 */
};

/* scan_frame checks the frame at `*cursor` and moves `*cursor` behind it.
 *
 * end     the end of the packet.
 * Returns 0 · SCAN_E_MALFORMED: depth over WIRE_DEPTH (the frame itself is 1), a count or length
 *         beyond `end`, 0xc1, an empty array, a type that is no integer below WIRE_TYPE_END,
 *         or longer than WIRE_FRAME_BYTES. Strings are not checked for UTF-8: topic.h and headers.h
 * do it where the protocol asks for it. Pre: *cursor < end. Post: on failure *cursor is unchanged.
 */
BT_MUST int scan_frame(const uint8_t **cursor, const uint8_t *end, struct frame *ret_frame);

/* scan_value moves `*cursor` behind one msgpack value.
 *
 * depth   how deep its containers may nest, at most WIRE_DEPTH: 0 = it must be a scalar, 1 = or a
 *         container of scalars.
 * Returns 0 · SCAN_E_MALFORMED, also if `*cursor` is `end`; then *cursor is unchanged. */
BT_MUST int scan_value(const uint8_t **cursor, const uint8_t *end, unsigned depth);

#endif
