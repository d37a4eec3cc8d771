/* Design note. What goes out by the million (PUB, BEGIN, CHUNK, DELIVERY) is written by hand into
 * room reserved once; all else is packed by msgpack-c. Both write the shortest form, and leave out
 * trailing fields that say what their absence says. */
#include "proto/wire/message.h"

#include "proto/wire/fields.h"
#include "proto/wire/options.h"
#include "proto/wire/pack.h"
#include "proto/wire/put.h"

#include <assert.h>

static const uint8_t no_headers[] = {MP_FIXMAP};

/* The most that the frame of a PUB or BEGIN takes without topic, headers and payload. */
enum { ENVELOPE_BYTES = 2 + PUT_UINT_BYTES + PUT_HEAD_BYTES + 1 + PUT_UINT_BYTES };

/* Writes the fields that PUB and BEGIN have in common, into room reserved here. */
static int put_envelope(struct buf *out, enum wire_type type, const struct msg_pub *pub,
        size_t payload_len, uint8_t **ret_tail)
{
        struct slice headers = pub->headers.len ? pub->headers : (struct slice){no_headers, 1};
        uint8_t *p;

        assert(pub->n_fds <= WIRE_FDS + 1 && pub->topic.len <= WIRE_TOPIC_BYTES);
        assert(headers.len <= WIRE_HEADER_BYTES && payload_len <= WIRE_FRAME_BYTES);
        int r = buf_reserve(out, ENVELOPE_BYTES + pub->topic.len + headers.len + payload_len, &p);
        if (r < 0)
                return r;
        p = put_array(p, 5);
        p = put_uint(p, type);
        p = put_uint(p, pub->n_fds);
        p = put_str(p, pub->topic);
        *ret_tail = put_raw(p, headers);
        return 0;
}

static void buf_end(struct buf *out, const uint8_t *tail)
{
        out->len = (size_t)(tail - out->data);
}

int message_encode_pub_open(struct buf *out, const struct msg_pub *pub, size_t payload_len)
{
        uint8_t *p;

        int r = put_envelope(out, WIRE_PUB, pub, 0, &p);
        if (r < 0)
                return r;
        assert(payload_len <= WIRE_FRAME_BYTES);
        buf_end(out, put_bin_head(p, payload_len));
        return 0;
}

static int encode_pub(struct buf *out, const struct msg_pub *pub)
{
        uint8_t *p;

        int r = put_envelope(out, WIRE_PUB, pub, pub->payload.len, &p);
        if (r < 0)
                return r;
        if (pub->size && !pub->payload.data)
                buf_end(out, put_uint(p, pub->size));
        else
                buf_end(out, put_raw(put_bin_head(p, pub->payload.len), pub->payload));
        return 0;
}

static int encode_begin(struct buf *out, const struct msg_pub *pub)
{
        uint8_t *p;

        int r = put_envelope(out, WIRE_BEGIN, pub, 0, &p);
        if (r < 0)
                return r;
        buf_end(out, put_uint(p, pub->size));
        return 0;
}

static int encode_chunk(struct buf *out, struct slice chunk)
{
        uint8_t *p;

        assert(chunk.len <= WIRE_FRAME_BYTES);
        int r = buf_reserve(out, 2 + PUT_HEAD_BYTES + chunk.len, &p);
        if (r < 0)
                return r;
        p = put_array(p, 2);
        p = put_uint(p, WIRE_CHUNK);
        p = put_bin_head(p, chunk.len);
        buf_end(out, put_raw(p, chunk));
        return 0;
}

