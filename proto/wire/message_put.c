/* Design note. Frames that the broker writes while it fills a packet, where nothing may fail. Topic
 * and headers of a BEGIN are the bytes that its publisher sent: they lie side by side in the PUB.
 */
#include "proto/wire/message.h"
#include "proto/wire/put.h"

#include <assert.h>
#include <string.h>

size_t message_put_begin(uint8_t *to, const struct frame *pub, uint32_t n_fds, uint64_t size)
{
        struct reader r = {pub->body, pub->data + pub->len};
        uint8_t *p = to;

        read_skip(&r); /* n_fds */
        const uint8_t *from = r.at;
        read_skip(&r); /* topic */
        read_skip(&r); /* headers */
        size_t len = (size_t)(r.at - from);
        p = put_array(p, 5);
        p = put_uint(p, WIRE_BEGIN);
        p = put_uint(p, n_fds);
        memcpy(p, from, len);
        return (size_t)(put_uint(p + len, size) - to);
}

size_t message_put_chunk(uint8_t *to, size_t len)
{
        assert(len <= UINT16_MAX);
        uint8_t *p = put_uint(put_array(to, 2), WIRE_CHUNK);

        *p++ = MP_BIN16;
        *p++ = (uint8_t)(len >> 8);
        *p++ = (uint8_t)len;
        return (size_t)(p - to);
}

size_t message_put_end(uint8_t *to, unsigned status)
{
        return (size_t)(put_uint(put_uint(put_array(to, 2), WIRE_END), status) - to);
}

size_t message_put_gap(uint8_t *to, const struct msg_gap *gap)
{
        uint8_t *p = put_uint(put_array(to, 5), WIRE_GAP);

        p = put_uint(p, gap->sub);
        p = put_uint(p, gap->count);
        p = put_uint(p, gap->reason);
        return (size_t)(put_uint(p, gap->seq) - to);
}
