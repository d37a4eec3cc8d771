/* Design note. headers_check is the only judge between a publisher and everybody's decoders: each
 * rule of PROTOCOL.md part 2 has its test, at its edge. */
#include "proto/wire/headers.h"

#include "proto/base/buf.h"
#include "proto/wire/limits.h"
#include "proto/wire/test_bytes.h"
#include "tests/harness/test.h"

#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
static bool out_of_memory;

void *__wrap_realloc(void *p, size_t n)
{
        return out_of_memory ? NULL : __real_realloc(p, n);
}

static bool check(struct slice map, bool reserved_ok)
{
        const char *why = NULL;
        int r = headers_check(map, reserved_ok, &why);

        CHECK(r == 0 || r == HEADERS_E_BAD);
        CHECK((why != NULL) == (r != 0));
        return r == 0;
}

static bool check_hex(const char *hex, bool reserved_ok)
{
        cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(hex);
        const uint8_t *at = b.data;

        CHECK_EQ(scan_value(&at, b.data + b.len, WIRE_DEPTH), 0);
        CHECK(at == b.data + b.len);
        return check((struct slice){b.data, b.len}, reserved_ok);
}

TEST(each_kind_of_value_is_fine_in_each_encoding)
{
        static const char *const good[] = {"c0", "c2", "c3", "00", "7f", "ff", "e0", "cc 80",
                "cd 01 00", "ce 00 01 00 00", "cf ff ff ff ff ff ff ff ff", "d0 80", "d0 01",
                "d1 80 00", "d2 80 00 00 00", "d3 80 00 00 00 00 00 00 00", "ca 3f 80 00 00",
                "cb 3f f0 00 00 00 00 00 00", "cb 80 00 00 00 00 00 00 00",
                "cb 00 00 00 00 00 00 00 01", "a0", "a2 c3 a4", "d9 01 61", "da 00 01 61",
                "db 00 00 00 01 61", "c4 00", "c4 01 ff", "c5 00 01 ff", "c6 00 00 00 01 ff"};
        char hex[64];

        for (size_t i = 0; i < ARRAY_LEN(good); i++) {
                snprintf(hex, sizeof(hex), "81 a1 6b %s", good[i]);
                if (!check_hex(hex, false))
                        fail_msg("refused: %s", good[i]);
        }
        CHECK(check_hex("80", false));
        CHECK(check_hex("de 00 00", false));
        CHECK(check_hex("df 00 00 00 01 db 00 00 00 01 6b c0", false));
}

TEST(containers_ext_and_numbers_that_are_none_are_refused)
{
        static const char *const bad[] = {"90", "91 01", "80", "dc 00 00", "de 00 00", "d4 01 00",
                "c7 00 01", "d6 ff 00 00 00 00", "ca 7f 80 00 00", "ca ff 80 00 00",
                "ca 7f c0 00 00", "cb 7f f0 00 00 00 00 00 00", "cb ff f0 00 00 00 00 00 00",
                "cb 7f f8 00 00 00 00 00 00", "a1 ff", "a2 c0 80", "d9 01 80"};
        char hex[64];

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                snprintf(hex, sizeof(hex), "81 a1 6b %s", bad[i]);
                if (check_hex(hex, false))
                        fail_msg("taken: %s", bad[i]);
        }
}

TEST(what_is_no_map_is_refused)
{
        CHECK(!check_hex("c0", false));
        CHECK(!check_hex("90", false));
        CHECK(!check_hex("01", false));
        CHECK(!check((struct slice){NULL, 0}, false));
}

TEST(keys_are_distinct_strings_of_utf8)
{
        CHECK(!check_hex("81 01 01", false));
        CHECK(!check_hex("81 c4 01 6b 01", false));
        CHECK(!check_hex("81 a0 01", false));
        CHECK(!check_hex("81 a1 ff 01", false));
        CHECK(!check_hex("82 a1 6b 01 a1 6b 02", false));
        CHECK(!check_hex("83 a1 6b 01 a1 6c 01 d9 01 6b 02", false));
        CHECK(check_hex("82 a1 6b 01 a2 6b 6b 02", false));
}

