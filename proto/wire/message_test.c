/* Design note. What the structs of a session's frames hold, what encoding leaves out, and what is
 * beyond a range. Publications are publication_test.c's; the kinds and numbers of fields are
 * frames_test.c's business, for all frames at once. */
#include "proto/wire/message.h"

#include "proto/wire/test_bytes.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <string.h>

static struct slice text(const char *s)
{
        return (struct slice){(const uint8_t *)s, strlen(s)};
}

TEST(hello_is_decoded)
{
        cleanup_(bytes_deinit) struct bytes b =
                bytes_from_hex("95 01 01 a6 74 68 65 72 6d 6f 01 80");
        struct message m;

        CHECK_EQ(bytes_decode(&b, &m), 0);
        CHECK_EQ(m.type, WIRE_HELLO);
        CHECK_EQ(m.hello.version, 1);
        check_slice(m.hello.name, "thermo");
        CHECK_EQ(m.hello.features, WIRE_FEATURE_MEMFD);
        CHECK_NULL(m.hello.resume_instance.data);
        check_encoded(&m, "94 01 01 a6 74 68 65 72 6d 6f 01");
}

TEST(hello_resumes)
{
        static const uint8_t instance[WIRE_INSTANCE_BYTES] = {1, 2, 3};
        cleanup_(buf_deinit) struct buf out = BUF_INIT;
        struct message m = {.type = WIRE_HELLO}, back;

        m.hello = (struct msg_hello){.version = 1,
                .name = text("n"),
                .features = 0,
                .resume_instance = {instance, sizeof(instance)},
                .resume_session = 7,
                .resume_seq = 1000};
        CHECK_EQ(message_encode(&out, &m), 0);
        cleanup_(bytes_deinit) struct bytes b = bytes_copy(out.data, out.len);
        CHECK_EQ(bytes_decode(&b, &back), 0);
        CHECK_EQ(back.hello.resume_instance.len, WIRE_INSTANCE_BYTES);
        CHECK_BYTES(back.hello.resume_instance.data, instance, WIRE_INSTANCE_BYTES);
        CHECK_EQ(back.hello.resume_session, 7);
        CHECK_EQ(back.hello.resume_seq, 1000);
}

TEST(hello_judges_its_name_and_options)
{
        CHECK_EQ(hex_decode("94 01 01 a1 1b 00"), MESSAGE_E_MALFORMED);
        CHECK_EQ(hex_decode("94 01 01 a1 ff 00"), MESSAGE_E_MALFORMED);
        CHECK_EQ(hex_decode("94 01 01 a0 00"), 0);
        /* Unknown options are ignored, whatever they hold; known ones must be of their kind. */
        CHECK_EQ(hex_decode("95 01 01 a0 00 81 a1 78 91 80"), 0);
        CHECK_EQ(hex_decode("95 01 01 a0 00 81 01 01"), MESSAGE_E_MALFORMED);
        CHECK_EQ(hex_decode("95 01 01 a0 00 81 aa 72 65 73 75 6d 65 5f 73 65 71 c0"),
                MESSAGE_E_MALFORMED);
        CHECK_EQ(hex_decode("95 01 01 a0 00 81 af 72 65 73 75 6d 65 5f 69 6e 73 74 61 6e 63 65 c4 "
                            "01 00"),
                MESSAGE_E_MALFORMED);
}

static int decode_hello_of_name(size_t len)
{
        char hex[256];

        int n = sprintf(hex, "94 01 01 d9 %02x ", (unsigned)len);
        for (size_t i = 0; i < len; i++)
                n += sprintf(hex + n, "61");
        strcpy(hex + n, "00");
        return hex_decode(hex);
}

TEST(hello_has_a_name_of_at_most_64_bytes)
{
        CHECK_EQ(decode_hello_of_name(WIRE_NAME_BYTES), 0);
        CHECK_EQ(decode_hello_of_name(WIRE_NAME_BYTES + 1), MESSAGE_E_MALFORMED);
}

TEST(welcome_is_decoded)
{
        static const char hex[] = "9a 02 01 07 c4 10 a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab ac ad ae "
                                  "af a1 62 01 0f ce 00 "
                                  "10 00 00 82 ab 66 72 61 6d 65 5f 62 79 74 65 73 cd fe 00 a3 66 "
                                  "64 73 10 81 a6 6d 69 "
                                  "73 73 65 64 00";
        cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(hex);
        struct message m;

        CHECK_EQ(bytes_decode(&b, &m), 0);
        CHECK_EQ(m.welcome.session, 7);
        CHECK_EQ(m.welcome.instance.len, WIRE_INSTANCE_BYTES);
        CHECK_EQ(m.welcome.instance.data[15], 0xaf);
        check_slice(m.welcome.name, "b");
        CHECK_EQ(m.welcome.rights, 15);
        CHECK_EQ(m.welcome.window, 1 << 20);
        CHECK_EQ(m.welcome.n_limits, 2);
        check_slice(m.welcome.limits[0].name, "frame_bytes");
        CHECK_EQ(m.welcome.limits[0].value, WIRE_FRAME_BYTES);
        check_slice(m.welcome.limits[1].name, "fds");
        CHECK_EQ(m.welcome.limits[1].value, 16);
        CHECK(m.welcome.has_missed);
        CHECK_EQ(m.welcome.missed, 0);
        check_encoded(&m, hex);
}

