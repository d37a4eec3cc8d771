/* Design note. A received message points at the encoded map: most callbacks look at no header, so
 * none is decoded before somebody asks. The map was checked by the scan of its packet; what the
 * broker let through keeps the rules of headers.h. */
#include "client/handle.h"

#include "proto/wire/headers.h"

#include <errno.h>
#include <string.h>

/* Where a message keeps its map: reserved[0] the entries behind the map's header, [1] their end. */
static struct reader entries_of(const struct baton_message *m)
{
        return (struct reader){m->reserved[0], m->reserved[1]};
}

static void to_user(const struct header *h, struct baton_header *ret)
{
        *ret = (struct baton_header){
                .key = (const char *)h->key.data,
                .key_len = h->key.len,
                .kind = (enum baton_header_kind)h->kind,
        };
        switch (h->kind) {
        case HEADER_BOOL:
                ret->value.boolean = h->value.boolean;
                break;
        case HEADER_INT:
                ret->value.i = h->value.i;
                break;
        case HEADER_UINT:
                ret->value.u = h->value.u;
                break;
        case HEADER_FLOAT:
                ret->value.f = h->value.f;
                break;
        case HEADER_STR:
        case HEADER_BIN:
                ret->value.bytes.data = h->value.bytes.data;
                ret->value.bytes.len = h->value.bytes.len;
                break;
        case HEADER_NIL:
                break;
        }
}

int baton_header_at(const struct baton_message *m, uint32_t i, struct baton_header *ret_header)
{
        struct reader r = entries_of(m);
        struct header h;

        if (i >= m->n_headers)
                return -ENOENT;
        for (uint32_t at = 0; at <= i; at++) {
                if (headers_next(&r, &h))
                        return -ENOENT;
        }
        to_user(&h, ret_header);
        return 0;
}

int baton_header_find(
        const struct baton_message *m, const char *key, struct baton_header *ret_header)
{
        struct reader r = entries_of(m);
        size_t key_len = strlen(key);
        struct header h;

        for (uint32_t i = 0; i < m->n_headers && !headers_next(&r, &h); i++) {
                if (h.key.len != key_len || memcmp(h.key.data, key, key_len))
                        continue;
                to_user(&h, ret_header);
                return 0;
        }
        return -ENOENT;
}

static int of_user(const struct baton_header *from, struct header *ret)
{
        *ret = (struct header){
                .key = {(const uint8_t *)from->key,
                        from->key_len ? from->key_len : strlen(from->key)},
                .kind = (enum header_kind)from->kind,
        };
        switch (from->kind) {
        case BATON_NIL:
                return 0;
        case BATON_BOOL:
                ret->value.boolean = from->value.boolean;
                return 0;
        case BATON_INT:
                ret->value.i = from->value.i;
                if (from->value.i >= 0) {
                        ret->kind = HEADER_UINT;
                        ret->value.u = (uint64_t)from->value.i;
                }
                return 0;
        case BATON_UINT:
                ret->value.u = from->value.u;
                return 0;
        case BATON_FLOAT:
                ret->value.f = from->value.f;
                return 0;
        case BATON_STR:
        case BATON_BIN:
                ret->value.bytes = (struct slice){from->value.bytes.data, from->value.bytes.len};
                return ret->value.bytes.len > WIRE_HEADER_BYTES ? -EINVAL : 0;
        }
        return -EINVAL;
}

int headers_of_user(
        struct baton *b, const struct baton_header *headers, size_t n, struct slice *ret_map)
{
        struct header list[WIRE_HEADER_ENTRIES];
        const char *why = "";

        if (n > WIRE_HEADER_ENTRIES)
                return handle_fail(b, -EINVAL, "headers: at most %d entries", WIRE_HEADER_ENTRIES);
        for (size_t i = 0; i < n; i++) {
                if (!headers[i].key || of_user(&headers[i], &list[i]) < 0 ||
                        list[i].key.len > WIRE_HEADER_KEY_BYTES)
                        return handle_fail(b, -EINVAL,
                                "header %zu: no key, too long, or of an unknown kind", i);
        }
        buf_clear(&b->scratch);
        if (headers_encode(&b->scratch, list, n) < 0)
                return handle_fail(b, -ENOMEM, "out of memory");
        struct slice map = {b->scratch.data, b->scratch.len};
        if (headers_check(map, false, &why))
                return handle_fail(b, -EINVAL, "headers: %s", why);
        *ret_map = map;
        return 0;
}
