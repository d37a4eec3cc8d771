/* Design note. msgpack-c builds a tree of objects in a zone, whose strings and binaries point into
 * the packet; so the zone can go before the caller gets to see the slices. What the tree may cost
 * is bounded by the scan: 24 bytes an object, one object a byte. */
#include "proto/wire/unpack.h"

#include "proto/wire/options.h"
#include "proto/wire/topic.h"

#include <errno.h>
#include <msgpack.h>
#include <string.h>

static int unpack(const struct frame *frame, msgpack_unpacked *ret_tree)
{
        size_t at = 0;

        switch (msgpack_unpack_next(ret_tree, (const char *)frame->data, frame->len, &at)) {
        case MSGPACK_UNPACK_SUCCESS:
                return 0;
        case MSGPACK_UNPACK_NOMEM_ERROR:
                return -ENOMEM;
        default:
                return MESSAGE_E_MALFORMED;
        }
}

static int get_uint(const msgpack_object *o, uint64_t most, uint64_t *ret_value)
{
        if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 > most)
                return MESSAGE_E_MALFORMED;
        *ret_value = o->via.u64;
        return 0;
}

/* An empty string must not look like none, whatever msgpack-c points it at. */
static struct slice slice_of(const char *data, uint32_t len)
{
        return (struct slice){(const uint8_t *)(len ? data : ""), len};
}

static int get_str(const msgpack_object *o, struct slice *ret_str)
{
        if (o->type != MSGPACK_OBJECT_STR)
                return MESSAGE_E_MALFORMED;
        *ret_str = slice_of(o->via.str.ptr, o->via.str.size);
        return 0;
}

static int get_bool(const msgpack_object *o, bool *ret_value)
{
        if (o->type != MSGPACK_OBJECT_BOOLEAN)
                return MESSAGE_E_MALFORMED;
        *ret_value = o->via.boolean;
        return 0;
}

static int get_instance(const msgpack_object *o, struct slice *ret_instance)
{
        if (o->type != MSGPACK_OBJECT_BIN || o->via.bin.size != WIRE_INSTANCE_BYTES)
                return MESSAGE_E_MALFORMED;
        *ret_instance = slice_of(o->via.bin.ptr, o->via.bin.size);
        return 0;
}

static bool slice_is(struct slice s, const char *text)
{
        return s.len == strlen(text) && !memcmp(s.data, text, s.len);
}

/* A policy of a later version is an option that we do not know. */
static int get_overflow(const msgpack_object *o, enum wire_overflow *ret_overflow)
{
        struct slice name;

        int r = get_str(o, &name);
        if (r)
                return r;
        for (unsigned i = 0; i < WIRE_OVERFLOW_N_; i++) {
                if (slice_is(name, wire_overflow_name((enum wire_overflow)i))) {
                        *ret_overflow = (enum wire_overflow)i;
                        return 0;
                }
        }
        return MESSAGE_E_UNSUPPORTED;
}

static int get_not(const msgpack_object *o, bool *ret_not)
{
        bool value;
        int r = get_bool(o, &value);

        if (!r)
                *ret_not = !value;
        return r;
}

static int option_set(void *object, const struct option *option, const msgpack_object *value)
{
        void *place = option_in(object, option);

        if (option->has)
                *(bool *)((char *)object + option->has) = true;
        switch (option->kind) {
        case OPTION_UINT:
                return get_uint(value, option->most, place);
        case OPTION_BOOL:
                return get_bool(value, place);
        case OPTION_NOT:
                return get_not(value, place);
        case OPTION_STR:
                return get_str(value, place);
        case OPTION_INSTANCE:
                return get_instance(value, place);
        case OPTION_OVERFLOW:
                return get_overflow(value, place);
        }
        return MESSAGE_E_MALFORMED;
}

static const struct option *option_find(const struct option *options, size_t n, struct slice key)
{
        for (size_t i = 0; i < n; i++) {
                if (slice_is(key, options[i].key))
                        return &options[i];
        }
        return NULL;
}

/* Sets in `object` what the map says, and gives in `*ret_unknown` the last option, if any, whose
 * key or value is of another version. */
static int get_options(const msgpack_object *map, const struct option *options, size_t n,
        void *object, struct slice *ret_unknown)
{
        struct slice key, unknown = {0};

        if (map->type != MSGPACK_OBJECT_MAP)
                return MESSAGE_E_MALFORMED;
        for (uint32_t i = 0; i < map->via.map.size; i++) {
                const msgpack_object_kv *entry = &map->via.map.ptr[i];
                if (get_str(&entry->key, &key))
                        return MESSAGE_E_MALFORMED;
                const struct option *option = option_find(options, n, key);
                int r = MESSAGE_E_UNSUPPORTED;
                if (option)
                        r = option_set(object, option, &entry->val);
                if (r == MESSAGE_E_MALFORMED)
                        return r;
                if (r == MESSAGE_E_UNSUPPORTED)
                        unknown = key;
        }
        *ret_unknown = unknown;
        return 0;
}

