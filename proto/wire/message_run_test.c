/* Design note. Whoever goes on with a run decodes nothing, so a run must say of a frame exactly
 * what scan and decoder say. Frames of every encoding are put behind each other, whole, cut and
 * changed, and both are asked. */
#include "proto/wire/message.h"

#include "proto/wire/test_bytes.h"
#include "tests/harness/test.h"

#include <string.h>

/* The PUB that `hex` is, and its prefix, which borrow from `*ret_b`. */
static struct slice open_run(const char *hex, struct bytes *ret_b, struct msg_pub *ret_pub)
{
        *ret_b = bytes_from_hex(hex);
        struct frame f = bytes_scan(ret_b);

        CHECK_EQ(message_decode_pub(&f, ret_pub), 0);
        return message_run_prefix(&f, ret_pub);
}

static size_t prefix_len(const char *hex)
{
        cleanup_(bytes_deinit) struct bytes b = {0};
        struct msg_pub pub;

        return open_run(hex, &b, &pub).len;
}

/* Whether `next` goes on with the run that `first` begins; if so it must be what the run says. */
static bool goes_on(const char *first, const char *next)
{
        cleanup_(bytes_deinit) struct bytes a = {0}, b = bytes_from_hex(next);
        struct slice payload, prefix;
        struct msg_pub like, pub;
        const uint8_t *at = b.data;
        struct frame f;

        prefix = open_run(first, &a, &like);
        if (!prefix.len || !message_run_next(prefix, b.data, b.data + b.len, &payload))
                return false;
        CHECK_EQ(scan_frame(&at, b.data + b.len, &f), 0);
        CHECK_EQ(f.type, WIRE_PUB);
        CHECK_EQ(message_decode_pub(&f, &pub), 0);
        CHECK(at == payload.data + payload.len);
        CHECK(pub.payload.data == payload.data);
        CHECK_EQ(pub.payload.len, payload.len);
        CHECK_EQ(pub.n_fds, like.n_fds);
        CHECK_EQ(pub.n_headers, like.n_headers);
        CHECK_EQ(pub.topic.len, like.topic.len);
        CHECK_BYTES(pub.topic.data, like.topic.data, like.topic.len);
        CHECK_EQ(pub.headers.len, like.headers.len);
        CHECK_BYTES(pub.headers.data, like.headers.data, like.headers.len);
        return true;
}

TEST(a_run_begins_where_only_payloads_of_one_length_byte_can_differ)
{
        CHECK_EQ(prefix_len("95 10 00 a1 61 80 c4 01 78"), 7);
        CHECK_EQ(prefix_len("95 10 00 a1 61 80 c4 00"), 7);
        /* Wide, and with headers: it is the bytes that count. */
        CHECK_EQ(prefix_len("dc 00 05 cc 10 00 d9 01 61 80 c4 01 78"), 11);
        CHECK_EQ(prefix_len("95 10 00 a1 61 81 a1 6b 01 c4 01 78"), 10);
        /* A length of more bytes; a placed payload; something behind the payload. */
        CHECK_EQ(prefix_len("95 10 00 a1 61 80 c5 00 01 78"), 0);
        CHECK_EQ(prefix_len("95 10 00 a1 61 80 c6 00 00 00 01 78"), 0);
        CHECK_EQ(prefix_len("95 10 01 a1 61 80 07"), 0);
        CHECK_EQ(prefix_len("96 10 00 a1 61 80 c4 01 78 c0"), 0);
        CHECK_EQ(prefix_len("96 10 00 a1 61 80 c4 01 78 c4 00"), 0);
}