TEST(welcome_keeps_the_first_limits)
{
        char hex[1024] =
                "99 02 01 07 c4 10 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 a0 00 00 00 "
                "de 00 28 ";
        struct message m;

        for (int i = 0; i < 40; i++)
                sprintf(hex + strlen(hex), "a1 61 %02x ", i);
        cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(hex);
        CHECK_EQ(bytes_decode(&b, &m), 0);
        CHECK_EQ(m.welcome.n_limits, MSG_WELCOME_LIMITS);
        CHECK_EQ(m.welcome.limits[MSG_WELCOME_LIMITS - 1].value, MSG_WELCOME_LIMITS - 1);
        CHECK(!m.welcome.has_missed);
}

TEST(sub_has_the_defaults_of_the_protocol)
{
        cleanup_(bytes_deinit) struct bytes b = bytes_from_hex("94 09 01 02 a3 61 2e 3e");
        struct message m;

        CHECK_EQ(bytes_decode(&b, &m), 0);
        CHECK_EQ(m.sub.id, 1);
        CHECK_EQ(m.sub.sub, 2);
        check_slice(m.sub.filter, "a.>");
        CHECK_EQ(m.sub.max_fds, 0);
        CHECK(!m.sub.observer && !m.sub.ack);
        CHECK_EQ(m.sub.overflow, WIRE_OVERFLOW_BLOCK);
        CHECK_EQ(m.sub.queue_bytes, 0);
        CHECK_EQ(m.sub.queue_messages, 0);
        CHECK_EQ(m.sub.window, 0);
        CHECK_NULL(m.sub.group.data);
        CHECK_EQ(m.sub.ack_ms, 30000);
        CHECK_EQ(m.sub.max_deliveries, 5);
        CHECK_NULL(m.sub.unknown.data);
        check_encoded(&m, "94 09 01 02 a3 61 2e 3e");
}

static const struct msg_sub full_sub = {.id = 9,
        .sub = UINT32_MAX,
        .filter = {(const uint8_t *)"a", 1},
        .max_fds = 16,
        .observer = true,
        .overflow = WIRE_OVERFLOW_LATEST,
        .queue_bytes = 1 << 16,
        .queue_messages = 10,
        .has_window = true,
        .window = 3,
        .no_retained = true,
        .group = {(const uint8_t *)"g", 1},
        .ack = true,
        .ack_ms = 1000,
        .max_deliveries = 2};

TEST(sub_keeps_every_option)
{
        cleanup_(buf_deinit) struct buf out = BUF_INIT;
        struct message m = {.type = WIRE_SUB}, back;

        m.sub = full_sub;
        CHECK_EQ(message_encode(&out, &m), 0);
        cleanup_(bytes_deinit) struct bytes b = bytes_copy(out.data, out.len);
        CHECK_EQ(bytes_decode(&b, &back), 0);
        CHECK_EQ(back.sub.sub, UINT32_MAX);
        CHECK_EQ(back.sub.max_fds, 16);
        CHECK(back.sub.observer && back.sub.ack);
        CHECK_EQ(back.sub.overflow, WIRE_OVERFLOW_LATEST);
        CHECK_EQ(back.sub.queue_bytes, 1 << 16);
        CHECK_EQ(back.sub.queue_messages, 10);
        CHECK(back.sub.has_window && back.sub.no_retained);
        CHECK_EQ(back.sub.window, 3);
        check_slice(back.sub.group, "g");
        CHECK_EQ(back.sub.ack_ms, 1000);
        CHECK_EQ(back.sub.max_deliveries, 2);
}

TEST(an_empty_group_is_not_none)
{
        cleanup_(bytes_deinit) struct bytes b =
                bytes_from_hex("95 09 01 01 a1 61 81 a5 67 72 6f 75 70 a0");
        struct message m;

        CHECK_EQ(bytes_decode(&b, &m), 0);
        check_slice(m.sub.group, "");
}