static int hello_from(const msgpack_object *o, uint32_t n, struct msg_hello *hello)
{
        struct slice ignored;

        if (n < 3 || get_uint(&o[0], UINT64_MAX, &hello->version) || get_str(&o[1], &hello->name) ||
                get_uint(&o[2], UINT64_MAX, &hello->features))
                return MESSAGE_E_MALFORMED;
        if (hello->name.len > WIRE_NAME_BYTES || !text_is_plain(hello->name.data, hello->name.len))
                return MESSAGE_E_MALFORMED;
        return n < 4 ? 0 : get_options(&o[3], hello_options, HELLO_OPTIONS, hello, &ignored);
}

int unpack_hello(const struct frame *frame, struct msg_hello *ret_hello)
{
        cleanup_(msgpack_unpacked_destroy) msgpack_unpacked tree = {0};
        struct msg_hello hello = {0};

        int r = unpack(frame, &tree);
        if (!r)
                r = hello_from(tree.data.via.array.ptr + 1, frame->n_fields, &hello);
        if (!r)
                *ret_hello = hello;
        return r;
}

static int get_limits(const msgpack_object *map, struct msg_welcome *welcome)
{
        struct msg_limit limit;

        if (map->type != MSGPACK_OBJECT_MAP)
                return MESSAGE_E_MALFORMED;
        for (uint32_t i = 0; i < map->via.map.size; i++) {
                const msgpack_object_kv *entry = &map->via.map.ptr[i];
                if (get_str(&entry->key, &limit.name) ||
                        get_uint(&entry->val, UINT64_MAX, &limit.value))
                        return MESSAGE_E_MALFORMED;
                if (welcome->n_limits < MSG_WELCOME_LIMITS)
                        welcome->limits[welcome->n_limits++] = limit;
        }
        return 0;
}

static int welcome_from(const msgpack_object *o, uint32_t n, struct msg_welcome *welcome)
{
        struct slice ignored;

        if (n < 8 || get_uint(&o[0], UINT64_MAX, &welcome->version) ||
                get_uint(&o[1], UINT64_MAX, &welcome->session) ||
                get_instance(&o[2], &welcome->instance) || get_str(&o[3], &welcome->name) ||
                get_uint(&o[4], UINT64_MAX, &welcome->features) ||
                get_uint(&o[5], UINT64_MAX, &welcome->rights) ||
                get_uint(&o[6], UINT64_MAX, &welcome->window) || get_limits(&o[7], welcome))
                return MESSAGE_E_MALFORMED;
        return n < 9 ? 0 : get_options(&o[8], welcome_infos, WELCOME_INFOS, welcome, &ignored);
}

int unpack_welcome(const struct frame *frame, struct msg_welcome *ret_welcome)
{
        cleanup_(msgpack_unpacked_destroy) msgpack_unpacked tree = {0};
        struct msg_welcome welcome = {0};

        int r = unpack(frame, &tree);
        if (!r)
                r = welcome_from(tree.data.via.array.ptr + 1, frame->n_fields, &welcome);
        if (!r)
                *ret_welcome = welcome;
        return r;
}

static int sub_from(const msgpack_object *o, uint32_t n, struct msg_sub *sub)
{
        if (n < 3 || get_uint(&o[0], INT64_MAX, &sub->id) ||
                get_uint(&o[1], UINT32_MAX, &sub->sub) || sub->sub == 0 ||
                get_str(&o[2], &sub->filter))
                return MESSAGE_E_MALFORMED;
        int r = n < 4 ? 0 : get_options(&o[3], sub_options, SUB_OPTIONS, sub, &sub->unknown);
        if (r)
                return r;
        if (!sub->ack_ms)
                sub->ack_ms = WIRE_ACK_MS_DEFAULT;
        if (!sub->max_deliveries)
                sub->max_deliveries = WIRE_DELIVERIES_DEFAULT;
        return sub->unknown.data ? MESSAGE_E_UNSUPPORTED : 0;
}

int unpack_sub(const struct frame *frame, struct msg_sub *ret_sub)
{
        cleanup_(msgpack_unpacked_destroy) msgpack_unpacked tree = {0};
        struct msg_sub sub = {0};

        int r = unpack(frame, &tree);
        if (!r)
                r = sub_from(tree.data.via.array.ptr + 1, frame->n_fields, &sub);
        if (!r || r == MESSAGE_E_UNSUPPORTED)
                *ret_sub = sub;
        return r;
}