/* 0xc4 is MP_BIN8, and here it is part of a length. */
TEST(a_length_that_looks_like_a_lead_byte_begins_no_run)
{
        for (unsigned width = 2; width <= 4; width += 2) {
                uint8_t head[] = {0x95, 0x10, 0x00, 0xa1, 0x61, 0x80,
                        width == 2 ? MP_BIN16 : MP_BIN32, 0, 0, 0, 0};
                size_t head_len = 7 + width, len = head_len + 0xc401;
                static uint8_t frame[WIRE_PACKET_BYTES];
                const uint8_t *at = frame;
                struct msg_pub pub;
                struct frame f;

                head[head_len - 2] = 0xc4;
                head[head_len - 1] = 0x01;
                memcpy(frame, head, head_len);
                CHECK_EQ(scan_frame(&at, frame + len, &f), 0);
                CHECK_EQ(f.len, len);
                CHECK_EQ(message_decode_pub(&f, &pub), 0);
                CHECK_EQ(pub.payload.data[-2], MP_BIN8);
                CHECK_EQ(message_run_prefix(&f, &pub).len, 0);
        }
}

TEST(a_run_stays_within_the_bytes_of_a_frame)
{
        static uint8_t frame[WIRE_PACKET_BYTES] = {
                0x95, 0x10, 0x00, 0xa1, 0x61, 0x81, 0xa1, 0x6b, MP_BIN16};
        const size_t before = 11, behind = 2;

        /* With headers so long that the longest payload still fits, and a byte longer. */
        for (size_t more = 0; more < 2; more++) {
                size_t n = WIRE_FRAME_BYTES - UINT8_MAX - before - behind + more;
                const uint8_t *at = frame;
                struct msg_pub pub;
                struct frame f;

                frame[before - 2] = (uint8_t)(n >> 8);
                frame[before - 1] = (uint8_t)n;
                frame[before + n] = MP_BIN8;
                frame[before + n + 1] = 0;
                CHECK_EQ(scan_frame(&at, frame + sizeof(frame), &f), 0);
                CHECK_EQ(message_decode_pub(&f, &pub), 0);
                CHECK_EQ(message_run_prefix(&f, &pub).len, more ? 0 : before + n + 1);
                frame[before + n] = 0;
        }
}

TEST(a_run_goes_on_with_what_differs_in_the_payload_alone)
{
        static const char first[] = "95 10 00 a1 61 80 c4 01 78";

        CHECK(goes_on(first, "95 10 00 a1 61 80 c4 01 79"));
        CHECK(goes_on(first, "95 10 00 a1 61 80 c4 00"));
        CHECK(goes_on(first, "95 10 00 a1 61 80 c4 02 79 7a 95 10"));
        CHECK(goes_on("dc 00 05 10 00 a1 61 80 c4 01 78", "dc 00 05 10 00 a1 61 80 c4 00"));
        CHECK(goes_on("95 10 00 a1 61 81 a1 6b 01 c4 00", "95 10 00 a1 61 81 a1 6b 01 c4 01 78"));

        CHECK(!goes_on(first, "95 10 00 a1 62 80 c4 01 78"));
        CHECK(!goes_on(first, "95 10 01 a1 61 80 c4 01 78"));
        CHECK(!goes_on(first, "96 10 00 a1 61 80 c4 01 78 c0"));
        CHECK(!goes_on(first, "95 10 00 a1 61 81 a1 6b 01 c4 00"));
        CHECK(!goes_on(first, "95 10 00 a1 61 80 c5 00 01 78"));
        CHECK(!goes_on(first, "92 05 63"));
}

TEST(a_run_ends_before_a_frame_that_is_cut)
{
        static const char whole[] = "95 10 00 a1 61 80 c4 03 78 79 7a";
        cleanup_(bytes_deinit) struct bytes a = {0};
        struct slice payload, prefix;
        struct msg_pub pub;

        prefix = open_run(whole, &a, &pub);
        for (size_t len = 0; len <= a.len; len++) {
                cleanup_(bytes_deinit) struct bytes b = bytes_copy(a.data, len);
                CHECK_EQ(message_run_next(prefix, b.data, b.data + b.len, &payload), len == a.len);
        }
}
