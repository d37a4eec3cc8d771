/* Design note. Three ways to the struct, all behind the scan: the publications and DELIVERY, by
 * hand, for they are most of the traffic; frames of integers alone, by the table of fields.c; and
 * HELLO, WELCOME and SUB, which come once in a while and have maps, by msgpack-c (unpack.c).
 *
 * Everything is decoded into a local struct first: a caller's struct is whole or untouched. */
#include "proto/wire/message.h"

#include "proto/wire/fields.h"
#include "proto/wire/unpack.h"

#include <string.h>

/* What the fields are read from; the scan has counted them. */
static inline struct reader reader_of(const struct frame *frame)
{
        return (struct reader){frame->body, frame->data + frame->len};
}

/* Reads an integer from `least` to `most`. */
static inline int read_range(struct reader *r, uint64_t least, uint64_t most, uint64_t *ret_value)
{
        uint64_t value;

        if (read_uint(r, &value) || value < least || value > most)
                return MESSAGE_E_MALFORMED;
        *ret_value = value;
        return 0;
}

/* Reads what PUB and BEGIN begin with. */
static inline int read_envelope(struct reader *r, const struct frame *frame, struct msg_pub *pub)
{
        uint64_t n_fds;

        if (frame->n_fields < 4 || read_range(r, 0, WIRE_FDS + 1, &n_fds) ||
                read_str(r, &pub->topic))
                return MESSAGE_E_MALFORMED;
        pub->n_fds = (uint32_t)n_fds;
        if (bt_likely(*r->at == MP_FIXMAP)) {
                pub->headers = (struct slice){r->at++, 1};
                pub->n_headers = 0;
                return 0;
        }
        struct reader inside = *r;
        if (read_map(&inside, &pub->n_headers))
                return MESSAGE_E_MALFORMED;
        pub->headers = read_raw(r);
        return 0;
}

/* A PUB of any shape. */
static __attribute__((noinline)) int decode_pub(const struct frame *frame, struct msg_pub *ret_pub)
{
        struct reader r = reader_of(frame);
        struct msg_pub pub = {0};

        if (read_envelope(&r, frame, &pub))
                return MESSAGE_E_MALFORMED;
        if (!read_bin(&r, &pub.payload)) {
                if (pub.n_fds > WIRE_FDS)
                        return MESSAGE_E_MALFORMED;
        } else if (read_range(&r, 1, UINT64_MAX, &pub.size) || pub.n_fds == 0) {
                return MESSAGE_E_MALFORMED; /* a placed payload is in the last descriptor */
        }
        *ret_pub = pub;
        return 0;
}

/* The shape that nearly all have is told by four bytes, and read without a struct reader, whose
 * address would keep everything out of registers: half the instructions. */
int message_decode_pub(const struct frame *frame, struct msg_pub *ret_pub)
{
        const uint8_t *p = frame->body;
        struct slice topic, payload;

        if (frame->n_fields < 4 || p[0] > WIRE_FDS)
                return decode_pub(frame, ret_pub);
        if ((p[1] & 0xe0) == MP_FIXSTR)
                topic = (struct slice){p + 2, p[1] & 31};
        else if (p[1] == MP_STR8)
                topic = (struct slice){p + 3, p[2]};
        else
                return decode_pub(frame, ret_pub);
        const uint8_t *headers = topic.data + topic.len;
        if (headers[0] != MP_FIXMAP)
                return decode_pub(frame, ret_pub);
        if (headers[1] == MP_BIN8)
                payload = (struct slice){headers + 3, headers[2]};
        else if (headers[1] == MP_BIN16)
                payload = (struct slice){headers + 4, mp_get16(headers + 2)};
        else
                return decode_pub(frame, ret_pub);
        *ret_pub = (struct msg_pub){p[0], topic, {headers, 1}, 0, payload, 0};
        return 0;
}

/* What the scan and the decoder find in a frame they find in its bytes one after the other, so the
 * same bytes lead both to the same place: before the length. The one rule that asks for the whole,
 * WIRE_FRAME_BYTES, holds with the longest payload.
 *
 * A wider length whose second byte from the end is MP_BIN8 is of more than 255 bytes. */
struct slice message_run_prefix(const struct frame *frame, const struct msg_pub *pub)
{
        const struct slice *payload = &pub->payload;
        struct slice prefix = {frame->data, 0};

        if (!payload->data || payload->len > UINT8_MAX || payload->data[-2] != MP_BIN8 ||
                payload->data + payload->len != frame->data + frame->len)
                return prefix;
        size_t len = frame->len - payload->len - 1;
        if (len + 1 + UINT8_MAX <= WIRE_FRAME_BYTES)
                prefix.len = len;
        return prefix;
}

static int decode_begin(const struct frame *frame, struct msg_pub *ret_pub)
{
        struct reader r = reader_of(frame);
        struct msg_pub pub = {0};

        if (read_envelope(&r, frame, &pub) || pub.n_fds > WIRE_FDS || read_uint(&r, &pub.size))
                return MESSAGE_E_MALFORMED;
        *ret_pub = pub;
        return 0;
}

static int decode_chunk(const struct frame *frame, struct slice *ret_data)
{
        struct reader r = reader_of(frame);

        return frame->n_fields < 1 || read_bin(&r, ret_data) ? MESSAGE_E_MALFORMED : 0;
}

