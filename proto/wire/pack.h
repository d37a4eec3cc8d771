/* pack.h - msgpack-c's packer, writing into a struct buf. Private to this room.
 *
 * The msgpack_pack_ functions answer less than 0 if the buffer could not grow. What has been
 * written by then is still in the buffer: whoever opened it takes it back (pack_end). */
#ifndef BATON_WIRE_PACK_H
#define BATON_WIRE_PACK_H

#include "proto/base/buf.h"
#include "proto/wire/reader.h"
#include <msgpack.h>

struct pack {
        msgpack_packer packer;
        struct buf *out;
        size_t len_before;
        int error; /* the first that happened, 0 if none; later writes do nothing */
};

/* pack_begin prepares to append to `out`. */
void pack_begin(struct pack *p, struct buf *out);

/* pack_end returns 0 · -ENOMEM, and then `out` is as long as it was before. */
BT_MUST int pack_end(struct pack *p);

void pack_array(struct pack *p, size_t n);
void pack_map(struct pack *p, size_t n);
void pack_uint(struct pack *p, uint64_t value);
void pack_int(struct pack *p, int64_t value);
void pack_bool(struct pack *p, bool value);
void pack_nil(struct pack *p);
void pack_double(struct pack *p, double value);
void pack_str(struct pack *p, struct slice str);
void pack_text(struct pack *p, const char *text);
void pack_bin(struct pack *p, struct slice bin);

#endif
