/* Design note. This process has as many descriptors open as it may, and those of a packet did not
 * come. The kernel has thrown them away, the message is here: it is delivered as one whose
 * descriptors were withheld, which is what it looks like once its header says so. A payload that
 * lay in one of them cannot be read, and is told as a gap. */
#include "client/handle.h"

#include <string.h>

/* Finds the header, and what it is about. */
static bool find(const struct packet *p, struct frame *ret_header, struct msg_pub *ret_pub)
{
        const uint8_t *at = p->data, *end = p->data + p->len;
        bool has_header = false;
        struct message m;
        struct frame f;

        while (at < end && !scan_frame(&at, end, &f)) {
                if (f.type == WIRE_DELIVERY) {
                        *ret_header = f;
                        has_header = true;
                } else if (f.type == WIRE_PUB || f.type == WIRE_BEGIN) {
                        if (!has_header || message_decode(&f, &m))
                                return false;
                        *ret_pub = m.pub;
                        return true;
                }
        }
        return false;
}

void in_withhold(struct baton *b, struct packet *p)
{
        uint8_t header[MESSAGE_DELIVERY_BYTES];
        struct msg_delivery d;
        struct msg_pub pub;
        struct frame f;

        b->in.owed_fds++; /* they were taken from the kernel all the same */
        handle_log(b, "a message came without its descriptors: too many are open here");
        if (!find(p, &f, &pub) || message_decode_delivery(&f, &d))
                return; /* which will be found to be wrong */
        d.withheld = pub.n_fds;
        d.flags |= IN_WAS_CUT;
        size_t len = message_put_delivery(header, &d), before = (size_t)(f.data - p->data);
        size_t rest = p->len - before - f.len;
        if (before + len + rest > WIRE_PACKET_BYTES)
                return;
        memmove(p->data + before + len, f.data + f.len, rest);
        memcpy(p->data + before, header, len);
        p->len = before + len + rest;
}
