/* Design note. A block from malloc has a red zone behind it under the sanitizer; an array on the
 * stack that is larger than its content has not. */
#include "proto/wire/test_bytes.h"

#include "tests/harness/test.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct bytes bytes_copy(const void *data, size_t len)
{
        struct bytes b = {malloc(len), len};

        if (len && !b.data)
                abort();
        if (len)
                memcpy(b.data, data, len);
        return b;
}

struct bytes bytes_from_hex(const char *hex)
{
        struct bytes b = {malloc(strlen(hex) / 2 + 1), 0};
        char pair[3] = {0};

        if (!b.data)
                abort();
        for (const char *p = hex; *p; p++) {
                if (*p == ' ')
                        continue;
                if (!isxdigit((unsigned char)p[0]) || !isxdigit((unsigned char)p[1]))
                        abort();
                pair[0] = *p++;
                pair[1] = *p;
                b.data[b.len++] = (uint8_t)strtoul(pair, NULL, 16);
        }
        struct bytes exact = bytes_copy(b.data, b.len);
        free(b.data);
        return exact;
}

void bytes_deinit(struct bytes *b)
{
        free(b->data);
        *b = (struct bytes){0};
}

struct frame bytes_scan(const struct bytes *b)
{
        const uint8_t *at = b->data;
        struct frame frame = {0};

        CHECK_EQ(scan_frame(&at, b->data + b->len, &frame), 0);
        CHECK_EQ(at - b->data, b->len);
        return frame;
}

int bytes_decode(const struct bytes *b, struct message *ret_message)
{
        struct frame frame = bytes_scan(b);

        return message_decode(&frame, ret_message);
}

int hex_decode(const char *hex)
{
        cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(hex);
        struct message m;

        return bytes_decode(&b, &m);
}

void check_slice(struct slice got, const char *want)
{
        CHECK_PTR(got.data);
        CHECK_EQ(got.len, strlen(want));
        CHECK_BYTES(got.data, want, got.len);
}

void check_encoded(const struct message *m, const char *hex)
{
        cleanup_(bytes_deinit) struct bytes want = bytes_from_hex(hex);
        cleanup_(buf_deinit) struct buf out = BUF_INIT;

        CHECK_EQ(message_encode(&out, m), 0);
        CHECK_EQ(out.len, want.len);
        CHECK_BYTES(out.data, want.data, want.len);
}