TEST(a_deadline_or_number_of_deliveries_of_0_is_the_default)
{
        cleanup_(bytes_deinit) struct bytes b =
                bytes_from_hex("95 09 01 01 a1 61 82 a6 61 63 6b 5f 6d 73 00 ae 6d 61 78 5f 64 65 "
                               "6c 69 76 65 72 69 "
                               "65 73 00");
        struct message m;

        CHECK_EQ(bytes_decode(&b, &m), 0);
        CHECK_EQ(m.sub.ack_ms, WIRE_ACK_MS_DEFAULT);
        CHECK_EQ(m.sub.max_deliveries, WIRE_DELIVERIES_DEFAULT);
}

TEST(every_overflow_policy_travels_by_its_name)
{
        for (unsigned i = 0; i < WIRE_OVERFLOW_N_; i++) {
                cleanup_(buf_deinit) struct buf out = BUF_INIT;
                struct message m = {.type = WIRE_SUB}, back;
                m.sub = full_sub;
                m.sub.overflow = (enum wire_overflow)i;
                CHECK_EQ(message_encode(&out, &m), 0);
                cleanup_(bytes_deinit) struct bytes b = bytes_copy(out.data, out.len);
                CHECK_EQ(bytes_decode(&b, &back), 0);
                CHECK_EQ(back.sub.overflow, i);
        }
}

TEST(sub_names_the_option_it_does_not_know)
{
        cleanup_(bytes_deinit) struct bytes
                key = bytes_from_hex("95 09 05 01 a1 61 82 a3 6e 65 77 91 01 a3 61 63 6b c3"),
                policy = bytes_from_hex("95 09 05 01 a1 61 81 a8 6f 76 65 72 66 6c 6f 77 a1 78");
        struct message m;

        CHECK_EQ(bytes_decode(&key, &m), MESSAGE_E_UNSUPPORTED);
        CHECK_EQ(m.type, WIRE_SUB);
        CHECK_EQ(m.sub.id, 5);
        check_slice(m.sub.unknown, "new");
        CHECK_EQ(bytes_decode(&policy, &m), MESSAGE_E_UNSUPPORTED);
        CHECK_EQ(m.sub.id, 5);
        check_slice(m.sub.unknown, "overflow");
}

TEST(sub_judges_ranges_and_kinds_of_options)
{
        static const char *const bad[] = {
                "94 09 01 00 a1 61",                               /* sub 0 */
                "94 09 01 cf 00 00 00 01 00 00 00 00 a1 61",       /* sub 2^32 */
                "94 09 cf 80 00 00 00 00 00 00 00 01 a1 61",       /* id 2^63 */
                "95 09 01 01 a1 61 81 a7 6d 61 78 5f 66 64 73 11", /* max_fds 17 */
                "95 09 01 01 a1 61 81 a7 6d 61 78 5f 66 64 73 c0",
                "95 09 01 01 a1 61 81 a3 61 63 6b 01",       /* ack must be a bool */
                "95 09 01 01 a1 61 81 a5 67 72 6f 75 70 01", /* group a str */
                "95 09 01 01 a1 61 81 a8 6f 76 65 72 66 6c 6f 77 00",
                "95 09 01 01 a1 61 81 01 01",                   /* a key that is no str */
                "95 09 01 01 a1 61 82 a1 78 01 a3 61 63 6b 01", /* malformed wins over unknown */
        };

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                if (hex_decode(bad[i]) != MESSAGE_E_MALFORMED)
                        fail_msg("taken: %s", bad[i]);
        }
        CHECK_EQ(hex_decode("94 09 00 ce ff ff ff ff a0"), 0);
}

TEST(verdicts_are_decoded)
{
        cleanup_(bytes_deinit) struct bytes bye = bytes_from_hex("93 03 03 a2 6e 6f"),
                                            err = bytes_from_hex("95 08 04 04 a1 78 a3 66 64 73"),
                                            brief = bytes_from_hex("94 08 00 07 a0");
        struct message m;

        CHECK_EQ(bytes_decode(&bye, &m), 0);
        CHECK_EQ(m.verdict.code, WIRE_CODE_REFUSED);
        check_slice(m.verdict.text, "no");
        check_encoded(&m, "93 03 03 a2 6e 6f");
        CHECK_EQ(bytes_decode(&err, &m), 0);
        CHECK_EQ(m.verdict.id, 4);
        CHECK_EQ(m.verdict.code, WIRE_CODE_LIMIT);
        check_slice(m.verdict.limit, "fds");
        check_encoded(&m, "95 08 04 04 a1 78 a3 66 64 73");
        CHECK_EQ(bytes_decode(&brief, &m), 0);
        CHECK_EQ(m.verdict.limit.len, 0);
        check_encoded(&m, "94 08 00 07 a0");
}
