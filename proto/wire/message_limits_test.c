/* Design note. The edges: ranges of numbers, types that are not ours, what is left alone on
 * failure, and memory that is not there. msgpack-c's allocations are failed by standing in front of
 * its zone, ours by the linker's --wrap. */
#include "proto/wire/message.h"

#include "proto/wire/test_bytes.h"
#include "tests/harness/test.h"

#include <dlfcn.h>
#include <errno.h>
#include <msgpack/zone.h>
#include <stdlib.h>
#include <string.h>

#define INTERPOSE __attribute__((visibility("default")))

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
static bool realloc_fails;
static int zone_calls_left = -1; /* so many succeed; -1: all */

void *__wrap_realloc(void *p, size_t n)
{
        return realloc_fails ? NULL : __real_realloc(p, n);
}

static bool zone_fails(void)
{
        if (zone_calls_left < 0)
                return false;
        return zone_calls_left-- == 0 ? (zone_calls_left = 0, true) : false;
}

INTERPOSE msgpack_zone *msgpack_zone_new(size_t chunk_size)
{
        msgpack_zone *(*real)(size_t);

        *(void **)&real = dlsym(RTLD_NEXT, "msgpack_zone_new");
        return zone_fails() ? NULL : real(chunk_size);
}

INTERPOSE void *msgpack_zone_malloc_expand(msgpack_zone *zone, size_t size)
{
        void *(*real)(msgpack_zone *, size_t);

        *(void **)&real = dlsym(RTLD_NEXT, "msgpack_zone_malloc_expand");
        return zone_fails() ? NULL : real(zone, size);
}

TEST(numbers_out_of_range_are_malformed)
{
        static const char *const bad[] = {
                "94 0b 03 00 01",                         /* CREDIT of what 3 */
                "94 0b 01 cf 00 00 00 01 00 00 00 00 01", /* of subscription 2^32 */
                "93 0c 06 05",                            /* ACK 6-5 */
                "93 0d 06 05",                            /* NACK 6-5 */
                "92 13 02",                               /* END(2) */
                "93 0a 01 00",                            /* UNSUB of subscription 0 */
                "95 0e 00 01 01 01",                      /* GAP of subscription 0 */
                "93 15 00 00",                            /* REQUEST that none can answer */
                "93 15 01 ce 05 26 5c 01",                /* REQUEST of a day and 1 ms */
                "93 07 cf 80 00 00 00 00 00 00 00 00",    /* OK of id 2^63 */
                "93 14 01 cf 80 00 00 00 00 00 00 00",    /* INGRESS of id 2^63 */
        };

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                if (hex_decode(bad[i]) != MESSAGE_E_MALFORMED)
                        fail_msg("taken: %s", bad[i]);
        }
        CHECK_EQ(hex_decode("93 15 01 ce 05 26 5c 00"), 0);
        CHECK_EQ(hex_decode("93 0c 05 05"), 0);
        CHECK_EQ(hex_decode("93 07 cf 7f ff ff ff ff ff ff ff 00"), 0);
        CHECK_EQ(hex_decode("92 05 cf ff ff ff ff ff ff ff ff"), 0);
}

TEST(what_later_versions_may_say_is_no_fault)
{
        CHECK_EQ(hex_decode("93 03 cc c8 a0"), 0);                   /* BYE with code 200 */
        CHECK_EQ(hex_decode("92 04 cd ff ff"), 0);                   /* RIGHTS */
        CHECK_EQ(hex_decode("92 14 cc ff"), 0);                      /* INGRESS flags */
        CHECK_EQ(hex_decode("95 0e 01 01 63 01"), 0);                /* GAP for reason 99 */
        CHECK_EQ(hex_decode("98 17 01 07 02 03 04 90 cd ff ff"), 0); /* DELIVERY flags */
}

TEST(types_that_are_unknown_are_ignored_or_not)
{
        CHECK_EQ(hex_decode("91 40"), MESSAGE_E_IGNORE);
        CHECK_EQ(hex_decode("93 7f 91 c0 80"), MESSAGE_E_IGNORE);
        CHECK_EQ(hex_decode("91 00"), MESSAGE_E_UNKNOWN);
        CHECK_EQ(hex_decode("91 18"), MESSAGE_E_UNKNOWN);
        CHECK_EQ(hex_decode("92 3f 01"), MESSAGE_E_UNKNOWN);
}

/* Deterministic: a frame that is refused only at its last field. */
TEST(a_message_is_untouched_by_what_is_malformed)
{
        static const char *const bad[] = {"94 01 01 a1 61 c0", "95 10 01 a1 61 80 c0",
                "95 11 01 a1 61 80 c0", "92 12 c0", "9d 17 01 02 03 04 05 91 01 00 00 00 00 00 c0",
                "93 03 01 c0", "95 08 01 01 a0 c0", "95 09 01 01 a1 61 c0", "95 0e 01 01 01 c0",
                "94 07 01 01 c0", "94 0c 01 c0 01",
                "99 02 01 07 c4 10 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 a0 00 00 00 c0"};
        struct message m, before;

        memset(&m, 0x55, sizeof(m));
        memset(&before, 0x55, sizeof(before));
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(bad[i]);
                struct frame frame = bytes_scan(&b);
                CHECK_EQ(message_decode(&frame, &m), MESSAGE_E_MALFORMED);
                CHECK_BYTES(&m, &before, sizeof(m));
        }
}

