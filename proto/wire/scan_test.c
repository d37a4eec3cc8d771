/* Design note. What scan.h promises, one promise a test. That it agrees with msgpack-c on a great
 * many values is differential_test.c's business. */
#include "proto/wire/scan.h"

#include "proto/wire/limits.h"
#include "proto/wire/proto.h"
#include "proto/wire/test_bytes.h"
#include "tests/harness/test.h"

#include <stdlib.h>
#include <string.h>

/* Scans the first frame of `hex`; gives how far it came. */
static int scan(const char *hex, struct frame *ret_frame, size_t *ret_len)
{
        cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(hex);
        const uint8_t *at = b.data;
        int r = scan_frame(&at, b.data + b.len, ret_frame);

        *ret_len = (size_t)(at - b.data);
        return r;
}

static void check_malformed(const char *hex)
{
        struct frame frame;
        size_t len;

        if (scan(hex, &frame, &len) != SCAN_E_MALFORMED || len != 0)
                fail_msg("not refused: %s", hex);
}

static void check_frame(const char *hex, unsigned type, uint32_t n_fields, size_t body)
{
        cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(hex);
        struct frame frame = bytes_scan(&b);

        CHECK_EQ(frame.type, type);
        CHECK_EQ(frame.n_fields, n_fields);
        CHECK(frame.data == b.data);
        CHECK_EQ(frame.len, b.len);
        CHECK_EQ(frame.body - b.data, body);
}

TEST(a_frame_is_described)
{
        check_frame("92 05 63", WIRE_PING, 1, 2);
        check_frame("91 40", 0x40, 0, 2);
        check_frame("91 7f", 0x7f, 0, 2);
        check_frame("91 00", 0, 0, 2);
        check_frame("95 10 00 a3 61 2e 62 80 c4 01 78", WIRE_PUB, 4, 2);
}

TEST(the_array_and_the_type_may_have_any_encoding)
{
        check_frame("dc 00 02 05 63", WIRE_PING, 1, 4);
        check_frame("dd 00 00 00 02 05 63", WIRE_PING, 1, 6);
        check_frame("92 cc 05 63", WIRE_PING, 1, 3);
        check_frame("92 cd 00 05 63", WIRE_PING, 1, 4);
        check_frame("92 ce 00 00 00 05 63", WIRE_PING, 1, 6);
        check_frame("92 cf 00 00 00 00 00 00 00 05 63", WIRE_PING, 1, 10);
        check_frame("92 d0 05 63", WIRE_PING, 1, 3);
        check_frame("92 d3 00 00 00 00 00 00 00 05 63", WIRE_PING, 1, 10);
}

TEST(what_is_no_frame_is_refused)
{
        static const char *const bad[] = {"90", "c0", "05", "80", "81 05 63", "de 00 01 05 63",
                "df 00 00 00 01 05 63", "a1 05", "c4 01 05", "d4 05 05", "91 80", "91 cc 80",
                "91 cd 01 05", "91 ff", "91 d0 ff", "91 d1 ff 05", "91 a1 05", "91 c0", "91 c3",
                "91 91 05", "91 80", "91 ca 00 00 00 05", "91 c1", "92 05 c1", "c1"};

        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                check_malformed(bad[i]);
}

TEST(a_count_or_length_beyond_the_packet_is_refused)
{
        static const char *const bad[] = {"dd ff ff ff ff", "df 0f ff ff ff", "92 05", "93 05 63",
                "dc 00", "dc 00 02 05", "dd 00 00 00 02 05", "92 05 dd ff ff ff ff",
                "92 05 df ff ff ff ff", "92 05 df 80 00 00 00", "92 05 a2 61", "92 05 d9",
                "92 05 d9 01", "92 05 da 00", "92 05 db 00 00 00 01", "92 05 db ff ff ff ff",
                "92 05 c4", "92 05 c4 02 00", "92 05 c5 00", "92 05 c6 ff ff ff ff", "92 05 c7 01",
                "92 05 c7 01 05", "92 05 c8 00 01 05", "92 05 c9 ff ff ff ff 05", "92 05 d4 05",
                "92 05 d8 05 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", "92 05 cc",
                "92 05 cd 00", "92 05 ce 00 00 00", "92 05 cf 00 00 00 00 00 00 00", "92 05 d0",
                "92 05 d3 00 00 00 00 00 00 00", "92 05 ca 00 00 00",
                "92 05 cb 00 00 00 00 00 00 00", "92 05 81 01", "92 05 91", "92 05 de 00",
                "92 05 dc 00 02 05"};

        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                check_malformed(bad[i]);
}

TEST(every_cut_of_a_publication_is_refused)
{
        static const char *const whole[] = {"95 10 00 a3 61 2e 62 80 c4 02 78 79",
                "95 10 00 d9 03 61 2e 62 80 c5 00 02 78 79", "95 10 02 a1 61 81 a1 6b 01 c4 01 78",
                "95 10 01 a1 61 80 ce 00 7e 90 00",
                "dc 00 05 10 00 db 00 00 00 01 61 df 00 00 00 00 c6 00 00 00 01 78",
                "95 10 00 a0 de 00 01 a1 6b da 00 01 76 c5 00 00"};

        for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
                cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(whole[i]);
                CHECK_EQ(bytes_scan(&b).n_fields, 4);
                for (size_t len = 1; len < b.len; len++) {
                        cleanup_(bytes_deinit) struct bytes cut = bytes_copy(b.data, len);
                        const uint8_t *at = cut.data;
                        struct frame frame;
                        CHECK_EQ(scan_frame(&at, cut.data + len, &frame), SCAN_E_MALFORMED);
                        CHECK(at == cut.data);
                }
        }
}

