/* assemble.h - publications that come in chunks. Private to this room. */
#ifndef BATON_CLIENT_ASSEMBLE_H
#define BATON_CLIENT_ASSEMBLE_H

#include "client/payload.h"

#include "proto/base/buf.h"
#include "proto/base/fdset.h"
#include "proto/wire/message.h"

struct view;

enum assembly_state {
        ASSEMBLY_NONE,
        ASSEMBLY_COLLECTS,
        ASSEMBLY_SKIPS, /* it cannot be had, or nobody wants it */
};

/* One between its BEGIN and its END. Zero state: all bytes zero. */
struct assembly {
        enum assembly_state state;
        enum wire_gap_reason why; /* SKIPS: what is told at END; 0: nothing */
        struct msg_delivery delivery;
        uint64_t size; /* as announced; 0: not known */
        uint64_t got;
        struct buf begin; /* the frame */
        struct fdset *fds;
        struct payload *payload;
};

/* The three frames, as they come in the view; END calls the callbacks. Return 0 · -EPROTO (lost).
 */
BT_MUST int assemble_begin(struct baton *b, struct view *v, const struct frame *f);
BT_MUST int assemble_chunk(struct baton *b, struct view *v, const struct frame *f);
BT_MUST int assemble_end(struct baton *b, struct view *v, const struct frame *f);

void assembly_deinit(struct assembly *a);

#endif