TEST(reserved_keys_are_the_brokers)
{
        CHECK(!check_hex("81 a2 24 61 01", false));
        CHECK(check_hex("81 a2 24 61 01", true));
        CHECK(check_hex("81 a2 61 24 01", false));
}

/* A map of `n` entries with keys "000", "001", ... and the value nil. */
static void push_map(struct buf *out, size_t n)
{
        struct header h[WIRE_HEADER_ENTRIES];
        char keys[WIRE_HEADER_ENTRIES][4];

        for (size_t i = 0; i < n; i++) {
                snprintf(keys[i], sizeof(keys[i]), "%03u", (unsigned)i % 1000);
                h[i] = (struct header){.key = {(uint8_t *)keys[i], 3}, .kind = HEADER_NIL};
        }
        CHECK_EQ(headers_encode(out, h, n), 0);
}

TEST(entries_are_limited)
{
        cleanup_(buf_deinit) struct buf out = BUF_INIT;

        push_map(&out, WIRE_HEADER_ENTRIES);
        CHECK(check((struct slice){out.data, out.len}, false));
        /* One more, by hand: the encoder would not do it. */
        CHECK_EQ(out.data[0], 0xde);
        out.data[2]++;
        CHECK_EQ(buf_push(&out, "\xa1z\xc0", 3), 0);
        CHECK(!check((struct slice){out.data, out.len}, false));
}

TEST(keys_are_limited_to_their_bytes)
{
        uint8_t map[3 + 256 + 1] = {0x81, 0xda, 1, 0};

        memset(map + 4, 'k', sizeof(map) - 4);
        struct header h = {.key = {map + 4, WIRE_HEADER_KEY_BYTES}, .kind = HEADER_NIL};
        cleanup_(buf_deinit) struct buf out = BUF_INIT;
        CHECK_EQ(headers_encode(&out, &h, 1), 0);
        CHECK(check((struct slice){out.data, out.len}, false));
        out.len = 0;
        CHECK_EQ(buf_push(&out, map, 4), 0);
        for (int i = 0; i < 256; i++)
                CHECK_EQ(buf_push(&out, "k", 1), 0);
        CHECK_EQ(buf_push(&out, "\xc0", 1), 0);
        CHECK(!check((struct slice){out.data, out.len}, false));
}

TEST(bytes_are_limited_as_encoded)
{
        static uint8_t value[WIRE_HEADER_BYTES];
        struct header h = {.key = {(const uint8_t *)"k", 1}, .kind = HEADER_BIN};
        cleanup_(buf_deinit) struct buf out = BUF_INIT;

        h.value.bytes = (struct slice){value, WIRE_HEADER_BYTES - 6};
        CHECK_EQ(headers_encode(&out, &h, 1), 0);
        CHECK_EQ(out.len, WIRE_HEADER_BYTES);
        CHECK(check((struct slice){out.data, out.len}, false));
        buf_clear(&out);
        h.value.bytes.len++;
        CHECK_EQ(headers_encode(&out, &h, 1), 0);
        CHECK(!check((struct slice){out.data, out.len}, false));
}

static const struct header one_of_each[] = {
        {.key = {(const uint8_t *)"nil", 3}, .kind = HEADER_NIL},
        {.key = {(const uint8_t *)"yes", 3}, .kind = HEADER_BOOL, .value.boolean = true},
        {.key = {(const uint8_t *)"no", 2}, .kind = HEADER_BOOL},
        {.key = {(const uint8_t *)"-1", 2}, .kind = HEADER_INT, .value.i = -1},
        {.key = {(const uint8_t *)"-32", 3}, .kind = HEADER_INT, .value.i = -32},
        {.key = {(const uint8_t *)"-33", 3}, .kind = HEADER_INT, .value.i = -33},
        {.key = {(const uint8_t *)"i16", 3}, .kind = HEADER_INT, .value.i = INT16_MIN},
        {.key = {(const uint8_t *)"i32", 3}, .kind = HEADER_INT, .value.i = INT32_MIN},
        {.key = {(const uint8_t *)"i64", 3}, .kind = HEADER_INT, .value.i = INT64_MIN},
        {.key = {(const uint8_t *)"0", 1}, .kind = HEADER_UINT},
        {.key = {(const uint8_t *)"u64", 3}, .kind = HEADER_UINT, .value.u = UINT64_MAX},
        {.key = {(const uint8_t *)"f", 1}, .kind = HEADER_FLOAT, .value.f = DBL_MAX},
        {.key = {(const uint8_t *)"s", 1},
                .kind = HEADER_STR,
                .value.bytes = {(const uint8_t *)"text", 4}},
        {.key = {(const uint8_t *)"b", 1},
                .kind = HEADER_BIN,
                .value.bytes = {(const uint8_t *)"\xff\0", 2}},
};