size_t message_put_delivery(uint8_t *to, const struct msg_delivery *d)
{
        const uint64_t optional[] = {
                d->flags, d->redelivered, d->withheld, d->token, d->age_ms, d->request};
        uint32_t n_optional = ARRAY_LEN(optional);
        uint8_t *p = to;

        assert(d->n_subs <= WIRE_DELIVERY_SUBS);
        while (n_optional && !optional[n_optional - 1])
                n_optional--;
        p = put_array(p, 7 + n_optional);
        p = put_uint(p, WIRE_DELIVERY);
        p = put_uint(p, d->seq);
        p = put_uint(p, d->session);
        p = put_uint(p, d->pid);
        p = put_uint(p, d->uid);
        p = put_uint(p, d->gid);
        p = put_array(p, d->n_subs);
        for (uint32_t i = 0; i < d->n_subs; i++)
                p = put_uint(p, d->subs[i]);
        for (uint32_t i = 0; i < n_optional; i++)
                p = put_uint(p, optional[i]);
        return (size_t)(p - to);
}

static int encode_delivery(struct buf *out, const struct msg_delivery *delivery)
{
        uint8_t *p;

        int r = buf_reserve(out, MESSAGE_DELIVERY_BYTES, &p);
        if (r < 0)
                return r;
        out->len += message_put_delivery(p, delivery);
        return 0;
}

static void pack_option(struct pack *p, const void *object, const struct option *option)
{
        const void *value = option_in(object, option);

        pack_text(p, option->key);
        switch (option->kind) {
        case OPTION_UINT:
                assert(*(const uint64_t *)value <= option->most);
                pack_uint(p, *(const uint64_t *)value);
                break;
        case OPTION_BOOL:
                pack_bool(p, *(const bool *)value);
                break;
        case OPTION_NOT:
                pack_bool(p, !*(const bool *)value);
                break;
        case OPTION_STR:
                pack_str(p, *(const struct slice *)value);
                break;
        case OPTION_INSTANCE:
                assert(((const struct slice *)value)->len == WIRE_INSTANCE_BYTES);
                pack_bin(p, *(const struct slice *)value);
                break;
        case OPTION_OVERFLOW:
                pack_text(p, wire_overflow_name(*(const enum wire_overflow *)value));
                break;
        }
}

static size_t count_options(const void *object, const struct option *options, size_t n)
{
        size_t n_set = 0;

        for (size_t i = 0; i < n; i++)
                n_set += option_is_set(object, &options[i]);
        return n_set;
}

/* Opens a frame of `n` required fields and, if any option is set, a map of options behind them. */
static void pack_open(struct pack *p, enum wire_type type, size_t n, size_t n_set)
{
        pack_array(p, 1 + n + (n_set ? 1 : 0));
        pack_uint(p, type);
}

static void pack_options(
        struct pack *p, const void *object, const struct option *options, size_t n, size_t n_set)
{
        if (!n_set)
                return;
        pack_map(p, n_set);
        for (size_t i = 0; i < n; i++) {
                if (option_is_set(object, &options[i]))
                        pack_option(p, object, &options[i]);
        }
}

static void pack_hello(struct pack *p, const struct msg_hello *hello)
{
        size_t n_set = count_options(hello, hello_options, HELLO_OPTIONS);

        assert(hello->name.len <= WIRE_NAME_BYTES);
        pack_open(p, WIRE_HELLO, 3, n_set);
        pack_uint(p, hello->version);
        pack_str(p, hello->name);
        pack_uint(p, hello->features);
        pack_options(p, hello, hello_options, HELLO_OPTIONS, n_set);
}

static void pack_welcome(struct pack *p, const struct msg_welcome *welcome)
{
        size_t n_set = count_options(welcome, welcome_infos, WELCOME_INFOS);

        assert(welcome->instance.len == WIRE_INSTANCE_BYTES);
        assert(welcome->name.len <= WIRE_NAME_BYTES && welcome->n_limits <= MSG_WELCOME_LIMITS);
        pack_open(p, WIRE_WELCOME, 8, n_set);
        pack_uint(p, welcome->version);
        pack_uint(p, welcome->session);
        pack_bin(p, welcome->instance);
        pack_str(p, welcome->name);
        pack_uint(p, welcome->features);
        pack_uint(p, welcome->rights);
        pack_uint(p, welcome->window);
        pack_map(p, welcome->n_limits);
        for (uint32_t i = 0; i < welcome->n_limits; i++) {
                pack_str(p, welcome->limits[i].name);
                pack_uint(p, welcome->limits[i].value);
        }
        pack_options(p, welcome, welcome_infos, WELCOME_INFOS, n_set);
}