/* Decodes with every number of successful zone calls until it needs no more. */
static int count_allocations(const struct frame *frame)
{
        struct message m, before;

        memset(&m, 0x55, sizeof(m));
        memset(&before, 0x55, sizeof(before));
        for (int n = 0;; n++) {
                zone_calls_left = n;
                int r = message_decode(frame, &m);
                zone_calls_left = -1;
                if (r == 0)
                        return n;
                CHECK_EQ(r, -ENOMEM);
                CHECK_BYTES(&m, &before, sizeof(m));
                CHECK(n < 100);
        }
}

TEST(without_memory_decoding_fails_cleanly)
{
        static const char *const frames[] = {"94 01 01 a1 61 00", "94 09 01 01 a1 61",
                "99 02 01 07 c4 10 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 a0 00 00 00 80"};

        for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
                cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(frames[i]);
                struct frame frame = bytes_scan(&b);
                CHECK(count_allocations(&frame) >= 1);
        }
}

TEST(without_memory_a_large_tree_fails_cleanly)
{
        cleanup_(buf_deinit) struct buf out = BUF_INIT;

        /* HELLO with a trailing field that no 8 KiB chunk of the zone holds. */
        CHECK_EQ(buf_push(&out, "\x96\x01\x01\xa0\x00\x80\xdc\x04\x00", 9), 0);
        for (int i = 0; i < 1024; i++)
                CHECK_EQ(buf_push(&out, "\x91\xc0", 2), 0);
        cleanup_(bytes_deinit) struct bytes b = bytes_copy(out.data, out.len);
        struct frame frame = bytes_scan(&b);
        CHECK(count_allocations(&frame) > 2);
}

/* One message of each way to encode, too large for the 256 bytes a buffer starts with. */
static size_t large_messages(struct message *to)
{
        static uint8_t bytes[512];
        struct slice large = {bytes, sizeof(bytes)};

        memset(bytes, 'a', sizeof(bytes));
        to[0] = (struct message){.type = WIRE_PUB};
        to[0].pub.payload = large;
        to[1] = (struct message){.type = WIRE_CHUNK};
        to[1].chunk = large;
        to[2] = (struct message){.type = WIRE_BYE};
        to[2].verdict.text = large;
        to[3] = (struct message){.type = WIRE_DELIVERY};
        to[4] = (struct message){.type = WIRE_BEGIN};
        to[4].pub.headers = large;
        return 5;
}

TEST(without_memory_nothing_is_appended)
{
        struct message messages[5];
        size_t n = large_messages(messages);

        for (size_t i = 0; i < n; i++) {
                cleanup_(buf_deinit) struct buf out = BUF_INIT;
                CHECK_EQ(buf_push(&out, "before", 6), 0);
                realloc_fails = true;
                int r = message_encode(&out, &messages[i]);
                realloc_fails = false;
                CHECK_EQ(r, -ENOMEM);
                CHECK_EQ(out.len, 6);
                CHECK_BYTES(out.data, "before", 6);
                CHECK_EQ(message_encode(&out, &messages[i]), 0);
                CHECK_BYTES(out.data, "before", 6);
        }
}

TEST(without_memory_a_publication_is_not_opened)
{
        cleanup_(buf_deinit) struct buf out = BUF_INIT;
        struct msg_pub pub = {.topic = {(const uint8_t *)"a", 1}};

        realloc_fails = true;
        int r = message_encode_pub_open(&out, &pub, 10);
        realloc_fails = false;
        CHECK_EQ(r, -ENOMEM);
        CHECK_EQ(out.len, 0);
}

TEST(an_opened_publication_and_its_payload_are_the_whole)
{
        static uint8_t payload[60000];
        static const size_t lengths[] = {0, 1, 255, 256, 60000};

        for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
                cleanup_(buf_deinit) struct buf open = BUF_INIT, whole = BUF_INIT;
                struct message m = {.type = WIRE_PUB};
                m.pub.topic = (struct slice){(const uint8_t *)"a.b", 3};
                m.pub.payload = (struct slice){payload, lengths[i]};
                CHECK_EQ(message_encode_pub_open(&open, &m.pub, lengths[i]), 0);
                CHECK_EQ(buf_push(&open, payload, lengths[i]), 0);
                CHECK_EQ(message_encode(&whole, &m), 0);
                CHECK_EQ(open.len, whole.len);
                CHECK_BYTES(open.data, whole.data, whole.len);
        }
}

TEST(codes_and_policies_have_names)
{
        CHECK_STR(wire_code_name(WIRE_CODE_NONE), "NONE");
        CHECK_STR(wire_code_name(WIRE_CODE_CANCELLED), "CANCELLED");
        CHECK_STR(wire_code_name(WIRE_CODE_N_), "UNKNOWN");
        CHECK_STR(wire_code_name(UINT64_MAX), "UNKNOWN");
        for (uint64_t code = 0; code < WIRE_CODE_N_; code++)
                CHECK_STR(wire_code_name(code) ? "named" : "", "named");
        CHECK_STR(wire_overflow_name(WIRE_OVERFLOW_DROP_OLDEST), "drop-oldest");
}