static void check_same(const struct header *got, const struct header *want)
{
        CHECK_EQ(got->kind, want->kind);
        CHECK_EQ(got->key.len, want->key.len);
        CHECK_BYTES(got->key.data, want->key.data, want->key.len);
        switch (want->kind) {
        case HEADER_NIL:
                break;
        case HEADER_BOOL:
                CHECK_EQ(got->value.boolean, want->value.boolean);
                break;
        case HEADER_INT:
        case HEADER_UINT:
                CHECK(got->value.u == want->value.u);
                break;
        case HEADER_FLOAT:
                CHECK(got->value.f == want->value.f);
                break;
        case HEADER_STR:
        case HEADER_BIN:
                CHECK_EQ(got->value.bytes.len, want->value.bytes.len);
                CHECK_BYTES(got->value.bytes.data, want->value.bytes.data, want->value.bytes.len);
                break;
        }
}

TEST(what_is_encoded_is_read_again)
{
        cleanup_(buf_deinit) struct buf out = BUF_INIT;
        struct header h;
        uint32_t n;

        CHECK_EQ(headers_encode(&out, one_of_each, ARRAY_LEN(one_of_each)), 0);
        CHECK(check((struct slice){out.data, out.len}, false));
        struct reader r = {out.data, out.data + out.len};
        CHECK_EQ(read_map(&r, &n), 0);
        CHECK_EQ(n, ARRAY_LEN(one_of_each));
        for (uint32_t i = 0; i < n; i++) {
                CHECK_EQ(headers_next(&r, &h), 0);
                check_same(&h, &one_of_each[i]);
        }
        CHECK(r.at == r.end);
}

TEST(a_float_of_four_bytes_and_signed_encodings_are_read)
{
        cleanup_(bytes_deinit) struct bytes b =
                bytes_from_hex("84 a1 61 ca c0 20 00 00 a1 62 d1 ff fe a1 63 d2 00 00 00 05 a1 64 "
                               "d3 ff ff ff ff ff ff "
                               "ff fd");
        struct reader r = {b.data, b.data + b.len};
        struct header h;
        uint32_t n;

        CHECK_EQ(read_map(&r, &n), 0);
        CHECK_EQ(headers_next(&r, &h), 0);
        CHECK(h.kind == HEADER_FLOAT && h.value.f == -2.5);
        CHECK_EQ(headers_next(&r, &h), 0);
        CHECK(h.kind == HEADER_INT && h.value.i == -2);
        CHECK_EQ(headers_next(&r, &h), 0);
        CHECK(h.kind == HEADER_UINT && h.value.u == 5);
        CHECK_EQ(headers_next(&r, &h), 0);
        CHECK(h.kind == HEADER_INT && h.value.i == -3);
        CHECK(r.at == r.end);
}

TEST(without_memory_nothing_is_appended)
{
        cleanup_(buf_deinit) struct buf out = BUF_INIT;
        static uint8_t big[600];
        struct header h = {.key = {(const uint8_t *)"k", 1},
                .kind = HEADER_BIN,
                .value.bytes = {big, sizeof(big)}};

        CHECK_EQ(buf_push(&out, "before", 6), 0);
        out_of_memory = true;
        int r = headers_encode(&out, &h, 1);
        out_of_memory = false;
        CHECK_EQ(r, -ENOMEM);
        CHECK_EQ(out.len, 6);
}
