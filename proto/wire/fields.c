/* Design note. One line per frame, in the order of PROTOCOL.md's tables; what a line does not say
 * (least 0, absent 0) is zero. */
#include "proto/wire/fields.h"

#define AT(member) .offset = offsetof(struct message, member)
#define ANY        .most = UINT64_MAX
#define ID         .most = INT64_MAX
#define SUB_NUMBER .least = 1, .most = UINT32_MAX

static const struct fields all[] = {
        [WIRE_RIGHTS] = {1, 1, {{AT(number), ANY}}},
        [WIRE_PING] = {1, 1, {{AT(number), ANY}}},
        [WIRE_PONG] = {1, 1, {{AT(number), ANY}}},
        [WIRE_OK] = {2, 3, {{AT(ok.id), ID}, {AT(ok.value), ANY}, {AT(ok.n), ID, .absent = 1}}},
        [WIRE_UNSUB] = {2, 2, {{AT(unsub.id), ID}, {AT(unsub.sub), SUB_NUMBER}}},
        [WIRE_CREDIT] = {3, 3,
                {{AT(credit.what), .most = WIRE_CREDIT_FDS}, {AT(credit.id), .most = UINT32_MAX},
                        {AT(credit.amount), ANY}}},
        [WIRE_ACK] = {2, 2, {{AT(ack.first), ANY}, {AT(ack.last), ANY}}},
        [WIRE_NACK] = {2, 3, {{AT(ack.first), ANY}, {AT(ack.last), ANY}, {AT(ack.delay_ms), ANY}}},
        [WIRE_GAP] = {4, 4,
                {{AT(gap.sub), SUB_NUMBER}, {AT(gap.count), ANY}, {AT(gap.reason), ANY},
                        {AT(gap.seq), ANY}}},
        [WIRE_CANCEL] = {1, 1, {{AT(number), ID}}},
        [WIRE_END] = {1, 1, {{AT(number), .most = 1}}},
        [WIRE_INGRESS] = {1, 3,
                {{AT(ingress.flags), ANY}, {AT(ingress.id), ID}, {AT(ingress.ttl_ms), ANY}}},
        [WIRE_REQUEST] = {2, 3,
                {{AT(request.id), .least = 1, ID},
                        {AT(request.timeout_ms), .most = WIRE_REQUEST_MS_MAX},
                        {AT(request.max_fds), .most = WIRE_FDS}}},
        [WIRE_REPLY] = {1, 3, {{AT(reply.token), ANY}, {AT(reply.flags), ANY}, {AT(reply.id), ID}}},
};

const struct fields *fields_find(unsigned type)
{
        return type < ARRAY_LEN(all) && all[type].n ? &all[type] : NULL;
}