static void pack_sub(struct pack *p, const struct msg_sub *given)
{
        struct msg_sub sub = *given;

        assert(sub.sub >= 1 && sub.sub <= UINT32_MAX);
        assert(sub.filter.len <= WIRE_TOPIC_BYTES && sub.group.len <= WIRE_TOPIC_BYTES);
        if (sub.ack_ms == WIRE_ACK_MS_DEFAULT)
                sub.ack_ms = 0;
        if (sub.max_deliveries == WIRE_DELIVERIES_DEFAULT)
                sub.max_deliveries = 0;
        size_t n_set = count_options(&sub, sub_options, SUB_OPTIONS);
        pack_open(p, WIRE_SUB, 3, n_set);
        pack_uint(p, sub.id);
        pack_uint(p, sub.sub);
        pack_str(p, sub.filter);
        pack_options(p, &sub, sub_options, SUB_OPTIONS, n_set);
}

static void pack_bye(struct pack *p, const struct msg_verdict *v)
{
        assert(v->text.len <= WIRE_TEXT_BYTES);
        pack_array(p, 3);
        pack_uint(p, WIRE_BYE);
        pack_uint(p, v->code);
        pack_str(p, v->text);
}

static void pack_err(struct pack *p, const struct msg_verdict *v)
{
        assert(v->text.len <= WIRE_TEXT_BYTES && v->limit.len <= WIRE_TEXT_BYTES);
        pack_array(p, v->limit.len ? 5 : 4);
        pack_uint(p, WIRE_ERR);
        pack_uint(p, v->id);
        pack_uint(p, v->code);
        pack_str(p, v->text);
        if (v->limit.len)
                pack_str(p, v->limit);
}

static void pack_fields(struct pack *p, const struct message *message)
{
        const struct fields *fields = fields_find(message->type);
        size_t n;

        assert(fields);
        for (n = fields->n; n > fields->n_required; n--) {
                const struct field *last = &fields->field[n - 1];
                if (field_get(message, last) != last->absent)
                        break;
        }
        pack_array(p, 1 + n);
        pack_uint(p, message->type);
        for (size_t i = 0; i < n; i++) {
                uint64_t value = field_get(message, &fields->field[i]);
                assert(value >= fields->field[i].least && value <= fields->field[i].most);
                pack_uint(p, value);
        }
}

static int encode_packed(struct buf *out, const struct message *message)
{
        struct pack p;

        pack_begin(&p, out);
        switch (message->type) {
        case WIRE_HELLO:
                pack_hello(&p, &message->hello);
                break;
        case WIRE_WELCOME:
                pack_welcome(&p, &message->welcome);
                break;
        case WIRE_SUB:
                pack_sub(&p, &message->sub);
                break;
        case WIRE_BYE:
                pack_bye(&p, &message->verdict);
                break;
        case WIRE_ERR:
                pack_err(&p, &message->verdict);
                break;
        default:
                pack_fields(&p, message);
                break;
        }
        return pack_end(&p);
}

int message_encode(struct buf *out, const struct message *message)
{
        switch (message->type) {
        case WIRE_PUB:
                return encode_pub(out, &message->pub);
        case WIRE_BEGIN:
                return encode_begin(out, &message->pub);
        case WIRE_CHUNK:
                return encode_chunk(out, message->chunk);
        case WIRE_DELIVERY:
                return encode_delivery(out, &message->delivery);
        default:
                return encode_packed(out, message);
        }
}
