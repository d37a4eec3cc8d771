/* Design note. The frames that the broker writes into a packet by hand. Each must be what
 * message_encode would have made of the same fields, and be decoded to them. */
#include "proto/wire/message.h"

#include "proto/wire/test_bytes.h"
#include "tests/harness/test.h"

#include <string.h>

static const uint64_t numbers[] = {0, 1, 127, 128, 255, 256, 65535, 65536, UINT32_MAX,
        UINT64_C(1) << 32, INT64_MAX, UINT64_MAX};

/* What stands at `at`, decoded from a block of its own size. */
static void check_same(const uint8_t *at, size_t len, const struct message *want)
{
        cleanup_(bytes_deinit) struct bytes b = bytes_copy(at, len);
        struct buf encoded cleanup_(buf_deinit) = BUF_INIT;
        struct message m;

        CHECK_EQ(message_encode(&encoded, want), 0);
        CHECK_EQ(encoded.len, len);
        CHECK_BYTES(encoded.data, at, len);
        CHECK_EQ(bytes_decode(&b, &m), 0);
        CHECK_EQ(m.type, want->type);
}

TEST(a_gap_is_written_as_it_is_encoded)
{
        uint8_t room[MESSAGE_GAP_BYTES];

        for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
                struct message m = {.type = WIRE_GAP,
                        .gap = {.sub = numbers[i % 9],
                                .count = numbers[i % 9],
                                .reason = 1 + i % 5,
                                .seq = numbers[i]}};
                if (!m.gap.sub)
                        m.gap.sub = 1;
                if (!m.gap.count)
                        m.gap.count = UINT32_MAX;
                if (!m.gap.seq)
                        m.gap.seq = 1;
                size_t len = message_put_gap(room, &m.gap);
                CHECK(len <= sizeof(room));
                check_same(room, len, &m);
                cleanup_(bytes_deinit) struct bytes b = bytes_copy(room, len);
                struct message back;
                CHECK_EQ(bytes_decode(&b, &back), 0);
                CHECK(back.gap.sub == m.gap.sub && back.gap.count == m.gap.count &&
                        back.gap.reason == m.gap.reason && back.gap.seq == m.gap.seq);
        }
}

TEST(the_largest_gap_fits_its_room)
{
        uint8_t room[MESSAGE_GAP_BYTES];
        struct msg_gap gap = {UINT32_MAX, UINT32_MAX, WIRE_GAP_UNREADABLE, UINT64_MAX};

        CHECK_EQ(message_put_gap(room, &gap), 22);
}

TEST(an_end_is_written_as_it_is_encoded)
{
        for (unsigned status = 0; status < 2; status++) {
                uint8_t room[MESSAGE_END_BYTES];
                size_t len = message_put_end(room, status);
                CHECK_EQ(len, MESSAGE_END_BYTES);
                check_same(room, len, &(struct message){.type = WIRE_END, .number = status});
        }
}

/* Always bin 16, so that its length is known before the data's is. */
TEST(a_chunk_is_its_head_and_the_data_behind)
{
        static const size_t lengths[] = {0, 1, 31, 255, 256, 32767, WIRE_FRAME_BYTES - 5};
        static uint8_t room[MESSAGE_CHUNK_BYTES + WIRE_FRAME_BYTES];

        for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
                size_t n = lengths[i];
                memset(room, 'x', sizeof(room));
                CHECK_EQ(message_put_chunk(room, n), MESSAGE_CHUNK_BYTES);
                CHECK_EQ(room[MESSAGE_CHUNK_BYTES], 'x');
                cleanup_(bytes_deinit) struct bytes b = bytes_copy(room, MESSAGE_CHUNK_BYTES + n);
                struct message m;
                CHECK_EQ(bytes_decode(&b, &m), 0);
                CHECK_EQ(m.type, WIRE_CHUNK);
                CHECK_EQ(m.chunk.len, n);
                CHECK(m.chunk.data == b.data + MESSAGE_CHUNK_BYTES);
        }
}

/* ------------------------------------------------------------------- begin */

static size_t begin_of(const struct bytes *pub, uint32_t n_fds, uint64_t size, uint8_t *room)
{
        struct frame frame = bytes_scan(pub);
        size_t len = message_put_begin(room, &frame, n_fds, size);

        CHECK(len <= pub->len + MESSAGE_BEGIN_MORE);
        return len;
}

TEST(a_begin_is_written_as_it_is_encoded)
{
        cleanup_(bytes_deinit) struct bytes pub =
                bytes_from_hex("95 10 03 a3 61 2e 62 81 a1 6e 01 ce 00 7e 90 00");
        uint8_t room[64];

        for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
                uint32_t n_fds = (uint32_t)(i % (WIRE_FDS + 1));
                size_t len = begin_of(&pub, n_fds, numbers[i], room);
                struct message m = {.type = WIRE_BEGIN,
                        .pub = {.n_fds = n_fds,
                                .topic = {(const uint8_t *)"a.b", 3},
                                .headers = {(const uint8_t *)"\x81\xa1n\x01", 4},
                                .size = numbers[i]}};
                check_same(room, len, &m);
        }
}

/* Topic and headers are the publisher's own bytes; what is behind the payload is left out. */
TEST(a_begin_keeps_topic_and_headers_in_any_encoding)
{
        static const struct {
                const char *pub, *begin;
        } cases[] = {
                {"95 10 01 a1 61 80 05", "95 11 00 a1 61 80 07"},
                {"95 10 cf 00 00 00 00 00 00 00 01 a1 61 80 05", "95 11 00 a1 61 80 07"},
                {"dc 00 05 cd 00 10 01 a1 61 80 cf 00 00 00 00 00 00 00 05",
                        "95 11 00 a1 61 80 07"},
                {"97 10 01 a1 61 80 05 c0 93 01 02 03", "95 11 00 a1 61 80 07"},
                {"95 10 01 d9 01 61 de 00 01 d9 01 6e cd 00 01 05",
                        "95 11 00 d9 01 61 de 00 01 d9 01 6e cd 00 01 07"},
                {"95 10 01 db 00 00 00 01 61 df 00 00 00 00 05",
                        "95 11 00 db 00 00 00 01 61 df 00 00 00 00 07"},
                {"95 10 11 a0 80 ce 00 00 00 05", "95 11 00 a0 80 07"}, /* a reply's */
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                cleanup_(bytes_deinit) struct bytes pub = bytes_from_hex(cases[i].pub);
                cleanup_(bytes_deinit) struct bytes want = bytes_from_hex(cases[i].begin);
                uint8_t room[64];
                size_t len = begin_of(&pub, 0, 7, room);
                CHECK_EQ(len, want.len);
                CHECK_BYTES(room, want.data, len);
                cleanup_(bytes_deinit) struct bytes b = bytes_copy(room, len);
                struct message m;
                CHECK_EQ(bytes_decode(&b, &m), 0);
                CHECK_EQ(m.pub.size, 7);
        }
}

TEST(the_longest_begin_is_no_longer_than_it_may_be)
{
        cleanup_(bytes_deinit) struct bytes pub = bytes_from_hex("95 10 01 a1 61 80 05");
        uint8_t room[64];

        CHECK_EQ(begin_of(&pub, WIRE_FDS, UINT64_MAX, room), pub.len + 8);
}