TEST(frames_of_a_packet_are_scanned_one_by_one)
{
        cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(
                "93 14 01 02 95 10 00 a3 61 2e 62 80 c4 01 78 95 10 00 a3 61 2e 62 81 a1 6e 01 "
                "c4 01 79 92 05 63");
        static const uint8_t types[] = {WIRE_INGRESS, WIRE_PUB, WIRE_PUB, WIRE_PING};
        const uint8_t *at = b.data, *end = b.data + b.len;
        struct frame frame;

        for (size_t i = 0; i < ARRAY_LEN(types); i++) {
                CHECK_EQ(scan_frame(&at, end, &frame), 0);
                CHECK_EQ(frame.type, types[i]);
        }
        CHECK(at == end);
}

/* A frame whose only field is `n` arrays around a nil. */
static int scan_nested(size_t n, uint8_t opener)
{
        uint8_t packet[64] = {0x92, 0x05};
        const uint8_t *at = packet;
        struct frame frame;
        size_t len = 2;

        for (size_t i = 0; i < n; i++) {
                packet[len++] = opener;
                if (opener == 0x81)
                        packet[len++] = 0x01;
        }
        packet[len++] = 0xc0;
        return scan_frame(&at, packet + len, &frame);
}

TEST(nesting_is_limited_and_the_frame_itself_is_one_level)
{
        CHECK_EQ(scan_nested(WIRE_DEPTH - 1, 0x91), 0);
        CHECK_EQ(scan_nested(WIRE_DEPTH, 0x91), SCAN_E_MALFORMED);
        CHECK_EQ(scan_nested(WIRE_DEPTH - 1, 0x81), 0);
        CHECK_EQ(scan_nested(WIRE_DEPTH, 0x81), SCAN_E_MALFORMED);
}

TEST(empty_containers_count_as_a_level_too)
{
        struct frame frame;
        size_t len;
        char hex[128] = "92 05 ";

        for (int i = 0; i < WIRE_DEPTH - 2; i++)
                strcat(hex, "91");
        size_t open = strlen(hex);
        strcat(hex, "90");
        CHECK_EQ(scan(hex, &frame, &len), 0);
        strcpy(hex + open, "9190");
        check_malformed(hex);
        strcpy(hex + open, "9180");
        check_malformed(hex);
        strcpy(hex + open, "91df00000000");
        check_malformed(hex);
}

TEST(siblings_do_not_add_up_to_depth)
{
        check_frame("dc 00 14 05 91 c0 91 c0 91 c0 91 c0 91 c0 91 c0 91 c0 91 c0 91 c0 91 c0 91 c0 "
                    "91 c0 91 c0 91 c0 91 c0 91 c0 91 c0 91 c0 91 c0",
                WIRE_PING, 19, 4);
}

static int scan_value_of(const char *hex, unsigned depth)
{
        cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(hex);
        const uint8_t *at = b.data;
        int r = scan_value(&at, b.data + b.len, depth);

        CHECK_EQ(at - b.data, r ? 0 : b.len);
        return r;
}

TEST(depth_of_a_value_counts_its_containers)
{
        CHECK_EQ(scan_value_of("c0", 0), 0);
        CHECK_EQ(scan_value_of("90", 0), SCAN_E_MALFORMED);
        CHECK_EQ(scan_value_of("92 c0 a1 61", 1), 0);
        CHECK_EQ(scan_value_of("81 01 90", 1), SCAN_E_MALFORMED);
        CHECK_EQ(scan_value_of("81 01 90", 2), 0);
        CHECK_EQ(scan_value_of("", WIRE_DEPTH), SCAN_E_MALFORMED);
}

/* A CHUNK or PUB whose binary makes it `len` bytes long. */
static int scan_long(unsigned type, size_t len)
{
        static const uint8_t chunk[] = {0x92, WIRE_CHUNK, 0xc5},
                             pub[] = {0x95, WIRE_PUB, 0, 0xa1, 'a', 0x80, 0xc5};
        size_t n_head = type == WIRE_PUB ? sizeof(pub) : sizeof(chunk);
        uint8_t *packet = calloc(1, len);
        const uint8_t *at = packet;
        struct frame frame;

        CHECK_PTR(packet);
        memcpy(packet, type == WIRE_PUB ? pub : chunk, n_head);
        size_t n = len - n_head - 2;
        packet[n_head] = (uint8_t)(n >> 8);
        packet[n_head + 1] = (uint8_t)n;
        int r = scan_frame(&at, packet + len, &frame);
        free(packet);
        return r;
}

TEST(a_frame_is_limited_to_frame_bytes)
{
        CHECK_EQ(scan_long(WIRE_CHUNK, WIRE_FRAME_BYTES), 0);
        CHECK_EQ(scan_long(WIRE_CHUNK, WIRE_FRAME_BYTES + 1), SCAN_E_MALFORMED);
        CHECK_EQ(scan_long(WIRE_PUB, WIRE_FRAME_BYTES), 0);
        CHECK_EQ(scan_long(WIRE_PUB, WIRE_FRAME_BYTES + 1), SCAN_E_MALFORMED);
}