static int read_subs(struct reader *r, struct msg_delivery *delivery)
{
        uint64_t sub;

        if (read_array(r, &delivery->n_subs) || delivery->n_subs > WIRE_DELIVERY_SUBS)
                return MESSAGE_E_MALFORMED;
        for (uint32_t i = 0; i < delivery->n_subs; i++) {
                if (read_range(r, 1, UINT32_MAX, &sub))
                        return MESSAGE_E_MALFORMED;
                delivery->subs[i] = (uint32_t)sub;
        }
        return 0;
}

/* Reads the first `n` of what a DELIVERY may leave out; most leave out all. */
static __attribute__((noinline)) int read_rare(struct reader *r, size_t n, struct msg_delivery *d)
{
        uint64_t *const fields[] = {
                &d->flags, &d->redelivered, &d->withheld, &d->token, &d->age_ms, &d->request};

        n = size_min(n, ARRAY_LEN(fields));
        for (size_t i = 0; i < n; i++) {
                if (read_uint(r, fields[i]))
                        return MESSAGE_E_MALFORMED;
        }
        return 0;
}

int message_decode_delivery(const struct frame *frame, struct msg_delivery *ret_delivery)
{
        struct reader r = reader_of(frame);
        struct msg_delivery d;
        const size_t n_required = 6;

        if (frame->n_fields < n_required || read_uint(&r, &d.seq) || read_uint(&r, &d.session) ||
                read_uint(&r, &d.pid) || read_uint(&r, &d.uid) || read_uint(&r, &d.gid) ||
                read_subs(&r, &d))
                return MESSAGE_E_MALFORMED;
        d.flags = d.redelivered = d.withheld = d.token = d.age_ms = d.request = 0;
        if (frame->n_fields > n_required && read_rare(&r, frame->n_fields - n_required, &d))
                return MESSAGE_E_MALFORMED;
        /* Of `subs` only what is used. */
        memcpy(ret_delivery, &d,
                offsetof(struct msg_delivery, subs) + d.n_subs * sizeof(d.subs[0]));
        return 0;
}

/* BYE (code, text) and ERR (id, code, text, [limit]). */
static int decode_verdict(const struct frame *frame, struct msg_verdict *ret_verdict)
{
        struct reader r = reader_of(frame);
        struct msg_verdict v = {.limit = {(const uint8_t *)"", 0}};
        bool is_err = frame->type == WIRE_ERR;

        if (frame->n_fields < (is_err ? 3 : 2) || (is_err && read_range(&r, 0, INT64_MAX, &v.id)) ||
                read_uint(&r, &v.code) || read_str(&r, &v.text))
                return MESSAGE_E_MALFORMED;
        if (is_err && frame->n_fields > 3 && read_str(&r, &v.limit))
                return MESSAGE_E_MALFORMED;
        *ret_verdict = v;
        return 0;
}

/* The rest of the protocol, and what is not in it. */
static int decode_fields(const struct frame *frame, struct message *ret_message)
{
        const struct fields *fields = fields_find(frame->type);
        struct reader r = reader_of(frame);
        uint64_t values[FIELDS_MAX] = {0};

        if (!fields)
                return frame->type & WIRE_IGNORABLE ? MESSAGE_E_IGNORE : MESSAGE_E_UNKNOWN;
        if (frame->n_fields < fields->n_required)
                return MESSAGE_E_MALFORMED;
        for (size_t i = 0; i < fields->n; i++) {
                const struct field *field = &fields->field[i];
                values[i] = field->absent;
                if (i < frame->n_fields && read_range(&r, field->least, field->most, &values[i]))
                        return MESSAGE_E_MALFORMED;
        }
        if ((frame->type == WIRE_ACK || frame->type == WIRE_NACK) && values[0] > values[1])
                return MESSAGE_E_MALFORMED;
        /* The largest of them; ACK shares its struct with NACK and leaves a field of it to us. */
        ret_message->gap = (struct msg_gap){0};
        for (size_t i = 0; i < fields->n; i++)
                field_set(ret_message, &fields->field[i], values[i]);
        return 0;
}

static int decode_body(const struct frame *frame, struct message *ret_message)
{
        switch (frame->type) {
        case WIRE_PUB:
                return message_decode_pub(frame, &ret_message->pub);
        case WIRE_DELIVERY:
                return message_decode_delivery(frame, &ret_message->delivery);
        case WIRE_BEGIN:
                return decode_begin(frame, &ret_message->pub);
        case WIRE_CHUNK:
                return decode_chunk(frame, &ret_message->chunk);
        case WIRE_BYE:
        case WIRE_ERR:
                return decode_verdict(frame, &ret_message->verdict);
        case WIRE_HELLO:
                return unpack_hello(frame, &ret_message->hello);
        case WIRE_WELCOME:
                return unpack_welcome(frame, &ret_message->welcome);
        case WIRE_SUB:
                return unpack_sub(frame, &ret_message->sub);
        default:
                return decode_fields(frame, ret_message);
        }
}

int message_decode(const struct frame *frame, struct message *ret_message)
{
        int r = decode_body(frame, ret_message);

        if (r == 0 || r == MESSAGE_E_UNSUPPORTED)
                ret_message->type = (enum wire_type)frame->type;
        return r;
}
